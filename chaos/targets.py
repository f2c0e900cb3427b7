"""The readers under attack, each with sound examples and the damage done to them."""

import io
import json
import os
import struct
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import tomli_w
import torch

from chaos.confined import Target
from chaos.mutations import damaged_bytes, damaged_safetensors, damaged_text, damaged_tree, json_text
from spikequant import archives, tensorfile
from spikequant.data import cifar, hdf5_worker, idx, read_npy, read_npz
from spikequant.deploy import container
from spikequant.deploy.operations import Conv2d, Dense, Flatten, Leak, Lif, SumPool
from spikequant.deploy.program import Header, Program, Source
from spikequant.errors import DataError, FormatError, MismatchError, SpecError
from spikequant.models import Wiring, build, read_weights
from spikequant.quantizers import LQNet, Uniform
from spikequant.recipes import Recipe, attach, load, save, store
from spikequant.studies import Session, planning
from spikequant.studies.planning import plan

Tree = dict[str, Any]


def _scratch() -> Path:
    """A folder of this process, in memory where there is one."""
    return Path(tempfile.mkdtemp(prefix="chaos-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))


@lru_cache
def _folder(pid: int) -> Path:
    return _scratch()


def _file(content: bytes, name: str) -> Path:
    path = _folder(os.getpid()) / name
    path.write_bytes(content)
    return path


@lru_cache
def tensors() -> bytes:
    """A small sound safetensors file."""
    values = {
        "conv.weight": torch.arange(18.0).reshape(2, 1, 3, 3),
        "conv.bias": torch.zeros(2),
        "fc.codes": torch.ones(4, dtype=torch.int8),
    }
    return tensorfile.content_of(values, {"document": json.dumps({"format": "chaos", "version": 1})})


@lru_cache
def program() -> bytes:
    """A small sound integer program."""
    operations = (
        Conv2d(name="conv1", inputs=("input",), bits=4, channels=2, kernel=(3, 3), padding=(1, 1)),
        Lif(name="lif1", inputs=("conv1",), state_bits=8, leak=Leak(kind="multiply_shift", multiplier=192, shift=8)),
        SumPool(name="sums", inputs=("lif1",), size=(4, 4), stride=(4, 4)),
        Flatten(name="flat", inputs=("sums",)),
        Dense(name="dense", inputs=("flat",), bits=3, features=3),
    )
    header = Header(name="small", time=2, source=Source(shape=(1, 8, 8), low=-127, high=127, step=1 / 127), operations=operations)
    draw = np.random.default_rng(3)
    values = {
        "conv1.weight": draw.integers(-7, 8, (2, 1, 3, 3)),
        "conv1.bias": draw.integers(-9, 10, 2),
        "lif1.threshold": np.array([60, 90]),
    }
    values |= {"dense.weight": draw.integers(-4, 4, (3, 8)), "dense.bias": np.arange(3)}
    return container.to_bytes(Program(header, values))


def damaged_program(random: Random) -> bytes:
    """A program damaged as a tensor file, or in the document within its metadata."""
    content = program()
    if random.random() < 0.4:
        return damaged_safetensors(random, content)
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    document = damaged_tree(random, json.loads(header["__metadata__"]["program"]))
    header["__metadata__"]["program"] = json.dumps(document, sort_keys=True, separators=(",", ":"))
    text = json.dumps(header, separators=(",", ":")).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


@lru_cache
def _model() -> tuple[Tree, bytes]:
    network = build("digits", seed=0)
    attach(network, Recipe(weights=Uniform(bits=4, low=-1.0, high=1.0), state=Uniform(bits=4, low=-1.0, high=1.0)))
    folder = _scratch()
    save(network, folder)
    return json.loads((folder / "model.json").read_text()), (folder / "model.safetensors").read_bytes()


def damaged_model(random: Random) -> tuple[bytes, bytes]:
    """A saved network with damage in its document or tensors, mostly sealed again: a hash protects from accidents, not from malice."""
    document, content = _model()
    if random.random() < 0.3:
        content = damaged_safetensors(random, content)
    else:
        document = damaged_tree(random, document)
    if random.random() < 0.9 and isinstance(document, dict):
        document = document | {"sha256": store._seal(document, content)}
    return json_text(random, document), content


def read_model(malformed: tuple[bytes, bytes]) -> None:
    """Load it from a folder."""
    _file(malformed[0], "model.json")
    load(_file(malformed[1], "model.safetensors").parent)


def damaged_record_of(content: Callable[[], bytes]) -> Callable[[Random], bytes]:
    """Byte damage to one sound example."""
    return lambda random: damaged_bytes(random, content())


@lru_cache
def npz() -> bytes:
    """A small sound npz."""
    made = io.BytesIO()
    np.savez_compressed(made, x=np.arange(12, dtype=np.uint8).reshape(3, 4), y=np.arange(3, dtype=np.float32))
    return made.getvalue()


def damaged_npz(random: Random) -> bytes:
    """An npz damaged as a zip, or with a damaged npy inside a sound zip."""
    if random.random() < 0.5:
        return damaged_bytes(random, npz())
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(random.choice(("x.npy", "../x.npy", "x", "x.npy\0.txt")), damaged_npy(random))
    return made.getvalue()


def damaged_npy(random: Random) -> bytes:
    """An npy damaged in its bytes, or with another header."""
    made = io.BytesIO()
    np.save(made, np.arange(12, dtype=np.int16).reshape(3, 4))
    content = made.getvalue()
    if random.random() < 0.5:
        return damaged_bytes(random, content)
    header = damaged_tree(random, {"descr": "<i2", "fortran_order": False, "shape": [3, 4]})
    text = (str(header).replace("[", "(").replace("]", ",)") if random.random() < 0.7 else damaged_text(random, str(header))).encode()
    return b"\x93NUMPY" + random.choice((b"\1\0", b"\2\0", b"\3\0")) + struct.pack("<H", len(text) % 65536) + text + content[128:]


def damaged_archive(random: Random) -> bytes:
    """A zip, tar or tar.gz damaged in its bytes."""
    return damaged_bytes(random, random.choice(_archives()))


@lru_cache
def _archives() -> tuple[bytes, ...]:
    found = []
    for mode in ("w", "w:gz"):
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode=mode) as archive:
            for name in ("Train/0/1.bin", "Train/1/2.bin"):
                info = tarfile.TarInfo(name)
                info.size = 40
                archive.addfile(info, io.BytesIO(bytes(range(40))))
        found.append(made.getvalue())
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("Train/0/1.bin", bytes(range(40)))
        archive.writestr("Train/1/2.bin", bytes(100))
    return (*found, made.getvalue())


def read_archive(malformed: bytes) -> None:
    """All members."""
    for _ in archives.members(malformed, 2**20, DataError):
        pass


@lru_cache
def _hdf5() -> tuple[bytes, ...]:
    import h5py

    found = []
    for compression in (None, "gzip", "lzf"):
        made = io.BytesIO()
        with h5py.File(made, "w") as file:
            for name, dtype in (("spikes/times", np.float16), ("spikes/units", np.uint16)):
                rows = file.create_dataset(name, (4,), dtype=h5py.vlen_dtype(dtype))
                for index in range(4):
                    rows[index] = np.arange(5 * index + 2)
            chunks = (8,) if compression else None
            file.create_dataset("labels", data=np.arange(40, dtype=np.uint16), compression=compression, chunks=chunks)
        found.append(made.getvalue())
    return tuple(found)


def read_hdf5(malformed: bytes) -> None:
    """What the worker does; there every exception is an answer, and its crash is the answer of its caller."""
    try:
        hdf5_worker.read(io.BytesIO(malformed), ["spikes/times", "spikes/units", "labels"], 2**24)
    except Exception as error:
        raise DataError(str(error) or type(error).__name__) from None


@lru_cache
def _weights() -> bytes:
    made = io.BytesIO()
    torch.save({"fc.weight": torch.arange(6.0).reshape(2, 3), "fc.bias": torch.zeros(2)}, made)
    return made.getvalue()


def damaged_weights(random: Random) -> bytes:
    """A .pt damaged in its bytes, or in the pickle inside a sound zip."""
    if random.random() < 0.3:
        return damaged_bytes(random, _weights())
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(_weights())) as source, zipfile.ZipFile(made, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            target.writestr(name, damaged_bytes(random, content) if name.endswith("data.pkl") else content)
    return made.getvalue()


IDX = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 3]) + bytes(18)
CIFAR = bytes([7] + 3072 * [255])

