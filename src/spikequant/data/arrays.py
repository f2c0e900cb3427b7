"""NumPy's npy and npz from strangers: the header is read and judged first, and nothing is ever unpickled."""

import io
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikequant import archives, files
from spikequant.errors import DataError, FormatError

LIMIT = 2**31
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_npz(file: Path | str | bytes, limit: int = LIMIT, place: str = "") -> dict[str, NDArray[Any]]:
    """The arrays of an npz, by name.

    Raises:
        DataError: it is damaged, unpacks to more than ``limit`` bytes, or a member is no npy of numbers.
    """
    file = Path(file) if isinstance(file, str) else file
    where = place or (f"file {file}" if isinstance(file, Path) else "npz content")
    found = {}
    for name, content in archives.members(file, limit, DataError, where):
        if not name.endswith(".npy"):
            raise DataError(f"{where}: member {name!r} must be an .npy")
        found[name.removesuffix(".npy")] = read_npy(content, limit, f"{where}, array {name!r}")
    return found


def read_npy(file: Path | str | bytes, limit: int = LIMIT, place: str = "") -> NDArray[Any]:
    """The array of an npy.

    Raises:
        DataError: it is damaged, larger than ``limit`` bytes, holds anything but numbers, or not as many bytes as it declares.
    """
    file = Path(file) if isinstance(file, str) else file
    where = place or (f"file {file}" if isinstance(file, Path) else "npy content")
    try:
        content = files.read(file, limit) if isinstance(file, Path) else file
    except FormatError as error:
        raise DataError(str(error)) from None
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        if version not in HEADERS:
            raise DataError(f"{where} has version {version}; must be one of {', '.join(map(str, HEADERS))}")
        shape, by_column, dtype = HEADERS[version](stream)
    except DataError:
        raise
    except Exception as error:  # NumPy parses the header as Python text, and reports damage as whatever it came upon
        raise DataError(f"{where} is damaged, or no npy: {error}") from None
    return _values(content[stream.tell() :], shape, by_column, dtype, where)


def _values(content: bytes, shape: tuple[int, ...], by_column: bool, dtype: np.dtype[Any], where: str) -> NDArray[Any]:
    if dtype.kind not in "biuf" or dtype.hasobject:
        raise DataError(f"{where} holds {dtype}; must hold integers or floats")
    if min(shape, default=0) < 0 or prod(shape) * dtype.itemsize != len(content) or len(shape) > 32:
        raise DataError(f"{where} declares {dtype} {shape}, which is not the {len(content)} bytes that it holds")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if by_column else "C").copy()
