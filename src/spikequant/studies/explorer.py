"""The search for recipes: asks a strategy, builds and judges what it asks for, and remembers every answer."""

import hashlib
import json
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from spikequant import files
from spikequant.errors import Diverged, FormatError, SpecError, SpikequantError
from spikequant.models import Network
from spikequant.recipes import Space
from spikequant.search import Candidate, Shape, Strategy, Verdict, strategy
from spikequant.studies.bench import Bench, Loaders, Measures, check_objectives
from spikequant.studies.exploration import Evaluated, Exploration
from spikequant.studies.rules import Rule, refuse_other_rule

FILE = "exploration.json"


@dataclass(frozen=True)
class Priced:
    """Before the search: evaluations at most, and the seconds that one was measured to take in each scheme."""

    evaluations: int
    seconds: dict[str, float]


@dataclass(frozen=True)
class Judged:
    """One candidate was judged, or remembered; ``so_far`` is the search until now."""

    candidate: Evaluated
    remembered: bool
    so_far: Exploration


Event = Priced | Judged | Exploration


def explore(  # noqa: PLR0913 - the question, then options by name
    model: Network,
    space: Space,
    loaders: Loaders | tuple[Loaders, ...] | Sequence[object],
    objectives: Sequence[str] = ("accuracy", "memory", "emd"),
    *,
    strategy: str = "halving",
    max_drop: float = 0.01,
    max_emd: float | None = None,
    budget: int | None = None,
    training: Rule | None = None,
    batches: int = 20,
    seed: int = 0,
    folder: str | Path | None = None,
) -> Exploration:
    """Search a space of recipes for the best trade-off of a trained float network; ``exploring`` with no one listening.

    ``loaders`` is ``(train, validation)``: the first calibrates and trains, the second judges; neither is test data. ``training`` is that
    of candidates in the scheme ``itq``: a ``Training``, or ``Stdp`` or ``Decolle`` (of ``spikequant.training``) for networks that learn so.

    Raises:
        SpecError: an option is out of its range, or does not fit the network.
        MismatchError: ``training`` is by a local rule, and the network is built otherwise.
        FormatError: ``folder`` holds another search.

    >>> import torch
    >>> from spikequant.models import build
    >>> from spikequant.quantizers import LQNet
    >>> batch = [(torch.rand(8, 1, 8, 8), torch.arange(8))]
    >>> found = explore(build("digits"), Space(weights=(LQNet(bits=4), LQNet(bits=2))), (batch, batch), max_drop=1.0)
    >>> found.best().weights.bits
    2
    """
    options = Options(tuple(objectives), strategy, max_drop, max_emd, budget, seed)
    if len(loaders) != 2:
        raise SpecError(f"loaders must be two, (train, validation), and are {len(loaders)}; hold some of the training samples out")
    pair = loaders if isinstance(loaders, Loaders) else Loaders(*loaders)  # type: ignore[arg-type]
    events = exploring(model, space, pair, options, training, batches, None if folder is None else Path(folder))
    return next(event for event in events if isinstance(event, Exploration))


@dataclass(frozen=True)
class Options:
    """What is wanted of a search.

    Raises:
        SpecError: one is out of its range.
    """

    objectives: tuple[str, ...] = ("accuracy", "memory", "emd")
    strategy: str = "halving"
    max_drop: float = 0.01
    max_emd: float | None = None
    budget: int | None = None
    seed: int = 0
    on_test: bool = False

    def __post_init__(self) -> None:
        check_objectives(self.objectives)
        if not 0 <= self.max_drop <= 1:
            raise SpecError(f"max_drop {self.max_drop} must be a fraction in [0, 1]; 0.01 allows one point")
        if self.max_emd is not None and not 0 <= self.max_emd <= 1:
            raise SpecError(f"max_emd {self.max_emd} must lie in [0, 1]: it is a distance of rates")
        if self.budget is not None and self.budget < 1:
            raise SpecError(f"budget {self.budget} must be at least 1 evaluation")


