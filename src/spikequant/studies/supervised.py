"""The procedures ``supervised`` and ``post_training``: train a network, in float or with quantizers in place; or quantize a trained one."""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, JsonValue, field_validator, model_validator

from spikequant.behavior import record
from spikequant.data import Batches, DataSet, Split, crop_and_flip, hold_out
from spikequant.errors import DataError, FormatError, MismatchError, SpecError, unknown
from spikequant.models import Network, build, names
from spikequant.neurons import spiking
from spikequant.quantizers import Spec
from spikequant.recipes import Hung, Recipe, load, plan, quantize, save
from spikequant.studies import measures
from spikequant.studies.dynamics import kept
from spikequant.studies.procedure import Bench, Measures, Procedure, Setup, Work
from spikequant.studies.resolve import cached_data, is_folder
from spikequant.training import Correction, Pruning, Training, correct_rates, evaluate, prune, recorded
from spikequant.training import train as training_events
from spikequant.training.stdp import refuse_format

AUGMENT = {"none": None, "crop_and_flip": crop_and_flip()}


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


def supervise(setup: Supervised, bench: Bench) -> Work:
    """Train, save and measure; goes on from the last whole epoch where the folder holds a checkpoint."""
    data = cached_data(setup.data)
    split, held = kept_and_held(data, setup)
    loader = Batches(split, setup.batch_size, data.scale, setup.seed, AUGMENT[setup.augment])
    validation = None if held is None else Batches(held, setup.batch_size, data.scale)
    network = source(bench, setup) if setup.init == "float" else setup.model.build(setup.seed)
    if setup.pruning is not None:
        network = prune(network, loader, setup.pruning, setup.recipe, setup.calibration_batches)
    if setup.recipe is not None:
        network = quantize(network, setup.recipe, loader, setup.calibration_batches)
    own: dict[str, Any] = {"seed": setup.seed, "start": setup.init, "pairing": bench.pairing or "same"}
    before = _start(network, data, setup, bench) if measures.START in setup.measures else {}
    checkpoint = bench.folder / "checkpoint.safetensors"
    if setup.training.rates is not None:
        own["rates"] = recorded(setup.training.rates, source(bench, setup).to(bench.device), loader)
    training = setup.training.model_copy(update=own)
    loader = Batches(split.to(bench.device), setup.batch_size, data.scale, setup.seed, AUGMENT[setup.augment])
    events = training_events(network.to(bench.device), loader, training, validation, None if bench.rehearsal else checkpoint)
    yield from kept(events, bench.folder)
    found = {**before, **concluded(network, data, setup.usual(), bench)}
    checkpoint.unlink(missing_ok=True)
    return found


def quantize_only(setup: PostTraining, bench: Bench) -> Work:
    """Quantize the reference, save and measure."""
    data = cached_data(setup.data)
    loader = Batches(kept_and_held(data, setup)[0], setup.batch_size, data.scale, setup.seed)
    network = quantize(source(bench, setup), setup.recipe, loader, setup.calibration_batches)
    if setup.correction is not None:
        correct_rates(network, source(bench, setup), loader, setup.correction)
    yield from ()
    return concluded(network.to(bench.device), data, setup, bench)


def kept_and_held(data: DataSet, setup: Pictured) -> tuple[Split, Split | None]:
    """The training images to learn from, and those held out: the same ones for all trials of a seed and a share."""
    return hold_out(data.train, setup.validation, setup.seed) if setup.validation else (data.train, None)


def source(bench: Bench, setup: Pictured) -> Network:
    """The network of the trial's reference; in a rehearsal a fresh one.

    Raises:
        SpecError: the trial has no reference.
    """
    if bench.rehearsal:
        return labelled(setup.model.build(setup.seed))
    if bench.reference is None:
        raise SpecError("the trial starts from its reference and has none; give its group a reference")
    return load(bench.reference)


