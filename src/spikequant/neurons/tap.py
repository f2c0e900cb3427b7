"""The tap by which firing is seen: one hook, for every network."""

import contextlib
from collections.abc import Callable, Iterator

from torch import Tensor, nn

from spikequant.errors import MismatchError
from spikequant.neurons.lif import LIF

Listener = Callable[[str, Tensor], object]


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

    Raises:
        MismatchError: the model has no spiking neuron.
    """
    found = spiking(model)
    if not found:
        raise MismatchError(f"{type(model).__name__} holds no spiking neuron that spikequant knows; nothing can be observed")
    handles = [neuron.register_forward_hook(_hook(name, listener)) for name, neuron in found.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _hook(name: str, listener: Listener) -> Callable[[nn.Module, object, Tensor], None]:
    def hear(module: nn.Module, inputs: object, spikes: Tensor) -> None:
        listener(name, spikes)

    return hear
