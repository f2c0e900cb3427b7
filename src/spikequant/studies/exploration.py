"""What a search found: every candidate with its measures, the front among them, and the recipe to take."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, JsonValue

from spikequant.errors import FormatError, MismatchError, SpecError
from spikequant.quantizers import Spec
from spikequant.recipes import Recipe, Space
from spikequant.recipes.space import Rounding
from spikequant.search import Scored, front, hypervolume, knee, select
from spikequant.studies.bench import COSTS, Measures
from spikequant.studies.rules import Rule

WORST = 1.01  # of the reference point: a little beyond the worst candidate


class Evaluated(Spec):
    """One candidate: what it is, what was measured, and whether it keeps the bounds. ``note`` says why it was given up."""

    scheme: str
    levels: Annotated[tuple[int, ...], Field(strict=False)]
    rounding: Rounding | None = None
    choices: dict[str, str]
    measures: Measures
    passed: bool
    seconds: float
    note: Literal["hopeless", "diverged"] | None = None

    @property
    def label(self) -> str:
        """Unique within a search, for tables."""
        parts = [f"{name} {choice}" for name, choice in self.choices.items()]
        return ", ".join([*parts, *([self.rounding] if self.rounding else []), self.scheme])


class Exploration(Spec):
    """A finished search.

    ``judged_on`` names the samples: ``validation``, or ``test`` where a paper's own selection was repeated. ``training`` is that of
    every candidate in the scheme ``itq``; firing was watched on the first ``batches`` of the samples.
    """

    version: Literal[1] = 1
    model: str
    space: Space
    strategy: str
    objectives: Annotated[tuple[str, ...], Field(strict=False)]
    max_drop: float
    max_emd: float | None = None
    seed: int
    judged_on: Literal["validation", "test"] = "validation"
    training: Rule | None = None
    batches: int = 20
    baseline: Measures
    evaluated: Annotated[tuple[Evaluated, ...], Field(strict=False)] = ()

    @property
    def finished(self) -> list[Evaluated]:
        """Those that were measured to the end."""
        return [each for each in self.evaluated if each.note is None]

    def costs(self, each: Evaluated) -> tuple[float, ...]:
        """The objectives of a candidate, all to be minimized."""
        return tuple(COSTS[name](each.measures) for name in self.objectives)

    def front(self, objectives: Sequence[str] | None = None) -> list[Evaluated]:
        """The candidates that no other dominates in these objectives, or in the search's."""
        names = self.objectives if objectives is None else objectives
        finished = self.finished
        return [finished[index] for index in front([[COSTS[name](each.measures) for name in names] for each in finished])]

    def knee(self) -> Evaluated:
        """The candidate of the front from which every gain in one objective costs most in others.

        Raises:
            SpecError: nothing was measured to the end.
        """
        return self.finished[knee([self.costs(each) for each in self.finished])]

    def hypervolume(self, beside: Sequence[Self] = ()) -> list[float]:
        """The volume that the front dominates after each evaluation, as a share of the box up to the worst candidate seen.

        Shares of several searches compare where each is given the others as ``beside``: the box is then that of all their candidates.

        Raises:
            MismatchError: a search beside this one has other objectives.
        """
        for each in beside:
            if each.objectives != self.objectives:
                raise MismatchError(f"beside: a search by {each.objectives} does not compare with one by {self.objectives}")
        table = [self.costs(each) for each in self.finished]
        if not table:
            return []
        columns = [*zip(*table, *(other.costs(each) for other in beside for each in other.finished), strict=True)]
        low = [min(column) for column in columns]
        span = [(max(column) - least) or 1.0 for column, least in zip(columns, low, strict=True)]
        scaled = [[(cost - least) / width for cost, least, width in zip(row, low, span, strict=True)] for row in table]
        return [hypervolume(scaled[: count + 1], [WORST] * len(low)) / WORST ** len(low) for count in range(len(scaled))]

    def best(self, max_drop: float | None = None, max_emd: float | None = None, mu: float | None = None) -> Recipe:
        """The recipe to take: the smallest that keeps the bounds, or with ``mu`` the one of the highest reward among these.

        A recipe has neither time steps nor training: those of ``best_candidate`` may be others than the float network's.
        ``max_drop`` and ``max_emd`` are the search's own where they are None. Ties go to the higher accuracy.

        Raises:
            SpecError: nothing keeps the bounds; says how near the nearest came.
        """
        return self.recipe(self.best_candidate(max_drop, max_emd, mu))

    def best_candidate(self, max_drop: float | None = None, max_emd: float | None = None, mu: float | None = None) -> Evaluated:
        """The candidate of ``best``, with its measures and time steps."""
        drop, emd = (self.max_drop if max_drop is None else max_drop), (self.max_emd if max_emd is None else max_emd)
        keeping = [each for each in self.finished if self.drop(each) <= drop + 1e-12 and (emd is None or (each.measures.emd or 0.0) <= emd)]
        if not keeping:
            raise SpecError(self.how_near(drop, emd))
        if mu is not None:
            return keeping[select([Scored(each.measures.accuracy, each.measures.memory_share) for each in keeping], mu)]
        return min(keeping, key=lambda each: (each.measures.memory_bits, -each.measures.accuracy))

    def drop(self, each: Evaluated) -> float:
        """How much accuracy a candidate loses against the float network."""
        return self.baseline.accuracy - each.measures.accuracy

    def recipe(self, each: Evaluated) -> Recipe:
        """The recipe of a candidate."""
        return self.space.recipe(each.levels, each.rounding)

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON holds it."""
        return self.fields()

    @classmethod
    def from_dict(cls, record: dict[str, JsonValue]) -> Self:
        """The search that ``to_dict`` wrote.

        Raises:
            FormatError: the record is damaged, or of another version.
        """
        try:
            return cls.read(record)
        except (ValueError, TypeError) as error:
            raise FormatError(f"the record of a search is damaged: {error}; make it again with explore") from None

    def __str__(self) -> str:
        """The front as a table, fractions."""
        rows = [("accuracy", "memory bits", "emd", "candidate")]
        rows += [
            (f"{each.measures.accuracy:.4f}", str(each.measures.memory_bits), f"{each.measures.emd:.4f}", each.label)
            for each in self.front()
        ]
        return "\n".join("  ".join(cell.rjust(12) for cell in row[:-1]) + "  " + row[-1] for row in rows)

    def how_near(self, drop: float, emd: float | None) -> str:
        """What is said when no candidate keeps the bounds."""
        bound = f"a drop of at most {drop:g}" + ("" if emd is None else f" and an EMD of at most {emd:g}")
        if not self.finished:
            told = f"no candidate was measured to the end, so none keeps {bound}{self._best_stopped()}"
            return f"{told}; allow a larger drop or add finer choices"
        nearest = min(self.finished, key=lambda each: max(self.drop(each) - drop, 0 if emd is None else (each.measures.emd or 0.0) - emd))
        return (
            f"no candidate keeps {bound}; the nearest is {nearest.label} with a drop of {self.drop(nearest):.4f} "
            f"and an EMD of {nearest.measures.emd:.4f}; allow that, or add finer choices"
        )

    def _best_stopped(self) -> str:
        stopped = [each for each in self.evaluated if each.note == "hopeless"]
        if not stopped:
            return ""
        best = max(stopped, key=lambda each: each.measures.accuracy)
        return (
            f"; the most accurate is {best.label}, stopped at an accuracy of {best.measures.accuracy:.4f} on the first "
            f"{best.measures.samples} of {self.baseline.samples} samples, on all of which float has {self.baseline.accuracy:.4f}"
        )