RECIPE = """version = 1
weights = { kind = "lqnet", bits = 4 }
state = { kind = "uniform", bits = 4, low = -2.5, high = 3.0 }
first = "float"
[overrides."conv*"]
weights = { kind = "fixed_point", integer = 1, fraction = 6, rounding = "nearest" }
[overrides."readout"]
biases = { kind = "uniform", bits = 8, low = -1.0, high = 1.0, levels_at = "twos" }
"""

STUDY = (Path(planning.__file__).parent / "shipped" / "digits-smoke.toml").read_text()


@lru_cache
def _session() -> Tree:
    recipe = Recipe(weights=LQNet(bits=2), state=Uniform(bits=4, low=0.0, high=1.0)).fields()
    return {
        "model": "digits",
        "data": "digits",
        "training": {"epochs": 2, "lr": 1e-3},
        "batch_size": 64,
        "validation": 0.1,
        "recipe": recipe,
    }


def damaged_toml(text: str) -> Callable[[Random], str]:
    """A TOML text damaged as text, or as the tree that it stands for."""
    tree = tomllib.loads(text)

    def make(random: Random) -> str:
        if random.random() < 0.5:
            try:
                return tomli_w.dumps(damaged_tree(random, tree))
            except (TypeError, AttributeError, ValueError, UnicodeError):
                pass  # TOML cannot say it: damage the text
        if random.random() < 0.002:
            return f"weights = {random.choice(('[', '{a=')) * random.choice((900, 100_000))}"
        return damaged_text(random, text)

    return make


