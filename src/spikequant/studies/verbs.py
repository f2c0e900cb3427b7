"""One function per verb: train, quantize, compare; each leaves a record of what it did."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field

from spikequant import files
from spikequant.behavior import compare
from spikequant.data import Batches, DataSet, hold_out
from spikequant.errors import SpecError
from spikequant.models import Network, names
from spikequant.quantizers import Spec
from spikequant.recipes import Recipe, idle_clip, load, memory, quantize, read_document, save
from spikequant.studies.examine import states
from spikequant.studies.resolve import is_folder, resolve_data, resolve_model
from spikequant.training import Event, Training, evaluate, parallel
from spikequant.training import train as training_events


class Session(Spec):
    """One training as data: which network on which images, from where, towards which recipe.

    ``validation`` is the share of the training images held out for early stop and reporting (0: none). ``init`` is a folder
    of a trained float network of this ``model``: ``training.start = "float"`` trains on from it, ``"scratch"`` only compares with its
    seed. From scratch ``model`` is no folder: the weights of one are trained already.
    """

    model: str
    data: str
    training: Training
    batch_size: Annotated[int, Field(ge=1)] = 128
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.0
    recipe: Recipe | None = None
    init: str | None = None


@dataclass(frozen=True)
class Trained:
    """The end of a session: what is kept beside the saved network."""

    record: dict[str, Any]


def train(session: Session, out: Path) -> Iterator[Event | Trained]:
    """Run a session, yielding its events, and save the network to ``out``; the test images are read once, at the end.

    Started by ``torchrun``, the processes train one network together, and the first one saves it.

    Raises:
        SpecError: parts of the session contradict each other.
    """
    with parallel.joined():
        yield from _trained(session, out)


def _trained(session: Session, out: Path) -> Iterator[Event | Trained]:
    network = _start(session)
    data = resolve_data(session.data, network)
    train_split, held = (data.train, None) if session.validation == 0 else hold_out(data.train, session.validation, session.training.seed)
    if held is None and session.training.patience is not None:
        raise SpecError("early stop (patience) needs a held-out share of the training images; set validation, as 0.1")
    _refuse_learned(session)
    loader = Batches(train_split, session.batch_size, data.scale, seed=session.training.seed)
    validation = None if held is None else Batches(held, session.batch_size, data.scale)
    if session.recipe is not None:
        network = quantize(network, session.recipe, loader)
    files.folder(out)
    yield from training_events(network, loader, session.training, validation, checkpoint=out / "checkpoint.safetensors")
    record = {
        "session": session.fields(),
        "pairing": _pairing(session),
        "data_sha256": data.sha256,
        "test_accuracy": evaluate(network, Batches(data.test, session.batch_size, data.scale)),
        "memory_bits": memory(network).total_bits,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "processes": parallel.size(),
    }
    save(network, out, record | _notes(network))
    yield Trained(record | _notes(network))


def learned(model: str, data: str, validation: float, seed: int) -> bool:
    """Whether a saved network, as its record says, has learned from the share of the training images that this holds out."""
    session = read_document(Path(model))["record"].get("session") if (Path(model) / "model.json").is_file() else None
    return session is not None and session["data"] == data and (session["validation"], session["training"]["seed"]) != (validation, seed)


def _refuse_learned(session: Session) -> None:
    """Refuse to stop early by images that the network has learned from."""
    training, init = session.training, session.init
    if training.patience is None or training.start != "float" or init is None:
        return
    if learned(init, session.data, session.validation, training.seed):
        raise SpecError(
            f"early stop (patience) would go by images that {init} has learned from: train that one with validation = "
            f"{session.validation:g} and seed = {training.seed}, or this one as that one was"
        )


def _start(session: Session) -> Network:
    scratch, init = session.training.start == "scratch", session.init
    if scratch and session.model not in names() and is_folder(session.model):
        raise SpecError(
            f"start = 'scratch' makes a fresh network, and {session.model} holds one with its weights: give the model that it was made of"
            f"{_made_of(session.model)}, or train on from it (start = 'float', init = {session.model!r})"
        )
    network = resolve_model(session.model, session.training.seed)
    if init is None:
        if scratch:
            return network
        raise SpecError("start = 'float' trains on from a float network: name its folder (init), or start from 'scratch'")
    baseline = load(init)
    if baseline.wiring != network.wiring:
        raise SpecError(f"{init} holds another network than model {session.model!r}: give the model that it was made of{_made_of(init)}")
    return network if scratch else baseline


def _made_of(folder: str) -> str:
    word = read_document(Path(folder))["record"].get("session", {}).get("model")
    return "" if word is None else f", {word!r}"


def _pairing(session: Session) -> str | None:
    """Whether a network from scratch shares initialization and order of data with its baseline."""
    if session.init is None or session.training.start == "float":
        return None
    baseline = read_document(Path(session.init))["record"].get("session", {})
    return "same" if _begun(baseline) == _begun(session.fields()) else "independent"


def _begun(session: Mapping[str, Any]) -> list[Any]:
    """What initialization and order of data follow from."""
    training = session.get("training", {})
    return [*(session.get(name) for name in ("data", "batch_size", "validation")), *(training.get(name) for name in ("seed", "start"))]


def quantize_saved(model: str, recipe: Recipe, out: Path, data: str | None = None, batches: int = 8) -> dict[str, Any]:
    """Quantize a network post-training and save it; ``data`` names the set whose *training* images calibrate states."""
    network = resolve_model(model)
    loader = None
    if data is not None:
        found = resolve_data(data, network)
        loader = Batches(found.train, 128, found.scale, seed=recipe.seed)
    quantized = quantize(network, recipe, loader, batches)
    record = {
        "quantized_from": model,
        "calibration": data,
        "calibration_batches": batches if data else 0,
        "memory": memory(quantized)._asdict(),
    } | _notes(quantized)
    save(quantized, out, record)
    return record | {"out": str(out), "total_bits": memory(quantized).total_bits}


def _notes(network: Network) -> dict[str, str]:
    """What whoever reads the record should be told."""
    note = idle_clip(network)
    return {} if note is None else {"note": note}


def compare_saved(
    reference: str, network: str, data: str, batches: int = 20, batch_size: int = 128, twins: Sequence[str] = ()
) -> dict[str, Any]:
    """Compare two networks on the test images: the record that the report is made from."""
    networks = {word: resolve_model(word) for word in (reference, network, *twins)}
    found = resolve_data(data, networks[reference])
    loader = Batches(found.test, batch_size, found.scale)
    drift = compare(networks[reference], networks[network], loader, batches=batches, twins=[networks[twin] for twin in twins])
    described = {"reference": _described(reference, networks[reference], found), "network": _described(network, networks[network], found)}
    setup = {"data": data, "batches": batches, "batch_size": batch_size, "test_sha256": _hash(found), "torch": torch.__version__}
    return drift.to_dict() | described | {"setup": setup}


def _described(word: str, network: Network, data: DataSet) -> dict[str, Any]:
    recipe = network.recipe if isinstance(network.recipe, Recipe) else Recipe()
    accuracy = evaluate(network, Batches(data.test, 128, data.scale))
    record = read_document(Path(word))["record"] if Path(word).is_dir() else {}
    # The EMD of a fine-tuned network and of one trained from scratch are different quantities: every row says which it is.
    origin = {"start": record.get("session", {}).get("training", {}).get("start"), "pairing": record.get("pairing")}
    told = {
        "accuracy": accuracy,
        "memory_bits": memory(network).total_bits,
        "state_health": states(network, data),
        "ledger": memory(network).parts,
    }
    return {"name": Path(word).name, "label": recipe.label(), "configuration": recipe.fields(), **told, **origin}


def _hash(data: DataSet) -> str:
    return hashlib.sha256(json.dumps(data.sha256, sort_keys=True).encode()).hexdigest()
