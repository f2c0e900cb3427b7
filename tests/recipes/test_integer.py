import pytest
import torch

from spikequant.errors import SpecError
from spikequant.models import Network, Wiring, build
from spikequant.models.wiring import chain
from spikequant.neurons import spiking, tap
from spikequant.quantizers import LQNet
from spikequant.recipes import Arithmetic, Override, Recipe, bake, load, memory, quantize, save
from spikequant.recipes.integer import Scaled, accumulator_shift, fed

BATCHES = [(torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(seed)), torch.arange(8)) for seed in range(2)]


@pytest.fixture(scope="module")
def small() -> Network:
    return quantize(build("digits"), Recipe.integer(), BATCHES)


def membranes_and_currents(network: Network) -> list[torch.Tensor]:
    seen = []
    handles = [
        lif.register_forward_pre_hook(
            lambda module, inputs: seen.append(module.scan(inputs[0], steps=inputs[1])[1]) or seen.append(inputs[0] * module.dynamics.gain)
        )
        for lif in spiking(network).values()
    ]
    network.eval()(BATCHES[0][0])
    for handle in handles:
        handle.remove()
    return seen


def test_all_that_flows_is_whole(small: Network) -> None:
    values = [*membranes_and_currents(small), small.conv1.weight, small.lif1.threshold, small.encode(BATCHES[0][0], 4)]
    for value in values:
        assert torch.equal(value, value.round())
    assert values[0].abs().max() > 3
    assert small.conv1.weight.abs().max() == 7


def test_a_double_network_stays_one_and_computes_the_same_codes(small: Network) -> None:
    double = quantize(build("digits").double(), Recipe.integer(), [(x.double(), y) for x, y in BATCHES])
    assert (double.conv1.weight.dtype, build("digits").conv1.weight.dtype) == (torch.float64, torch.float32)
    assert torch.equal(double.conv1.weight.float(), small.conv1.weight)
    assert torch.equal(double(BATCHES[0][0].double()).float(), small(BATCHES[0][0]))


def test_batch_norm_is_gone_and_firing_is_alike(small: Network) -> None:
    assert not small.wiring.of_kind("batch_norm")
    float_network = build("digits")
    float_network.train()
    for x, _ in BATCHES * 20:
        float_network(x)
    wide = quantize(float_network, Recipe.integer(8, 16, leak_bits=12), BATCHES)
    rates = []
    for network in (float_network.eval(), wide.eval()):
        spikes = {}
        with tap(network, spikes.__setitem__):
            network(BATCHES[0][0])
        rates.append(spikes)
    for name in rates[0]:
        assert (rates[0][name] == rates[1][name]).float().mean() > 0.97


@pytest.mark.parametrize(("weight_bits", "most"), [(1, 1), (2, 1), (3, 3), (8, 127)])
def test_weight_codes(weight_bits: int, most: int) -> None:
    network = quantize(build("digits"), Recipe.integer(weight_bits), BATCHES)
    assert network.conv2.weight.abs().max() == most
    assert (network.conv2.weight == 0).any() == (weight_bits > 1)


def test_thresholds_fill_the_state_but_for_headroom(small: Network) -> None:
    for lif in spiking(small).values():
        assert lif.threshold.min() >= 1
        assert 38 < lif.threshold.max() <= 0.6 * 128 + 1
        assert lif.threshold.max() <= 8 * lif.threshold.min() + 8


def test_training_moves_real_weights_by_the_chain_rule(small: Network) -> None:
    small.train()
    small.zero_grad()
    torch.nn.functional.cross_entropy(small(BATCHES[0][0]), BATCHES[0][1]).backward()
    held = small.conv1.parametrizations.weight
    assert held.original.abs().max() < 1.5  # real units
    assert held.original.grad.abs().sum() > 0
    scaled = held[0]
    assert isinstance(scaled, Scaled)
    x = torch.ones(scaled.scale.shape[0], 2, requires_grad=True)
    Scaled(tuple(x.shape))(x).sum().backward()
    assert torch.equal(x.grad, torch.ones_like(x))


def test_last_layer_stays_in_real_units(small: Network) -> None:
    unit = small.readout.parametrizations.weight[0].scale[0, 0]
    assert torch.log2(unit) == torch.log2(unit).round()
    assert torch.equal(small.readout.weight / unit, (small.readout.weight / unit).round())
    assert fed(small.wiring, "readout") is None
    assert accumulator_shift(small.wiring, "readout") == 0


def test_saved_and_loaded(small: Network, tmp_path) -> None:
    save(small, tmp_path / "net")
    read = load(tmp_path / "net")
    assert torch.equal(read(BATCHES[0][0]), small.eval()(BATCHES[0][0]))
    baked = bake(read)
    assert torch.equal(baked(BATCHES[0][0]), small(BATCHES[0][0]))


def test_memory_counts_codes(small: Network) -> None:
    ledger = memory(small)
    assert ledger.weight_bits == 4 * (16 * 9 + 32 * 16 * 9 + 128 * 10)
    assert ledger.state_bits == 8 * (16 * 64 + 32 * 16)


def test_recipe_as_text() -> None:
    recipe = Recipe.integer(weight_bits=2, state_bits=6, leak_bits=4)
    assert recipe.arithmetic == Arithmetic(leak_bits=4)
    assert Recipe.from_toml(recipe.to_toml()) == recipe


