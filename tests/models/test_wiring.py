import json

import pytest

from spikequant.errors import SpecError
from spikequant.models import Node, Wiring, chain
from spikequant.models.wiring import KINDS

STEM = chain(
    ("encode", "encode", {}), ("conv1", "conv2d", {"in_channels": 1, "out_channels": 2, "kernel_size": 3}), ("lif1", "lif", {"decay": 0.5})
)


def wiring(*more: Node, **changed: object) -> Wiring:
    fields = {"name": "small", "time": 2, "input_shape": (1, 4, 4), "readout": "mean", "nodes": (*STEM, *more)}
    return Wiring(**{**fields, **changed})


def test_chain_feeds_each_node_to_the_next() -> None:
    assert [(node.name, node.inputs) for node in STEM] == [("encode", ("input",)), ("conv1", ("encode",)), ("lif1", ("conv1",))]


def test_nodes_of_a_kind() -> None:
    assert [node.name for node in wiring().of_kind("lif", "encode")] == ["encode", "lif1"]


def test_is_data() -> None:
    held = wiring(Node(name="sum", kind="add", inputs=("lif1", "conv1")))
    assert Wiring.read(json.loads(json.dumps(held.fields()))) == held
    with pytest.raises(Exception, match="frozen"):
        held.time = 3  # type: ignore[misc]


def test_nodes_share_no_arguments() -> None:
    first, second = (Node(name=name, kind="flatten", inputs=("lif1",)) for name in "ab")
    assert first.args == {}
    assert first.args is not second.args


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (Node(name="conv2", kind="con2d", inputs=("lif1",)), r"node 'conv2': unknown kind of node 'con2d': .*; did you mean 'conv2d'\?"),
        (Node(name="flat", kind="flatten", inputs=("lif2",)), r"node 'flat': its input 'lif2' is no earlier node; did you mean 'lif1'\?"),
        (Node(name="flat", kind="flatten", inputs=("flat",)), "node 'flat': its input 'flat' is no earlier node"),
        (Node(name="flat", kind="flatten", inputs=("lif1", "conv1")), "node 'flat': flatten takes 1 inputs, got 2"),
        (Node(name="sum", kind="add", inputs=("lif1",)), "node 'sum': add takes 2 inputs, got 1"),
        (Node(name="lif1", kind="flatten", inputs=("lif1",)), "node 'lif1': the name is taken"),
        (Node(name="input", kind="flatten", inputs=("lif1",)), "node 'input': the name is taken"),
        (Node(name="lambda", kind="flatten", inputs=("lif1",)), "node 'lambda': the name is taken"),
    ],
)
def test_refuses_a_node(node: Node, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        wiring(node)


def test_refuses_a_cycle() -> None:
    nodes = [Node(name="a", kind="add", inputs=("input", "b")), Node(name="b", kind="flatten", inputs=("a",))]
    with pytest.raises(SpecError, match="node 'a': its input 'b' is no earlier node"):
        wiring(nodes=tuple(nodes))


@pytest.mark.parametrize("name", ["", "Conv", "1conv", "conv.1", "a b", "a" * 65, "__class__"])
def test_refuses_a_name(name: str) -> None:
    with pytest.raises(SpecError, match=r"Node\.name: must .*, got"):
        Node(name=name, kind="flatten", inputs=("input",))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("time", 0, "nearest valid value: 1"),
        ("time", 10**6, "nearest valid value: 100000"),
        ("time", 2.5, "valid integer"),
        ("input_shape", (), "1 or more items"),
        ("input_shape", (1, 0), "nearest valid value: 1"),
        ("input_shape", (1, 1, 1, 1, 1), "at most 4 items"),
        ("readout", "sum", "'count', 'mean' or 'votes'"),
        ("nodes", (), "1 or more items"),
        ("version", 2, "must be 1, got 2"),
        ("nods", (), "no such field; did you mean 'nodes'"),
    ],
)
def test_refuses_a_field(field: str, value: object, message: str) -> None:
    with pytest.raises(SpecError, match=rf"Wiring\.{field}.*{message}"):
        wiring(**{field: value})


@pytest.mark.parametrize("text", ['{"name": NaN}', '{"nodes": null}', '{"nodes": [[[[]]]]}', "{}"])
def test_refuses_hostile_data(text: str) -> None:
    with pytest.raises(SpecError, match="Wiring"):
        Wiring.read(json.loads(text))


def test_only_additions_take_two_inputs() -> None:
    assert {kind for kind, inputs in KINDS.items() if inputs != 1} == {"add"}
