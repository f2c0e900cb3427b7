"""A training run on disk after every epoch: one safetensors file, whole or absent, from which it goes on bit for bit."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from spikequant import files, tensorfile
from spikequant.documents import parse_json
from spikequant.errors import FormatError, MismatchError
from spikequant.models import Network
from spikequant.training.events import History
from spikequant.training.outputs import device_of
from spikequant.training.spec import Training

FORMAT, VERSION = "spikequant-checkpoint", 1
LIMIT = 64 * 2**30
Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """The file of one run: what it must fit, and what it keeps. ``batches`` is the length of the loader, where it has one."""

    path: Path
    model: nn.Module
    optimizer: Optimizer
    training: Training
    batches: int | None

    def write(self, history: History, best: Tensors) -> None:
        """Take the place of the last epoch's file.

        Raises:
            SpikequantError: the file cannot be written.
        """
        parts = {"model": self.model.state_dict(), "best": best, "optimizer": self._moments()}
        tensors = {
            f"{part}.{name}": tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for part, named in parts.items()
            for name, tensor in named.items()
        }
        document = {"format": FORMAT, "version": VERSION, **self._identity(), "history": history.fields()}
        document["sha256"] = _digest(tensors, document)
        files.write(self.path, tensorfile.content_of(tensors, {"document": json.dumps(document)}))

    def read(self) -> tuple[History, Tensors]:
        """Put model and optimizer where the file left them; the history, and the best weights so far.

        Raises:
            FormatError: the file is damaged, or no checkpoint of this version.
            MismatchError: it belongs to another model, training or loader. In both cases nothing was changed.
        """
        document, tensors = _read(self.path)
        difference = first_difference({key: document.get(key) for key in self._identity()}, self._identity())
        if difference is not None:
            raise MismatchError(f"{self.path} is the checkpoint of another run: {difference}; choose another file, or remove this one")
        weights, best, moments = (_part(tensors, part) for part in ("model", "best", "optimizer"))
        self._refuse_strangers(weights, best, moments)
        history = _history(document, self.path)
        self.model.load_state_dict(weights)
        self._set_moments(moments)
        device = device_of(self.model)
        return history, {name: tensor.to(device) for name, tensor in best.items()}

    def _refuse_strangers(self, weights: Tensors, best: Tensors, moments: Tensors) -> None:
        """Raise where tensors are not those that the file's own description names, so that nothing is loaded by halves."""
        shapes = {name: (tensor.dtype, tensor.shape) for name, tensor in self.model.state_dict().items()}
        owners = {name: self._trained().get(name.rpartition(".")[0]) for name in moments}
        whole = [{name: (tensor.dtype, tensor.shape) for name, tensor in part.items()} == shapes for part in (weights, best or weights)]
        fitting = [owner is not None and moments[name].shape in (owner.shape, ()) for name, owner in owners.items()]
        if not all([*whole, *fitting]):
            raise FormatError(f"{self.path} is damaged: its tensors are not those that it describes; remove it to train from the start")

    def _identity(self) -> dict[str, Any]:
        return {"model": fingerprint(self.model), "training": self.training.fields(), "loader": {"batches": self.batches}}

    def _trained(self) -> dict[str, nn.Parameter]:
        return {name: parameter for name, parameter in self.model.named_parameters() if parameter.requires_grad}

    def _moments(self) -> Tensors:
        return {
            f"{name}.{key}": value
            for name, parameter in self._trained().items()
            for key, value in self.optimizer.state.get(parameter, {}).items()
            if isinstance(value, Tensor)
        }

    def _set_moments(self, moments: Tensors) -> None:
        index = {name: position for position, name in enumerate(self._trained())}
        state: dict[int, Tensors] = {}
        for name, tensor in moments.items():
            parameter, _, key = name.rpartition(".")
            state.setdefault(index[parameter], {})[key] = tensor
        self.optimizer.load_state_dict({"state": state, "param_groups": self.optimizer.state_dict()["param_groups"]})


def fingerprint(model: nn.Module) -> dict[str, Any]:
    """What makes a model this model and no other, but for its values; JSON-able.

    >>> fingerprint(nn.Linear(2, 1, bias=False))
    {'tensors': {'weight': 'float32 [1, 2], trained'}}
    """
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    tensors = {
        name: f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}{', trained' if name in trained else ''}"
        for name, tensor in sorted(model.state_dict().items())
    }
    if not isinstance(model, Network):
        return {"tensors": tensors}
    return {"wiring": model.wiring.fields(), "recipe": model.recipe.fields() if model.recipe else None, "tensors": tensors}


def first_difference(saved: Any, here: Any, place: str = "") -> str | None:
    """The first place where two JSON-able values differ, in words; None where they are equal.

    >>> first_difference({"lr": 0.1, "seed": 0}, {"lr": 0.1, "seed": 1})
    'seed is 0 in the file and 1 here'
    """
    if isinstance(saved, dict) and isinstance(here, dict):
        keys = [*here, *(key for key in saved if key not in here)]
        pairs = [(saved.get(key), here.get(key), f"{place}.{key}".lstrip(".")) for key in keys]
    elif isinstance(saved, list | tuple) and isinstance(here, list | tuple) and len(saved) == len(here):
        pairs = [(one, other, f"{place}[{index}]") for index, (one, other) in enumerate(zip(saved, here, strict=True))]
    else:
        return None if saved == here else f"{place} is {_shown(saved)} in the file and {_shown(here)} here"
    return next((found for pair in pairs if (found := first_difference(*pair)) is not None), None)


def _shown(value: Any) -> str:
    return "absent" if value is None else repr(value)


def _read(path: Path) -> tuple[dict[str, Any], Tensors]:
    if path.is_dir():
        raise FormatError(f"{path} is a folder; name a file, as {path / 'checkpoint.safetensors'}")
    try:
        tensors, metadata = tensorfile.read(files.read(path, LIMIT), str(path))
        document = parse_json(metadata.get("document", "null"))
    except ValueError as error:
        raise FormatError(f"{path} is damaged, or no checkpoint: {error}; remove it to train from the start") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise FormatError(f"{path} is no checkpoint: its format is not {FORMAT!r}; choose another file")
    if document.get("version") != VERSION:
        raise FormatError(
            f"{path} has version {document.get('version')!r}, this spikequant reads {VERSION}; update spikequant, or remove the file"
        )
    if document.pop("sha256", None) != _digest(tensors, document):
        raise FormatError(f"{path} is damaged: its content does not match its hash; remove it to train from the start")
    return document, tensors


def _history(document: dict[str, Any], path: Path) -> History:
    try:
        return History.read(document["history"])
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{path} is damaged: its history is unreadable: {error}; remove it to train from the start") from None


def _digest(tensors: Tensors, document: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _part(tensors: Tensors, part: str) -> Tensors:
    return {name.removeprefix(f"{part}."): tensor for name, tensor in tensors.items() if name.startswith(f"{part}.")}