def exploring(
    model: Network, space: Space, loaders: Loaders, options: Options, training: Rule | None, batches: int, folder: Path | None
) -> Iterator[Event]:
    """Search, one event at a time: the price, every candidate, and last the exploration.

    With ``folder`` every answer is kept there, and the same call goes on from them. Stops after ``budget`` new or remembered
    candidates. A hopeless candidate is given up early; one that diverges fails alone.
    """
    shape = Shape(space.counts, len(space.schemes), max(1, len(space.roundings)))
    asking = strategy(options.strategy, shape, options.objectives, options.budget or shape.size, options.seed)
    if "itq" in space.schemes:
        refuse_other_rule(model, training)
    bench = Bench(model, loaders, training, batches)
    found = Exploration(
        model=_fingerprint(model), space=space, strategy=options.strategy, objectives=options.objectives, max_drop=options.max_drop,
        max_emd=options.max_emd, seed=options.seed, judged_on="test" if options.on_test else "validation", baseline=bench.baseline,
        training=training if "itq" in space.schemes else None, batches=batches,
    )  # fmt: skip
    known = {} if folder is None else _remembered(files.folder(folder) / FILE, found)
    yield Priced(min(options.budget or shape.size, shape.size), {scheme: bench.price(scheme) for scheme in space.schemes})
    found = yield from _search(asking, bench, found, known, options.budget or shape.size, folder)
    yield found


def _search(
    asking: Strategy, bench: Bench, found: Exploration, known: dict[Candidate, Evaluated], budget: int, folder: Path | None
) -> Generator[Event, None, Exploration]:
    judged: dict[Candidate, Evaluated] = {}
    candidate = next(asking, None)
    while candidate is not None and (candidate in judged or len(judged) < budget):
        if candidate not in judged:
            remembered = candidate in known
            judged[candidate] = known[candidate] if remembered else _judge(candidate, bench, found)
            found = found.model_copy(update={"evaluated": tuple(judged.values())})
            if folder is not None and not remembered:
                later = tuple(each for place, each in known.items() if place not in judged)
                kept = found.model_copy(update={"evaluated": (*found.evaluated, *later)})
                files.write(folder / FILE, json.dumps(kept.to_dict(), allow_nan=False) + "\n")
            yield Judged(judged[candidate], remembered, found)
        answer = judged[candidate]
        try:
            candidate = asking.send(Verdict(answer.passed, found.costs(answer)))
        except StopIteration:
            candidate = None
    return found


def _judge(candidate: Candidate, bench: Bench, found: Exploration) -> Evaluated:
    space, begun = found.space, time.monotonic()
    rounding = space.roundings[candidate.rounding] if space.roundings else None
    scheme, recipe = space.schemes[candidate.scheme], space.recipe(candidate.levels, rounding)
    steps = space.steps(candidate.levels)
    note: Literal["hopeless", "diverged"] | None = None
    try:
        network = bench.build(recipe, steps, scheme)
        measures = bench.measure(network, found.max_drop)
        note = "hopeless" if measures.emd is None else None
    except Diverged:
        note, measures = "diverged", bench.failed(bench.build(recipe, steps, "ptq"))
    return Evaluated(
        scheme=scheme,
        levels=candidate.levels,
        rounding=rounding,
        choices={axis.name: axis.label(level) for axis, level in zip(space.axes, candidate.levels, strict=True)},
        measures=measures,
        passed=note is None and _keeps(measures, found),
        seconds=round(time.monotonic() - begun, 3),
        note=note,
    )


def _keeps(measures: Measures, found: Exploration) -> bool:
    within = found.baseline.accuracy - measures.accuracy <= found.max_drop + 1e-12
    return within and (found.max_emd is None or (measures.emd is not None and measures.emd <= found.max_emd))


def _remembered(path: Path, wanted: Exploration) -> dict[Candidate, Evaluated]:
    """The candidates of an earlier call with the same question."""
    if not path.exists():
        return {}
    try:
        held = Exploration.from_dict(json.loads(path.read_bytes()))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}: {error}") from None
    asked = ("model", "space", "objectives", "max_drop", "max_emd", "judged_on", "training", "batches", "baseline")
    differing = [name for name in asked if getattr(held, name) != getattr(wanted, name)]
    if differing:
        raise SpikequantError(
            f"{path} holds another search: {', '.join(f'{name} was {getattr(held, name)!r}' for name in differing)}; choose another folder"
        )
    space = wanted.space
    return {
        Candidate(space.schemes.index(each.scheme), each.levels, space.roundings.index(each.rounding) if each.rounding else 0): each
        for each in held.evaluated
    }


def _fingerprint(model: Network) -> str:
    """Of wiring and values: the same network gives the same text."""
    digest = hashlib.sha256(model.wiring.model_dump_json().encode())
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return f"{model.wiring.name} {digest.hexdigest()[:16]}"
