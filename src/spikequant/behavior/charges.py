"""The membranes of neurons while a model runs, before they are rounded and fire."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from spikequant.behavior.recorder import Loader
from spikequant.errors import MismatchError
from spikequant.neurons import LIF, SecondOrder, guests, spiking
from spikequant.neurons.showing import from_rest, watching

Watcher = Callable[[Tensor], object]
CURRENT = ".current"  # behind a neuron's name: its synaptic currents


@contextlib.contextmanager
def charges(model: nn.Module, watchers: Mapping[str, Watcher], on_grid: bool) -> Iterator[set[str]]:
    """Within the block each watcher sees the membranes ``[time, batch, ...]`` of its neuron; the set grows by the names of those that ran.

    A watcher of ``name.current`` sees the synaptic currents of the neuron ``name``. ``on_grid``: on the way that the state's grid leads,
    where the neuron can tell (those with synaptic currents cannot).

    Raises:
        MismatchError: a neuron stands in for a guest, which runs it unseen.
    """
    neurons, seen = spiking(model), set[str]()
    currents = {f"{name}{CURRENT}": neuron for name, neuron in neurons.items() if isinstance(neuron, SecondOrder)}
    for name in watchers:
        if name in guests(model):
            raise MismatchError(f"{name} stands in for a guest and cannot be watched; adopt the network")

    def hook(name: str) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]:
        def see(neuron: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            assert isinstance(neuron, LIF), "only neurons are watched"
            seen.add(name)
            if name in currents:
                watchers[name](currents[name].stored_currents(*given, **named))
                return
            if on_grid and not isinstance(neuron, SecondOrder):
                named = {**named, "on_grid": True}
            watchers[name](neuron.charged(*given, **named))

        return see

    handles = [(currents | neurons)[name].register_forward_pre_hook(hook(name), with_kwargs=True) for name in watchers]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def show(model: nn.Module, watchers: Mapping[str, Watcher], batches: Loader) -> None:
    """Run a model on batches, from rest and in evaluation mode, its neurons watched.

    Raises:
        MismatchError: as ``charges``, or a neuron saw nothing.
    """
    with charges(model, watchers, on_grid=True) as seen, watching(model):
        for x, _ in batches:
            from_rest(model, x)
    for name in watchers:
        if name not in seen:
            raise MismatchError(f"layer {name!r} saw nothing; every spiking layer must run")
