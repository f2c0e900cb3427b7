"""adopt: whole networks of snnTorch, SpikingJelly, Norse and NIR as wirings of ours, spike by spike.

Weights and inputs lie on coarse dyadic grids, where sums are exact in any order.
"""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import spikequant as sq
from spikequant.errors import SpecError
from spikequant.models import Unrolled, adopt

STEPS = 10


@torch.no_grad()
def dyadic(network: nn.Module, parts: int = 32) -> nn.Module:
    for parameter in network.parameters():
        if parameter.ndim > 0:
            parameter.copy_(((2 * parameter + parameter.abs()) * parts).round() / parts)  # most are positive, so that neurons fire
    return network.eval()


def images(*shape: int) -> Tensor:
    return torch.randint(0, 9, shape, generator=torch.Generator().manual_seed(1)) / 4.0


def check_equal(guest: nn.Module, own: nn.Module, x: Tensor, silent: int = 0) -> None:
    """Every spike of every layer, at every step; and layers do fire."""
    drift = sq.compare(guest, own, [(x, torch.zeros(x.shape[0]))], resamples=3)
    assert [layer.agreement for layer in drift.layers] == [1.0] * len(drift.layers)
    assert sum(layer.mean_rate == 0 for layer in drift.layers) <= silent


def unbiased(neuron: Any) -> nn.Module:
    neuron.recurrent = nn.Linear(16, 16, bias=False)
    return neuron  # type: ignore[no-any-return]


def snntorch_neurons(snntorch: ModuleType) -> dict[str, Callable[[], nn.Module]]:
    hidden = {"init_hidden": True}
    made: dict[str, Callable[[], nn.Module]] = {}
    for reset in ("subtract", "zero", "none"):
        made[f"Leaky {reset}"] = lambda reset=reset: snntorch.Leaky(0.9, 0.7, reset_mechanism=reset, **hidden)
        made[f"Synaptic {reset}"] = lambda reset=reset: snntorch.Synaptic(0.75, 0.5, reset_mechanism=reset, **hidden)
        made[f"RLeaky {reset}"] = lambda reset=reset: snntorch.RLeaky(0.5, linear_features=16, reset_mechanism=reset, **hidden)
        made[f"Lapicque {reset}"] = lambda reset=reset: snntorch.Lapicque(R=2.0, C=4.0, threshold=0.25, reset_mechanism=reset, **hidden)
        made[f"Alpha {reset}"] = lambda reset=reset: snntorch.Alpha(0.9, 0.6, threshold=0.5, reset_mechanism=reset, **hidden)
    made["Leaky at once"] = lambda: snntorch.Leaky(0.9, reset_delay=False, **hidden)
    made["RLeaky unbiased"] = lambda: unbiased(snntorch.RLeaky(0.5, linear_features=16, **hidden))
    made["RSynaptic"] = lambda: snntorch.RSynaptic(0.5, 0.5, all_to_all=False, V=torch.tensor(0.5), **hidden)
    made["Leaky by channel"] = lambda: snntorch.Leaky(torch.linspace(0.2, 0.95, 16), torch.linspace(0.5, 1.5, 16), **hidden)
    return made


NAMES = [f"{kind} {reset}" for kind in ("Leaky", "Synaptic", "RLeaky", "Lapicque", "Alpha") for reset in ("subtract", "zero", "none")]


@pytest.mark.parametrize("name", [*NAMES, "Leaky at once", "RLeaky unbiased", "RSynaptic", "Leaky by channel"])
def test_snntorch(snntorch: ModuleType, name: str) -> None:
    torch.manual_seed(0)
    neuron = snntorch_neurons(snntorch)[name]()
    last = snntorch.Leaky(0.5, init_hidden=True, output=True)
    for parameter in neuron.parameters():
        parameter.requires_grad_(name.startswith("R") and parameter.ndim > 0)
    net = dyadic(nn.Sequential(nn.Flatten(), nn.Linear(36, 16), neuron, nn.Linear(16, 4), last))
    check_equal(Unrolled(net, STEPS), adopt(net, (1, 6, 6), time=STEPS), images(5, 1, 6, 6))


