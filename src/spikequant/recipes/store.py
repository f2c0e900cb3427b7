"""save and load: a folder of model.json (wiring and recipe) and model.safetensors; nothing loaded is ever executed."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spikequant import files, tensorfile
from spikequant.documents import parse_json
from spikequant.errors import FormatError, MismatchError, SpecError
from spikequant.models import Network, Wiring
from spikequant.models.layers import layer
from spikequant.recipes.hang import attach
from spikequant.recipes.recipe import Recipe

FORMAT, VERSION = "spikequant-model", 1
MODEL, TENSORS, NEXT = "model.json", "model.safetensors", "model.next.safetensors"
JSON_LIMIT, TENSORS_LIMIT = 16 * 2**20, 16 * 2**30
SLACK = 2**20  # values that a wiring may declare beyond those in its file before it is refused unbuilt


def save(model: Network, folder: str | Path, record: dict[str, Any] | None = None) -> None:
    """Write a network to ``folder``; ``record`` is kept beside it, as how it was trained. What was there is replaced, or kept as it was.

    Raises:
        SpecError: it is no network of ours, or the record is no JSON.
        MismatchError: ``load`` would refuse it.
        SpikequantError: the folder cannot be written.
    """
    if not isinstance(model, Network):
        raise SpecError(f"save takes a Network, got {type(model).__name__}; adopt it first")
    _refuse_unreadable(model)
    tensors = tensorfile.content_of(model.state_dict())
    recipe = model.recipe.fields() if isinstance(model.recipe, Recipe) else None
    document = {"format": FORMAT, "version": VERSION, "wiring": model.wiring.fields(), "recipe": recipe, "record": record or {}}
    try:
        text = json.dumps({**document, "sha256": _seal(document, tensors)}, indent=1) + "\n"
    except (TypeError, ValueError) as error:
        raise SpecError(f"record: must be plain values, as JSON holds them: {error}") from None
    place = files.folder(Path(folder))
    _write(place, tensors, text)


def _write(place: Path, tensors: bytes, text: str) -> None:
    """Once model.json is the new one, so is the network: whatever ends this before or after, ``load`` finds the old or the new one."""
    files.write(place / NEXT, tensors)
    try:
        files.write(place / MODEL, text)
    finally:
        if (place / MODEL).is_file() and (place / MODEL).read_text() == text:
            files.rename(place / NEXT, place / TENSORS)
        else:
            (place / NEXT).unlink()


def load(folder: str | Path) -> Network:
    """Read a network that ``save`` wrote.

    Raises:
        FormatError: a file is absent, damaged, of another version, or belongs to another model.
        MismatchError: its tensors are not those of its wiring.
    """
    place = Path(folder)
    document = read_document(place)
    try:
        tensors = _read_tensors(place, document)
        wiring = Wiring.read(document["wiring"])
        _refuse_larger(wiring, tensors, place / MODEL)
        network = _blank(wiring, None if document["recipe"] is None else Recipe.read(document["recipe"]))
    except FormatError:
        raise
    except KeyError as error:
        raise FormatError(f"{place / 'model.json'}: {error} is absent") from None
    except (TypeError, ValueError, RuntimeError) as error:
        raise FormatError(f"{place / 'model.json'}: {error}") from None
    _refuse_unlike(network.state_dict(), tensors, str(place / TENSORS))
    network.load_state_dict(tensors)
    return network.eval()


def read_document(place: Path) -> dict[str, Any]:
    """The content of model.json, its format and version checked."""
    path = place / MODEL
    if not path.is_file():
        raise FormatError(f"{place} holds no model.json; give a folder that spikequant.save made")
    try:
        document = parse_json(files.read(path, JSON_LIMIT))
    except FormatError:
        raise
    except ValueError as error:
        raise FormatError(f"{path} is not JSON: {error}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise FormatError(f"{path} is no spikequant model: its format is not {FORMAT!r}")
    if document.get("version") != VERSION:
        raise FormatError(f"{path} has version {document.get('version')!r}, this spikequant reads {VERSION}; update spikequant")
    return document


def _seal(document: dict[str, Any], tensors: bytes) -> str:
    """One hash over all that a model is: a flipped digit of a threshold is as wrong as a flipped weight."""
    rest = {name: value for name, value in document.items() if name != "sha256"}
    digest = hashlib.sha256(json.dumps(rest).encode())
    digest.update(tensors)
    return digest.hexdigest()


def _read_tensors(place: Path, document: dict[str, Any]) -> dict[str, Tensor]:
    """The tensors that model.json seals; a save that ended right after it left them under the name ``NEXT``."""
    there = [path for path in (place / TENSORS, place / NEXT) if path.is_file()]
    if not there:
        raise FormatError(f"{place / TENSORS} is absent; a saved model is a folder of model.json and {TENSORS}")
    for path in there:
        content = files.read(path, TENSORS_LIMIT)
        if _seal(document, content) == document.get("sha256"):
            return tensorfile.read(content, str(path))[0]
    raise FormatError(f"{there[0]} and model.json beside it do not fit the hash in model.json: damaged, changed by hand, or of two models")


def _refuse_larger(wiring: Wiring, tensors: dict[str, Tensor], path: Path) -> None:
    """Refuse a wiring that declares more than its file holds, before memory is taken for it."""
    with torch.device("meta"):
        layers = [layer(node) for node in wiring.of_kind("conv2d", "linear", "batch_norm")]
    declared = sum(tensor.numel() for each in layers for tensor in each.state_dict().values())
    held = sum(tensor.numel() for tensor in tensors.values())
    if declared > held + SLACK:
        raise FormatError(f"{path}: the wiring declares {declared} values, model.safetensors beside it holds {held}")


def _blank(wiring: Wiring, recipe: Recipe | None) -> Network:
    network = Network(wiring)
    return network if recipe is None else attach(network, recipe)


def _refuse_unreadable(model: Network) -> None:
    """Refuse to write what ``load`` would not read."""
    with torch.random.fork_rng(devices=[]):
        try:
            blank = _blank(model.wiring, model.recipe if isinstance(model.recipe, Recipe) else None)
        except SpecError as error:
            raise MismatchError(f"{model.wiring.name} could not be read back: {error}") from None
    _refuse_unlike(blank.state_dict(), model.state_dict(), f"{model.wiring.name} could not be read back")


def _refuse_unlike(wanted: dict[str, Tensor], tensors: dict[str, Tensor], place: str) -> None:
    for name in sorted(wanted.keys() ^ tensors.keys()):
        raise MismatchError(f"{place}: tensor {name!r} is {'absent' if name in wanted else 'not part of this model'}")
    for name, tensor in tensors.items():
        like = wanted[name]
        if tensor.shape != like.shape or tensor.dtype != like.dtype:
            found, needed = (f"{each.dtype} {tuple(each.shape)}" for each in (tensor, like))
            raise MismatchError(f"{place}: tensor {name!r} is {found}, the model needs {needed}")
        if tensor.is_floating_point() and (torch.isinf(tensor) | (tensor.isnan() & ~like.isnan().any())).any():
            raise FormatError(f"{place}: tensor {name!r} holds values that are not finite")
