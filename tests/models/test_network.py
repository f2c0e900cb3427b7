import copy
import weakref

import pytest
import torch
from torch import Tensor, nn

from spikequant.errors import MismatchError, SpecError
from spikequant.models import Network, Node, Wiring, build, chain
from spikequant.neurons import LIF, spiking

CONV = {"kernel_size": 3, "padding": 1, "bias": False}


def wired(*nodes: Node, time: int = 5, shape: tuple[int, ...] = (1, 6, 6), readout: str = "mean") -> Network:
    return Network(Wiring(name="small", time=time, input_shape=shape, readout=readout, nodes=nodes))  # type: ignore[arg-type]


def residual(encoding: str = "direct") -> Network:
    """Two spiking convolutions with a skip over the second, on weights whose sums are exact in float32."""
    nodes = (
        *chain(
            ("encode", "encode", {"encoding": encoding}),
            ("conv1", "conv2d", {"in_channels": 1, "out_channels": 4, **CONV}),
            ("norm1", "batch_norm", {"channels": 4, "eps": 0.25}),
            ("lif1", "lif", {"decay": 0.5}),
            ("conv2", "conv2d", {"in_channels": 4, "out_channels": 4, **CONV}),
            ("lif2", "lif", {"tau": 2.0, "reset": "value"}),
        ),
        Node(name="sum", kind="add", inputs=("lif2", "lif1")),
        Node(name="pool", kind="sum_pool", inputs=("sum",), args={"size": 2}),
        Node(name="flatten", kind="flatten", inputs=("pool",)),
        Node(name="readout", kind="linear", inputs=("flatten",), args={"in_features": 36, "out_features": 3}),
    )
    network = wired(*nodes).eval()
    generator = torch.Generator().manual_seed(0)
    for name, parameter in network.named_parameters():
        if not name.startswith("norm"):
            parameter.data = torch.randint(-4, 8, parameter.shape, generator=generator) / 8
    network.norm1.running_var.fill_(0.75)
    return network


def images(count: int = 3) -> Tensor:
    return torch.randint(0, 9, (count, 1, 6, 6), generator=torch.Generator().manual_seed(1)) / 8


def naive(network: Network, steps: Tensor) -> Tensor:
    """Every node at every time step, one after the other, the neurons' membranes handed on."""
    membranes: dict[str, Tensor] = {}
    outputs = []
    for x in steps:
        values = {"input": x}
        for node in network.wiring.nodes:
            inputs = [values[source] for source in node.inputs]
            module = network.get_submodule(node.name)
            if isinstance(module, LIF):
                spikes, membranes[node.name] = module.scan(inputs[0].unsqueeze(0), membranes.get(node.name))
                values[node.name] = spikes[0]
            elif node.kind == "add":
                values[node.name] = inputs[0] + inputs[1]
            else:
                values[node.name] = inputs[0] if node.kind == "encode" else module(inputs[0])
        outputs.append(values[network.wiring.nodes[-1].name])
    return torch.stack(outputs)


def test_folded_time_equals_a_loop_over_steps() -> None:
    network, x = residual(), images()
    folded = network.steps(x)
    assert folded.shape == (5, 3, 3)
    assert folded.equal(naive(network, x.expand(5, *x.shape)))
    assert not folded[0].equal(folded[1])


@pytest.mark.parametrize("encoding", ["events", "rate"])
def test_folded_time_equals_a_loop_over_steps_of_a_sequence(encoding: str) -> None:
    network = residual(encoding)
    x = torch.stack([images(), images().flip(0), torch.zeros(3, 1, 6, 6)]) if encoding == "events" else images()
    steps = network.encode(x, network.wiring.time)
    assert steps.shape[0] == (3 if encoding == "events" else 5)
    assert network.steps(x).equal(naive(network, steps))


@pytest.mark.parametrize("name", ["digits", "squat-fmnist"])
def test_built_networks_equal_a_loop_over_steps(name: str) -> None:
    network = build(name, time=3).eval()
    generator = torch.Generator().manual_seed(2)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 0.0
        elif isinstance(module, nn.Conv2d | nn.Linear):
            module.weight.data = torch.randint(-4, 6, module.weight.shape, generator=generator) / 8
            if module.bias is not None:
                module.bias.data = torch.randint(-4, 4, module.bias.shape, generator=generator) / 8
    x = torch.randint(0, 9, (2, *network.wiring.input_shape), generator=generator) / 8
    expected = naive(network, x.expand(3, *x.shape))
    assert network.steps(x).equal(expected)
    assert expected.any()


