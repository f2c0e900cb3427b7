"""Files made by hand to do harm: each names what it attacks; ``CANARY`` stands for a file that none of them may touch."""

import io
import json
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

CANARY = "/canary-of-chaos"
NAMES = [
    f"..{CANARY}",
    f"../../../..{CANARY}",
    CANARY,
    f"a/../..{CANARY}",
    "C:\\canary",
    "..\\canary",
    "\\\\host\\canary",
    "a//b",
    "./../canary",
    "a\0b",
    "a\nb",
    "\x1b[31m",
    "x" * 5000,
    "..",
    "a/..",
    "nul:",
    "~\\canary",
]
CALLS = [
    ("os", "system", (f"touch {CANARY}",)),
    ("posix", "system", (f"touch {CANARY}",)),
    ("builtins", "eval", (f"open({CANARY!r}, 'w')",)),
    ("builtins", "exec", (f"open({CANARY!r}, 'w')",)),
    ("builtins", "open", (CANARY, "w")),
    ("subprocess", "run", (["touch", CANARY],)),
    ("subprocess", "Popen", (["touch", CANARY],)),
    ("subprocess", "check_output", (["touch", CANARY],)),
    ("os", "popen", (f"touch {CANARY}",)),
    ("builtins", "getattr", ("os", "system")),
    ("builtins", "__import__", ("os",)),
    ("importlib", "import_module", ("os",)),
    ("shutil", "rmtree", (CANARY,)),
    ("shutil", "copy", ("/etc/hostname", CANARY)),
    ("pathlib", "Path", (CANARY,)),
    ("io", "open", (CANARY, "w")),
    ("runpy", "run_path", (CANARY,)),
    ("pickle", "loads", (b"cos\nsystem\n.",)),
    ("torch", "load", (CANARY,)),
    ("numpy", "load", (CANARY,)),
    ("torch.hub", "load", (CANARY, "x")),
    ("webbrowser", "open", (f"file://{CANARY}",)),
    ("operator", "attrgetter", ("system",)),
    ("ctypes", "CDLL", (CANARY,)),
    ("socket", "create_connection", (("127.0.0.1", 9),)),
]


def pickled(module: str, name: str, arguments: tuple[Any, ...]) -> bytes:
    """A pickle that calls what it names when it is loaded."""
    body = pickle.dumps(arguments, protocol=2)[2:-1]
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + body + b"R."


def in_torch_file(payload: bytes) -> bytes:
    """A file as torch.save writes it, around this pickle."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in (("data.pkl", payload), ("version", b"3\n"), ("byteorder", b"little")):
            archive.writestr(f"weights/{name}", content)
    return made.getvalue()


def in_npy(payload: bytes) -> bytes:
    """An npy of objects, around this pickle."""
    text = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}".ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + payload


def zipped(name: str, content: bytes = b"x", attributes: int = 0) -> bytes:
    """A zip of one member."""
    made = io.BytesIO()
    info = zipfile.ZipInfo("x")
    info.filename = info.orig_filename = name
    info.external_attr = attributes << 16
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(info, content)
    return made.getvalue()


def tarred(name: str, content: bytes = b"x", kind: bytes = tarfile.REGTYPE, target: str = "") -> bytes:
    """A tar of one member."""
    made = io.BytesIO()
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, len(content) if kind == tarfile.REGTYPE else 0
    with tarfile.open(fileobj=made, mode="w") as archive:
        archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


def safetensors(header: Any, data: bytes = b"") -> bytes:
    """A safetensors file of this header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def hdf5(fill: Callable[[Any], object]) -> bytes:
    """An HDF5 file, filled so."""
    import h5py

    made = io.BytesIO()
    with h5py.File(made, "w") as file:
        fill(file)
    return made.getvalue()


def _tensor_files() -> Iterator[tuple[str, bytes]]:
    entry = {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}
    for name in NAMES:
        if "/" in name or "\\" in name or ".." in name or "\0" in name or "\n" in name or len(name) > 255:
            yield f"name {name[:30]!r}", safetensors({name: entry}, b"ab")
    yield "header of 2^63 bytes", (2**63).to_bytes(8, "little") + b"{}"
    yield "shape of 2^62", safetensors({"a": entry | {"shape": [2**31, 2**31]}}, b"ab")
    yield "name twice", safetensors(b'{"a": ' + json.dumps(entry).encode() + b', "a": ' + json.dumps(entry).encode() + b"}", b"ab")
    yield "deep JSON", safetensors(b"[" * 500_000)
    yield "100 000 tensors that overlap", safetensors({f"t{index}": entry for index in range(100_000)}, b"ab")
    yield "number of 10 000 digits", safetensors(b'{"a": ' + b"9" * 10_000 + b"}")
    yield "pickle", pickled("os", "system", (f"touch {CANARY}",))


