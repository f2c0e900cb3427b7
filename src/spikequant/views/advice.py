"""Which layers drift most, and what to do about each: rules on a record, in words."""

from collections.abc import Mapping

from spikequant.behavior import Drift, LayerDrift
from spikequant.views.tables import Column, Table, Value
from spikequant.views.wording import distance, percent

SHOWN = 5
LISTED = 24
SHARED = 0.5  # of a layer's EMD: from there on its shift is mostly one that all channels share
COLUMNS = (
    Column("variant", "variant", number=False),
    Column("layer", "layer", number=False),
    Column("emd", "EMD", distance),
    Column("emd_floor", "floor", distance),
    Column("remedy", "what to do", number=False),
)


def remedy(layer: LayerDrift) -> str:
    """What to try first; the rules in order: no evidence, channels that died, saturation, a shared shift, channels moving apart."""
    if layer.emd <= layer.emd_floor_interval[1]:
        return "nothing: sampling alone gives as much"
    if len(layer.died) > 0.05 * layer.channels and layer.dead > layer.reference.dead:
        return f"{len(layer.died)} of {layer.channels} channels died: a finer or narrower grid for the weights, or a state grid with zero"
    if layer.saturated > layer.reference.saturated:
        return f"saturated {percent(layer.reference.saturated)} → {percent(layer.saturated)}: a higher threshold or wider state"
    if layer.emd and layer.emd_mean_shift / layer.emd > SHARED:
        more = "more" if layer.mean_rate > layer.reference.mean_rate else "less"
        return f"all channels fire {more} alike: correct thresholds or biases to the float rates before giving it bits"
    return "channels move apart: more bits for this layer's weights, or train on with the quantizers in place"


def worst_layers(drifts: Mapping[str, Drift]) -> Table:
    """The layers that drift most, over the telling variants."""
    every = [(mark, layer) for mark, drift in drifts.items() for layer in drift.layers]
    ranked = sorted(every, key=lambda pair: -pair[1].emd)[:SHOWN]
    return Table(COLUMNS, [[mark, layer.name, layer.emd, layer.emd_floor, remedy(layer)] for mark, layer in ranked])


def crossed(drifts: Mapping[str, Drift], most: int | None = LISTED) -> Table:
    """Which channels died or came back, by their numbers from 0, for every layer where any did; at most so many of a layer."""
    columns = (
        *COLUMNS[:2],
        Column("channels", "channels"),
        Column("died", "died", number=False),
        Column("revived", "revived", number=False),
    )
    rows: list[list[Value]] = [
        [mark, layer.name, layer.channels, _listed(layer.died, most), _listed(layer.revived, most)]
        for mark, drift in drifts.items()
        for layer in drift.layers
        if layer.died or layer.revived
    ]
    return Table(columns, rows)


def _listed(channels: tuple[int, ...], most: int | None) -> str:
    left = len(channels[most:]) if most is not None else 0
    return ", ".join(map(str, channels[:most])) + (f" and {left} more" if left else "")
