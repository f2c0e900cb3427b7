"""What a study can measure of a finished network, by name: one table of names, what each needs, and what each gives."""

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from safetensors.torch import save as tensors_to_bytes
from torch import as_tensor

from spikequant import files
from spikequant.behavior import Drift, Firing, Operations, Timing, compare, level_health, operations, record, timing
from spikequant.data import Batches, DataSet, Split
from spikequant.errors import SpecError, unknown
from spikequant.models import Network
from spikequant.recipes import memory, traffic
from spikequant.studies.consequences import emd_to_others, noisy_accuracy
from spikequant.studies.examine import states
from spikequant.studies.procedure import Measures
from spikequant.training import accuracy_by_batch, evaluate

BATCHES = 20
VALIDATED = "validation_accuracy"
START = "start"  # measured by the procedure supervised, before it trains


@dataclass
class Subject:
    """A finished network, and what it is measured with. The test images are read here, and nowhere before.

    ``held``: training images that were held out.
    """

    network: Network
    data: DataSet
    batch_size: int
    batches: int
    reference: Network | None
    twins: tuple[Network, ...]
    held: Split | None = None

    @property
    def test(self) -> Batches:
        """The test images, in order."""
        return Batches(self.data.test, self.batch_size, self.data.scale)

    @cached_property
    def firing(self) -> Firing:
        """The firing rates of every layer."""
        return record(self.network, self.test, self.batches)

    @cached_property
    def drift(self) -> Drift:
        """The comparison with the reference."""
        if self.reference is None:
            raise SpecError("this measure compares with a reference, and the trial has none; give its group a reference")
        return compare(self.reference, self.network, self.test, batches=self.batches, twins=self.twins)

    @cached_property
    def work(self) -> dict[str, Operations]:
        """The synaptic operations of its layers for one image."""
        return operations(self.network, self.test, self.batches)

    @cached_property
    def timing(self) -> Timing:
        """When it fires, beside the reference."""
        if self.reference is None:
            raise SpecError("timing compares with a reference, and the trial has none; give its group a reference")
        return timing(self.reference, self.network, self.test, self.batches)


class Measure(NamedTuple):
    """One entry of the table: which other trials it needs, its values by name, and whether one of them bears the measure's own."""

    needs: frozenset[str]
    values: Callable[[Subject], Measures]
    named: bool = False


def _accuracy(subject: Subject) -> Measures:
    return {"accuracy": evaluate(subject.network, subject.test)}


def _validation_accuracy(subject: Subject) -> Measures:
    if subject.held is None:
        raise SpecError(f"{VALIDATED} needs a held-out share of the training images; set validation, as 0.1")
    return {VALIDATED: evaluate(subject.network, Batches(subject.held, subject.batch_size, subject.data.scale))}


def _batch_sizes(subject: Subject) -> Measures:
    return {f"accuracy_batch_{size}": value for size, value in accuracy_by_batch(subject.network, subject.test).items()}


def _memory(subject: Subject) -> Measures:
    ledger = memory(subject.network)
    kept = ("weight_bits", "state_bits", "qspinn_bits")
    return {"memory_bits": ledger.total_bits} | {name: getattr(ledger, name) for name in kept}


def _firing(subject: Subject) -> Measures:
    firing = subject.firing
    return {"mean_rate": firing.mean_rate, "dead": firing.dead(), "silent": firing.silent, "saturated": firing.saturated()}


def _emd(subject: Subject) -> Measures:
    drift = subject.drift
    low, high = drift.emd_interval
    return {"emd": drift.emd, "emd_low": low, "emd_high": high, "emd_floor": drift.emd_floor}


def _training_floor(subject: Subject) -> Measures:
    floor = subject.drift.training_floor
    if floor is None:
        raise SpecError("the training floor needs float networks of other seeds; give the reference's group more than one seed")
    low, high = floor.interval
    return {"training_floor": floor.emd, "training_floor_low": low, "training_floor_high": high, "emd_excess": floor.excess}


def _agreement(subject: Subject) -> Measures:
    return {"agreement": subject.drift.agreement, "matched_shift": subject.drift.matched_shift}


def _parts(subject: Subject) -> Measures:
    layers = subject.drift.layers
    more = fmean(layer.mean_rate > layer.reference.mean_rate for layer in layers)
    shift, shape = (fmean(getattr(layer, part) for layer in layers) for part in ("emd_mean_shift", "emd_shape"))
    return {"emd_mean_shift": shift, "emd_shape": shape, "layers_firing_more": more}


def _independent(subject: Subject) -> Measures:
    others = [record(twin, subject.test, subject.batches) for twin in subject.twins]
    if not others:
        raise SpecError("emd_independent needs float networks of other seeds; give the reference's group more than one seed")
    return {"emd_independent": emd_to_others(subject.firing, others)}


