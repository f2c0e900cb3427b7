"""The tables of a report: which columns, and where their values stand in a record."""

from collections.abc import Mapping

from spikequant.behavior import Drift
from spikequant.views.record import Record, Reference, Variant
from spikequant.views.tables import Column, Table, Value, shown
from spikequant.views.wording import distance, percent, size

NAME = Column("name", "variant", number=False)
SCHEME = {"ptq": "post-training", "qat": "trained on", "scratch": "from scratch"}
MEASURES = (
    Column("accuracy", "accuracy", percent, meaning="share of samples classified correctly", spread="accuracy_deviation", best="high"),
    Column("emd", "EMD", distance, meaning="distance to the float's firing rates, mean over layers", spread="emd_deviation", best="low"),
    Column("emd_floor", "floor", distance, meaning="EMD that mere sampling gives between the float network and itself"),
    Column("mean_rate", "mean rate", percent, meaning="spikes per neuron and time step", spread="mean_rate_deviation"),
    Column("dead", "dead", percent, meaning="share of channels that fire below the dead bound", spread="dead_deviation"),
    Column("saturated", "saturated", percent, meaning="share of channels that fire at nearly every step", spread="saturated_deviation"),
    Column("memory_bits", "memory", size, meaning="weights, biases, thresholds, constants and state, packed", best="low"),
)
SEEDS = Column("seeds", "seeds")
PAIRING = Column(
    "pairing", "pairing", number=False, meaning="from scratch: same or independent initialization and order of data as the float network"
)
VARIANT = (
    NAME,
    *MEASURES,
    Column("weights", "weights", number=False),
    Column("bits", "bits"),
    Column("state", "state", number=False),
    Column("state_bits", "bits"),
    Column("scheme", "how", lambda scheme: SCHEME.get(scheme, shown(scheme)), number=False),
)
LAYER = (
    Column("variant", "variant", number=False),
    Column("layer", "layer", number=False),
    Column("channels", "channels"),
    Column("emd", "EMD", distance, meaning="distance between the two sets of channel rates"),
    Column("emd_floor", "floor", distance, meaning="EMD that mere sampling gives"),
    Column("emd_mean_shift", "mean shift", distance, meaning="distance of the two mean rates"),
    Column("emd_shape", "shape", distance, meaning="EMD that remains once the means are aligned"),
    Column("matched_shift", "channel shift", distance, meaning="mean change of a channel's own rate"),
    Column("agreement", "spikes equal", percent, meaning="share of spikes that agree on the same input"),
    Column("first_difference", "first differ", meaning="time step, from 0, at which the first spike differs"),
    Column("mean_rate", "mean rate", percent),
    Column("dead", "dead", percent),
    Column("saturated", "saturated", percent),
    Column("died", "died", meaning="channels that became dead"),
    Column("revived", "revived", meaning="channels that were dead in the float network and no longer are"),
)
COMPARED = (
    Column("layer", "layer", number=False),
    *(column for column in LAYER if column.key in {"channels", "emd", "emd_floor", "mean_rate"}),
    Column("reference_mean_rate", "reference", percent),
    *(column for column in LAYER if column.key in {"dead", "silent", "saturated", "agreement", "first_difference"}),
)


def variants(record: Record) -> Table:
    """All variants, the most faithful first; the float network leads.

    Where they are means over seeds, also deviations and their number; where some began from scratch, also their pairing.
    """
    several = any(variant.seeds for variant in record.variants)
    columns = [each for column in VARIANT for each in _spread(column)] if several else [*VARIANT]
    columns += [PAIRING] if any(variant.pairing for variant in record.variants) else []
    float_ = record.reference
    first: dict[str, Value] = {"emd": 0.0, "emd_floor": record.variants[0].emd_floor, "weights": "float", "state": "float", "scheme": ""}
    first |= float_.model_dump(exclude={"deviation"}) | _deviations(float_)
    ranked = sorted(record.variants, key=lambda variant: variant.emd)
    return Table(columns, [[row.get(column.key) for column in columns] for row in [first, *map(_known, ranked)]])


def _spread(column: Column) -> list[Column]:
    """A column of means and that of its deviations; the number of seeds after the first two."""
    beside = [Column(column.spread, "±", column.show)] if column.spread else []
    return [column, *beside, *([SEEDS] if column.key == "emd" else [])]


def implied(record: Record) -> list[str]:
    """The columns that the names of all variants say already: a page can do without them."""
    told = all(part == "float" or part in variant.name for variant in record.variants for part in (variant.weights, variant.state))
    return ["weights", "bits", "state", "state_bits", "scheme"] if told else []


def _known(variant: Variant) -> dict[str, Value]:
    values = {column.key: getattr(variant, column.key) for column in (*VARIANT, PAIRING)}
    return values | {"seeds": variant.seeds} | _deviations(variant)


def _deviations(part: Reference | Variant) -> dict[str, Value]:
    return {f"{name}_deviation": value for name, value in part.deviation.items()}


def ledger(variants: Mapping[str, Variant]) -> Table:
    """The memory of some variants by its parts, in columns; parts that none has are left out."""
    parts = list(dict.fromkeys(part for variant in variants.values() for part, bits in variant.ledger.items() if bits))
    columns = [LAYER[0], *(Column(part, part.removesuffix("_bits"), size) for part in parts), Column("memory_bits", "all", size)]
    rows: list[list[Value]] = [
        [mark, *(variant.ledger.get(part) for part in parts), variant.memory_bits] for mark, variant in variants.items() if variant.ledger
    ]
    return Table(columns, rows)


def stacked(tables: Mapping[str, Table]) -> Table:
    """Tables of the same columns under each other, the variant that each is of before its rows."""
    rows: list[list[Value]] = [[name, *row] for name, table in tables.items() for row in table.rows]
    return Table([LAYER[0], *next(iter(tables.values()), Table((), ())).columns], rows)


def layers(drifts: dict[str, Drift]) -> Table:
    """Every layer of some variants."""
    rows: list[list[Value]] = []
    for name, drift in drifts.items():
        for layer in drift.layers:
            known: dict[str, Value] = layer.model_dump(exclude={"reference", "rates", "name", "died", "revived"})
            known |= {"variant": name, "layer": layer.name, "died": len(layer.died), "revived": len(layer.revived)}
            rows.append([known[column.key] for column in LAYER])
    return Table(LAYER, rows)


def compared(drift: Drift) -> Table:
    """The layers of one comparison, as a terminal shows them; the last row is the network."""
    rows: list[list[Value]] = []
    for layer in drift.layers:
        known = layer.model_dump() | {"layer": layer.name, "reference_mean_rate": layer.reference.mean_rate}
        rows.append([known[column.key] for column in COMPARED])
    whole = drift.model_dump() | {"layer": "network", "channels": sum(layer.channels for layer in drift.layers)}
    return Table(COMPARED, [*rows, [whole.get(column.key) for column in COMPARED]])
