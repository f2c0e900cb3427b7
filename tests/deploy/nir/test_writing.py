import sys

import h5py
import nir
import numpy as np
import pytest
import torch

from spikequant.deploy import Program, lower
from spikequant.deploy.nir import READERS, read_nir
from spikequant.deploy.operations import Add
from spikequant.deploy.program import Header
from spikequant.errors import FormatError, SpecError
from spikequant.models import Network, Wiring
from spikequant.models.wiring import chain
from spikequant.recipes import Recipe, quantize


@pytest.mark.parametrize("reader", sorted(READERS))
def test_the_file_gives_the_program_back(reader: str, expressible: Program, images: np.ndarray, tmp_path) -> None:
    written = expressible.write_nir(tmp_path / "net.nir", images, reader)
    assert written.bytes == (tmp_path / "net.nir").stat().st_size
    assert read_nir(tmp_path / "net.nir").hash == expressible.hash
    graph = nir.read(tmp_path / "net.nir")
    assert {name: type(node).__name__ for name, node in graph.nodes.items()} == {
        "input": "Input", "conv1": "Conv2d", "lif1": "LIF", "conv2": "Conv2d", "lif2": "LIF",
        "ors_pool": READERS[reader].pool, "ors": "LIF",
        "sums": READERS[reader].pool, "flat": "Flatten", "dense": "Affine", "lif3": "LIF", "output": "Output",
    }  # fmt: skip
    lif = graph.nodes["lif1"]
    assert np.allclose(lif.tau, 4 * READERS[reader].dt)
    assert np.allclose(lif.r, 4 if READERS[reader].heeds_r else 1)
    assert graph.nodes["conv1"].weight.dtype == np.float32


def test_groups_become_zeros(tmp_path) -> None:
    """nir's check of types refuses a convolution in groups; what reads the file fires as the program."""
    torch.manual_seed(0)
    conv = {"in_channels": 4, "out_channels": 4, "kernel_size": 3, "groups": 2}
    first = ("first", "conv2d", {"in_channels": 1, "out_channels": 4, "kernel_size": 1})
    neurons = [(f"lif{n}", "lif", {"decay": 0.9, "threshold": 0.1, "reset": "value"}) for n in range(2)]
    nodes = chain(("encode", "encode", {}), first, neurons[0], ("conv", "conv2d", conv), neurons[1])
    network = Network(Wiring(name="n", time=4, input_shape=(1, 5, 5), readout="count", nodes=nodes))
    batch = [(torch.rand(4, 1, 5, 5), torch.zeros(4))]
    program = lower(quantize(network, Recipe.integer(), batch))
    written = program.write_nir(tmp_path / "net.nir", batch[0][0], "snntorch")
    assert read_nir(tmp_path / "net.nir").hash == program.hash
    weight = nir.read(tmp_path / "net.nir").nodes["conv"].weight
    assert weight.shape == (4, 4, 3, 3)
    assert not weight[:2, 2:].any()
    assert not weight[2:, :2].any()
    assert weight[:2, :2].any()
    assert weight[2:, 2:].any()
    assert written.bytes


def test_edges_that_meet_are_a_sum(residual: Program, tmp_path) -> None:
    operations = [op for op in residual.header.operations if op.name != "ors"]
    flat = next(index for index, op in enumerate(operations) if op.name == "flat")
    operations[flat] = operations[flat].model_copy(update={"inputs": ("sums",)})
    tensors = residual.tensors | {"dense.weight": np.ones((5, 32), np.int64)}
    Program(residual.header.model_copy(update={"operations": tuple(operations)}), tensors).write_nir(tmp_path / "net.nir")
    assert {("lif1", "sums"), ("lif2", "sums")} <= set(nir.read(tmp_path / "net.nir").edges)


def test_names_that_are_nirs_own_are_left_to_it(expressible: Program, tmp_path) -> None:
    """The last neurons are called as NIR's output, the first as the pool before the or-pool's neurons."""
    header = expressible.header.model_dump_json().replace('"lif3"', '"output"').replace('"lif1"', '"ors_pool"')
    tensors = {name.replace("lif3.", "output.").replace("lif1.", "ors_pool."): value for name, value in expressible.tensors.items()}
    program = Program(Header.model_validate_json(header), tensors)
    program.write_nir(tmp_path / "net.nir")
    assert read_nir(tmp_path / "net.nir").hash == program.hash
    edges = nir.read(tmp_path / "net.nir").edges
    assert {("ors_pool", "conv2"), ("ors_pool_", "ors"), ("dense", "output_"), ("output_", "output")} <= set(edges)


def test_a_value_added_to_itself_is_refused(expressible: Program, tmp_path) -> None:
    add = Add(name="twice", inputs=("lif1", "lif1"))
    conv1, lif1, conv2, *rest = expressible.header.operations
    operations = (conv1, lif1, add, conv2.model_copy(update={"inputs": ("twice",)}), *rest)
    program = Program(expressible.header.model_copy(update={"operations": operations}), expressible.tensors)
    with pytest.raises(SpecError, match="twice: NIR has one edge between two nodes"):
        program.write_nir(tmp_path / "net.nir")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_read_is_not_written(expressible: Program, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("spikequant.deploy.nir.writing._bytes", lambda graph: b"no HDF5")
    with pytest.raises(FormatError, match="bears no sound program"):
        expressible.write_nir(tmp_path / "net.nir")
    assert not list(tmp_path.iterdir())


def test_a_changed_integer_is_refused(expressible: Program, tmp_path) -> None:
    expressible.write_nir(tmp_path / "net.nir")
    with h5py.File(tmp_path / "net.nir", "r+") as file:
        found: list[str] = []
        file.visit(lambda name: found.append(name) if name.endswith("tensor:conv1.weight") else None)
        file[found[0]][0, 0, 0, 0] += 1
    with pytest.raises(FormatError, match="does not fit its hash"):
        read_nir(tmp_path / "net.nir")


@pytest.mark.parametrize("content", [b"", b"no HDF5"])
def test_a_damaged_file_is_refused(content: bytes, tmp_path) -> None:
    (tmp_path / "net.nir").write_bytes(content)
    with pytest.raises(FormatError, match="bears no sound program"):
        read_nir(tmp_path / "net.nir")


def test_an_unknown_reader_and_a_missing_extra_are_said(expressible: Program, tmp_path, monkeypatch) -> None:
    with pytest.raises(SpecError, match="unknown reader 'sinabs'"):
        expressible.write_nir(tmp_path / "net.nir", reader="sinabs")
    monkeypatch.setitem(sys.modules, "spikequant.deploy.nir", None)
    with pytest.raises(SpecError, match=r"pip install 'spikequant\[nir\]'"):
        expressible.write_nir(tmp_path / "net.nir")
    assert not list(tmp_path.iterdir())
