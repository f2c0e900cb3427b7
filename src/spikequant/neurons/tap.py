"""The taps by which firing is seen, for every network: its counts, which cost nothing, or its spikes."""

import contextlib
import functools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from spikequant.errors import MismatchError
from spikequant.neurons.guests import STAND_IN, guests, observable, runs_steps, spikes_of, strangers, unfamiliar
from spikequant.neurons.lif import LIF, Counter

Listener = Callable[[str, Tensor], object]
CountListener = Callable[[str, Tensor, int, int], object]


def spiking(model: nn.Module) -> dict[str, LIF]:
    """Our spiking neurons of a model by their qualified names, in the order of definition; those in a guest bear its name.

    >>> list(spiking(nn.Sequential(nn.Linear(2, 2), LIF(decay=0.9))))
    ['1']
    """
    hosts = guests(model)
    found = {name: module for name, module in model.named_modules() if isinstance(module, LIF)}
    return {host if (host := name.removesuffix(f".{STAND_IN}")) in hosts else name: module for name, module in found.items()}


@contextlib.contextmanager
def tap(model: nn.Module, listener: Listener) -> Iterator[None]:
    """Within the block, ``listener(name, spikes)`` hears every scan of every spiking neuron.

    Spikes are ``[time, batch, channel, *space]``, not copied: a listener reads them, keeps what it needs and changes nothing.
    Neurons that are listened to run unfused; where counts are enough, ``tally`` is faster. A guest that runs step by step is
    heard once, at the end of the block, with all its steps.

    Raises:
        MismatchError: the model has no spiking neuron, or one of another library that is not known, or a guest's steps differ in shape.
    """
    _refuse_strangers(model)
    found, steps = observable(model), dict[str, list[Tensor]]()
    if not found:
        raise _nothing(model)
    handles = [neuron.register_forward_hook(_hook(name, neuron, listener, steps)) for name, neuron in found.items()]
    try:
        yield
        for name in found:
            if name in steps:
                listener(name, _stacked(name, steps[name]))
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def tally(model: nn.Module, listener: CountListener) -> Iterator[None]:
    """Within the block, ``listener(name, counts, steps, positions)`` hears how often a channel fired in every scan, fused ones too.

    Counts are ``[batch, channel]``, summed over the channel's positions, float32, and the listener's own.

    Raises:
        MismatchError: the model has no spiking neuron, or one of another library, which does not count.
    """
    found, before = _counting(model), dict[str, tuple[Counter, ...]]()
    for name, neuron in found.items():
        before[name], neuron.counters = neuron.counters, (*neuron.counters, functools.partial(listener, name))
    try:
        yield
    finally:
        for name, neuron in found.items():
            neuron.counters = before[name]


def _refuse_strangers(model: nn.Module) -> None:
    for name, neuron in strangers(model).items():
        raise MismatchError(f"{unfamiliar(name, neuron)}; its spikes would go unseen")


def _counting(model: nn.Module) -> dict[str, LIF]:
    _refuse_strangers(model)
    for name, guest in guests(model).items():
        raise MismatchError(f"layer {name!r} ({type(guest).__name__}) of another library does not count its spikes; use tap")
    found = spiking(model)
    if not found:
        raise _nothing(model)
    return found


def _nothing(model: nn.Module) -> MismatchError:
    return MismatchError(f"{type(model).__name__} holds no spiking neuron that spikequant knows; nothing can be observed")


def _hook(name: str, neuron: nn.Module, listener: Listener, steps: dict[str, list[Tensor]]) -> Callable[[nn.Module, object, object], None]:
    def hear(module: nn.Module, inputs: object, output: object) -> None:
        spikes = spikes_of(name, output)
        if not isinstance(neuron, LIF) and runs_steps(neuron):
            steps.setdefault(name, []).append(spikes.clone())  # a forward may add to them in place
        else:
            listener(name, neuron.heard(spikes) if isinstance(neuron, LIF) else spikes)

    return hear


def _stacked(name: str, steps: list[Tensor]) -> Tensor:
    shapes = {tuple(step.shape) for step in steps}
    if len(shapes) > 1:
        raise MismatchError(
            f"layer {name!r} gave steps of the shapes {', '.join(map(str, sorted(shapes)))}; give each layer its own neuron"
        )
    return torch.stack(steps)
