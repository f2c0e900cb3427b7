"""One choice for each layer under a common budget."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from spikequant.errors import SpecError

STATES = 20_000  # partial choices kept a layer
SLACK = 1e-9  # of what the costs add up to: sums in another order differ by less


class Option(NamedTuple):
    """What a choice costs, and what it loses: in accuracy, in EMD, or in a sum of such."""

    cost: float
    loss: float


class _Partial(NamedTuple):
    cost: float
    loss: float
    choices: tuple[int, ...]


def allocate(options: Sequence[Sequence[Option]], budget: float) -> tuple[int, ...]:
    """The index of one option for each layer with the smallest sum of losses whose sum of costs keeps the budget.

    Losses of layers are taken to add up. Exact as long as fewer than 20 000 partial choices stay undominated; beyond, those
    evenly spread over the costs are kept. Sums of costs are held against the budget but for rounding.

    Raises:
        SpecError: a layer without an option, a cost that is not finite, or a budget that even the cheapest choice exceeds.

    >>> allocate([[Option(8, 0.0), Option(2, 0.3)], [Option(8, 0.0), Option(2, 0.1)]], budget=10)
    (0, 1)
    """
    if not options or not all(options):
        raise SpecError(f"each of {len(options)} layers needs at least 1 option; got {[len(each) for each in options]}")
    if not all(math.isfinite(option.cost) for layer in options for option in layer):
        raise SpecError(f"costs must be finite numbers; got {[[option.cost for option in layer] for layer in options]}")
    least = [min(option.cost for option in layer) for layer in options]
    cheapest, allowed = sum(least), budget + SLACK * max(abs(budget), sum(map(abs, least)))
    if not cheapest <= allowed:
        raise SpecError(f"budget {budget:.12g} is below the cheapest choice, which costs {cheapest:.12g}; allow at least that")
    kept = [_Partial(0, 0, ())]
    for place, layer in enumerate(options, 1):
        rest = sum(least[place:])
        grown = [
            _Partial(partial.cost + option.cost, partial.loss + option.loss, (*partial.choices, index))
            for partial in kept
            for index, option in enumerate(layer)
            if partial.cost + option.cost + rest <= allowed
        ]
        kept = _thinned(_undominated(grown))
    return kept[-1].choices


def _undominated(partials: list[_Partial]) -> list[_Partial]:
    """Sorted by cost, each with a smaller loss than all cheaper ones."""
    kept: list[_Partial] = []
    for partial in sorted(partials):
        if not kept or partial.loss < kept[-1].loss:
            kept.append(partial)
    return kept


def _thinned(partials: list[_Partial]) -> list[_Partial]:
    if len(partials) <= STATES:
        return partials
    stride = len(partials) / STATES
    return [partials[round(index * stride)] for index in range(STATES - 1)] + partials[-1:]
