"""What the procedures of networks say: the network, the recipe, how it is trained and measured; and what follows from that alone."""

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, JsonValue, field_validator, model_validator

from spikequant.errors import FormatError, MismatchError, SpecError, unknown
from spikequant.models import Network, build, names
from spikequant.quantizers import Spec
from spikequant.recipes import Recipe, load
from spikequant.studies import measures
from spikequant.studies.procedure import Setup
from spikequant.studies.resolve import is_folder
from spikequant.training import Correction, Pruning, Training


class Model(Spec):
    """A network by its name and the arguments of its wiring, or the folder of a saved one, which takes none.

    ``package.module:factory`` is for the command line: a study may come from a stranger, and what it names is not executed.
    """

    name: str
    args: dict[str, JsonValue] = Field(default_factory=dict)

    def build(self, seed: int) -> Network:
        """The fresh network of this seed.

        Raises:
            SpecError: an argument is unknown, or the folder holds no network.
        """
        if self.name in names():
            return build(self.name, seed=seed, **self.args)
        if self.args:
            raise SpecError(f"model {self.name!r} takes no args; only the names of 'spikequant ls models' do")
        try:
            return load(self.name)
        except (FormatError, MismatchError) as error:
            raise SpecError(str(error)) from None

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of a saved network; a name has none."""
        return () if self.name in names() else (Path(self.name) / "model.json", Path(self.name) / "model.safetensors")


class Pictured(Setup):
    """What all procedures of networks say: network, recipe, and how it is measured.

    ``measure_batches``: batches of test images on which firing is watched. ``calibration_batches``: batches of training images to which
    ranges are fitted that the recipe leaves open. ``validation``: share of the training images held out, which neither train nor
    calibrate; the measure ``validation_accuracy`` is that of these, and settings are chosen by it.
    """

    model: Model
    recipe: Recipe | None = None
    batch_size: Annotated[int, Field(ge=1)] = 128
    calibration_batches: Annotated[int, Field(ge=1)] = 8
    measure_batches: Annotated[int, Field(ge=1)] = measures.BATCHES
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @property
    def starts(self) -> bool:
        """Whether the network is that of the trial's reference, at first."""
        return False

    @property
    def validates(self) -> str | None:
        """What is decided or told by the held-out images."""
        return measures.VALIDATED if measures.VALIDATED in self.measures else None

    def refuse_reference(self, reference: Setup) -> None:
        """Refuse to validate on images that the reference has learned from."""
        if not (self.starts and self.validates and isinstance(reference, Pictured)):
            return
        if (reference.seed, reference.validation) != (self.seed, self.validation):
            raise SpecError(
                f"{self.validates} rests on images which its reference has learned from: that holds out validation = "
                f"{reference.validation:g} by seed {reference.seed}; it must be {self.validation:g} by seed {self.seed}, as here"
            )

    def files_sha256(self) -> dict[str, str]:
        """SHA-256 of the files of the saved network that the trial begins from, if it does."""
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in self.model.files}

    @field_validator("model", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @field_validator("model")
    @classmethod
    def _known_model(cls, value: Model) -> Model:
        if value.name not in names() and not is_folder(value.name):
            raise ValueError(f"{unknown('model', value.name, names())}, or the folder of a saved network; a study names no code")
        return value

    @model_validator(mode="after")
    def _held_out(self) -> Self:
        if measures.VALIDATED in self.measures and not self.validation:
            raise ValueError(f"the measure {measures.VALIDATED} and a held-out share, as validation = 0.1, go together")
        return self


class Supervised(Pictured):
    """A supervised training; with a recipe the quantizers are in place from its first step.

    ``init``: ``scratch``, or ``float``, the weights of the trial's reference. ``training`` takes its seed, start and pairing from the
    trial. ``pruning`` takes channels out first, by the network as the recipe makes it. Early stop (``training.patience``) decides by the
    held-out images. The measure ``start`` tells of the quantized reference before it is trained on.
    """

    training: Training
    pruning: Pruning | None = None
    init: Literal["scratch", "float"] = "scratch"
    augment: Literal["none", "crop_and_flip"] = "none"

    @property
    def starts(self) -> bool:
        """Whether it trains on from its reference."""
        return self.init == "float"

    @property
    def validates(self) -> str | None:
        """Early stop goes by the held-out images, too."""
        return "training.patience" if self.training.patience is not None else super().validates

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.training.patience is not None and not self.validation:
            raise ValueError("training.patience needs a held-out share of the training images; set validation, as 0.1")
        if measures.START in self.measures and (self.init != "float" or self.recipe is None):
            raise ValueError(
                f"the measure {measures.START!r} tells of a quantized reference before it is trained on; set init='float' and a recipe"
            )
        if self.pruning is not None and self.training.rates is not None:
            raise ValueError("pruning takes channels out, and training.rates wishes for those of the float network; leave one out")
        if (self.training.seed, self.training.start, self.training.pairing) != (0, "scratch", "same"):
            raise ValueError("training.seed, start and pairing follow from the trial's seeds, init and reference; leave them out")
        return self

    def usual(self) -> Self:
        """This setup with the measures that all procedures share."""
        return self.model_copy(update={"measures": tuple(name for name in self.measures if name != measures.START)})


class PostTraining(Pictured):
    """The trial's reference, quantized and not trained on; with a ``correction`` its firing rates are then put right."""

    recipe: Recipe
    correction: Correction | None = None

    @property
    def starts(self) -> bool:
        """It always is the reference's."""
        return True


def needs(setup: Pictured) -> frozenset[str]:
    """The other trials that this one needs."""
    wishes = isinstance(setup, Supervised) and setup.training.rates is not None
    return measures.needs(setup.measures) | (frozenset({"reference"}) if setup.starts or wishes else frozenset())


def weight_bytes(setup: Pictured) -> int:
    """Bytes of the network's tensors."""
    tensors = blank(setup.model).state_dict().values()
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def blank(model: Model) -> Network:
    """A network of a model; a saved one is read anew, since another may lie there by now."""
    return model.build(0) if model.files else _named(json.dumps(model.fields(), sort_keys=True))


@lru_cache(maxsize=16)
def _named(model: str) -> Network:
    return Model.read(json.loads(model)).build(0)
