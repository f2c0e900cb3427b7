"""What is wrong with a setup of networks that its fields alone do not show, told before anything runs."""

import contextlib
import copy
from collections.abc import Iterator, Sequence

from spikequant.errors import DataError, SpecError
from spikequant.models import Network
from spikequant.neurons import spiking
from spikequant.recipes import Hung, Recipe, attach, plan
from spikequant.studies import measures
from spikequant.studies.pictured import Pictured, PostTraining, Supervised, blank
from spikequant.studies.resolve import cached_data
from spikequant.training.correction import refuse_uncorrectable
from spikequant.training.freezing import freezable
from spikequant.training.rate_pull import refuse_few
from spikequant.training.stdp import refuse_format


def check(setup: Pictured, *more: str) -> None:
    """Refuse what the fields alone do not show: unknown models and measures, data of another shape, patterns that match no layer.

    ``more``: measures that the procedure has beside the table's.

    Raises:
        SpecError: every mistake on a line of its own, with its field.
        DataError: there is no other mistake, and the data is absent or damaged.
    """
    with _all_told() as told:
        with _at("measures", told):
            measures.check(setup.measures, *more)
        with _at("model", told):
            network = blank(setup.model)
            with _at("recipe", told):
                hung = plan(network, setup.recipe or Recipe())
                _refuse_other_formats(network, hung)
                with _at("measures", told):
                    _refuse_no_levels(setup, network, hung)
            with _at("data", told):
                _refuse_other_data(setup, network, told)


def _refuse_other_data(setup: Pictured, network: Network, told: Sequence[str]) -> None:
    try:
        data = cached_data(setup.data)
    except DataError:
        if told:
            return
        raise
    if data.shape != network.wiring.input_shape:
        raise SpecError(f"{setup.data!r} has samples of shape {data.shape}, {network.wiring.name} takes {network.wiring.input_shape}")


def _refuse_other_formats(network: Network, hung: Sequence[Hung]) -> None:
    """Neurons that compete are trained and evaluated by STDP's own steps."""
    for each in hung if network.wiring.of_kind("competing") else ():
        if each.spec is not None and each.part in ("weights", "state", "bound"):
            refuse_format(each.spec)


def _refuse_no_levels(setup: Pictured, network: Network, hung: Sequence[Hung]) -> None:
    specs = [each.spec for each in hung if each.part == "state" and each.spec is not None]
    held = bool(specs)
    if setup.recipe is None:  # then it has the grids that it comes with
        held = setup.starts or any(neuron.state is not None for neuron in spiking(network).values())
    if "levels" in setup.measures and not held:
        raise SpecError("'levels' tells of the grids of states, and no state has one; leave it out, or give the recipe a state")
    moving = next((spec for spec in specs if spec.scope is not None), None)
    if "levels" in setup.measures and moving is not None:
        raise SpecError(f"'levels' tells of grids that stand, and {moving.label()} follows each batch; leave it out")


def check_supervised(setup: Supervised) -> None:
    """Refuse what the fields alone do not show, as ``check``, and a training that the network cannot take."""
    check(setup, measures.START)
    with _all_told() as told:
        with _at("training.rate_pull", told):
            if setup.training.rate_pull:
                refuse_few(len(spiking(blank(setup.model))))
        with _at("training.freezing", told):
            if setup.training.freezing is not None and _hangs_at_once(setup.recipe):
                freezable(_hung(setup), setup.training.freezing.spikes)


def check_post_training(setup: PostTraining) -> None:
    """Refuse what the fields alone do not show, as ``check``, and a correction that the network cannot take."""
    check(setup)
    with _all_told() as told, _at("correction", told):
        if setup.correction is not None and (_hangs_at_once(setup.recipe) or setup.recipe.arithmetic is not None):
            refuse_uncorrectable(_hung(setup), setup.correction)


def _hangs_at_once(recipe: Recipe | None) -> bool:
    """Whether the network need not be rewritten first, for which it would have to be trained."""
    return recipe is None or (recipe.arithmetic is None and recipe.batch_norm != "folded")


def _hung(setup: Pictured) -> Network:
    """The network with its grids, nothing fitted; what rewrites it is noted only."""
    network = copy.deepcopy(blank(setup.model))
    if _hangs_at_once(setup.recipe):
        return network if setup.recipe is None else attach(network, setup.recipe)
    network.recipe = setup.recipe
    return network


@contextlib.contextmanager
def _all_told() -> Iterator[list[str]]:
    """Raise behind the block what was noted within it."""
    told: list[str] = []
    yield told
    if told:
        raise SpecError("\n".join(told))


@contextlib.contextmanager
def _at(field: str, told: list[str]) -> Iterator[None]:
    """Note what is wrong with a field, and go on behind the block."""
    try:
        yield
    except SpecError as error:
        told += [f"Setup.{field}: {line}" for line in str(error).splitlines()]
