"""The record of a comparison: plain numbers, layer by layer, that can be stored, read back and printed."""

import json
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from spikequant.errors import FormatError

Interval = tuple[float, float]

_HEADER = ["layer", "channels", "emd", "floor", "shift", "shape", "rate", "rate_was", "dead", "dead_was"]
_HEADER += ["silent", "saturated", "matched", "agreement", "differs_at"]


class Record(BaseModel):
    """A frozen, strictly checked part of a record."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class TrainingFloor(Record):
    """The mean EMD over ``pairs`` pairs of float networks that differ in their seed, and the EMD's excess over it."""

    emd: float
    interval: Interval
    excess: float
    excess_interval: Interval
    pairs: int


class ReferenceLayer(Record):
    """What one layer of the reference did; rates per channel, in [0, 1]."""

    mean_rate: float
    dead: float
    silent: float
    saturated: float
    rates: tuple[float, ...] = Field(repr=False)


class LayerDrift(Record):
    """One layer of the second network beside the same layer of the reference.

    ``died`` and ``revived`` are channels that crossed the bound ``dead_below``. Where the two layers have not the same
    channels, ``matched_shift`` is None and both lists are empty. Where their spikes have not the same shape,
    ``agreement`` is None and ``disagreement`` empty; else that is the share of spikes that differ at each time step, and
    ``first_difference`` the first step, from 0, at which any does, None if none does. Older records have no ``disagreement``.
    """

    name: str
    channels: int
    emd: float
    emd_interval: Interval
    emd_mean_shift: float
    emd_shape: float
    emd_floor: float
    emd_floor_interval: Interval
    training_floor: TrainingFloor | None
    mean_rate: float
    dead: float
    silent: float
    saturated: float
    died: tuple[int, ...]
    revived: tuple[int, ...]
    matched_shift: float | None
    agreement: float | None
    first_difference: int | None
    disagreement: tuple[float, ...] = Field(default=(), repr=False)
    rates: tuple[float, ...] = Field(repr=False)
    reference: ReferenceLayer


class Drift(Record):
    """How the firing of a network differs from that of its reference on the same images; see ``compare``.

    All rates, shares and distances are fractions. ``emd_floor`` is the sampling floor; ``training_floor`` the other one.
    """

    version: Literal[1] = 1
    emd: float
    emd_interval: Interval
    emd_floor: float
    emd_floor_interval: Interval
    training_floor: TrainingFloor | None
    mean_rate: float
    dead: float
    silent: float
    saturated: float
    reference_mean_rate: float
    reference_dead: float
    reference_silent: float
    reference_saturated: float
    matched_shift: float | None
    agreement: float | None
    images: int
    dead_below: float
    saturated_above: float
    pooled: bool
    layers: tuple[LayerDrift, ...]

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON holds it."""
        return self.model_dump(mode="json")

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """The comparison that ``to_dict`` wrote.

        Raises:
            FormatError: the record is damaged, or of another version.
        """
        try:
            return cls.model_validate_json(json.dumps(record))
        except (TypeError, ValueError) as error:
            raise FormatError(f"the record of a comparison is damaged{_fault(error)}; make it again with compare") from error

    def __str__(self) -> str:
        """A table of the layers, the network last; fractions."""
        rows = [_HEADER, *(_row(layer) for layer in self.layers), self._row()]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        return "\n".join([*lines, *self._training()])

    def _row(self) -> list[str]:
        channels = sum(layer.channels for layer in self.layers)
        firing = [self.mean_rate, self.reference_mean_rate, self.dead, self.reference_dead, self.silent, self.saturated]
        return ["network", str(channels), *_numbers(self.emd, self.emd_floor, None, None, *firing, self.matched_shift, self.agreement), "-"]

    def _training(self) -> list[str]:
        floor = self.training_floor
        if floor is None:
            return []
        low, high = floor.excess_interval
        return [f"training floor {floor.emd:.4f} over {floor.pairs} pairs; excess {floor.excess:.4f} [{low:.4f}, {high:.4f}]"]


def _fault(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return f": {error}"
    first = error.errors()[0]
    return f" at {'.'.join(map(str, first['loc']))!r}: {first['msg']}"


def _row(layer: LayerDrift) -> list[str]:
    distances = (layer.emd, layer.emd_floor, layer.emd_mean_shift, layer.emd_shape)
    firing = (layer.mean_rate, layer.reference.mean_rate, layer.dead, layer.reference.dead, layer.silent, layer.saturated)
    differs = "-" if layer.first_difference is None else str(layer.first_difference)
    return [layer.name, str(layer.channels), *_numbers(*distances, *firing, layer.matched_shift, layer.agreement), differs]


def _numbers(*values: float | None) -> list[str]:
    return ["-" if value is None else f"{value:.4f}" for value in values]
