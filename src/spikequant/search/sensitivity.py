"""Mixed precision: each axis alone says what it costs, and a budget is spread over all."""

from collections.abc import Sequence
from itertools import product

from spikequant.errors import SpecError
from spikequant.search.budget import Option, allocate
from spikequant.search.candidate import Candidate, Shape, Strategy, Verdict, refuse_empty

LOSSES = ("accuracy", "emd")
RESOURCES = ("traffic", "memory")
BUDGETS = 12


def sensitivity(shape: Shape, objectives: Sequence[str]) -> Strategy:
    """Coarsens one axis at a time, then asks for the best allocation of each of 12 budgets, as if losses added up.

    A loss is the rise in ``accuracy``'s cost plus that in ``emd``, as far as these are objectives; the budgets lie evenly between
    the cheapest and the finest candidate in ``traffic``, or in ``memory`` where traffic is no objective.

    Raises:
        SpecError: the space is empty, or the objectives lack a loss or a resource.
    """
    refuse_empty(shape)
    losses = [objectives.index(name) for name in LOSSES if name in objectives]
    resources = [objectives.index(name) for name in RESOURCES if name in objectives]
    if not losses or not resources:
        raise SpecError(f"sensitivity weighs accuracy or emd against memory or traffic; objectives {tuple(objectives)} lack one side")
    for scheme, rounding in product(range(shape.schemes), range(shape.roundings)):
        yield from _spread(shape, scheme, rounding, losses, resources[0])


def _spread(shape: Shape, scheme: int, rounding: int, losses: list[int], resource: int) -> Strategy:
    finest = (0,) * len(shape.levels)
    base = yield Candidate(scheme, finest, rounding)
    options = []
    for axis, count in enumerate(shape.levels):
        told = [base]
        for level in range(1, count):
            told.append((yield Candidate(scheme, (*finest[:axis], level, *finest[axis + 1 :]), rounding)))
        options.append([_option(each, base, losses, resource) for each in told])
    cheapest = sum(min(option.cost for option in axis) for axis in options)
    for share in range(BUDGETS):
        # A hair more than exact, so that sums of floats do not miss the ends.
        bound = cheapest * (1 - share / BUDGETS) + 1e-9 * abs(cheapest)
        yield Candidate(scheme, allocate(options, bound), rounding)


def _option(told: Verdict, base: Verdict, losses: list[int], resource: int) -> Option:
    """Costs are counted from the finest candidate, so coarser ones are negative; what gets better by chance counts as no loss."""
    loss = sum(max(0.0, told.costs[index] - base.costs[index]) for index in losses)
    return Option(told.costs[resource] - base.costs[resource], loss)
