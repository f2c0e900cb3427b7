import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from spikequant.errors import SpecError
from spikequant.models import Network, build
from spikequant.models.layers import Convolution
from spikequant.neurons import LIF, Alpha
from spikequant.numerics import levels
from spikequant.quantizers import (
    LSQ,
    Anchored,
    Binary,
    FixedPoint,
    LQNet,
    QSNNBinary,
    Quantizer,
    QuantizerSpec,
    ReScaW,
    SpikeFit,
    ThresholdCentered,
    Uniform,
    ZeroCentered,
)
from spikequant.recipes import Override, Recipe, attach, bake, calibrate, quantize
from spikequant.recipes.plan import original

Batch = tuple[Tensor, Tensor]
Step = Callable[[Network, Batch], Tensor]

NARROW = Uniform(bits=4, low=-1.0, high=1.0)
WEIGHTS: list[QuantizerSpec] = [
    NARROW,
    Uniform(bits=3),
    Uniform(bits=3, per_channel=True, symmetric=False, observer="percentile"),
    Uniform(bits=3, observer="mean_square", levels_at="zero"),
    FixedPoint(integer=1, fraction=4),
    FixedPoint(integer=None, fraction=4, rounding="truncate"),
    FixedPoint(integer=1, fraction=3, rounding="stochastic"),
    LQNet(bits=2),
    LQNet(bits=3, clip=0.1, start="mse_uniform"),
    LSQ(bits=3),
    LSQ(bits=3, per_channel=True),
    Binary(),
    Binary(scale="one"),
    ThresholdCentered(bits=3),
    QSNNBinary(),
    ReScaW(bits=2),
    SpikeFit(bits=2),
]
STATES: list[QuantizerSpec] = [
    Uniform(bits=4, low=0.0, high=1.0),
    ThresholdCentered(bits=4),
    ZeroCentered(bits=4),
    Anchored(bits=3),
    FixedPoint(integer=2, fraction=3),
    FixedPoint(integer=1, fraction=3, rounding="stochastic"),
]
FITTED: list[QuantizerSpec] = [
    Uniform(bits=4),
    Uniform(bits=4, symmetric=False, observer="percentile"),
    Uniform(bits=4, per_channel=True),
    FixedPoint(integer=None, fraction=3),
    LSQ(bits=4),
    LSQ(bits=4, per_channel=True),
    LQNet(bits=3),
]


def name_of(spec: QuantizerSpec) -> str:
    return "-".join(str(value) for value in spec.fields().values())


def held(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def quantized(model: Network, recipe: Recipe, loader: list[Batch] | None = None) -> Network:
    copied = quantize(model, recipe, loader)
    assert isinstance(copied, Network)
    return copied


@pytest.mark.parametrize("spec", WEIGHTS, ids=name_of)
def test_weights_are_on_their_grid(model: Network, spec: QuantizerSpec) -> None:
    small = quantized(model, Recipe(weights=spec, biases=NARROW))
    for layer in (small.conv1, small.conv2, small.readout):
        grid = layer.parametrizations.weight[0].grid()
        table = levels(grid) if levels(grid).ndim == 2 else levels(grid).expand(layer.weight.shape[0], -1)
        for row, allowed in zip(layer.weight.flatten(1), table, strict=True):
            assert torch.isin(row, allowed).all()
    assert torch.isin(small.readout.bias, levels(NARROW.grid())).all()
    assert small(torch.rand(2, 1, 8, 8)).isfinite().all()


@pytest.mark.parametrize("spec", [WEIGHTS[0], LQNet(bits=2), LSQ(bits=3)], ids=name_of)
def test_the_original_stays_untouched(model: Network, loader: list[Batch], spec: QuantizerSpec, step: Step) -> None:
    before, x = held(model), loader[0][0]
    expected = model(x)
    small = quantized(model, Recipe(weights=spec, state=Uniform(bits=4), constants=NARROW), loader)
    step(small, loader[0])
    assert model.recipe is None
    assert not any(isinstance(module, Quantizer) for module in model.modules())
    assert model.state_dict().keys() == before.keys()
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())
    assert model(x).equal(expected)
    assert not small.eval()(x).equal(expected)


def test_keeps_the_mode(model: Network) -> None:
    assert quantized(model.train(), Recipe(weights=NARROW)).training
    assert not quantized(model.eval(), Recipe(weights=NARROW)).training


def test_float_recipe_changes_nothing(model: Network, loader: list[Batch]) -> None:
    assert quantized(model, Recipe())(loader[0][0]).equal(model(loader[0][0]))


