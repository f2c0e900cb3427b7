"""NIR graphs, by doubles of their nodes; real ones are in ``tests/peers/test_adopt.py``."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from spikequant.errors import SpecError
from spikequant.models import adopt

ONES = np.ones(2)


def node(kind: str, **fields: Any) -> Any:
    return type(kind, (), {"metadata": {}, **fields})()


def lif(**changed: Any) -> Any:
    fields = {"tau": 4e-4 * ONES, "r": 4 * ONES, "v_leak": 0 * ONES, "v_threshold": ONES, "v_reset": 0 * ONES, **changed}
    return node("LIF", **fields)


def graph(middle: Any, *edges: tuple[str, str]) -> Any:
    weight = np.array([[0.5, 0.0], [0.0, 0.25]])
    nodes = {
        "in": node("Input", input_type={"input": np.array([2])}),
        "fc": node("Linear", weight=weight),
        "neuron": middle,
        "out": node("Output"),
    }
    made = type("NIRGraph", (), {"__module__": "nir.ir.graph"})()
    made.nodes, made.edges = nodes, [("in", "fc"), ("fc", "neuron"), ("neuron", "out"), *edges]
    return made


def test_an_euler_step() -> None:
    """tau = 4 dt: the membrane loses a quarter; r = tau / dt lets all of the current in, r = 1 a quarter."""
    x = torch.tensor([[1.0, 1.0]])
    whole, quarter = adopt(graph(lif()), time=4), adopt(graph(lif(r=ONES)), time=12)
    assert whole.steps(x)[:, 0, 0].tolist() == [0, 0, 1, 0]  # 0.5, 0.875, 1.15625 fires, 0.5
    assert quarter(x * 4).tolist() == [[4.0, 0.0]]  # 0.5, 0.875, 1.156 fires: in each third step; the other ends at 1, not above it


def cuba(**changed: Any) -> Any:
    fields = {"tau_syn": 2e-4 * ONES, "tau_mem": 4e-4 * ONES, "r": 4 * ONES, "w_in": 2 * ONES, "v_leak": 0 * ONES, "v_reset": None}
    return node("CubaLIF", **{**fields, "v_threshold": ONES, **changed})


def test_an_euler_step_of_a_current() -> None:
    """tau_syn = 2 dt, w_in = 2: i halves and takes all of x; tau_mem = 4 dt, r = 4: v loses a quarter and takes all of i."""
    own = adopt(graph(cuba()), time=4)
    assert own.steps(torch.tensor([[0.5, 0.0]]))[:, 0, 0].tolist() == [0, 0, 0, 1]  # i .25, .375, .4375, .469; v .25, .5625, .859, 1.113
    fired = adopt(graph(cuba(v_threshold=0.8 * ONES)), time=4).steps(torch.tensor([[0.5, 0.0]]))[:, 0, 0]
    assert fired.tolist() == [0, 0, 1, 0]  # .859 fires; then v is i alone


def test_integrate_and_fire_above_the_threshold() -> None:
    own = adopt(graph(node("IF", r=1e4 * ONES, v_threshold=ONES, v_reset=0 * ONES)), time=3)
    assert own.steps(torch.tensor([[1.0, 4.0]]))[:, 0].tolist() == [[0, 0], [0, 1], [1, 0]]


def test_any_resistance_is_a_gain() -> None:
    """tau = 4 dt and r = 2: half of the current comes in, half of which is 0.25 beside a quarter's loss."""
    x = torch.tensor([[1.0, 1.0]])
    half = adopt(graph(lif(r=2 * ONES)), time=6)
    assert half.wiring.nodes[-1].args["gain"] == pytest.approx(0.5)
    assert half.steps(x * 2)[:, 0, 0].tolist() == [0, 0, 1, 0, 0, 1]  # 0.5, 0.875, 1.15625 fires
    fired = adopt(graph(node("IF", r=2e4 * ONES, v_threshold=ONES, v_reset=0 * ONES)), time=2).steps(x)[:, 0]
    assert fired.tolist() == [[0, 0], [1, 0]]  # 1 is not above 1; then 2


def test_time_constants_by_channel_are_kept() -> None:
    each = np.array([4e-4, 2e-4])
    own = adopt(graph(lif(tau=each, r=each / 1e-4)), time=3)
    assert (own.wiring.nodes[-1].args["decay"], own.wiring.nodes[-1].args["gain"]) == (pytest.approx([0.75, 0.5]), 1.0)
    assert own.steps(torch.tensor([[1.0, 3.0]]))[:, 0].tolist() == [[0, 0], [0, 1], [1, 0]]  # 0.5, 0.875, 1.156; 0.75, 1.125, 0.75
    current = adopt(graph(cuba(tau_syn=each / 2, tau_mem=each, r=each / 1e-4, w_in=each / 2e-4)), time=2).wiring.nodes[-1].args
    assert (current["synapse"], current["decay"], current["gain"]) == (pytest.approx([0.5, 0.0]), pytest.approx([0.75, 0.5]), 1.0)