def test_readout_is_the_mean_or_the_count() -> None:
    nodes = chain(("encode", "encode", {}), ("lif", "lif", {"decay": 1.0}))
    x = torch.tensor([[0.5, 1.0]])
    assert wired(*nodes, time=4, shape=(2,), readout="count")(x).tolist() == [[2.0, 4.0]]
    assert wired(*nodes, time=4, shape=(2,), readout="mean")(x).tolist() == [[0.5, 1.0]]


def test_a_residual_adds_spikes() -> None:
    nodes = (
        *chain(("encode", "encode", {}), ("first", "lif", {"decay": 1.0}), ("second", "lif", {"decay": 1.0, "threshold": 2.0})),
        Node(name="sum", kind="add", inputs=("first", "second")),
    )
    # 1 at every step, and 1 at every second step.
    assert wired(*nodes, time=4, shape=(1,)).steps(torch.ones(1, 1)).flatten().tolist() == [1, 2, 1, 2]


def test_an_addition_of_a_still_and_a_moving_value() -> None:
    nodes = (*chain(("encode", "encode", {}), ("lif", "lif", {"decay": 1.0})), Node(name="sum", kind="add", inputs=("encode", "lif")))
    assert wired(*nodes, time=3, shape=(1,)).steps(torch.full((1, 1), 0.5)).flatten().tolist() == [0.5, 1.5, 0.5]


def test_a_value_added_to_itself() -> None:
    nodes = (*chain(("encode", "encode", {}), ("lif", "lif", {"decay": 1.0})), Node(name="sum", kind="add", inputs=("lif", "lif")))
    assert wired(*nodes, time=2, shape=(1,)).steps(torch.ones(1, 1)).flatten().tolist() == [2, 2]


def seen_batches(network: Network, x: Tensor) -> dict[str, list[int]]:
    """How many samples each module is given, call by call."""
    seen: dict[str, list[int]] = {node.name: [] for node in network.wiring.nodes}
    handles = [
        network.get_submodule(name).register_forward_pre_hook(lambda module, inputs, name=name: seen[name].append(inputs[0].shape[0]))
        for name in seen
    ]
    network(x)
    for handle in handles:
        handle.remove()
    return seen


def test_still_nodes_run_once() -> None:
    # 5 steps of 3 images: before the first neuron each image is seen once, behind it 15 times in one call.
    seen = seen_batches(residual(), images())
    assert {name: seen[name] for name in ("conv1", "norm1", "conv2", "pool", "flatten", "readout")} == {
        "conv1": [3],
        "norm1": [3],
        "conv2": [15],
        "pool": [15],
        "flatten": [15],
        "readout": [15],
    }


def test_a_rate_code_moves_from_the_first_node() -> None:
    seen = seen_batches(residual("rate"), images())
    assert (seen["conv1"], seen["conv2"]) == ([15], [15])


def test_rate_encoding_is_reproducible() -> None:
    network, x = residual("rate"), images()
    first = network(x)
    assert network(x).equal(first)
    assert residual("rate")(x).equal(first)
    assert not copy.deepcopy(network).train().encode(x, 5).equal(network.encode(x, 5))


def test_events_keep_their_own_time() -> None:
    network = residual("events")
    assert network.steps(torch.zeros(7, 2, 1, 6, 6)).shape == (7, 2, 3)


def test_every_scan_starts_at_rest() -> None:
    network, x = residual(), images()
    assert network(x).equal(network(x))
    assert network(x)[:1].equal(network(x[:1]))


def test_values_are_dropped_after_their_last_use() -> None:
    network, alive, held = residual(), dict[str, weakref.ref[Tensor]](), dict[str, set[str]]()
    with torch.no_grad():
        for node, value in network.values(images()):
            alive[node.name] = weakref.ref(value)
            del value
            held[node.name] = {name for name, each in alive.items() if each() is not None}
    # Of what came before, a node finds its own inputs alive, and beyond them only what the skip still needs.
    inputs = {node.name: set(node.inputs) - {"input"} for node in network.wiring.nodes}
    skipped = {"conv2": {"lif1"}, "lif2": {"lif1"}}
    assert held == {name: {name} | inputs[name] | skipped.get(name, set()) for name in held}


