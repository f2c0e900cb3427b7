"""The taps by which firing is seen, for every network: its counts, which cost nothing, or its spikes."""

import contextlib
import functools
from collections.abc import Callable, Iterator

from torch import Tensor, nn

from spikequant.errors import MismatchError
from spikequant.neurons.lif import LIF, Counter

Listener = Callable[[str, Tensor], object]
CountListener = Callable[[str, Tensor, int], object]


def spiking(model: nn.Module) -> dict[str, LIF]:
    """The spiking neurons of a model by their qualified names, in the order of definition.

    >>> list(spiking(nn.Sequential(nn.Linear(2, 2), LIF(decay=0.9))))
    ['1']
    """
    return {name: module for name, module in model.named_modules() if isinstance(module, LIF)}


@contextlib.contextmanager
def tap(model: nn.Module, listener: Listener) -> Iterator[None]:
    """Within the block, ``listener(name, spikes)`` hears every scan of every spiking neuron.

    Spikes are ``[time, batch, channel, *space]``, not copied: a listener reads them, keeps what it needs and changes nothing.
    Neurons that are listened to run unfused; where counts are enough, ``tally`` is faster.

    Raises:
        MismatchError: the model has no spiking neuron.
    """
    handles = [neuron.register_forward_hook(_hook(name, listener)) for name, neuron in _found(model).items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def tally(model: nn.Module, listener: CountListener) -> Iterator[None]:
    """Within the block, ``listener(name, counts, steps)`` hears how often each neuron fired in every scan, fused ones too.

    Counts are ``[batch, channel, *space]``, float32, and the listener's own.

    Raises:
        MismatchError: the model has no spiking neuron.
    """
    found, before = _found(model), dict[str, tuple[Counter, ...]]()
    for name, neuron in found.items():
        before[name], neuron.counters = neuron.counters, (*neuron.counters, functools.partial(listener, name))
    try:
        yield
    finally:
        for name, neuron in found.items():
            neuron.counters = before[name]


def _found(model: nn.Module) -> dict[str, LIF]:
    found = spiking(model)
    if not found:
        raise MismatchError(f"{type(model).__name__} holds no spiking neuron that spikequant knows; nothing can be observed")
    return found


def _hook(name: str, listener: Listener) -> Callable[[nn.Module, object, Tensor], None]:
    def hear(module: nn.Module, inputs: object, spikes: Tensor) -> None:
        listener(name, spikes)

    return hear