def test_several_edges_are_a_sum() -> None:
    own = adopt(graph(lif(), ("in", "neuron")), time=3)
    assert [n.kind for n in own.wiring.nodes] == ["encode", "linear", "add", "lif"]
    assert own.steps(torch.tensor([[1.0, 0.0]]))[:, 0, 0].tolist() == [1, 1, 1]


def test_the_output_is_what_leads_to_the_output_node() -> None:
    summed = adopt(graph(lif(), ("fc", "out")), time=3)
    assert [(n.kind, n.inputs) for n in summed.wiring.nodes[2:]] == [("lif", ("fc",)), ("add", ("neuron", "fc"))]
    ended = graph(lif(), ("neuron", "probe"))
    ended.nodes["probe"] = node("Linear", weight=np.ones((3, 2)))
    assert adopt(ended, time=3).wiring == adopt(graph(lif()), time=3).wiring


def test_graphs_of_several_inputs_or_outputs_are_refused() -> None:
    for kind in ("Input", "Output"):
        several = graph(lif(), ("in", "more") if kind == "Output" else ("more", "neuron"))
        several.nodes["more"] = node(kind, input_type={"input": np.array([2])})
        with pytest.raises(SpecError, match=f"the graph .*: it has 2 nodes of the kind {kind}, must have 1"):
            adopt(several, time=3)


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (graph(node("LI")), r"neuron \(LI\) cannot be adopted: of NIR's nodes"),
        (graph(lif(), ("neuron", "fc")), "the graph has a cycle"),
        (graph(lif(r=2 * ONES, v_leak=0.5 * ONES)), "its v_leak is 0.5, must be 0 where tau differs .*, or r is neither 1 nor tau / dt"),
        (
            graph(lif(tau=np.array([4e-4, 2e-4]))),
            "what it makes of the current differs from channel to channel; that belongs into the weights",
        ),
        (graph(lif(tau=5e-5 * ONES)), "its tau is 0.5 steps"),
        (graph(cuba(tau_syn=5e-5 * ONES)), r"neuron \(CubaLIF\) cannot be adopted: its tau_syn is 0.5 steps"),
        (graph(cuba(v_leak=0.5 * ONES)), "its v_leak is 0.5, must be 0"),
        (graph(lif(v_leak=np.array([0.0, 1.0]))), "v_leak.*differs from channel to channel"),
        (graph(lif(metadata={"reset": "subtract"})), "its metadata asks for reset 'subtract'"),
        (graph(node("IF", r=np.array([1e4, 2e4]), v_threshold=ONES, v_reset=0 * ONES)), "what it makes of the current differs"),
        (graph(node("Linear", weight=np.ones((2, 2, 2)))), "its weight has 3 axes"),
    ],
)
def test_refuses(made: Any, reason: str) -> None:
    with pytest.raises(SpecError, match=reason):
        adopt(made, time=2)


def test_thresholds_by_channel_are_kept() -> None:
    own = adopt(graph(lif(v_threshold=np.array([0.5, 2.0]))), time=2)
    assert own.wiring.nodes[-1].args["threshold"] == [0.5, 2.0]
    with pytest.raises(SpecError, match="dt must be above 0"):
        adopt(graph(lif()), time=2, dt=0.0)


def test_pools_and_flatten() -> None:
    from spikequant.models.adopt.graphs import NODES

    shape = {"input_type": {"input": np.array([1, 4, 4])}}
    assert NODES["Flatten"]("f", node("Flatten", start_dim=0, end_dim=-1, **shape), 1.0).kind == "flatten"
    windows = {"kernel_size": np.array([2, 2]), "stride": np.array([2, 2]), "padding": np.array([0, 0])}
    assert NODES["SumPool2d"]("p", node("SumPool2d", **windows), 1.0).args == {"size": [2, 2], "stride": [2, 2]}
    assert NODES["AvgPool2d"]("p", node("AvgPool2d", **windows), 1.0).args == {name: list(value) for name, value in windows.items()}
    with pytest.raises(SpecError, match="only windows without padding can be"):
        NODES["SumPool2d"]("p", node("SumPool2d", **{**windows, "padding": np.array([1, 1])}), 1.0)
    with pytest.raises(SpecError, match="all must be joined"):
        NODES["Flatten"]("f", node("Flatten", start_dim=2, end_dim=-1, **shape), 1.0)
    conv = SimpleNamespace(weight=np.ones((4, 1, 3, 3)), bias=np.zeros(4), stride=1, padding="same", dilation=1, groups=2)
    args = NODES["Conv2d"]("c", conv, 1.0).args
    assert (args["in_channels"], args["stride"], args["padding"]) == (2, [1, 1], "same")
