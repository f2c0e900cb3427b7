"""The procedure ``stdp``: a network that learns without labels, in float or with fixed point in place; its neurons labelled afterwards."""

from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import Field, model_validator

from spikequant.data import Batches, Split, hold_out
from spikequant.errors import SpecError
from spikequant.recipes import quantize
from spikequant.studies.procedure import Bench, Procedure, Work
from spikequant.studies.resolve import cached_data
from spikequant.studies.supervised import VALIDATED, Pictured, check, concluded, needs, weight_bytes
from spikequant.training import Showing, Stdp, Step, assign, learn, voted


class Unsupervised(Pictured):
    """Training by STDP; images are shown in the data set's order, the first ``images`` of them (all, if None).

    ``stdp`` takes its seed from the trial. ``labelled``: so many of the first training images label the neurons. ``validation``: a share of
    the training images held out, for the measure ``validation_accuracy``; settings are chosen by it, never on test images.
    """

    stdp: Stdp = Stdp()
    images: Annotated[int, Field(ge=1)] | None = None
    labelled: Annotated[int, Field(ge=1)] = 10_000
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.stdp.seed:
            raise ValueError("stdp.seed follows from the trial's seeds; leave it out")
        if bool(self.validation) != (VALIDATED in self.measures):
            raise ValueError(f"the measure {VALIDATED} and a held-out share, as validation = 0.1, go together")
        return self

    def usual(self) -> Self:
        """This setup with the measures that all procedures share."""
        return self.model_copy(update={"measures": tuple(name for name in self.measures if name != VALIDATED)})


def learn_and_label(setup: Unsupervised, bench: Bench) -> Work:
    """Train, label, save and measure; an interrupted trial begins anew."""
    data = cached_data(setup.data)
    split, held = (data.train, None) if not setup.validation else hold_out(data.train, setup.validation, setup.seed)
    network = setup.model.build(setup.seed)
    if setup.recipe is not None:
        network = quantize(network, setup.recipe, Batches(split, setup.batch_size, data.scale), setup.calibration_batches)

    def first(count: int | None) -> Batches:
        return Batches(Split(split.x[:count], split.y[:count]), setup.batch_size, data.scale)

    shown = first(setup.images)
    yield from _steps(learn(network, shown, setup.stdp.model_copy(update={"seed": setup.seed})), len(shown) * setup.stdp.epochs)
    assign(network, first(setup.labelled))
    chosen_by = {} if held is None else {VALIDATED: voted(network, Batches(held, setup.batch_size, data.scale))}
    return {**chosen_by, **concluded(network, data, setup.usual(), bench)}


def _steps(events: Iterator[Showing], total: int) -> Iterator[Step]:
    """A batch of images as a step; what it tells in place of a loss is the mean number of spikes that an image drew."""
    for step, event in enumerate(events, start=1):
        yield Step(event.spikes, step, total, event.epoch, event.examples_per_s)


def check_unsupervised(setup: Unsupervised) -> None:
    """Refuse what the fields alone do not show.

    Raises:
        SpecError: as for ``supervised``; or a network that does not compete.
    """
    check(setup.usual())
    if not setup.model.build(0).wiring.of_kind("competing"):
        raise SpecError(f"Setup.model: STDP trains networks of neurons that compete, as stdp-net; {setup.model.name} has none")


STDP = Procedure(Unsupervised, learn_and_label, check_unsupervised, needs, weight_bytes)
