import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from spikequant.deploy.onnx.graph import Graph, halved


def computed(g: Graph, x: np.ndarray, y: str) -> np.ndarray:
    """What a graph of one int32 input ``x`` gives for ``y``."""
    value = helper.make_tensor_value_info("x", TensorProto.INT32, list(x.shape))
    graph = helper.make_graph(g.nodes, "test", [value], [helper.make_tensor_value_info(y, TensorProto.INT32, list(x.shape))], g.constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    made.ir_version = 10
    onnx.checker.check_model(made)
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run([y], {"x": x.astype(np.int32)})[0]


def test_halved_is_a_shift_to_the_floor() -> None:
    g, x = Graph(), np.arange(-300, 301)
    assert np.array_equal(computed(g, x, halved(g, "x", 3)), x >> 3)


def test_a_constant_is_held_once_by_all_scopes() -> None:
    g = Graph()
    assert g.constant([1, 2]) == g.inner().constant([1, 2]) != g.constant([1, 2], np.int64)
    assert len(g.constants) == 2


def test_nibbles_are_four_bits_and_give_back_their_values() -> None:
    g, w = Graph(), np.arange(-8, 8)
    y = g("Add", "x", g.cast(g.nibbles(w), TensorProto.INT32))
    assert np.array_equal(computed(g, np.zeros(16), y), w)
    assert g.constants[0].data_type == TensorProto.INT4
    assert len(g.constants[0].raw_data or bytes(list(g.constants[0].int32_data))) == 8