@pytest.mark.parametrize("spec", STATES, ids=name_of)
def test_states_are_on_their_grid(model: Network, loader: list[Batch], spec: QuantizerSpec) -> None:
    small = quantized(model, Recipe(state=spec))
    current = torch.randn(1, 6, 4, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.7
    neuron = small.lif1.eval()
    _, membrane = neuron.scan(current)
    assert torch.isin(membrane, torch.cat([levels(spec.grid()), torch.zeros(1)])).all()
    assert small.eval()(loader[0][0]).equal(small(loader[0][0]))


@pytest.mark.parametrize("spec", FITTED, ids=name_of)
def test_states_are_fitted_to_calibration(model: Network, loader: list[Batch], spec: QuantizerSpec) -> None:
    small = quantized(model, Recipe(state=spec), loader)
    charged = model.lif1.charged(model.norm1(model.conv1(loader[0][0])).unsqueeze(0), model.wiring.time)
    for neuron in (small.lif1, small.lif2):
        assert levels(neuron.state.grid()).isfinite().all()
    bound = levels(small.lif1.state.grid())[..., -1].max().item()
    assert 0.5 * charged.max().item() < bound
    assert small(loader[0][0]).isfinite().all()


def test_the_fitted_range_is_that_of_the_membranes(model: Network, loader: list[Batch]) -> None:
    small = quantized(model, Recipe(state=Uniform(bits=4, symmetric=False)), loader)
    charged = torch.cat([model.lif1.charged(model.norm1(model.conv1(x)).unsqueeze(0), model.wiring.time) for x, _ in loader])
    assert (small.lif1.state.low.item(), small.lif1.state.high.item()) == (charged.min().item(), charged.max().item())
    per_channel = quantized(model, Recipe(state=Uniform(bits=4, symmetric=False, per_channel=True)), loader)
    assert per_channel.lif1.state.high.equal(charged.amax((0, 1, 3, 4)))


def test_calibration_reads_only_its_batches(model: Network, loader: list[Batch]) -> None:
    recipe, loader = Recipe(state=Uniform(bits=4)), [*loader[:2], (loader[2][0] * 2, loader[2][1])]
    first = quantize(model, recipe, loader, batches=1)
    alone = quantize(model, recipe, loader[:1])
    every = quantize(model, recipe, loader)
    assert first.lif1.state.high.equal(alone.lif1.state.high)  # type: ignore[union-attr]
    assert not first.lif1.state.high.equal(every.lif1.state.high)  # type: ignore[union-attr]
    drawn = iter(loader)
    quantize(model, recipe, drawn, batches=2)
    assert len(list(drawn)) == 1


def test_calibration_leaves_no_hook_and_no_mode_behind(model: Network, loader: list[Batch]) -> None:
    small = quantized(model.train(), Recipe(state=Uniform(bits=4)), loader)
    assert small.training
    assert small.norm1.running_mean.equal(model.norm1.running_mean)
    assert not any(module._forward_pre_hooks for module in small.modules())


def test_calibration_can_be_repeated(model: Network, loader: list[Batch]) -> None:
    small = quantized(model, Recipe(state=Uniform(bits=4)), loader[:1])
    again = quantized(model, Recipe(state=Uniform(bits=4)), loader)
    calibrate(small, {"lif1": small.lif1.state, "lif2": small.lif2.state}, loader)
    assert small.lif1.state.high.equal(again.lif1.state.high)


def test_extremes_of_a_neuron_that_does_not_exist_are_refused(model: Network) -> None:
    with pytest.raises(SpecError, match="extremes: unknown neuron 'lif9': must be one of lif1, lif2; did you mean"):
        quantize(model, Recipe(state=Uniform(bits=4)), extremes={"lif1": (0.0, 1.0), "lif2": (0.0, 1.0), "lif9": (0.0, 1.0)})


@pytest.mark.parametrize("spec", FITTED, ids=name_of)
def test_refuses_without_calibration(model: Network, spec: QuantizerSpec) -> None:
    with pytest.raises(SpecError, match="the states of lif1, lif2 need data to fit their range; pass calibration=loader"):
        quantize(model, Recipe(state=spec))


def test_names_only_the_states_that_need_data(model: Network) -> None:
    with pytest.raises(SpecError, match="the states of lif2 need data"):
        quantize(model, Recipe(state=NARROW, overrides={"lif2": Override(state=Uniform(bits=4))}))


@pytest.mark.parametrize("spec", STATES, ids=name_of)
def test_fixed_states_need_no_calibration(model: Network, spec: QuantizerSpec) -> None:
    assert quantized(model, Recipe(state=spec)).lif1.state.spec == spec


@pytest.mark.parametrize("batches", [0, 8])
def test_refuses_an_empty_calibration(model: Network, loader: list[Batch], batches: int) -> None:
    with pytest.raises(SpecError, match="the calibration loader gave no batch; pass at least one batch of training data"):
        quantize(model, Recipe(state=Uniform(bits=4)), loader if batches == 0 else [], batches=batches)


def test_refuses_a_calibration_with_nan(model: Network) -> None:
    with pytest.raises(SpecError, match="NaN"):
        quantize(model, Recipe(state=Uniform(bits=4)), [(torch.full((2, 1, 8, 8), torch.nan), torch.zeros(2))])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("spec", [NARROW, Uniform(bits=4), LQNet(bits=2), LSQ(bits=4), Binary()], ids=name_of)
def test_refuses_weights_that_are_not_finite(model: Network, spec: QuantizerSpec, value: float) -> None:
    model.readout.bias.data[3:5] = value
    for recipe in (Recipe(weights=spec), Recipe(biases=spec), Recipe(state=NARROW)):
        with pytest.raises(SpecError, match=r"readout\.bias holds 2 values that are NaN or infinite"):
            quantize(model, recipe)
    model.conv2.weight.data[0, 1, 2, 0] = value
    with pytest.raises(SpecError, match=r"conv2\.weight holds 1 values that are NaN or infinite"):
        quantize(model, Recipe(weights=spec))


def test_refuses_what_is_no_recipe(model: Network) -> None:
    for wrong in (NARROW, "W(Q1.6)-N(Q11.6)"):
        with pytest.raises(SpecError, match=r"recipe: must be a Recipe, as Recipe\(weights=...\) or Recipe.parse\(...\), got"):
            quantize(model, wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("normed", [parametrizations.weight_norm, parametrizations.spectral_norm])
def test_refuses_weights_that_are_computed(normed: Callable[[nn.Module], nn.Module]) -> None:
    module = nn.Sequential(normed(nn.Linear(2, 2)), LIF(decay=0.5))
    with pytest.raises(SpecError, match=r"0\.weight: is no parameter but computed, as by weight norm; remove that first"):
        quantize(module, Recipe(weights=NARROW))
    assert quantize(module, Recipe(biases=NARROW, state=NARROW))(torch.ones(1, 1, 2)).shape == (1, 1, 2)


@pytest.mark.parametrize(
    "recipe",
    [Recipe(weights=NARROW), Recipe(biases=NARROW), Recipe(state=NARROW), Recipe(constants=NARROW), Recipe(constants={"decay": NARROW})],
)
def test_refuses_to_quantize_twice(model: Network, recipe: Recipe) -> None:
    small = quantize(model, recipe)
    for second in (recipe, Recipe(weights=LQNet(bits=2))):
        with pytest.raises(SpecError, match="the model is quantized already; quantize the float model"):
            quantize(small, second)


def test_the_recipe_says_when_states_are_rounded(model: Network) -> None:
    assert quantized(model, Recipe(state=NARROW)).lif1.snapped == "before_fire"
    assert quantized(model, Recipe(state=NARROW, snapped="after_reset")).lif2.snapped == "after_reset"


@pytest.mark.parametrize(
    "spec", [FixedPoint(integer=1, fraction=1), FixedPoint(integer=3, fraction=0), Uniform(bits=2, low=0.0, high=0.75)]
)
def test_constants_are_on_their_grid(spec: QuantizerSpec) -> None:
    model = build("squat-fmnist", time=2, decay=0.9, threshold=0.6)
    small = quantized(model, Recipe(constants=spec))
    for neuron in (small.lif1, small.lif2, small.lif3):
        for constant, value in ((neuron.threshold, 0.6), (neuron.decay, 0.9)):
            distances = (levels(spec.grid()) - value).abs()
            assert constant.item() == levels(spec.grid())[distances.argmin()].item()


def test_decays_that_fall_together_are_refused() -> None:
    model = nn.Sequential(nn.Linear(2, 2), Alpha(decay=0.9, inhibitory=0.8))
    small = quantize(model, Recipe(constants=FixedPoint(integer=1, fraction=4)))
    assert (float(small[1].decay), float(small[1].inhibitory)) == (14 / 16, 13 / 16)
    with pytest.raises(SpecError, match=r"1: decay must be above inhibitory, got 1\.0 and 1\.0"):
        quantize(model, Recipe(constants=FixedPoint(integer=1, fraction=1)))


def test_levels_per_neuron_are_fitted_to_adapted_thresholds() -> None:
    model = build("stdp-net", inputs=4, neurons=3)
    model.excitatory.adapted.copy_(torch.tensor([0.0, 1.0, 2.0]))
    small = quantize(model, Recipe(state={"threshold": Uniform(bits=4, per_channel=True, symmetric=False)}))
    assert torch.allclose(small.excitatory.bound(), model.excitatory.bound())


def test_constants_are_used(model: Network, loader: list[Batch]) -> None:
    # tau 2: 0.5 v + x / 2; on multiples of one, half goes up: v + x / 2.
    small = quantized(model, Recipe(constants={"decay": FixedPoint(integer=1, fraction=0)}))
    assert (small.lif1.decay.item(), small.lif1.threshold.item()) == (1.0, 1.0)
    spikes = small.lif1(torch.full((4, 1, 4, 8, 8), 0.5))
    assert spikes[:, 0, 0, 0, 0].tolist() == [0, 0, 0, 1]
    assert model.lif1(torch.full((4, 1, 4, 8, 8), 0.5)).sum() == 0


def test_constants_per_channel() -> None:
    module = nn.Sequential(LIF(decay=torch.tensor([0.3, 0.9]), threshold=torch.tensor([0.6, 1.1])))
    neuron = quantize(module, Recipe(constants=FixedPoint(integer=1, fraction=1)))[0]  # type: ignore[index]
    assert (neuron.decay.tolist(), neuron.threshold.tolist()) == ([0.5, 1.0], [0.5, 1.0])


def test_stochastic_layers_draw_apart(model: Network) -> None:
    spec = FixedPoint(integer=1, fraction=1, rounding="stochastic")
    small = quantized(model, Recipe(weights=spec, state=spec, seed=5))
    numbers = [(module.seed, module.layer) for module in small.modules() if isinstance(module, Quantizer)]
    assert len(set(numbers)) == len(numbers) == 5
    assert {seed for seed, _ in numbers} == {5}
    other = quantized(model, Recipe(weights=spec, state=spec, seed=6))
    assert not small.conv2.weight.equal(other.conv2.weight)
    assert small.conv2.weight.equal(small.conv2.weight)
    assert not small.train().conv2.weight.equal(small.conv2.weight)


@pytest.mark.parametrize("spec", WEIGHTS, ids=name_of)
def test_gradients_flow_to_the_latent_weights(model: Network, loader: list[Batch], spec: QuantizerSpec, step: Step) -> None:
    small = quantized(model, Recipe(weights=spec, state=NARROW))
    before = [original(layer, "weight").clone() for layer in (small.conv1, small.conv2, small.readout)]  # type: ignore[union-attr]
    assert step(small, loader[0]).isfinite()
    for layer, old in zip((small.conv1, small.conv2, small.readout), before, strict=True):
        latent = original(layer, "weight")
        assert isinstance(latent, nn.Parameter)
        assert latent.grad is not None
        assert latent.grad.abs().sum() > 0
        assert not latent.equal(old)


def test_learned_steps_are_trained(model: Network, loader: list[Batch], step: Step) -> None:
    small = quantized(model, Recipe(weights=LSQ(bits=3), state=LSQ(bits=8)), loader)
    learned = {name: value.clone() for name, value in small.named_parameters() if name.endswith("step")}
    assert len(learned) == 5
    step(small, loader[0])
    moved = {name: not value.equal(learned[name]) for name, value in small.named_parameters() if name in learned}
    assert all(moved.values())


def test_lqnet_refits_once_for_each_change_of_its_weight(model: Network, loader: list[Batch], step: Step) -> None:
    small = quantized(model, Recipe(weights=LQNet(bits=2)))
    basis, x = small.conv1.parametrizations.weight[0], loader[0][0]
    assert basis.fits.item() == 0
    small.train()
    for reads in range(3):
        small(x)
        assert basis.fits.item() == 1, reads
    for steps in range(3):
        step(small, loader[0])  # reads the weight, then changes it
        assert basis.fits.item() == 1 + steps, steps
    small(x)
    assert basis.fits.item() == 4


def test_lqnet_reads_the_basis_stored_before(model: Network, loader: list[Batch]) -> None:
    small = quantized(model, Recipe(weights=LQNet(bits=2))).train()
    basis = small.conv1.parametrizations.weight[0]
    small.conv1.parametrizations.weight.original.data.mul_(3.0)
    stored = levels(basis.grid()).clone()
    weight = small.conv1.weight
    assert all(torch.isin(row, allowed).all() for row, allowed in zip(weight.flatten(1), stored, strict=True))
    assert not levels(basis.grid()).equal(stored)


@pytest.mark.parametrize("spec", [LQNet(bits=2), Uniform(bits=2)], ids=name_of)
def test_nothing_is_refitted_in_evaluation(model: Network, loader: list[Batch], spec: QuantizerSpec) -> None:
    small = quantized(model, Recipe(weights=spec)).eval()
    small.conv1.parametrizations.weight.original.data.mul_(3.0)
    before = held(small)
    first = small(loader[0][0])
    assert all(value.equal(before[name]) for name, value in small.state_dict().items())
    assert small(loader[0][0]).equal(first)


def test_fitted_ranges_follow_the_weights_in_training(model: Network, loader: list[Batch], step: Step) -> None:
    small = quantized(model, Recipe(weights=Uniform(bits=4)))
    for _ in range(2):
        step(small, loader[0])
    small(loader[0][0])
    held_range = small.conv1.parametrizations.weight[0]
    assert held_range.high.item() == original(small.conv1, "weight").abs().max().item()  # type: ignore[union-attr]


@pytest.mark.parametrize("weights", WEIGHTS, ids=name_of)
def test_baked_equals_the_quantized_model(model: Network, loader: list[Batch], weights: QuantizerSpec, step: Step) -> None:
    small = quantized(model, Recipe(weights=weights, biases=NARROW, state=NARROW, constants=FixedPoint(integer=1, fraction=3)))
    step(small, loader[0])
    x, before = loader[1][0], held(small)
    expected = small.eval()(x)
    baked = bake(small.train())
    assert isinstance(baked, Network)
    assert small.training
    assert not baked.training
    assert baked(x).equal(expected)
    assert not any(parametrize.is_parametrized(module) for module in baked.modules())
    assert type(baked.conv1) is Convolution
    assert {name for name, _ in baked.named_parameters()} == {name for name, _ in model.named_parameters()}
    assert all(value.equal(before[name]) for name, value in small.state_dict().items())
    assert small.eval()(x).equal(expected)
    assert parametrize.is_parametrized(small.conv1, "weight")


def test_baked_keeps_states_and_constants_in_its_recipe(model: Network) -> None:
    overrides = {"conv1": Override(weights="float"), "lif1": Override(state=ThresholdCentered(bits=3))}
    small = quantized(model, Recipe(weights=NARROW, biases=NARROW, state=NARROW, constants=NARROW, first="float", overrides=overrides))
    baked = bake(small)
    assert isinstance(baked, Network)
    kept = {"conv1": Override(), "lif1": Override(state=ThresholdCentered(bits=3))}
    assert baked.recipe == Recipe(state=NARROW, constants=NARROW, overrides=kept)
    assert baked.lif1.state.spec == ThresholdCentered(bits=3)


def test_weights_that_are_baked_can_be_quantized_again(model: Network, loader: list[Batch]) -> None:
    once = quantized(model, Recipe(weights=NARROW))
    twice = quantize(bake(once), Recipe(weights=NARROW))
    assert twice(loader[0][0]).equal(once(loader[0][0]))


def test_attach_hangs_on_the_model_itself(model: Network) -> None:
    assert attach(model, Recipe(weights=LSQ(bits=4))) is model
    assert not model.conv1.parametrizations.weight[0].started
    assert model.recipe == Recipe(weights=LSQ(bits=4))


def test_any_module_can_be_quantized() -> None:
    module = nn.Sequential(nn.Linear(3, 2), LIF(decay=0.5))
    small = quantize(module, Recipe(weights=NARROW, state=Uniform(bits=4)), [(torch.rand(4, 2, 3), torch.zeros(2))])
    assert torch.isin(small[0].weight, levels(NARROW.grid())).all()  # type: ignore[index]
    assert small(torch.rand(4, 2, 3)).shape == (4, 2, 2)
    assert bake(small)(torch.ones(4, 2, 3)).equal(small(torch.ones(4, 2, 3)))


def test_quantized_models_can_be_copied(model: Network, loader: list[Batch], step: Step) -> None:
    small = quantized(model, Recipe(weights=LQNet(bits=2), state=NARROW))
    copied = copy.deepcopy(small)
    step(copied, loader[0])
    assert small.conv1.parametrizations.weight[0].fits.item() == 0
    assert copied.conv1.parametrizations.weight[0].fits.item() == 1
