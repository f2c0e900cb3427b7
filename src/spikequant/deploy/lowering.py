"""lower: the integer program of a network."""

import copy
import math
from collections.abc import Iterable
from typing import Any

from torch import Tensor

from spikequant.behavior import emd
from spikequant.deploy.checking import Check, check, refuse_foreign
from spikequant.deploy.competing import competed
from spikequant.deploy.nearest import approximated
from spikequant.deploy.program import Program
from spikequant.deploy.transcribing import Pixels, takes_pixels, transcribed
from spikequant.errors import SpecError
from spikequant.models import Network
from spikequant.neurons.showing import watching
from spikequant.quantizers import Quantizer
from spikequant.recipes import Recipe
from spikequant.recipes.folding import is_fresh, largest_input

Loader = Iterable[tuple[Tensor, Tensor]]
BATCHES = 8


def lower(
    model: Network,
    calibration: Loader | None = None,
    *,
    pixels: Pixels | None = None,
    events: tuple[int, int] = (0, 1),
    batches: int = BATCHES,
) -> Program:
    """The integer program of a network.

    A network of ``Recipe.integer`` is written down as it is: the same spikes, bit for bit. Any other becomes the nearest program:
    weights and states on their grids stay there, the rest is rounded; ``program.report`` says what changed, measured on the first
    ``batches`` of ``calibration``, which is never test data. ``pixels`` says how bytes become what the network is shown; the program
    then takes bytes. ``events``: the lowest and highest whole number that a network of events is fed.

    Raises:
        SpecError: something has no integer form, a range follows each batch, a threshold is below 1, an overflow bound cannot be
            proven, or data is needed or not finite; pixels or events are none, or given to a network that is not shown them; the
            network is none of ours.
        MismatchError: the calibration holds events out of their range, or fractions of them.
    """
    refuse_foreign(model)
    _refuse_batch_dependent(model)
    if model.wiring.readout == "votes":
        raise SpecError(f"{model.wiring.name}: readout 'votes' has no integer form; a program sums over time: use 'count' or 'mean'")
    with watching(model):
        here = all(each.device.type == "cpu" for each in (*model.parameters(), *model.buffers()))
        held = model if here else copy.deepcopy(model).cpu()
        if isinstance(model.recipe, Recipe) and model.recipe.arithmetic is not None:
            return _reported(transcribed(held, pixels, events), [])
        if calibration is None:
            raise SpecError(f"{model.wiring.name} does not compute in whole numbers: pass calibration=loader, or use Recipe.integer(...)")
        if is_fresh(model):
            raise SpecError(f"{model.wiring.name} has batch norms that have seen no data; train it first")
        if model.wiring.of_kind("competing"):
            program, changed = competed(held, pixels)
        else:
            step = largest_input(calibration, batches) / 127 if takes_pixels(model) else 1.0
            if not math.isfinite(step):
                raise SpecError(f"the calibration holds values that are not finite: its largest is {step * 127}")
            program, changed = approximated(held, step, pixels, events)
        return _reported(program, changed, check(program, model, calibration, batches))


def _refuse_batch_dependent(model: Network) -> None:
    """A program answers each sample alone; a network whose samples change each other's levels has no one answer to be near."""
    for name, module in model.named_modules():
        if isinstance(module, Quantizer) and module.spec.batch_dependent:
            raise SpecError(
                f"{name}: the range of {module.spec.label()} follows each {module.spec.scope}, so a sample's spikes hang on its batch, "
                "and no program repeats them; use a state with range='frozen'"
            )


def _reported(program: Program, changed: list[str], found: Check | None = None) -> Program:
    """The program with a report in its header."""
    report: dict[str, Any] = {"exact": found is None, "changed": changed}
    report["accumulators"] = {
        name: {"low": proof.widest.low, "high": proof.widest.high, "bits": proof.accumulator_bits} for name, proof in program.proofs.items()
    }
    if found is not None:
        report |= {"images": found.images, "program_accuracy": found.program_accuracy, "network_accuracy": found.network_accuracy}
        report["layers"] = {
            layer.name: {"spikes_changed": layer.different / layer.spikes, "emd": emd(layer.network_rates, layer.program_rates)}
            for layer in found.layers
        }
    info = {**program.header.info, "report": report}
    return Program(program.header.model_copy(update={"info": info}), program.tensors)