def _hdf5_files() -> Iterator[tuple[str, bytes]]:
    import h5py

    yield "external storage", hdf5(lambda file: file.create_dataset("x", (8,), "u1", external=[(CANARY, 0, 8)]))
    yield "external link", hdf5(lambda file: file.__setitem__("x", h5py.ExternalLink(CANARY, "/x")))
    yield "soft link", hdf5(lambda file: file.__setitem__("x", h5py.SoftLink("/y")))
    yield "2^50 values", hdf5(lambda file: file.create_dataset("x", (2**50,), "f8", chunks=(4,)))
    yield "chunk of 2^28", hdf5(lambda file: file.create_dataset("x", (4,), "u1", maxshape=(None,), chunks=(2**28,)))
    yield "texts", hdf5(lambda file: file.create_dataset("x", data=["=cmd()"], dtype=h5py.string_dtype()))

    def virtual(file: Any) -> None:
        layout = h5py.VirtualLayout((4,), "u1")
        layout[:] = h5py.VirtualSource(CANARY, "x", (4,))
        file.create_virtual_dataset("x", layout)

    yield "virtual", hdf5(virtual)


def _archives() -> Iterator[tuple[str, bytes]]:
    for name in NAMES:
        yield f"zip, name {name[:30]!r}", zipped(name)
        if "\0" not in name:  # a tar ends the name there
            yield f"tar, name {name[:30]!r}", tarred(name)
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE):
        yield f"tar, kind {kind!r}", tarred("x", kind=kind, target=CANARY)
    yield "zip, symlink", zipped("x", CANARY.encode(), 0o120777)
    yield "zip bomb", zipped("x", bytes(2**26))
    yield "tar bomb", tarred("x", bytes(2**26))


CONFIGURATIONS = [
    'model = "os:abort"',
    f'model = "builtins:open({CANARY})"',
    'model = "antigravity:x"',
    f'model = "{CANARY}"',
    'data = "../../etc"',
    f'data = "{CANARY}"',
    "seeds = [-1]",
    "seeds = [1e400]",
    'name = "../x"',
    'name = "<script>"',
    'name = "=1+1"',
    "threads = 99999999999",
    "timeout_s = nan",
    "version = 2",
    'procedure = "os.system"',
    "[[[[",
    "a = " + "[" * 100_000,
    "x = 1979-05-27",
    "é = 1",
    "\0",
    "name = " + "'" * 3,
]


STUDY = """version = 1
name = "x"
[defaults]
data = "digits"
procedure = "supervised"
training = {{ epochs = 1 }}
measures = ["accuracy"]
{}
[[trials]]
name = "t"
"""


def files() -> dict[str, list[tuple[str, Any]]]:
    """Every hostile file, by the reader that is to refuse it."""
    return {
        "weights": [(f"calls {module}.{name}", in_torch_file(pickled(module, name, words))) for module, name, words in CALLS]
        + [("bare pickle", pickled(*CALLS[0])), ("zip bomb", zipped("x/data.pkl", bytes(2**26)))],
        "npy": [(f"calls {module}.{name}", in_npy(pickled(module, name, words))) for module, name, words in CALLS]
        + [
            (
                "2^60 values",
                b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '<f8', 'fortran_order': False, 'shape': (1152921504606846976,)}".ljust(117) + b"\n",
            )
        ],
        "npz": [(f"calls {module}.{name}", zipped("x.npy", in_npy(pickled(module, name, words)))) for module, name, words in CALLS[:5]]
        + [("script", zipped("run.py", b"raise SystemExit"))],
        "tensors": list(_tensor_files()),
        "archive": list(_archives()),
        "hdf5": list(_hdf5_files()),
        "study": [(text[:40], STUDY.format(text)) for text in CONFIGURATIONS],
    }
