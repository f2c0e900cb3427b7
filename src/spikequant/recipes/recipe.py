"""The recipe: which grid hangs where, as data."""

import re
import tomllib
from typing import Annotated, Any, Literal, Self, TypeVar

import tomli_w
from pydantic import Field

from spikequant.errors import SpecError
from spikequant.quantizers import AnySpec, Binary, FixedPoint, QuantizerSpec, Spec, Uniform

Wanted = AnySpec | Literal["float"]
Variable = Literal["v", "i", "threshold", "p", "q", "r"]
Constant = Literal["threshold", "decay", "synapse", "inhibitory", "reset", "theta", "alpha", "beta", "gamma"]
FORMAT = r"(?:FP32|Q(?P<{0}i>i|[0-9]{{1,3}})\.(?P<{0}f>[0-9]{{1,3}}))"
S = TypeVar("S", bound=Spec)
NOTATION = re.compile(rf"W\({FORMAT.format('w')}\)-N\({FORMAT.format('n')}\)")


class Override(Spec):
    """What differs for the layers of one pattern; a field left out keeps the recipe's."""

    weights: Wanted | None = None
    biases: Wanted | None = None
    activations: Wanted | None = None
    state: Wanted | None = None
    constants: Wanted | dict[Constant, AnySpec] | None = None


class Arithmetic(Spec):
    """How an integer recipe computes: see ``Recipe.integer``."""

    leak_bits: Annotated[int, Field(ge=1, le=12)] = 8
    leak_rounding: Literal["floor", "trunc", "half_up"] = "trunc"
    current_bits: Annotated[int, Field(ge=2, le=24)] = 20
    input_bits: Annotated[int, Field(ge=2, le=8)] = 8
    headroom: Annotated[float, Field(gt=0, le=1)] = 0.6
    spread: Annotated[float, Field(ge=1)] = 8.0


