"""The procedure ``decolle``: a network whose layers learn by losses of their own, in float or with fixed point in place."""

import json
from collections.abc import Iterator
from typing import Literal, Self

from pydantic import model_validator

from spikequant import files
from spikequant.data import Batches
from spikequant.errors import MismatchError, SpecError
from spikequant.recipes import quantize
from spikequant.studies.pictured import Pictured, needs, weight_bytes
from spikequant.studies.procedure import Bench, Procedure, Work
from spikequant.studies.refusing import check
from spikequant.studies.resolve import cached_data
from spikequant.studies.supervised import concluded, kept_and_held, source
from spikequant.training import Decolle, Epoch, Step, learn_locally
from spikequant.training.decolle import blocks

FILE = "learning.json"


class Local(Pictured):
    """Training by local losses; with a recipe the quantizers are in place from its first step.

    ``decolle`` takes its seed from the trial. ``init``: ``scratch``, or ``float``, the weights of the trial's reference, which are then
    not settled anew.
    """

    decolle: Decolle = Decolle()
    init: Literal["scratch", "float"] = "scratch"

    @property
    def starts(self) -> bool:
        """Whether it learns on from its reference."""
        return self.init == "float"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.decolle.seed:
            raise ValueError("decolle.seed follows from the trial's seeds; leave it out")
        return self


def learn_and_measure(setup: Local, bench: Bench) -> Work:
    """Train, save and measure; what was right of the held-out samples after each epoch is kept too. Begins anew where interrupted."""
    data = cached_data(setup.data)
    split, held = kept_and_held(data, setup)
    loader = Batches(split, setup.batch_size, data.scale, setup.seed)
    network = source(bench, setup) if setup.init == "float" else setup.model.build(setup.seed)
    if setup.recipe is not None:
        network = quantize(network, setup.recipe, loader, setup.calibration_batches)
    own = {"seed": setup.seed} | ({"settling": 0} if setup.init == "float" else {})
    validation = None if held is None else Batches(held, setup.batch_size, data.scale)
    yield from _told(learn_locally(network.to(bench.device), loader, setup.decolle.model_copy(update=own), validation), bench)
    return concluded(network, data, setup, bench)


def _told(events: Iterator[Step | Epoch], bench: Bench) -> Iterator[Step | Epoch]:
    """The same events; the epochs among them are written down."""
    epochs = []
    for event in events:
        if isinstance(event, Epoch):
            epochs.append({"epoch": event.epoch, "loss": event.train_loss, "validation_accuracy": event.validation_accuracy})
            files.write(files.folder(bench.folder) / FILE, json.dumps(epochs, allow_nan=False) + "\n")
        yield event


def check_local(setup: Local) -> None:
    """Refuse what the fields alone do not show.

    Raises:
        SpecError: as for ``supervised``; or a network without local losses.
    """
    check(setup)
    try:
        blocks(setup.model.build(0), 0)
    except MismatchError as error:
        raise SpecError(f"Setup.model: {error}") from None


DECOLLE = Procedure(Local, learn_and_measure, check_local, needs, weight_bytes)