def one(*steps, shape=(1, 4, 4)) -> Network:
    return Network(Wiring(name="n", time=2, input_shape=shape, readout="mean", nodes=chain(*steps)))


ENCODE = ("encode", "encode", {})
CONV = ("conv", "conv2d", {"in_channels": 1, "out_channels": 2, "kernel_size": 3})


@pytest.mark.parametrize(
    ("model", "recipe", "message"),
    [
        (build("digits"), Recipe.integer(), "no data"),
        (one(ENCODE, CONV, ("lif", "lif", {"tau": 2.0})), Recipe.integer(), "range of its images"),
        (one(CONV, ("lif", "lif", {"tau": 2.0})), Recipe.integer(), "one encode node"),
        (torch.nn.Linear(2, 2), Recipe.integer(), "wiring"),
    ],
)
def test_what_needs_data_or_a_wiring(model, recipe: Recipe, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        quantize(model, recipe)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (Recipe.integer(4, 2), "rounds to 0"),
        (Recipe.integer().model_copy(update={"weights": LQNet(bits=2)}), "whole numbers of 1 to 8 bits"),
        (Recipe.integer().model_copy(update={"overrides": {"conv1": Override(weights="float")}}), "conv1: integer weights"),
        (Recipe.integer().model_copy(update={"overrides": {"lif1": Override(state="float")}}), "lif1: an integer state"),
    ],
)
def test_what_has_no_integer_form(recipe: Recipe, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        quantize(build("digits"), recipe, BATCHES)


@pytest.mark.parametrize("surrogate", ["arctan", "sigmoid", "fast_sigmoid", "triangle", "squat"])
@pytest.mark.parametrize("neuron", ["lif", "synaptic"])
def test_gradients_are_those_of_the_float_network(neuron: str, surrogate: str) -> None:
    """In the first layer, behind every surrogate; batch norm and time constant, all in all near 1/100, lie in its weights."""
    torch.manual_seed(0)
    own = {"lif": {"tau": 2.0}, "synaptic": {"synapse": 0.7, "decay": 0.8, "gain": 0.2, "reset": "value"}}[neuron]
    model = build("digits", lif={"neuron": neuron, **own, "detach_reset": False, "surrogate": surrogate, "slope": 1.0}).eval()
    for norm in (model.norm1, model.norm2):
        norm.num_batches_tracked.fill_(1)
        norm.weight.data.fill_(3.0)
    whole = quantize(model, Recipe.integer(8, 16), BATCHES).eval()
    found = []
    for network in (model, whole):
        torch.nn.functional.cross_entropy(network(BATCHES[0][0]), BATCHES[0][1]).backward()
        layer = network.conv1
        weight = layer.parametrizations.weight.original if hasattr(layer, "parametrizations") else layer.weight
        found.append(weight.grad.flatten())
    assert torch.cosine_similarity(*found, 0) > 0.5  # not 1: some spikes differ, and each goes back through all steps before
    assert 10 < found[1].norm() / found[0].norm() < 1000


def test_a_synaptic_current_has_bits_of_its_own() -> None:
    model = build("digits", lif={"neuron": "synaptic", "synapse": 0.7, "decay": 0.9})
    with pytest.raises(
        SpecError, match=r"lif1: a synaptic current of 8 bits reaches 0.167 thresholds, and must reach 2; use current_bits=12"
    ):
        quantize(model, Recipe.integer(current_bits=8), BATCHES)
    small = quantize(model, Recipe.integer(current_bits=12, leak_bits=6), BATCHES)
    assert (small.lif1.form, small.lif1.sees, float(small.lif1.synapse)) == ("whole", "stored", round(0.7 * 64) / 64)
    assert (small.lif1.synapse_state.grid().size, small.lif1.state.grid().size) == (2**12, 2**8)
    plain = quantize(build("digits"), Recipe.integer(), BATCHES)
    assert memory(small).state_bits == memory(plain).state_bits * (12 + 8) // 8


@pytest.mark.parametrize(("name", "first"), [("resnet8", "activation"), ("decolle", "traces"), ("stdp-net", "competing")])
def test_neurons_without_whole_numbers_are_refused(name: str, first: str) -> None:
    with pytest.raises(SpecError, match=f"there is no {first} in whole numbers; Recipe.integer knows lif, parametric_lif, synaptic"):
        quantize(build(name), Recipe.integer())


def test_a_membrane_counts_from_where_it_is_reset_to() -> None:
    """From -0.5 to a threshold of 0.5 as from 0 to 1: the same whole numbers."""
    batch, made = [(torch.rand(2, 1, 4, 4), torch.zeros(2))], []
    for reset, threshold in ((-0.5, 0.5), (0.0, 1.0)):
        torch.manual_seed(0)
        lif = {"tau": 2.0, "reset": "value", "reset_value": reset, "threshold": threshold}
        made.append(quantize(one(ENCODE, CONV, ("lif", "lif", lif)), Recipe.integer(), batch))
    assert made[0].wiring == made[1].wiring
    model = one(ENCODE, CONV, ("lif", "lif", {"tau": 2.0, "rest": -0.1}))
    with pytest.raises(SpecError, match=r"lif: its membrane begins at -0\.1"):
        quantize(model, Recipe.integer(), batch)