def test_shapes_are_those_of_the_values() -> None:
    network = residual()
    assert network.shapes() == {node.name: tuple(value.shape[2:]) for node, value in network.values(images())}
    assert residual("events").shapes() == network.shapes()


def test_shapes_leave_the_network_as_it_was() -> None:
    network = residual().train()
    frozen = next(module for module in network.modules() if isinstance(module, nn.BatchNorm2d)).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.shapes()
    assert [module for module in network.modules() if not module.training] == [frozen]
    assert all(value.equal(before[name]) for name, value in network.state_dict().items())


def test_shapes_without_parameters_and_in_float64() -> None:
    assert wired(*chain(("encode", "encode", {"encoding": "rate"}), ("flatten", "flatten", {}))).shapes()["flatten"] == (36,)
    assert residual().double().shapes() == residual().shapes()


def test_neurons_bear_the_names_of_their_nodes() -> None:
    assert list(spiking(residual())) == ["lif1", "lif2"]


def test_gradients_reach_every_parameter() -> None:
    network = residual().train()
    network(images()).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())


@pytest.mark.parametrize("name", ["forward", "training", "steps", "wiring", "recipe", "last_use", "takes_sequence", "train"])
def test_refuses_a_node_with_the_name_of_an_attribute(name: str) -> None:
    with pytest.raises(SpecError, match=f"node '{name}': a network has something else of that name"):
        wired(*chain(("encode", "encode", {}), (name, "flatten", {})))


@pytest.mark.parametrize("shape", [(3, 1, 6, 7), (1, 6, 6), (5, 3, 1, 6, 6), (3, 36), (3,)])
def test_refuses_a_batch_of_another_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(MismatchError, match=rf"small takes batches of shape \[batch, 1, 6, 6\], got \[{', '.join(map(str, shape))}\]"):
        residual()(torch.zeros(shape))


@pytest.mark.parametrize(("encoding", "shape"), [("direct", (0, 1, 6, 6)), ("events", (1, 0, 1, 6, 6)), ("events", (0, 1, 1, 6, 6))])
def test_refuses_an_empty_batch_before_batch_norm_follows_it(encoding: str, shape: tuple[int, ...]) -> None:
    network = residual(encoding).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    least = ", ".join(str(size or 1) for size in shape)
    with pytest.raises(MismatchError, match=rf"small takes no empty batch, got shape .*; the least is \[{least}\]"):
        network(torch.zeros(shape))
    assert all(value.equal(before[name]) for name, value in network.state_dict().items())


def test_refuses_images_in_whole_numbers() -> None:
    with pytest.raises(MismatchError, match=r"node 'conv1' \(conv2d\) takes fractions, got torch.uint8; give images as floats"):
        residual()(images().byte())


def test_refuses_images_where_events_are_wanted() -> None:
    with pytest.raises(MismatchError, match=r"small takes batches of shape \[time, batch, 1, 6, 6\], got \[3, 1, 6, 6\]"):
        residual("events")(images())


def test_names_the_node_that_does_not_fit() -> None:
    nodes = chain(("encode", "encode", {}), ("flatten", "flatten", {}), ("readout", "linear", {"in_features": 35, "out_features": 2}))
    with pytest.raises(MismatchError, match=r"node 'readout' \(linear\) cannot take \(36,\): "):
        wired(*nodes).shapes()
    normed = (*nodes[:2], Node(name="norm", kind="batch_norm", inputs=("flatten",), args={"channels": 36, "space": 2}))
    with pytest.raises(MismatchError, match=r"node 'norm' \(batch_norm\) cannot take \(36,\): "):
        wired(*normed).shapes()
    branches = (*chain(("encode", "encode", {}), ("flatten", "flatten", {})), Node(name="sum", kind="add", inputs=("encode", "flatten")))
    with pytest.raises(MismatchError, match=r"node 'sum' \(add\) cannot take \(1, 6, 6\) and \(36,\): "):
        wired(*branches, shape=(1, 6, 6)).shapes()
