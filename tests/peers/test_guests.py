"""quantize, compare and the recorder on networks of snnTorch, SpikingJelly and Norse, their users' loops untouched."""

import copy
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import spikequant as sq
from spikequant.errors import MismatchError, SpecError
from spikequant.models import Unrolled
from spikequant.neurons import strangers

STEPS = 8
WEIGHTS = sq.Uniform(bits=4, levels_at="zero")
Loader = list[tuple[Tensor, Tensor]]


@pytest.fixture
def loader() -> Loader:
    return [(torch.rand(16, 12, generator=torch.Generator().manual_seed(index)) * 2, torch.zeros(16)) for index in range(2)]


def unrolled_data(loader: Loader, gain: float = 1.0) -> Loader:
    return [(torch.stack([x * gain] * STEPS), y) for x, y in loader]


def snntorch_loop(snntorch: ModuleType, **leaky: Any) -> nn.Module:
    """A network as snnTorch's tutorials write it: the loop over time and the states are the user's."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.lif1 = nn.Linear(12, 20), snntorch.Leaky(0.9, **leaky)
            self.fc2, self.lif2 = nn.Linear(20, 4), snntorch.Leaky(0.8, **leaky)

        def forward(self, x: Tensor) -> Tensor:
            first, second, spikes = self.lif1.reset_mem(), self.lif2.reset_mem(), []
            for _ in range(STEPS):
                s, first = self.lif1(self.fc1(x), first)
                s, second = self.lif2(self.fc2(s), second)
                spikes.append(s)
            return torch.stack(spikes).sum(0)

    torch.manual_seed(0)
    return Net()


def spikingjelly_net(spikingjelly: ModuleType, mode: str) -> nn.Sequential:
    from spikingjelly.activation_based import functional, layer

    torch.manual_seed(0)
    net = nn.Sequential(layer.Linear(12, 20), spikingjelly.LIFNode(2.0), layer.Linear(20, 4), spikingjelly.IFNode())
    functional.set_step_mode(net, mode)
    return net


def norse_net(norse: ModuleType, sequence: bool) -> nn.Module:
    import norse.torch as library

    torch.manual_seed(0)
    if sequence:
        return library.SequentialState(library.Lift(nn.Linear(12, 20)), library.LIF(), library.Lift(nn.Linear(20, 4)), library.LIF())
    return library.SequentialState(nn.Linear(12, 20), library.LIFCell(), nn.Linear(20, 4), library.LIFBoxCell())


def is_on_grid(weight: Tensor) -> bool:
    return len(weight.unique()) <= 15


def test_snntorch_loop(snntorch: ModuleType, loader: Loader) -> None:
    net = snntorch_loop(snntorch)
    net(loader[0][0]).sum().backward()  # mid-training: states hang in a graph
    small = sq.quantize(net, sq.Recipe(weights=WEIGHTS, state=sq.Uniform(bits=4)), calibration=loader)
    drift = sq.compare(net, small, loader, resamples=5)
    assert [layer.name for layer in drift.layers] == ["lif1", "lif2"]
    assert drift.layers[0].agreement is not None
    assert 0.5 < drift.layers[0].agreement < 1
    assert drift.layers[0].mean_rate > 0.02
    assert is_on_grid(small.fc1.weight)
    assert not net.lif1.state_quant
    membranes = []
    handle = small.lif1.register_forward_hook(lambda module, inputs, output: membranes.append(output[1]))
    small(loader[0][0])
    handle.remove()
    assert len(torch.stack(membranes).unique()) <= 16


def test_snntorch_goes_on_training(snntorch: ModuleType, loader: Loader) -> None:
    """The user's own loop, on a copy whose neurons snnTorch's reset reaches."""
    small = sq.quantize(snntorch_loop(snntorch), sq.Recipe(weights=sq.LQNet(bits=2), state=sq.Uniform(bits=4, low=-2.0, high=2.0)))
    optimizer, before = torch.optim.Adam(small.parameters(), 0.05), small.fc1.weight.clone()
    for x, y in loader:
        optimizer.zero_grad()
        nn.functional.cross_entropy(small.train()(x), y.long()).backward()
        optimizer.step()
    assert not small.fc1.weight.equal(before)
    assert all(row.unique().numel() <= 4 for row in small.fc1.eval().weight)


def test_snntorch_hidden_states(snntorch: ModuleType, loader: Loader) -> None:
    """Single steps with states inside: watched from rest, whatever ran before; snnTorch's own reset reaches the copy."""
    from snntorch import utils

    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(12, 8), snntorch.Leaky(0.9, init_hidden=True), nn.Linear(8, 4), snntorch.Leaky(0.9, init_hidden=True))
    model = Unrolled(net, STEPS)
    once = sq.record(model, loader)
    net(loader[0][0] * 9)
    assert sq.record(model, loader).layers[0].counts.tolist() == once.layers[0].counts.tolist()
    small = sq.quantize(net, sq.Recipe(state=sq.Uniform(bits=6, low=-2.0, high=4.0)))
    small(loader[0][0] * 9)
    utils.reset(small)
    assert not small[1].mem.any()