def _levels(subject: Subject) -> Measures:
    layers = level_health(subject.network, subject.test, subject.batches)
    singular = [layer.singular for layer in layers if layer.singular is not None]
    means = {name: fmean(getattr(layer, name) for layer in layers) for name in ("rest_missed", "threshold_missed", "unused", "step_shift")}
    return {f"levels_{name}": value for name, value in means.items()} | {"levels_singular": fmean(singular) if singular else None}


def _operations(subject: Subject) -> Measures:
    return {"synaptic_operations": sum(layer.effective for layer in subject.work.values())}


def _traffic(subject: Subject) -> Measures:
    found = traffic(subject.network, {name: layer.effective for name, layer in subject.work.items()})
    return {"weight_traffic_bits": found.weight_bits, "state_traffic_bits": found.state_bits}


def _timing(subject: Subject) -> Measures:
    found = subject.timing
    late = None if found.latency is None or found.latency_reference is None else found.latency - found.latency_reference
    parts = {"timing_emd": found.timing_emd, "van_rossum": found.van_rossum, "latency_steps": found.latency, "latency_shift_steps": late}
    return parts | {"first_step_error": found.errors[0], "last_step_error": found.errors[-1], "error_growth": found.error_growth}


def _noisy(subject: Subject) -> Measures:
    return {"noisy_accuracy": noisy_accuracy(subject.network, subject.test)}


NOTHING, REFERENCE, TWINS = frozenset[str](), frozenset({"reference"}), frozenset({"reference", "twins"})
MEASURES: dict[str, Measure] = {
    "accuracy": Measure(NOTHING, _accuracy, named=True),
    "batch_sizes": Measure(NOTHING, _batch_sizes),
    "memory": Measure(NOTHING, _memory),
    "firing": Measure(NOTHING, _firing),
    "emd": Measure(REFERENCE, _emd, named=True),
    "training_floor": Measure(TWINS, _training_floor, named=True),
    "agreement": Measure(REFERENCE, _agreement, named=True),
    "emd_parts": Measure(REFERENCE, _parts),
    "emd_independent": Measure(TWINS, _independent, named=True),
    "levels": Measure(NOTHING, _levels),
    "operations": Measure(NOTHING, _operations),
    "noisy": Measure(NOTHING, _noisy),
    "timing": Measure(REFERENCE, _timing),
    "traffic": Measure(NOTHING, _traffic),
    VALIDATED: Measure(NOTHING, _validation_accuracy, named=True),
}


def check_objective(name: str, measures: Collection[str]) -> None:
    """Refuse a measure that gives no value of its own name, by which trials could be ranked, and a name of none.

    ``measures``: what the trials measure; procedures may know others than the table.

    Raises:
        SpecError: names those that do, and the nearest.
    """
    named = sorted(known for known, entry in MEASURES.items() if entry.named)
    if name in (MEASURES.keys() | {START}) - {*named}:
        raise SpecError(f"{name!r} gives no value of that name by which trials could be ranked; must be one of {', '.join(named)}")
    if name not in {*named, *measures}:
        raise SpecError(unknown("measure", name, named))


def needs(names: tuple[str, ...]) -> frozenset[str]:
    """The other trials that these measures need.

    >>> sorted(needs(("accuracy", "training_floor")))
    ['reference', 'twins']
    """
    return frozenset(need for name in names if name in MEASURES for need in MEASURES[name].needs)


def check(names: tuple[str, ...], *more: str) -> None:
    """Refuse names that are not in the table, nor among those that a procedure measures itself.

    Raises:
        SpecError: names each, and the nearest valid one, on a line of its own.
    """
    known = [*MEASURES, *more]
    wrong = [unknown("measure", name, known) for name in dict.fromkeys(names) if name not in known]
    if wrong:
        raise SpecError("\n".join(wrong))


def measured(names: tuple[str, ...], subject: Subject, folder: Path) -> Measures:
    """The values of these measures; rates and comparison are written to ``folder`` where they were needed."""
    found: Measures = {}
    for name in names:
        found |= MEASURES[name].values(subject)
    if "firing" in names:
        rates = {layer.name: as_tensor(layer.rates).contiguous() for layer in subject.firing.layers}
        files.write(folder / "rates.safetensors", tensors_to_bytes(rates))
    if needs(names):
        files.write(folder / "drift.json", json.dumps(subject.drift.to_dict(), allow_nan=False) + "\n")
        network = {"ledger": memory(subject.network).parts, "state_health": states(subject.network, subject.data)}
        files.write(folder / "network.json", json.dumps(network, allow_nan=False) + "\n")
    return found
