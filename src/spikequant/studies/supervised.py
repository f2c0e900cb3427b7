"""The procedures ``supervised`` and ``post_training``: train a network, in float or with quantizers in place; or quantize a trained one."""

from typing import Any

import torch

from spikequant.behavior import record
from spikequant.data import Batches, DataSet, Split, crop_and_flip, hold_out
from spikequant.errors import SpecError
from spikequant.models import Network
from spikequant.recipes import load, quantize, save
from spikequant.studies import measures
from spikequant.studies.dynamics import kept
from spikequant.studies.pictured import Pictured, PostTraining, Supervised, needs, weight_bytes
from spikequant.studies.procedure import Bench, Measures, Procedure, Work
from spikequant.studies.refusing import check_post_training, check_supervised
from spikequant.studies.resolve import cached_data
from spikequant.training import correct_rates, evaluate, prune, recorded
from spikequant.training import train as training_events

AUGMENT = {"none": None, "crop_and_flip": crop_and_flip()}


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


SUPERVISED = Procedure(Supervised, supervise, check_supervised, needs, weight_bytes)
POST_TRAINING = Procedure(PostTraining, quantize_only, check_post_training, needs, weight_bytes)