def test_snntorch_in_our_grid_equals_ours_adopted(snntorch: ModuleType, loader: Loader) -> None:
    """Same recipe, hung on the guest and on the network adopted from it: same spikes."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(12, 8), snntorch.Leaky(0.9, init_hidden=True), nn.Linear(8, 4), snntorch.Leaky(0.8, init_hidden=True))
    recipe = sq.Recipe(weights=WEIGHTS, state=sq.Uniform(bits=4), constants=sq.FixedPoint(integer=2, fraction=5))
    model = Unrolled(net, STEPS)
    guest = sq.quantize(model, recipe, calibration=loader)
    own = sq.quantize(sq.models.adopt(net, (12,), time=STEPS), recipe, calibration=loader)
    assert [layer.agreement for layer in sq.compare(guest, own, loader, resamples=5).layers] == [1.0, 1.0]
    assert guest.network[1].beta == pytest.approx(29 / 32)  # type: ignore[index, union-attr]


@pytest.mark.parametrize("neuron", ["Synaptic", "Alpha"])
def test_all_decays_of_snntorch_are_constants(snntorch: ModuleType, loader: Loader, neuron: str) -> None:
    net = nn.Sequential(nn.Linear(12, 8), getattr(snntorch, neuron)(0.9, 0.8, init_hidden=True))
    recipe = sq.Recipe(constants=sq.FixedPoint(integer=2, fraction=4))
    guest = sq.quantize(Unrolled(net, STEPS), recipe)
    own = sq.quantize(sq.models.adopt(net, (12,), time=STEPS), recipe)
    assert (guest.network[1].alpha, guest.network[1].beta) == (14 / 16, 13 / 16)  # type: ignore[index, union-attr]
    assert [layer.agreement for layer in sq.compare(guest, own, loader, resamples=5).layers] == [1.0]
    if neuron == "Alpha":
        with pytest.raises(SpecError, match=r"network.1: its decays fall together on this grid, 1\.0 and 1\.0"):
            sq.quantize(Unrolled(net, STEPS), sq.Recipe(constants=sq.FixedPoint(integer=2, fraction=1)))


def test_what_snntorch_cannot_do_is_refused(snntorch: ModuleType) -> None:
    state, synaptic = sq.Uniform(bits=4, low=-1.0, high=1.0), nn.Sequential(snntorch.Synaptic(0.9, 0.8))
    for net, recipe, reason in [
        (snntorch_loop(snntorch, reset_delay=False), sq.Recipe(state=state), "resets after it has rounded, off the grid"),
        (snntorch_loop(snntorch, state_quant=lambda x: x), sq.Recipe(state=state), "has a state_quant already"),
        (snntorch_loop(snntorch), sq.Recipe(state=state, snapped="after_reset"), "snnTorch rounds before it fires"),
        (snntorch_loop(snntorch), sq.Recipe(state=state.model_copy(update={"rounding": "stochastic"})), "names no noise"),
        (synaptic, sq.Recipe(state={"v": state}), "one grid to all states"),
        (snntorch_loop(snntorch), sq.Recipe(state={"v": state, "i": state}), "i: only neurons with a synaptic current"),
    ]:
        before = copy.deepcopy(net.state_dict())
        with pytest.raises(SpecError, match=reason):
            sq.quantize(net, recipe)
        assert before.keys() == net.state_dict().keys()


@pytest.mark.parametrize("mode", ["s", "m"])
def test_spikingjelly(spikingjelly: ModuleType, loader: Loader, mode: str) -> None:
    from spikingjelly.activation_based import functional

    net = spikingjelly_net(spikingjelly, mode)
    data = unrolled_data(loader)
    model = Unrolled(net) if mode == "s" else net
    same = sq.quantize(model, sq.Recipe(state=sq.Uniform(bits=16, low=-64.0, high=64.0)))
    small = sq.quantize(model, sq.Recipe(weights=WEIGHTS, state=sq.Uniform(bits=3)), calibration=data)
    fine, coarse = (sq.compare(model, other, data, resamples=5) for other in (same, small))
    assert all(layer.agreement == pytest.approx(1.0, abs=0.01) for layer in fine.layers)
    assert coarse.layers[0].agreement is not None
    assert 0.4 < coarse.layers[0].agreement < 0.999
    x = data[0][0]
    first = small(x)
    functional.reset_net(small)
    assert small(x).equal(first)
    if mode == "m":
        assert not small(x).equal(first)  # it goes on from where it stood, as SpikingJelly's do
        assert small[1].v.unique().numel() <= 8  # type: ignore[union-attr]


def test_spikingjelly_modes_agree_and_train(spikingjelly: ModuleType, loader: Loader) -> None:
    """Step by step and in one scan the hosted neuron gives the same spikes and gradients."""
    from spikingjelly.activation_based import functional

    x, found = unrolled_data(loader)[0][0], []
    for mode in ("s", "m"):
        small = sq.quantize(spikingjelly_net(spikingjelly, mode), sq.Recipe(state=sq.Uniform(bits=4, low=-2.0, high=2.0)))
        functional.reset_net(small)
        spikes = torch.stack([small(step) for step in x]) if mode == "s" else small(x)
        spikes.sum().backward()
        found.append((spikes.detach(), small[0].weight.grad))
    assert found[0][0].equal(found[1][0])
    assert torch.allclose(found[0][1], found[1][1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sequence", [False, True])
def test_norse(norse: ModuleType, loader: Loader, sequence: bool) -> None:
    net, data = norse_net(norse, sequence), unrolled_data(loader, 20)
    model = net if sequence else Unrolled(net)
    same = sq.quantize(model, sq.Recipe(state=sq.Uniform(bits=16, low=-64.0, high=64.0)))
    recipe = sq.Recipe(weights=WEIGHTS, state={"v": sq.Uniform(bits=3), "i": sq.Uniform(bits=4)})
    small = sq.quantize(model, recipe, calibration=data)
    fine, coarse = (sq.compare(model, other, data, resamples=5) for other in (same, small))
    assert all(layer.agreement == pytest.approx(1.0, abs=0.02) for layer in fine.layers)
    assert coarse.layers[0].agreement is not None
    assert 0.4 < coarse.layers[0].agreement < 0.999
    _, state = (small if sequence else small.network)(data[0][0] if sequence else data[0][0][0])  # type: ignore[operator]
    assert state[1].v.unique().numel() <= 8
    assert 1 < state[1].i.unique().numel() <= 16


STRANGE = {
    "snntorch": lambda snntorch: [snntorch.LeakyParallel(4, 4), snntorch.StateLeaky(0.9, 4)],
    "spikingjelly": lambda neuron: [neuron.GatedLIFNode(4), neuron.PSN(4), neuron.SlidingPSN(2), neuron.ILCIFNode(4, 1), lstm()],
    "norse": lambda _: [library().CobaLIFCell(4, 4), library().LIFCorrelation(4, 4)],
}
HEAVY = {
    "snntorch": lambda snntorch: [snntorch.SLSTM(4, 4), snntorch.RLeaky(0.9, all_to_all=False), snntorch.LeakyParallel(4, 4)],
    "spikingjelly": lambda neuron: [neuron.PSN(4), neuron.MaskedPSN(2, 4), neuron.SlidingPSN(2), layers().DropConnectLinear(4, 4)],
    "norse": lambda _: [library().LIFRecurrentCell(4, 4), library().CobaLIFCell(4, 4), library().LILinearCell(4, 4)],
}
LIGHT = {
    "snntorch": lambda snntorch: [snntorch.RLeaky(0.9, linear_features=4), snntorch.SConv2dLSTM(1, 1, 3), snntorch.Leaky(0.9)],
    "spikingjelly": lambda neuron: [
        neuron.MPBNLIFNode(out_features=4),
        neuron.NonSpikingLIFNode(),
        layers().SeqToANNContainer(nn.Conv2d(1, 1, 1)),
        layers().Conv2d(1, 1, 1),
        layers().BatchNorm2d(1),
        layers().LinearRecurrentContainer(neuron.IFNode(), 4, 4),
    ],
    "norse": lambda _: [library().LIFCell(), library().LI(), library().PoissonEncoder(4), library().Lift(nn.Linear(1, 1))],
}


def library() -> Any:
    import norse.torch

    return norse.torch


def layers() -> Any:
    from spikingjelly.activation_based import layer

    return layer


def lstm() -> nn.Module:
    from spikingjelly.activation_based import rnn

    return rnn.SpikingLSTM(4, 4, 1)


@pytest.mark.parametrize("name", STRANGE)
def test_neurons_that_are_not_known_are_refused(request: pytest.FixtureRequest, loader: Loader, name: str) -> None:
    for neuron in STRANGE[name](request.getfixturevalue(name)):
        net, told = nn.Sequential(nn.Linear(12, 4), neuron), f"1: of {name}'s neurons .* are known, {type(neuron).__name__} is not"
        with pytest.raises(SpecError, match=told):
            sq.quantize(net, sq.Recipe(state=sq.Uniform(bits=4, low=-1.0, high=1.0)))
        with pytest.raises(MismatchError, match=told):
            sq.record(net, loader)


@pytest.mark.parametrize("name", HEAVY)
def test_weights_that_no_grid_reaches_are_refused(request: pytest.FixtureRequest, name: str) -> None:
    guest = request.getfixturevalue(name)
    for module in HEAVY[name](guest):
        with pytest.raises(SpecError, match=f"1: no grid is hung on weights of a {type(module).__name__}, only on"):
            sq.quantize(nn.Sequential(nn.Linear(4, 4), module), sq.Recipe(weights=WEIGHTS))
    for module in LIGHT[name](guest):
        sq.quantize(nn.Sequential(nn.Linear(4, 4), module), sq.Recipe(weights=WEIGHTS))
        assert not strangers(module)