class Recipe(Spec):
    """Which grid hangs where. What is None stays float.

    ``state`` and ``constants`` take one spec, or a mapping from variable (``v``, the membrane, and ``i``, synaptic currents;
    ``threshold``, ``decay``, ``synapse`` of such a current, ``inhibitory`` of an ``Alpha``) to spec; neurons that compete have the
    variables ``v`` and ``threshold`` (it may stand among the constants), the constants ``reset`` and ``theta``; DECOLLE's neurons
    ``v``, ``p``, ``q``, ``r`` and ``alpha``, ``beta``, ``gamma``.
    ``first`` and ``last`` are the weights of the first and last layer: ``same`` as the others, ``float``, or a spec of their
    own. ``overrides`` maps layer patterns (``conv*``) to what differs there, the last matching one deciding; a pattern that matches
    nothing is an error. ``snapped`` says when states are rounded, None leaving it to each neuron. ``arithmetic``: of an integer recipe.
    ``batch_norm``: ``kept`` in float (None too), ``folded`` into the weights before they are quantized, or its statistics
    ``reestimated`` after, from calibration. ``activations`` are those of networks without membranes, on a fixed range.

    >>> from spikequant.quantizers import LQNet
    >>> Recipe(weights=LQNet(bits=2)) == Recipe.from_toml(Recipe(weights=LQNet(bits=2)).to_toml())
    True
    """

    version: Literal[1] = 1
    weights: AnySpec | None = None
    biases: AnySpec | None = None
    activations: AnySpec | None = None
    state: AnySpec | dict[Variable, AnySpec] | None = None
    constants: AnySpec | dict[Constant, AnySpec] | None = None
    first: Wanted | Literal["same"] = "same"
    last: Wanted | Literal["same"] = "same"
    overrides: dict[str, Override] = Field(default_factory=dict)
    snapped: Literal["before_fire", "after_reset", "both"] | None = None
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    arithmetic: Arithmetic | None = None
    batch_norm: Literal["kept", "folded", "reestimated"] | None = None

    @classmethod
    def integer(cls, weight_bits: int = 4, state_bits: int = 8, **how: Any) -> Self:
        """The recipe that is deployable by construction: the network computes in whole numbers from then on, as a chip would.

        Batch norm, scales and time constants are folded into weights, biases and thresholds; a membrane v leaks by
        ``rounding(v m / 2^leak_bits)``, takes whole currents and saturates in ``state_bits``, a synaptic current in ``current_bits``.
        Images become ``input_bits``.
        A threshold takes at most ``headroom`` of the state, and at least that over ``spread``. ``lower`` is then exact.

        Raises:
            SpecError: a field is out of its range.

        >>> Recipe.integer(weight_bits=4).weights.label()
        'uniform [-7, 7] zero'
        """
        for name, bits, most in (("weight_bits", weight_bits, 8), ("state_bits", state_bits, 24)):
            if not isinstance(bits, int) or not 1 <= bits <= most:
                raise SpecError(f"Recipe.integer: {name} must be a whole number from 1 to {most}, got {bits!r}")
        top = 2 ** (weight_bits - 1) - 1
        weights = Binary(scale="one") if weight_bits == 1 else Uniform(bits=weight_bits, low=-top, high=top, levels_at="zero")
        whole = FixedPoint(integer=state_bits - 1, fraction=0)
        bias = FixedPoint(integer=15, fraction=0)
        return cls(weights=weights, biases=bias, state=whole, constants={"threshold": whole}, arithmetic=Arithmetic(**how))

    @classmethod
    def parse(cls, notation: str, rounding: Literal["truncate", "nearest", "stochastic"] = "nearest") -> Self:
        """The recipe of Q-SpiNN's notation: ``W(Q1.6)-N(Q11.6)``, ``W(FP32)-N(Qi.6)``; ``i`` is found from each range.

        N stands for every neuron parameter: state, threshold and decays; ``reset`` and ``theta`` then take 8 bits, split as their values
        ask (Q7.0 and Q1.6 in Table I). Source: Q-SpiNN, sections III-B and V.

        Raises:
            SpecError: the notation is malformed.

        >>> Recipe.parse("W(Q1.6)-N(FP32)").weights.label()
        'Q1.6'
        """
        match = NOTATION.fullmatch(notation.strip())
        if match is None:
            raise SpecError(f"recipe {notation!r} must look like W(Q1.6)-N(Q11.6), with FP32 for float and i for fitted integer bits")
        weights, neuron = (_fixed_point(match[f"{part}i"], match[f"{part}f"], rounding) for part in "wn")
        return cls(weights=weights, state=neuron, constants=neuron)

    def notation(self) -> str:
        """This recipe in Q-SpiNN's notation.

        Raises:
            SpecError: it holds something that the notation cannot say.

        >>> Recipe.parse("W(Q1.6)-N(Qi.6)").notation()
        'W(Q1.6)-N(Qi.6)'
        """
        formats = [part for part in (self.weights, self.state) if isinstance(part, FixedPoint)]
        w, n = (part.label() if isinstance(part, FixedPoint) else "FP32" for part in (self.weights, self.state))
        said = self.parse(f"W({w})-N({n})", formats[0].rounding if formats else "nearest")
        if said != self:
            raise SpecError("only recipes of fixed-point weights and one format for all neuron parameters have a notation; use to_toml()")
        return f"W({w})-N({n})"

    @classmethod
    def from_toml(cls, text: str) -> Self:
        """The recipe of a TOML text.

        Raises:
            SpecError: not TOML, or not a recipe.
        """
        return of_toml(cls, text, "recipe")

    def to_toml(self) -> str:
        """This recipe as TOML."""
        return tomli_w.dumps(self.fields())

    def label(self) -> str:
        """A few words for tables: weights / state."""
        return f"{_label(self.weights)} / {_label(self.state)}"


def of_toml(spec: type[S], text: str, what: str) -> S:
    """The spec of a TOML text.

    Raises:
        SpecError: not TOML, or not such a spec.
    """
    try:
        return spec.read(tomllib.loads(text))
    except SpecError:
        raise
    except (ValueError, TypeError, RecursionError) as error:
        raise SpecError(f"{what}: not valid TOML: {error}") from None


def _fixed_point(integer: str | None, fraction: str | None, rounding: Literal["truncate", "nearest", "stochastic"]) -> FixedPoint | None:
    if integer is None or fraction is None:
        return None
    return FixedPoint(integer=None if integer == "i" else int(integer), fraction=int(fraction), rounding=rounding)


def _label(spec: QuantizerSpec | dict[Variable, AnySpec] | None) -> str:
    if spec is None or not spec:
        return "float"
    if isinstance(spec, dict):
        return ", ".join(f"{variable} {each.label()}" for variable, each in spec.items())
    return spec.label() if spec.width is None else f"{spec.label()} {spec.width} bits"