def _start(network: Network, data: DataSet, setup: Supervised, bench: Bench) -> Measures:
    """Of a network before it is trained on: accuracy and EMD, and how far mean rate and dead share are from the reference's."""
    test = Batches(data.test, setup.batch_size, data.scale)
    ours, theirs = (record(each, test, setup.measure_batches) for each in (network.to(bench.device), _reference(bench, setup)))
    shifts = {"rate": ours.mean_rate - theirs.mean_rate, "dead": ours.dead() - theirs.dead()}
    moved = {f"{measures.START}_{name}_shift": abs(shift) for name, shift in shifts.items()}
    return {f"{measures.START}_accuracy": evaluate(network, test), f"{measures.START}_emd": theirs.emd(ours), **moved}


def concluded(network: Network, data: DataSet, setup: Pictured, bench: Bench) -> Measures:
    """The measures of a finished network, which is saved first."""
    save(network, bench.folder, {"data_sha256": data.sha256, "seed": setup.seed})
    wanted = measures.needs(setup.measures)
    origin = _reference(bench, setup) if wanted else None
    twins = tuple(load(folder).to(bench.device) for folder in bench.twins) if "twins" in wanted else ()
    if bench.rehearsal and "twins" in wanted and origin is not None:
        twins = (origin,)
    held = kept_and_held(data, setup)[1] if measures.VALIDATED in setup.measures else None
    subject = measures.Subject(network, data, setup.batch_size, setup.measure_batches, origin, twins, held)
    return measures.measured(setup.measures, subject, bench.folder)


def _reference(bench: Bench, setup: Pictured) -> Network:
    return source(bench, setup).to(bench.device)


def labelled(network: Network) -> Network:
    """A fresh network that can be evaluated: neurons that vote stand for one class after another until they are assigned."""
    for node in network.wiring.of_kind("vote"):
        vote: Any = network.get_submodule(node.name)
        vote.labels.copy_(torch.arange(len(vote.labels)) % vote.classes)
    return network


def check(setup: Pictured, *more: str) -> None:
    """Refuse what the fields alone do not show: unknown models and measures, data of another shape, patterns that match no layer.

    ``more``: measures that the procedure has beside the table's.

    Raises:
        SpecError: every mistake on a line of its own, with its field.
        DataError: there is no other mistake, and the data is absent or damaged.
    """
    told: list[str] = []
    with _at("measures", told):
        measures.check(setup.measures, *more)
    with _at("model", told):
        network = _blank(setup.model)
        with _at("recipe", told):
            hung = plan(network, setup.recipe or Recipe())
            _refuse_other_formats(network, hung)
            with _at("measures", told):
                _refuse_no_levels(setup, network, hung)
        with _at("data", told):
            _refuse_other_data(setup, network, told)
    if told:
        raise SpecError("\n".join(told))


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
    held = any(each.part == "state" and each.spec is not None for each in hung)
    if setup.recipe is None:  # then it has the grids that it comes with
        held = setup.starts or any(neuron.state is not None for neuron in spiking(network).values())
    if "levels" in setup.measures and not held:
        raise SpecError("'levels' tells of the grids of states, and no state has one; leave it out, or give the recipe a state")


def check_supervised(setup: Supervised) -> None:
    """Refuse what the fields alone do not show, as ``check``."""
    check(setup, measures.START)


@contextlib.contextmanager
def _at(field: str, told: list[str]) -> Iterator[None]:
    """Note what is wrong with a field, and go on behind the block."""
    try:
        yield
    except SpecError as error:
        told += [f"Setup.{field}: {line}" for line in str(error).splitlines()]


def needs(setup: Pictured) -> frozenset[str]:
    """The other trials that this one needs."""
    wishes = isinstance(setup, Supervised) and setup.training.rates is not None
    return measures.needs(setup.measures) | (frozenset({"reference"}) if setup.starts or wishes else frozenset())


def weight_bytes(setup: Pictured) -> int:
    """Bytes of the network's tensors."""
    tensors = _blank(setup.model).state_dict().values()
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _blank(model: Model) -> Network:
    """A network of a model; a saved one is read anew, since another may lie there by now."""
    return model.build(0) if model.files else _named(json.dumps(model.fields(), sort_keys=True))


@lru_cache(maxsize=16)
def _named(model: str) -> Network:
    return Model.read(json.loads(model)).build(0)


SUPERVISED = Procedure(Supervised, supervise, check_supervised, needs, weight_bytes)
POST_TRAINING = Procedure(PostTraining, quantize_only, check, needs, weight_bytes)