def test_snntorch_convolutions(snntorch: ModuleType) -> None:
    torch.manual_seed(0)
    leaky: dict[str, Any] = {"init_hidden": True, "threshold": 0.5}
    net = dyadic(
        nn.Sequential(
            *(nn.Conv2d(1, 8, 3, padding=1), snntorch.Leaky(0.75, **leaky), nn.MaxPool2d(2)),
            *(nn.Conv2d(8, 8, 3, bias=False), nn.BatchNorm2d(8, eps=0.0), snntorch.Leaky(0.5, **leaky), nn.AvgPool2d(2)),
            *(nn.Dropout(0.5), nn.Flatten(), nn.Linear(32, 4), snntorch.Leaky(0.5, output=True, **leaky)),
        )
    )
    own = adopt(net, (1, 12, 12), time=STEPS)
    assert [node.kind for node in own.wiring.nodes][5:8] == ["batch_norm", "lif", "mean_pool"]
    check_equal(Unrolled(net, STEPS), own, images(5, 1, 12, 12))


def test_snntorch_residual(snntorch: ModuleType) -> None:
    """A branch around a layer, and a last neuron that hands its membrane out."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.lif1 = nn.Linear(6, 8), snntorch.Leaky(0.75, 0.5, init_hidden=True)
            self.fc, self.lif2 = nn.Linear(8, 8), snntorch.Leaky(0.5, 0.5, init_hidden=True)
            self.out, self.lif3 = nn.Linear(8, 4), snntorch.Leaky(0.5, 0.5, init_hidden=True, output=True)

        def forward(self, x: Tensor) -> Tensor:
            spikes = self.lif1(self.stem(x))
            spikes = spikes + self.lif2(self.fc(spikes))
            counted, _ = self.lif3(self.out(spikes))
            return counted  # type: ignore[no-any-return]

    torch.manual_seed(0)
    net = dyadic(Net())
    own = adopt(net, (6,), time=STEPS)
    assert [node.inputs for node in own.wiring.of_kind("add")] == [("lif1", "lif2")]
    check_equal(Unrolled(net, STEPS), own, images(5, 6))


def residual(spikingjelly: ModuleType, mode: str) -> nn.Module:
    """A network of SEW blocks, written as SpikingJelly's own models are."""
    from spikingjelly.activation_based import functional, layer

    class Block(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.conv1, self.bn1 = layer.Conv2d(channels, channels, 3, padding=1, bias=False), layer.BatchNorm2d(channels, eps=0.0)
            self.sn1, self.conv2 = spikingjelly.IFNode(0.5), layer.Conv2d(channels, channels, 3, padding=1)
            self.sn2 = spikingjelly.LIFNode(2.0, v_threshold=0.25)

        def forward(self, x: Tensor) -> Tensor:
            out = self.sn2(self.conv2(self.sn1(self.bn1(self.conv1(x)))))
            out += x
            return out

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.sn = layer.Conv2d(2, 8, 3, padding=1), spikingjelly.LIFNode(2.0, v_threshold=0.5, v_reset=None)
            self.layer1 = nn.Sequential(Block(8), Block(8))
            self.pool, self.fc = layer.AdaptiveAvgPool2d((1, 1)), layer.Linear(8, 4)
            self.out = spikingjelly.ParametricLIFNode(2.0, v_threshold=0.25)

        def forward(self, x: Tensor) -> Tensor:
            x = self.pool(self.layer1(self.sn(self.stem(x))))
            return self.out(self.fc(torch.flatten(x, 1 if mode == "s" else 2)))

    torch.manual_seed(0)
    net = Net()
    functional.set_step_mode(net, mode)
    return dyadic(net)


@pytest.mark.parametrize("mode", ["s", "m"])
def test_spikingjelly_residual(spikingjelly: ModuleType, mode: str) -> None:
    net = residual(spikingjelly, mode)
    own = adopt(net, (2, 8, 8), time=STEPS, still=False)
    assert len(own.wiring.of_kind("add")) == 2
    assert own.wiring.of_kind("parametric_lif")[0].name == "out"
    x = images(STEPS, 3, 2, 8, 8)
    check_equal(Unrolled(net) if mode == "s" else net, own, x)
    logits = own(x)
    logits.sum().backward()
    assert own.layer1_0_conv1.weight.grad is not None  # type: ignore[union-attr]


@pytest.mark.parametrize("sequence", [False, True])
def test_norse(norse: ModuleType, sequence: bool) -> None:
    import norse.torch as library

    torch.manual_seed(0)
    parameters = norse.lif_box.LIFBoxParameters(tau_mem_inv=torch.tensor(250.0), v_th=torch.tensor(0.5))
    if sequence:
        layers = [library.Lift(nn.Conv2d(1, 4, 3)), library.LIF(), nn.Flatten(2), nn.Linear(64, 4), library.LIF()]
    else:
        layers = [nn.Conv2d(1, 4, 3), library.LIFCell(), nn.Flatten(), nn.Linear(64, 4), library.LIFBoxCell(parameters)]
    net = dyadic(library.SequentialState(*layers), 4)
    own = adopt(net, (1, 6, 6), time=STEPS, still=False)
    check_equal(net if sequence else Unrolled(net), own, images(STEPS, 3, 1, 6, 6) * 8)


def test_an_adopted_network_is_one_of_ours(snntorch: ModuleType, tmp_path: Path) -> None:
    torch.manual_seed(0)
    kinds = [snntorch.Synaptic(0.75, 0.5, init_hidden=True), snntorch.RLeaky(0.5, linear_features=8, init_hidden=True)]
    net = dyadic(
        nn.Sequential(nn.Linear(6, 8), kinds[0], nn.Linear(8, 8), kinds[1], nn.Linear(8, 3), snntorch.Leaky(0.5, init_hidden=True))
    )
    for parameter in kinds[1].parameters():
        parameter.requires_grad_(parameter.ndim > 0)
    own, x = adopt(net, (6,), time=STEPS), images(4, 6)
    recipe = sq.Recipe(weights=sq.Uniform(bits=4, levels_at="zero"), state={"v": sq.Uniform(bits=6), "i": sq.Uniform(bits=5)})
    small = sq.quantize(own, recipe, calibration=[(x, torch.zeros(4))])
    assert len(small.layer_3.recurrent.weight.unique()) <= 15  # type: ignore[union-attr, arg-type]
    ledger = sq.memory(own, recipe.model_copy(update={"state": {"v": sq.Uniform(bits=6), "i": sq.Uniform(bits=5)}}))
    assert ledger.state_bits == 6 * (8 + 8 + 3) + 5 * 8
    sq.save(small, tmp_path)
    assert sq.load(tmp_path)(x).equal(small.eval()(x))


def graph_of_spikingjelly(spikingjelly: ModuleType, v_reset: float | None = 0.0) -> tuple[nn.Module, Any, Tensor]:
    from spikingjelly.activation_based import layer, nir_exchange

    torch.manual_seed(0)
    net = dyadic(
        nn.Sequential(
            *(layer.Conv2d(1, 4, 3), spikingjelly.LIFNode(2.0, v_threshold=0.5, v_reset=v_reset), layer.Conv2d(4, 3, 3, stride=2)),
            *(spikingjelly.LIFNode(4.0, decay_input=False, v_threshold=0.51, v_reset=v_reset), layer.Flatten()),
            *(layer.Linear(12, 5), spikingjelly.IFNode(0.26, v_reset=v_reset)),
        )
    )
    x = images(6, 1, 8, 8)
    return net, nir_exchange.export_to_nir(net, x), x


def test_nir_from_spikingjelly(spikingjelly: ModuleType) -> None:
    """Reset to a value comes through NIR whole; at exact ties NIR fires above the threshold, SpikingJelly at it."""
    pytest.importorskip("nir")
    net, graph, x = graph_of_spikingjelly(spikingjelly)
    net[1].v_threshold = 0.5 - 1e-7  # type: ignore[index]
    for name, node in graph.nodes.items():
        if hasattr(node, "v_threshold") and name == "_1":
            node.v_threshold = node.v_threshold - 1e-7
    check_equal(Unrolled(net, STEPS), adopt(graph, time=STEPS), x)


def test_nir_from_snntorch(snntorch: ModuleType) -> None:
    nir = pytest.importorskip("nir")
    torch.manual_seed(0)
    shapes = {"init_hidden": True, "reset_mechanism": "zero"}
    net = dyadic(
        nn.Sequential(nn.Linear(6, 8), snntorch.Leaky(torch.full((8,), 0.75), torch.ones(8), **shapes), nn.Linear(8, 3), nn.Identity())
    )
    from snntorch.export_nir import _extract_snntorch_module as extract

    nodes = {"input": nir.Input(input_type={"input": [6]}), "a": extract(net[0]), "b": extract(net[1]), "c": extract(net[2])}  # type: ignore[index]
    nodes["output"] = nir.Output(output_type={"output": [3]})
    graph = nir.NIRGraph(nodes, [("input", "a"), ("a", "b"), ("b", "c"), ("c", "output")])
    own, x = adopt(graph, time=STEPS), images(5, 6)
    check_equal(Unrolled(net, STEPS), own, x)
    assert own(x).equal(Unrolled(net, STEPS)(x))


def test_soft_reset_does_not_pass_through_nir(spikingjelly: ModuleType) -> None:
    """SpikingJelly refuses to write it; a graph that says so in its metadata is refused by us."""
    pytest.importorskip("nir")
    with pytest.raises(NotImplementedError, match="soft reset"):
        graph_of_spikingjelly(spikingjelly, None)
    _, graph, _ = graph_of_spikingjelly(spikingjelly)
    graph.nodes["_1"].metadata["reset"] = "subtract"
    with pytest.raises(SpecError, match=r"_1 \(LIF\) cannot be adopted: its metadata asks for reset 'subtract'"):
        adopt(graph, time=3)


def test_what_has_no_equal_is_refused_with_the_reason(snntorch: ModuleType, spikingjelly: ModuleType, norse: ModuleType) -> None:
    import norse.torch as library
    from spikingjelly.activation_based import layer, surrogate

    hidden = {"init_hidden": True}
    per_neuron = torch.rand(4, 6, 6) + 0.5
    for module, reason in [
        (snntorch.Leaky(0.9, learn_beta=True, **hidden), r"beta\) cannot be adopted: it is learned"),
        (snntorch.Leaky(0.9, per_neuron, **hidden), "differs within a channel"),
        (snntorch.Leaky(0.9, graded_spikes_factor=2.0, **hidden), "its spikes are worth 2.0"),
        (snntorch.Leaky(0.9, state_quant=snntorch.functional.quant.state_quant(4), **hidden), "its state is quantized already"),
        (snntorch.Leaky(0.9, spike_grad=snntorch.surrogate.LSO(), **hidden), r"LSO has no equal here; name one of ours"),
        (snntorch.Lapicque(R=3.0, C=4.0, **hidden), "3 is no power of two"),
        (snntorch.SLSTM(4, 4, **hidden), "of snntorch, Alpha, Lapicque, Leaky, RLeaky, RSynaptic, Synaptic can be"),
        (spikingjelly.LIFNode(surrogate_function=surrogate.Erf()), "Erf has no equal here"),
        (spikingjelly.QIFNode(), "of spikingjelly, IFNode, LIFNode, ParametricLIFNode can be"),
        (layer.WSConv2d(4, 4, 3), "its forward is not that of Conv2d"),
        (layer.Dropout(0.5), "holds its mask over all steps"),
        (library.LIFAdExCell(), "of norse, IAF, IAFCell, LIF, LIFBoxCell, LIFCell can be"),
        (nn.Softmax(1), "Softmax"),
        (nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"), "its padding is 'circular'"),
        (nn.Flatten(2), "it joins axes 2 to -1"),
    ]:
        with pytest.raises(SpecError, match=reason):
            adopt(nn.Sequential(nn.Conv2d(1, 4, 3), module), (1, 8, 8), time=2)


def test_a_loop_in_the_forward_is_refused(snntorch: ModuleType) -> None:
    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.lif = nn.Linear(4, 4), snntorch.Leaky(0.9, init_hidden=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.lif(self.fc(x)) + self.lif(self.fc(x))

    with pytest.raises(SpecError, match="it is called more than once, a loop over time perhaps"):
        adopt(Loop(), (4,), time=2)


@pytest.mark.parametrize("guest", ["Leaky", "Synaptic", "Lapicque", "ParametricLIFNode", "LIFNode", "LIFCell"])
def test_what_is_adopted_ends_as_a_program(guest: str, snntorch: ModuleType, spikingjelly: ModuleType, norse: ModuleType) -> None:
    from norse.torch import LIFCell, SequentialState

    neuron: Callable[[], nn.Module] = {
        "Leaky": lambda: snntorch.Leaky(0.9, init_hidden=True),
        "Synaptic": lambda: snntorch.Synaptic(0.6, 0.9, init_hidden=True),
        "Lapicque": lambda: snntorch.Lapicque(R=1.0, C=8.0, time_step=1.0, init_hidden=True),
        "ParametricLIFNode": lambda: spikingjelly.ParametricLIFNode(init_tau=3.0),
        "LIFNode": lambda: spikingjelly.LIFNode(),
        "LIFCell": lambda: LIFCell(),
    }[guest]
    layers = [nn.Conv2d(1, 4, 3, padding=1), neuron(), nn.Flatten(), nn.Linear(256, 5)]
    own = adopt(SequentialState(*layers) if guest == "LIFCell" else nn.Sequential(*layers), (1, 8, 8), time=STEPS)
    loader = [(4 * images(4, 1, 8, 8), torch.zeros(4))]
    whole = sq.quantize(own, sq.Recipe.integer(), loader)
    found = sq.lower(whole).check(whole, loader)
    assert found.exact
    assert found.layers[0].program_rates.max() > 0
    layer = sq.lower(own, loader).check(own, loader).layers[0]
    assert layer.different < 0.02 * layer.spikes
