import json
import sys
from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest

from spikequant.deploy import Program
from spikequant.deploy.c.vectors import drawn
from spikequant.deploy.onnx import check_onnx
from spikequant.deploy.onnx.writing import model
from spikequant.deploy.verifying import in_onnxruntime, verify
from spikequant.errors import FormatError, MismatchError, SpecError


def test_whole_numbers_only_in_one_scan(residual: Program, tmp_path) -> None:
    written = residual.write_onnx(tmp_path / "net.onnx")
    assert written.bytes == (tmp_path / "net.onnx").stat().st_size
    proto = onnx.load(tmp_path / "net.onnx")
    (scan,) = [node for node in proto.graph.node if node.op_type == "Scan"]
    body = onnx.helper.get_node_attr_value(scan, "body")
    kinds = {node.op_type for node in (*proto.graph.node, *body.node)}
    assert not {kind for kind in kinds if "Linear" in kind or kind in ("MatMul", "Conv")}
    assert {"ConvInteger", "MatMulInteger"} <= kinds
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16)
    assert not any(constant.data_type in floats for constant in proto.graph.initializer)
    # The image stands still: its convolution is computed once.
    assert sum(node.op_type == "ConvInteger" for node in proto.graph.node) == 1
    assert (len(proto.graph.node), len(body.node)) == (written.nodes, written.body_nodes)
    assert proto.opset_import[0].version == 21


def test_any_batch_gives_the_programs_scores(residual: Program, tmp_path) -> None:
    residual.write_onnx(tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    images = np.random.default_rng(1).integers(-127, 128, (7, 1, 8, 8))
    assert np.array_equal(session.run(None, {"input": images.astype(np.int8)})[0], residual.run(images))


def test_the_file_bears_hash_and_header_and_is_checked(residual: Program, tmp_path) -> None:
    residual.write_onnx(tmp_path / "net.onnx")
    props = {entry.key: entry.value for entry in onnx.load(tmp_path / "net.onnx").metadata_props}
    assert props["spikequant.hash"] == residual.hash == check_onnx(tmp_path / "net.onnx")
    assert json.loads(props["spikequant.header"]) == residual.header.fields()


def test_another_program_under_these_vectors_is_seen(residual: Program, tmp_path, monkeypatch) -> None:
    other = Program(residual.header, residual.tensors | {"lif3.threshold": np.full(5, 31)})
    monkeypatch.setattr("spikequant.deploy.onnx.writing.model", lambda program, trace: model(other, trace))
    with pytest.raises(MismatchError, match="gives other scores"):
        residual.write_onnx(tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x0a"])
def test_a_damaged_file_is_refused(content: bytes, tmp_path) -> None:
    (tmp_path / "net.onnx").write_bytes(content)
    with pytest.raises(FormatError, match=r"net\.onnx is no ONNX model of this project"):
        check_onnx(tmp_path / "net.onnx")


def test_images_whose_spikes_are_drawn_give_vectors(competing: Program, tmp_path) -> None:
    competing.write_onnx(tmp_path / "net.onnx", np.random.default_rng(0).random((7, 1, 3, 3)))
    props = {entry.key: entry.value for entry in onnx.load(tmp_path / "net.onnx").metadata_props}
    assert json.loads(props["spikequant.vectors"])["shape"] == [6, 4, 1, 3, 3]


def test_scores_beyond_32_bits_are_refused(summing: Callable[..., Program]) -> None:
    with pytest.raises(SpecError, match="beyond 32 bits"):
        model(summing(16, 40))


@pytest.mark.parametrize("absent", ["onnx", "onnxruntime"])
def test_without_the_extra_the_way_to_it_is_said(residual: Program, tmp_path, monkeypatch, absent: str) -> None:
    for name in [name for name in sys.modules if name.startswith("spikequant.deploy.onnx")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(SpecError, match=rf"ONNX needs {absent}, which is not installed: pip install 'spikequant\[onnx\]'"):
        residual.write_onnx(tmp_path / "net.onnx")
    with pytest.raises(SpecError, match=rf"ONNX needs {absent}"):
        verify(residual, drawn(residual, 1), {"onnx": in_onnxruntime})
