"""From counts to the record of a comparison: every number of a ``Drift`` is computed here."""

from typing import Any, NamedTuple, Self

import numpy as np

from spikequant.behavior.agreement import Agreement, Tally
from spikequant.behavior.drift import Drift, LayerDrift, ReferenceLayer, TrainingFloor
from spikequant.behavior.emd import Reals, emd_parts
from spikequant.behavior.firing import Firing, LayerFiring
from spikequant.behavior.floors import Distance, Training
from spikequant.errors import SpecError


class Bounds(NamedTuple):
    """A rate below the one bound is dead, above the other saturated."""

    dead_below: float
    saturated_above: float

    @classmethod
    def checked(cls, dead_below: float, saturated_above: float) -> Self:
        """Bounds in [0, 1].

        Raises:
            SpecError: one is outside.
        """
        for name, bound in (("dead_below", dead_below), ("saturated_above", saturated_above)):
            if not 0 <= bound <= 1:
                raise SpecError(f"{name} must be a rate in [0, 1], got {bound}; nearest valid value: {min(max(bound, 0.0), 1.0)}")
        return cls(float(dead_below), float(saturated_above))


def drift(reference: Firing, network: Firing, bounds: Bounds, agreement: Agreement, distances: list[Distance]) -> Drift:
    """The record; ``network`` has its layers in the reference's order, ``distances`` has the whole network last."""
    tallies = list(agreement.layers.values())
    layers = tuple(
        _layer(ours, theirs, bounds, tally, distance)
        for ours, theirs, tally, distance in zip(reference.layers, network.layers, tallies, distances[:-1], strict=True)
    )
    shifts = [_channel_shift(ours, theirs) for ours, theirs in zip(reference.layers, network.layers, strict=True)]
    return Drift(
        **_distance(distances[-1]),
        **_shares(network, bounds),
        **{f"reference_{name}": value for name, value in _shares(reference, bounds).items()},
        matched_shift=_network_shift(shifts, network.pooled),
        agreement=_network_agreement(tallies, network.pooled),
        images=network.images,
        pooled=network.pooled,
        layers=layers,
        **bounds._asdict(),
    )


def _layer(reference: LayerFiring, network: LayerFiring, bounds: Bounds, tally: Tally | None, distance: Distance) -> LayerDrift:
    before, after = reference.rates, network.rates
    parts = emd_parts(before, after)
    was, is_ = before < bounds.dead_below, after < bounds.dead_below
    shift = _channel_shift(reference, network)
    matched = shift is not None
    return LayerDrift(
        name=network.name,
        channels=network.channels,
        **_distance(distance),
        emd_mean_shift=parts.mean_shift,
        emd_shape=parts.shape,
        **_shares(network, bounds),
        died=tuple(np.flatnonzero(is_ & ~was).tolist()) if matched else (),
        revived=tuple(np.flatnonzero(was & ~is_).tolist()) if matched else (),
        matched_shift=None if shift is None else float(shift.mean()),
        agreement=None if tally is None else tally.share,
        first_difference=None if tally is None else tally.first_difference,
        disagreement=() if tally is None else tally.disagreement,
        rates=tuple(after.tolist()),
        reference=ReferenceLayer(**_shares(reference, bounds), rates=tuple(before.tolist())),
    )


def _distance(distance: Distance) -> dict[str, Any]:
    emd, sampling, training = distance
    return {
        "emd": emd.value,
        "emd_interval": (emd.low, emd.high),
        "emd_floor": sampling.value,
        "emd_floor_interval": (sampling.low, sampling.high),
        "training_floor": None if training is None else _training_floor(training),
    }


def _training_floor(training: Training) -> TrainingFloor:
    floor, excess, pairs = training
    return TrainingFloor(
        emd=floor.value, interval=(floor.low, floor.high), excess=excess.value, excess_interval=(excess.low, excess.high), pairs=pairs
    )


def _shares(firing: LayerFiring | Firing, bounds: Bounds) -> dict[str, Any]:
    return {
        "mean_rate": firing.mean_rate,
        "dead": firing.dead(bounds.dead_below),
        "silent": firing.silent,
        "saturated": firing.saturated(bounds.saturated_above),
    }


def _channel_shift(reference: LayerFiring, network: LayerFiring) -> Reals | None:
    """How far each channel's rate moved; None where the two layers have not the same channels."""
    return np.abs(reference.rates - network.rates) if reference.channels == network.channels else None


def _network_shift(shifts: list[Reals | None], pooled: bool) -> float | None:
    known = [shift for shift in shifts if shift is not None]
    if len(known) < len(shifts):
        return None
    return float(np.concatenate(known).mean()) if pooled else float(np.mean([shift.mean() for shift in known]))


def _network_agreement(tallies: list[Tally | None], pooled: bool) -> float | None:
    known = [tally for tally in tallies if tally is not None]
    if len(known) < len(tallies):
        return None
    if pooled:
        return 1 - sum(tally.differing for tally in known) / sum(tally.bits for tally in known)
    return float(np.mean([tally.share for tally in known]))
