"""The tables of a report: which columns, and where their values stand in a record."""

from spikequant.behavior import Drift
from spikequant.views.record import Record
from spikequant.views.tables import Column, Table, Value, shown
from spikequant.views.wording import distance, percent, size

NAME = Column("name", "variant", number=False)
SCHEME = {"ptq": "post-training", "qat": "trained on"}
MEASURES = (
    Column("accuracy", "accuracy", percent, meaning="share of test images classified correctly"),
    Column("emd", "EMD", distance, meaning="distance between its firing rates and the float's, mean over layers"),
    Column("emd_floor", "floor", distance, meaning="EMD that mere sampling gives between the float network and itself"),
    Column("mean_rate", "mean rate", percent, meaning="spikes per neuron and time step"),
    Column("dead", "dead", percent, meaning="share of channels that fire below the dead bound"),
    Column("saturated", "saturated", percent, meaning="share of channels that fire at nearly every step"),
    Column("memory_bits", "memory", size, meaning="weights, biases, thresholds, constants and state, packed"),
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
    """All variants, the most faithful first; the float network leads."""
    float_ = record.reference
    first: list[Value] = [float_.name, float_.accuracy, 0.0, record.variants[0].emd_floor, float_.mean_rate, float_.dead, float_.saturated]
    first += [float_.memory_bits, "float", None, "float", None, ""]
    ranked = sorted(record.variants, key=lambda variant: variant.emd)
    return Table(VARIANT, [first, *([getattr(variant, column.key) for column in VARIANT] for variant in ranked)])


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
