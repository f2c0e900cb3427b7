"""A space of recipes: what may hang where, as lists to choose from."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Self, get_args

from pydantic import Field, model_validator

from spikequant.errors import SpecError
from spikequant.quantizers import FixedPoint, QuantizerSpec, Spec
from spikequant.recipes.recipe import Constant, Override, Recipe, Wanted, of_toml

Part = Literal["weights", "biases", "state"] | Constant
Rounding = Literal["truncate", "nearest", "stochastic"]
Scheme = Literal["ptq", "itq"]
Grids = Annotated[tuple[Wanted, ...], Field(strict=False)]
CONSTANTS: tuple[Constant, ...] = get_args(Constant)
PARTS: tuple[Part, ...] = ("weights", "biases", "state", *CONSTANTS)
FLOAT_WIDTH = 32


class Axis(NamedTuple):
    """One list of the space: its name (``weights``, ``conv1.state``, ``time``) and its choices, the finest first."""

    name: str
    choices: tuple[Wanted | int, ...]

    def label(self, level: int) -> str:
        """A choice in a few words."""
        choice = self.choices[level]
        if not isinstance(choice, QuantizerSpec):
            return str(choice)
        return choice.label() if choice.width is None else f"{choice.label()} {choice.width} bits"


class LayerChoices(Spec):
    """What the layers of one pattern may hold instead of the common choice."""

    weights: Grids = ()
    biases: Grids = ()
    state: Grids = ()


class Space(Spec):
    """Recipes to search through: every non-empty list is an axis, its choices from fine to coarse; the rest stays float.

    ``schemes``: ``ptq`` quantizes after training, ``itq`` trains with the quantizers in place. ``roundings`` are given to every
    fixed-point grid at once, as Q-SpiNN does; none leaves each its own. ``time``: steps to run, the most first. From ``threshold`` to
    ``gamma``: constants, as ``Recipe`` names them. ``layers`` maps layer patterns to lists of their own. ``snapped`` and ``batch_norm``
    are those of every recipe, as some methods need them.

    Raises:
        SpecError: no axis, choices that do not go from fine to coarse, or roundings without a fixed-point grid.

    >>> from spikequant.quantizers import LQNet, Uniform
    >>> space = Space(weights=("float", LQNet(bits=4), LQNet(bits=2)), state=(Uniform(bits=4, low=-1.0, high=1.0),))
    >>> space.counts, space.recipe((2, 0)).label()
    ((3, 1), 'LQ-Net 2 bits / uniform [-1, 1] 4 bits')
    """

    version: Literal[1] = 1
    schemes: Annotated[tuple[Scheme, ...], Field(min_length=1, strict=False)] = ("ptq",)
    roundings: Annotated[tuple[Rounding, ...], Field(strict=False)] = ()
    time: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False)] = ()
    weights: Grids = ()
    biases: Grids = ()
    state: Grids = ()
    threshold: Grids = ()
    decay: Grids = ()
    synapse: Grids = ()
    inhibitory: Grids = ()
    reset: Grids = ()
    theta: Grids = ()
    alpha: Grids = ()
    beta: Grids = ()
    gamma: Grids = ()
    layers: dict[str, LayerChoices] = Field(default_factory=dict)
    snapped: Literal["before_fire", "after_reset", "both"] | None = None
    batch_norm: Literal["kept", "folded", "reestimated"] | None = None

    @classmethod
    def fixed_point(
        cls,
        fractions: Sequence[int] = (16, 14, 12, 10, 8, 6, 4, 2, 0),
        parts: Sequence[Part] = ("weights", "state", "threshold"),
        roundings: Sequence[Rounding] = ("truncate", "nearest", "stochastic"),
        schemes: Sequence[Scheme] = ("ptq",),
    ) -> Self:
        """Q-SpiNN's space: the same fraction bits for every part, integer bits from each range, three roundings.

        Source: Q-SpiNN, Algorithm 1, input (4) and (5).

        >>> Space.fixed_point(fractions=(8, 4)).counts
        (2, 2, 2)
        """
        formats = tuple(FixedPoint(integer=None, fraction=fraction) for fraction in fractions)
        lists: dict[str, Any] = dict.fromkeys(parts, formats)
        return cls(schemes=tuple(schemes), roundings=tuple(roundings), **lists)

    @classmethod
    def from_toml(cls, text: str) -> Self:
        """The space of a TOML text.

        Raises:
            SpecError: not TOML, or not a space.

        >>> Space.from_toml("time = [4, 2]").counts
        (2,)
        """
        return of_toml(cls, text, "space")

    @property
    def axes(self) -> tuple[Axis, ...]:
        """All lists with something to choose, in order."""
        return tuple(self._axes())

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of choices of each axis."""
        return tuple(len(axis.choices) for axis in self.axes)

    def recipe(self, levels: Sequence[int], rounding: Rounding | None = None) -> Recipe:
        """The recipe of one choice for each axis.

        Raises:
            SpecError: there is no such choice.
        """
        if len(levels) != len(self.counts) or not all(0 <= level < count for level, count in zip(levels, self.counts, strict=True)):
            raise SpecError(f"levels: must be one for each axis, from 0 to below {self.counts}, got {tuple(levels)}")
        chosen: dict[str, Wanted | int] = {axis.name: axis.choices[level] for axis, level in zip(self.axes, levels, strict=True)}
        grids: dict[str, Any] = {name: _rounded(choice, rounding) for name, choice in chosen.items() if not isinstance(choice, int)}
        held = {name: grid for name, grid in grids.items() if isinstance(grid, QuantizerSpec)}
        plain: dict[str, Any] = {part: held[part] for part in ("weights", "biases", "state") if part in held}
        constants: Any = {part: held[part] for part in CONSTANTS if part in held} or None
        overrides = {
            pattern: Override(
                **{part: grids[f"{pattern}.{part}"] for part in ("weights", "biases", "state") if f"{pattern}.{part}" in grids}
            )
            for pattern in self.layers
        }
        return Recipe(**plain, constants=constants, overrides=overrides, snapped=self.snapped, batch_norm=self.batch_norm)

    def steps(self, levels: Sequence[int]) -> int | None:
        """Time steps of one choice; None leaves the model's."""
        return next((self.time[level] for axis, level in zip(self.axes, levels, strict=True) if axis.name == "time"), None)

    def _axes(self) -> Iterator[Axis]:
        if self.time:
            yield Axis("time", self.time)
        for part in PARTS:
            if getattr(self, part):
                yield Axis(part, getattr(self, part))
        for pattern, choices in self.layers.items():
            for name in ("weights", "biases", "state"):
                if getattr(choices, name):
                    yield Axis(f"{pattern}.{name}", getattr(choices, name))

    @model_validator(mode="after")
    def _can_be_searched(self) -> Self:
        axes = self.axes
        if not axes:
            raise ValueError("the space is empty: list at least one choice of weights, biases, state, threshold, decay, time or layers")
        for axis in axes:
            sizes = [_width(choice) for choice in axis.choices]
            known = [size for size in sizes if size is not None]
            if known != sorted(known, reverse=True):
                raise ValueError(
                    f"{axis.name}: choices must go from fine to coarse, got widths {known}; sorted: {sorted(known, reverse=True)}"
                )
        if self.roundings and not any(isinstance(choice, FixedPoint) for axis in axes for choice in axis.choices):
            raise ValueError("roundings are for fixed-point grids, and no axis holds one; leave roundings out")
        return self


def _rounded(choice: Wanted, rounding: Rounding | None) -> Wanted:
    return choice.model_copy(update={"rounding": rounding}) if rounding is not None and isinstance(choice, FixedPoint) else choice


def _width(choice: Wanted | int) -> int | None:
    """Bits, or time steps; of a fixed point whose integer bits data will choose, its fraction."""
    if isinstance(choice, int):
        return choice
    if not isinstance(choice, QuantizerSpec):
        return FLOAT_WIDTH
    return choice.fraction if isinstance(choice, FixedPoint) and choice.width is None else choice.width