def _files(*documented: type[BaseException]) -> Any:
    return documented or (FormatError,)


TENSOR_TARGETS = (
    Target("tensors", lambda random: damaged_safetensors(random, tensors()), lambda content: tensorfile.read(content, "net"), _files()),
    Target("program", damaged_program, container.from_bytes, _files()),
    Target("model", damaged_model, read_model, _files(FormatError, MismatchError)),
)
DATA_TARGETS = (
    Target("npz", damaged_npz, read_npz, _files(DataError)),
    Target("npy", damaged_npy, read_npy, _files(DataError)),
    Target("idx", damaged_record_of(lambda: IDX), lambda content: idx.parse(content, 3), _files(DataError)),
    Target("cifar", damaged_record_of(lambda: CIFAR), lambda content: cifar.parse(content, (10,)), _files(DataError)),
    Target("archive", damaged_archive, read_archive, _files(DataError)),
    Target("hdf5", lambda random: damaged_bytes(random, random.choice(_hdf5())), read_hdf5, _files(DataError), contained=True),
    Target("weights", damaged_weights, lambda content: read_weights(_file(content, "w.pt"), 2**24), _files()),
)
CONFIGURATION_TARGETS = (
    Target("recipe", damaged_toml(RECIPE), Recipe.from_toml, _files(SpecError)),
    Target("session", lambda random: damaged_tree(random, _session()), lambda tree: Session.read(tree), _files(SpecError)),
    Target(
        "study",
        damaged_toml(STUDY),
        lambda text: plan(str(_file(text.encode("utf-8", "replace"), "study.toml"))),
        _files(SpecError, DataError),
    ),
    Target(
        "wiring", lambda random: damaged_tree(random, build("digits").wiring.fields()), lambda tree: Wiring.read(tree), _files(SpecError)
    ),
)
KINDS = {"tensor": TENSOR_TARGETS, "data": DATA_TARGETS, "configuration": CONFIGURATION_TARGETS}
TARGETS = {target.name: target for targets in KINDS.values() for target in targets}
