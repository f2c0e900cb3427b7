"""Weights that others saved with torch: unpickled by torch's restricted reader, bounded before it begins."""

import io
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spikequant import archives, files
from spikequant.errors import FormatError

LIMIT = 2**31


def read_weights(path: Path, limit: int = LIMIT) -> dict[str, Tensor]:
    """The tensors of a ``.pt`` file, by name: a state dict, or one under the key ``state_dict`` or ``model``.

    Nothing but tensors and plain values is made (``weights_only``); there is no other way to read a file that holds more.

    Raises:
        FormatError: it is no zip as torch writes it, would unpack to more than ``limit`` bytes, or holds more than dense tensors.
    """
    content = files.read(path, limit)
    try:
        archives.refuse_zip_bomb(io.BytesIO(content), limit)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is odd about a damaged pickle
            found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise FormatError(f"{path} holds more than tensors and plain values; save its state_dict() instead") from None
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from None
    except zipfile.BadZipFile as error:
        raise FormatError(f"{path} is no file as torch.save writes it since 1.6: {error}") from None
    except Exception as error:  # the reader reports damage as whatever it came upon
        raise FormatError(f"{path} is damaged: {error}") from None
    return _bounded(_state(found, path), limit, path)


def _state(found: Any, path: Path) -> dict[str, Tensor]:
    for key in ("state_dict", "model"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict) or not all(isinstance(name, str) and isinstance(each, Tensor) for name, each in found.items()):
        raise FormatError(f"{path} must hold tensors by name, or those under 'state_dict' or 'model'")
    return {name: each.detach() for name, each in found.items()}


def _bounded(state: dict[str, Tensor], limit: int, path: Path) -> dict[str, Tensor]:
    left = limit
    for name, tensor in state.items():
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
            raise FormatError(f"{path}: tensor {name!r} is {tensor.layout} on {tensor.device}; must be dense, with values")
        left -= tensor.numel() * tensor.element_size()
        if left < 0 or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise FormatError(f"{path}: tensor {name!r} is larger than what is stored of it, or than {limit} bytes in all")
    return state
