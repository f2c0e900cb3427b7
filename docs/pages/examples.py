"""One example of each method: a spec that shows it, and where it hangs."""

from typing import Literal, NamedTuple

from spikequant.quantizers import QuantizerSpec

BITS = 3  # of a picture: few enough levels to be counted
BESIDE = {"mint": ', weights=sq.LSQ(bits=4), snapped="after_reset", batch_norm="folded"'}  # what a method cannot do without


class Example(NamedTuple):
    """How a method is written down, the spec that results, the part of a recipe that shows it, and what that recipe says besides."""

    text: str
    spec: QuantizerSpec
    part: Literal["weights", "state"]
    beside: str = ""


def example(spec: type[QuantizerSpec], bits: int = BITS) -> Example:
    """The example of a method: its required fields, a range for those that may have a fixed one, all else left alone.

    >>> from spikequant.quantizers import FixedPoint
    >>> example(FixedPoint, 4).text
    'FixedPoint(integer=1, fraction=2)'
    """
    fields: dict[str, object] = {"bits": bits} if "bits" in spec.model_fields else {}
    if "fraction" in spec.model_fields:
        fields |= {"integer": 1, "fraction": bits - 2}
    if {"low", "high"} <= set(spec.model_fields):
        fields |= {"low": -1.0, "high": 1.0}
    text = f"{spec.__name__}({', '.join(f'{name}={value}' for name, value in fields.items())})"
    made = spec(**fields)
    of_states = "threshold" in spec.model_fields or made.scope is not None or made.kind == "mint"
    return Example(text, made, "state" if of_states else "weights", BESIDE.get(made.kind, ""))
