"""The procedure ``stdp``: a network that learns without labels, in float or with fixed point in place; its neurons labelled afterwards."""

from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import Field, model_validator

from spikequant.data import Batches, Split
from spikequant.errors import SpecError
from spikequant.recipes import quantize
from spikequant.studies.measures import VALIDATED
from spikequant.studies.pictured import Pictured, needs, weight_bytes
from spikequant.studies.procedure import Bench, Procedure, Work
from spikequant.studies.refusing import check
from spikequant.studies.resolve import cached_data
from spikequant.studies.supervised import concluded, kept_and_held
from spikequant.training import Showing, Stdp, Step, assign, learn


class Unsupervised(Pictured):
    """Training by STDP; images are shown in the data set's order, the first ``images`` of them (all, if None).

    ``stdp`` takes its seed from the trial. ``labelled``: so many of the first training images label the neurons.
    """

    stdp: Stdp = Stdp()
    images: Annotated[int, Field(ge=1)] | None = None
    labelled: Annotated[int, Field(ge=1)] = 10_000

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.stdp.seed:
            raise ValueError("stdp.seed follows from the trial's seeds; leave it out")
        if self.validation and VALIDATED not in self.measures:
            raise ValueError(f"the measure {VALIDATED} and a held-out share, as validation = 0.1, go together")
        return self


def learn_and_label(setup: Unsupervised, bench: Bench) -> Work:
    """Train, label, save and measure; an interrupted trial begins anew."""
    data = cached_data(setup.data)
    split, _ = kept_and_held(data, setup)
    network = setup.model.build(setup.seed)
    if setup.recipe is not None:
        network = quantize(network, setup.recipe, Batches(split, setup.batch_size, data.scale), setup.calibration_batches)

    def first(count: int | None) -> Batches:
        return Batches(Split(split.x[:count], split.y[:count]), setup.batch_size, data.scale)

    shown = first(setup.images)
    yield from steps(learn(network, shown, setup.stdp.model_copy(update={"seed": setup.seed})), len(shown) * setup.stdp.epochs)
    assign(network, first(setup.labelled))
    return concluded(network, data, setup, bench)


def steps(events: Iterator[Showing], total: int | None) -> Iterator[Step]:
    """A batch of images as a step; what it tells in place of a loss is the mean number of spikes that an image drew."""
    for step, event in enumerate(events, start=1):
        yield Step(event.spikes, step, total, event.epoch, event.examples_per_s)


def check_unsupervised(setup: Unsupervised) -> None:
    """Refuse what the fields alone do not show.

    Raises:
        SpecError: as for ``supervised``; or a network that does not compete.
    """
    check(setup)
    if not setup.model.build(0).wiring.of_kind("competing"):
        raise SpecError(f"Setup.model: STDP trains networks of neurons that compete, as stdp-net; {setup.model.name} has none")


STDP = Procedure(Unsupervised, learn_and_label, check_unsupervised, needs, weight_bytes)
