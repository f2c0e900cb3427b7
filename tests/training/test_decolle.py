import pytest
import torch
from torch import Tensor

from spikequant.errors import Diverged, MismatchError, SpecError
from spikequant.models import Network, build
from spikequant.recipes import Recipe, quantize
from spikequant.training import Decolle, Epoch, Step, learn_locally
from spikequant.training.decolle import _loss, _passed, _whole, blocks, settle

Batch = tuple[Tensor, Tensor]


def batch(count: int, seed: int) -> Batch:
    """Noise in the upper, middle or lower third of the frame."""
    generator, y = torch.Generator().manual_seed(seed), torch.arange(count) % 3
    x = torch.zeros(10, count, 2, 12, 12)
    for index, each in enumerate(y.tolist()):
        x[:, index, :, 4 * each : 4 * each + 4] = (torch.rand(10, 2, 4, 12, generator=generator) < 0.4).float()
    return x, y


def network(seed: int = 0) -> Network:
    return build("decolle", seed=seed, shape=(2, 12, 12), channels=(4, 8, 8), time=10, classes=3, decays=(0.8, 0.5, 0.5))


def trained(model: Network, **options: object) -> list[Step | Epoch]:
    fast = Decolle(**{"epochs": 4, "burn_in": 2, "lr": 5e-3, "dropout": 0.2, **options})
    return list(learn_locally(model, [batch(24, seed) for seed in range(6)], fast, [batch(48, 9)]))


def test_learns_by_local_losses() -> None:
    model = network()
    readout = model.readout.weight.clone()
    events = trained(model)
    epochs = [event for event in events if isinstance(event, Epoch)]
    assert epochs[-1].train_loss < 0.6 * epochs[0].train_loss
    assert epochs[-1].validation_accuracy > 0.8
    assert torch.equal(model.readout.weight, readout)  # it is never trained


def test_a_quantized_network_learns_on_its_grids() -> None:
    small = quantize(network(), Recipe.parse("W(Q2.5)-N(Q3.8)"))
    epochs = [event for event in trained(small) if isinstance(event, Epoch)]
    assert epochs[-1].validation_accuracy > 0.6
    assert torch.equal(small.conv2.weight * 32, (small.conv2.weight * 32).round())
    shadow = small.conv2.parametrizations.weight.original * 32
    assert not torch.equal(shadow, shadow.round())


def test_the_gradient_of_a_step_is_local_and_as_the_paper_says() -> None:
    layers = blocks(network(), 0)
    x, y = batch(4, 0)
    for step in range(3):
        spikes = _passed(layers, x[step], step)
    _loss(layers[:1], spikes[:1], y, 0.0, torch.Generator()).backward()
    assert layers[0].synapses.weight.grad.abs().sum() > 0
    assert layers[1].synapses.weight.grad is None
    # by hand, for the bias: G^T of the smooth L1 times the surrogate, where the pool found its highest membrane
    first = layers[0]
    first.forget()
    for step in range(3):
        u, fired = first.show(x[step], step)
    pooled = first.pool(u)
    said = first.readout(fired.flatten(1)).detach()
    slope = (said - torch.nn.functional.one_hot(y, 3)).clamp(-1, 1) / said.numel()
    expected = ((slope @ first.readout.weight).reshape(pooled.shape) / (10 * pooled.abs() + 1) ** 2).sum((0, 2, 3))
    torch.testing.assert_close(first.synapses.bias.grad, expected.detach(), atol=1e-6, rtol=1e-4)


def test_the_seed_alone_decides() -> None:
    first, again, other = network(), network(), network()
    trained(first, epochs=1)
    torch.rand(3)
    trained(again, epochs=1)
    trained(other, epochs=1, seed=1)
    assert torch.equal(first.conv1.weight, again.conv1.weight)
    assert not torch.equal(first.conv1.weight, other.conv1.weight)


@torch.no_grad()
def test_the_start_is_settled() -> None:
    layers = blocks(network(), 0)
    x, _ = batch(24, 0)
    settle(layers, x)
    for block in layers:
        x, u = _whole(block, x)
        assert abs(float(u.var()) - 1) < 0.35
        assert abs(float(u.mean())) < 0.35


def test_burn_in_is_real_unless_the_authors_is_asked_for() -> None:
    real, cold = network(), network()
    trained(real, epochs=1, burn_in=6)
    trained(cold, epochs=1, burn_in=6, compat_burnin=True)
    assert not torch.equal(real.conv1.weight, cold.conv1.weight)


def test_refusals() -> None:
    with pytest.raises(MismatchError, match="local learning takes layers of traces, conv2d, refraining, then linear; digits has encode"):
        blocks(build("digits"), 0)
    with pytest.raises(SpecError, match="burn_in 10 must be below the 10 time steps"):
        trained(network(), burn_in=10)
    with pytest.raises(SpecError, match="no sample in epoch 1"):
        list(learn_locally(network(), [], Decolle()))
    wiring = network().wiring
    nodes = tuple(
        node.model_copy(update={"args": {**node.args, "bias": False}}) if node.kind == "conv2d" else node for node in wiring.nodes
    )
    bare = Network(wiring.model_copy(update={"nodes": nodes}))
    with pytest.raises(MismatchError, match="settling moves biases, and a conv2d of the network has none; set settling=0"):
        trained(bare)
    with pytest.raises(MismatchError, match="target 3 is none"):
        list(learn_locally(network(), [(batch(3, 0)[0], torch.tensor([0, 1, 3]))], Decolle(burn_in=1)))


def test_what_is_not_finite_is_told_though_the_loss_does_not_show_it() -> None:
    """A weight of NaN gives no spike, and so a finite loss."""
    (x, y), once = batch(6, 0), Decolle(epochs=1, burn_in=2, settling=0)
    x[3, 0, 0, 0, 0] = torch.nan
    with pytest.raises(Diverged, match="at batch 2 in epoch 1: the input batch is not finite; leave out the samples"):
        list(learn_locally(network(), [batch(6, 1), (x, y)], once))
