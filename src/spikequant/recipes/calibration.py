"""What a model is shown to fit its states: the first batches of training data, in evaluation, each from rest."""

import contextlib
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from spikequant.errors import MismatchError, SpecError
from spikequant.models import Network
from spikequant.neurons import Refraining, SecondOrder, Traces, guests, spiking
from spikequant.neurons.showing import from_rest, watching
from spikequant.quantizers import Fitted, Quantizer
from spikequant.recipes import foreign
from spikequant.recipes.parts import HOLDERS, Part, stateful

Loader = Iterable[tuple[Tensor, Tensor]]
Observe = Callable[[Tensor], None]
CALIBRATION_BATCHES = 8
PAIRS = "pass Batches(split, batch_size, scale), or a list of pairs"
PLACES: tuple[Part, ...] = ("current", "p", "q", "r")  # states that go by ``neuron.part``; the membrane goes by its neuron


def calibrate(model: nn.Module, quantizers: dict[str, Quantizer], loader: Loader, batches: int = CALIBRATION_BATCHES) -> None:
    """Fit state quantizers to the membranes of ``batches`` of data, while these states are still float.

    ``quantizers`` go by neuron, or by ``neuron.part`` for grids of other states (``PLACES``).

    Raises:
        SpecError: the loader gave nothing, a neuron was never called, or a grid cannot hold what was seen.
    """
    neurons, guest, heard = stateful(model), guests(model), set[str]()
    with contextlib.ExitStack() as stack:
        for place, quantizer in quantizers.items():
            name, part = _part(place)
            neuron, observe = neurons.get(name), partial(_hear, heard, place, quantizer)
            if neuron is not None:
                setattr(neuron, HOLDERS[part], None)
                stack.callback(setattr, neuron, HOLDERS[part], quantizer)
            if name in guest:
                stack.enter_context(foreign.watched(guest[name], spiking(model).get(name), observe, part))
            elif neuron is not None:
                stack.callback(listened(neuron, part, observe).remove)
        with watching(model):
            show(model, loader, batches)
    refuse_silent(quantizers, heard)
    for place, quantizer in quantizers.items():
        settle(place, quantizer)


def settle(place: str, quantizer: Quantizer) -> None:
    """Fit a quantizer to what it observed.

    Raises:
        SpecError: its grid cannot hold that; names the place.
    """
    quantizer.fit()
    if isinstance(quantizer, Fitted):
        try:
            quantizer.grid()
        except SpecError as error:
            raise SpecError(f"{place}: {error}") from None


def show(model: nn.Module, loader: Loader, batches: int) -> None:
    """Run a model on the first ``batches`` of a loader, guests from rest and to rest.

    Raises:
        SpecError: the loader gave no batch.
    """
    for x in inputs(loader, batches):
        if isinstance(model, Network) and not (isinstance(x, Tensor) and x.is_floating_point()):
            got = getattr(x, "dtype", type(x).__name__)
            raise SpecError(
                f"{model.wiring.name} takes tensors of floating point, got {got}; divide by the scale of the data, as Batches does"
            )
        from_rest(model, x)


def inputs(loader: Loader, batches: int) -> Iterator[Tensor]:
    """The inputs of the first ``batches`` of a loader.

    Raises:
        SpecError: it gave no batch, or no pairs.
    """
    batch: object = None
    for batch in itertools.islice(_iterable(loader), batches):
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise SpecError(f"a loader gives pairs (x, y), this one gave {_name(batch)}; {PAIRS}")
        yield batch[0]
    if batch is None:
        raise SpecError("the calibration loader gave no batch; pass at least one batch of training data")


def _iterable(loader: Any) -> Iterable[object]:
    if not isinstance(loader, Iterable):
        raise SpecError(f"a loader gives pairs (x, y), a {type(loader).__name__} gives nothing; {PAIRS}")
    return loader


def _name(batch: object) -> str:
    return f"{type(batch).__name__} of {len(batch)}" if isinstance(batch, tuple | list) else type(batch).__name__


def listened(neuron: nn.Module, part: Part, observe: Observe) -> RemovableHandle:
    """Show ``observe`` a state of a neuron, unrounded, ``[time * batch, ...]``, whenever the neuron is called."""

    def hook(neuron: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        if part == "current" and isinstance(neuron, SecondOrder):
            seen = neuron.stored_currents(*given, **named)
        elif isinstance(neuron, Refraining | Traces) and part != "state":
            seen = neuron.stored(part, *given, **named)
        else:
            seen = neuron.charged(*given, **named)
        observe(seen.flatten(0, 1))

    return neuron.register_forward_pre_hook(hook, with_kwargs=True)


def refuse_silent(names: Iterable[str], heard: Collection[str]) -> None:
    """Raise where a state was not seen.

    Raises:
        SpecError: names them.
    """
    silent = ", ".join(name for name in names if name not in heard)
    if silent:
        raise SpecError(f"{silent}: never called in the calibration pass (a loop over `scan` is not seen); call the neuron itself")


def _hear(heard: set[str], place: str, quantizer: Quantizer, x: Tensor) -> None:
    heard.add(place)
    try:
        quantizer.observe(x)
    except MismatchError as error:
        raise MismatchError(f"{place}: {error}; how many channels it has only a Network says: adopt it, or take one grid for all") from None


def _part(place: str) -> tuple[str, Part]:
    name, _, part = place.rpartition(".")
    return (name, part) if name and part in PLACES else (place, "state")
