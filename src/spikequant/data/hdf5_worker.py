"""The process in which an HDF5 file is opened: asked by a JSON line, answered by a JSON line and raw values.

An HDF5 file can name other files, and can claim far more than it holds: CVE-2026-1669 reads local files by external
storage, CVE-2026-0897 exhausts memory by a shape. So links must be hard, storage internal, filters known, and what is
declared in proportion to what is stored. Run by path, it imports nothing of this package: it must start fast and small.
"""

import io
import json
import sys
from collections.abc import Iterator, Sequence
from math import prod
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

FILTERS = {1: "deflate", 2: "shuffle", 3: "fletcher32", 32000: "lzf"}
RATIO = 200  # of declared to stored bytes: far above what compression makes of events, far below a bomb
SLACK = 2**20
POINTER = 16  # bytes that a row of its own length takes beside its content


class Refused(ValueError):
    """The file breaks a rule."""


def read(file: str | BinaryIO, names: Sequence[str], limit: int) -> dict[str, Array | list[Array]]:
    """The named data sets; one whose rows have lengths of their own is a list.

    Raises:
        Refused: a data set breaks a rule. Damage raises whatever h5py makes of it, or ends the process.
    """
    import h5py

    with h5py.File(file, "r") as root:
        found: dict[str, Array | list[Array]] = {}
        for name in names:
            found[name] = _values(_internal(root, name), limit, f"data set {name!r}")
            limit -= _size(found[name])
        return found


def _internal(root: Any, name: str) -> Any:
    """The data set, found by hard links only."""
    import h5py

    here = root
    for step in name.split("/"):
        link = here.get(step, getlink=True) if isinstance(here, h5py.Group) else None
        if link is None:
            raise Refused(f"no data set {name!r}")
        if not isinstance(link, h5py.HardLink):
            raise Refused(f"{name!r} is reached by a {type(link).__name__}, which may lead outside the file; must be a hard link")
        here = here[step]
    if not isinstance(here, h5py.Dataset):
        raise Refused(f"{name!r} must be a data set")
    return here


def _values(dataset: Any, limit: int, where: str) -> Array | list[Array]:
    import h5py

    _refuse_foreign_storage(dataset, where)
    inner = h5py.check_vlen_dtype(dataset.dtype)
    if np.dtype(inner or dataset.dtype).kind not in "biuf":
        raise Refused(f"{where} holds {dataset.dtype}; must hold integers or floats")
    _refuse_bomb(dataset, POINTER if inner else dataset.dtype.itemsize, limit, where)
    if inner is None:
        return np.asarray(dataset[()])
    if dataset.ndim != 1:
        raise Refused(f"{where} has rows of their own lengths in {dataset.ndim} dimensions; must have 1")
    return list(_rows(dataset, limit, where))


def _rows(dataset: Any, limit: int, where: str) -> Iterator[Array]:
    """Row after row, so that rows which share their stored bytes cannot add up unseen."""
    left = min(limit, SLACK + RATIO * dataset.file.id.get_filesize())
    for index in range(len(dataset)):
        row = np.asarray(dataset[index])
        left -= row.nbytes
        if left < 0:
            raise Refused(f"the first {index + 1} rows of {where} are more than the file can hold, or than the limit")
        yield row


def _refuse_foreign_storage(dataset: Any, where: str) -> None:
    if dataset.external:
        raise Refused(f"{where} has its values in another file, {dataset.external[0][0]!r}; must have them in this one")
    if dataset.is_virtual:
        raise Refused(f"{where} is put together from other data sets; must have its own values")
    plan = dataset.id.get_create_plist()
    for code in (plan.get_filter(index)[0] for index in range(plan.get_nfilters())):
        if code not in FILTERS:
            raise Refused(f"{where} has filter {code}; must be one of {', '.join(FILTERS.values())}, as others load foreign code")


def _refuse_bomb(dataset: Any, item: int, limit: int, where: str) -> None:
    stored = dataset.id.get_storage_size()
    most = min(limit, SLACK + RATIO * stored)
    for what, shape in (("", dataset.shape), (" by one chunk", dataset.chunks)):
        declared = prod(shape or ()) * item
        if declared > most:
            raise Refused(f"{where} declares {declared} bytes{what}; must be at most {most}, with {stored} stored")


def _size(values: Array | list[Array]) -> int:
    return sum(row.nbytes + POINTER for row in values) if isinstance(values, list) else values.nbytes


def packed(values: Array | list[Array]) -> tuple[dict[str, Any], Array]:
    """What is said of values in the JSON line, and the values in a row."""
    if not isinstance(values, list):
        return {"dtype": values.dtype.str, "shape": values.shape, "lengths": None}, values.reshape(-1)
    flat = np.concatenate(values) if values else np.zeros(0)
    return {"dtype": flat.dtype.str, "shape": flat.shape, "lengths": [len(row) for row in values]}, flat


def bound(memory: int, seconds: int) -> None:
    """Bound this process, where the system can: an allocation beyond ``memory`` bytes fails, ``seconds`` of work end it."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Answer one question: standard input has a JSON line, then the file where it is given as bytes."""
    question = json.loads(sys.stdin.buffer.readline())
    bound(question["memory"], question["seconds"])
    file = question["path"] or io.BytesIO(sys.stdin.buffer.read())
    try:
        parts = {name: packed(values) for name, values in read(file, question["names"], question["limit"]).items()}
    except Refused as error:
        answer: dict[str, Any] = {"refused": str(error)}
        parts = {}
    except Exception as error:  # h5py reports damage as whatever it came upon
        answer, parts = {"refused": f"damaged, or no HDF5: {error or type(error).__name__}"}, {}
    else:
        answer = {"parts": {name: said for name, (said, _) in parts.items()}}
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
    for _, flat in parts.values():
        sys.stdout.buffer.write(np.ascontiguousarray(flat).data)


if __name__ == "__main__":
    main()
