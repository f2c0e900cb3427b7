import pytest
import torch

from spikequant.errors import SpecError
from spikequant.models import Network, build
from spikequant.quantizers import (
    LSQ,
    Anchored,
    Binary,
    FixedPoint,
    LQNet,
    Membrane,
    QSNNBinary,
    SpikeFit,
    ThresholdCentered,
    Uniform,
    ZeroCentered,
)
from spikequant.recipes import Ledger, Override, Recipe, auxiliary, bake, memory, quantize

# The digits network, counted by hand.
CONV1, CONV2, READOUT = 1 * 16 * 9, 16 * 32 * 9, 128 * 10
WEIGHTS = CONV1 + CONV2 + READOUT
BIASES = 10
OUTPUTS = 16 + 32 + 10  # output channels of all layers
NORMS = 2 * (16 + 32) * 32
STATES = 16 * 8 * 8 + 32 * 4 * 4
CHANNELS = 16 + 32  # of the neurons
LAYERS = 2  # of neurons

NARROW = Uniform(bits=4, low=-1.0, high=1.0)
FLOAT = Ledger(
    weight_bits=32 * WEIGHTS,
    bias_bits=32 * BIASES,
    norm_bits=NORMS,
    table_bits=0,
    threshold_bits=32 * LAYERS,
    constant_bits=32 * LAYERS,
    state_bits=32 * STATES,
    qspinn_bits=32 * WEIGHTS + 2 * 32 * STATES,
)


def changed(**bits: int) -> Ledger:
    """The float ledger with other columns; Q-SpiNN's sum follows weights, states and thresholds of one width."""
    ledger = FLOAT._replace(**bits)
    width = ledger.threshold_bits // LAYERS
    return ledger._replace(qspinn_bits=ledger.weight_bits + ledger.state_bits + width * STATES)


@pytest.fixture(scope="module")
def digits() -> Network:
    return build("digits")


EXPECTED = {
    "float": (Recipe(), FLOAT),
    # An affine grid stores step and offset, once for each of the three layers.
    "uniform": (Recipe(weights=NARROW), changed(weight_bits=4 * WEIGHTS, table_bits=64 * 3)),
    "per channel": (Recipe(weights=Uniform(bits=3, per_channel=True)), changed(weight_bits=3 * WEIGHTS, table_bits=64 * OUTPUTS)),
    "lsq": (Recipe(weights=LSQ(bits=5)), changed(weight_bits=5 * WEIGHTS, table_bits=64 * 3)),
    # LQ-Net stores 2 basis values for each output channel, binary weights one scale or none.
    "lq-net": (Recipe(weights=LQNet(bits=2)), changed(weight_bits=2 * WEIGHTS, table_bits=2 * 32 * OUTPUTS)),
    "binary": (Recipe(weights=Binary()), changed(weight_bits=WEIGHTS, table_bits=32 * OUTPUTS)),
    # Q-SNN stores an exponent for each output channel, SpikeFit four values of 8 bits and their scale for each layer.
    "q-snn": (Recipe(weights=QSNNBinary()), changed(weight_bits=WEIGHTS, table_bits=8 * OUTPUTS)),
    "spikefit": (Recipe(weights=SpikeFit(bits=2)), changed(weight_bits=2 * WEIGHTS, table_bits=64 * 3)),
    "signs": (Recipe(weights=Binary(scale="one")), changed(weight_bits=WEIGHTS)),
    "biases": (Recipe(biases=NARROW), changed(bias_bits=4 * BIASES, table_bits=64)),
    "fixed biases": (Recipe(biases=FixedPoint(integer=1, fraction=14)), changed(bias_bits=16 * BIASES)),
    "ends": (
        Recipe(weights=LQNet(bits=2), first="float", last=FixedPoint(integer=0, fraction=7)),
        changed(weight_bits=32 * CONV1 + 2 * CONV2 + 8 * READOUT, table_bits=2 * 32 * 32),
    ),
    "override": (
        Recipe(weights=LQNet(bits=2), overrides={"conv?": Override(weights=LQNet(bits=3))}),
        changed(weight_bits=3 * (CONV1 + CONV2) + 2 * READOUT, table_bits=3 * 32 * 48 + 2 * 32 * 10),
    ),
    "state": (Recipe(state=NARROW), changed(state_bits=4 * STATES, table_bits=64 * LAYERS)),
    "state per channel": (
        Recipe(state=Uniform(bits=4, per_channel=True)),
        changed(state_bits=4 * STATES, table_bits=64 * CHANNELS),
    ),
    "state of lq-net": (Recipe(state=LQNet(bits=2)), changed(state_bits=2 * STATES, table_bits=2 * 32 * CHANNELS)),
    "anchored": (Recipe(state=Anchored(bits=3)), changed(state_bits=3 * STATES)),
    # Exponential levels are a table of 2^bits values for each layer.
    "threshold-centered": (Recipe(state=ThresholdCentered(bits=4)), changed(state_bits=4 * STATES, table_bits=16 * 32 * LAYERS)),
    "zero-centered": (Recipe(state={"v": ZeroCentered(bits=2)}), changed(state_bits=2 * STATES, table_bits=4 * 32 * LAYERS)),
    # So are levels that follow their membranes, wherever they begin.
    "membrane": (Recipe(state=Membrane(bits=4, below=3)), changed(state_bits=4 * STATES, table_bits=16 * 32 * LAYERS)),
    "threshold": (
        Recipe(constants={"threshold": NARROW}),
        changed(threshold_bits=4 * LAYERS, table_bits=64 * LAYERS),
    ),
    "decay": (Recipe(constants={"decay": FixedPoint(integer=0, fraction=7)}), changed(constant_bits=8 * LAYERS)),
    "Q-SpiNN": (
        Recipe.parse("W(Q1.6)-N(Q11.6)"),
        changed(weight_bits=8 * WEIGHTS, state_bits=18 * STATES, threshold_bits=18 * LAYERS, constant_bits=18 * LAYERS),
    ),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_digits_by_hand(digits: Network, name: str) -> None:
    recipe, expected = EXPECTED[name]
    assert memory(digits, recipe) == expected


@pytest.mark.parametrize(
    "name", [name for name, (recipe, _) in EXPECTED.items() if "per channel" not in name and name not in ("state of lq-net", "membrane")]
)
def test_the_quantized_model_has_the_memory_foretold(digits: Network, name: str) -> None:
    recipe, expected = EXPECTED[name]
    assert memory(quantize(digits, recipe)) == expected  # type: ignore[arg-type]


def test_folded_norms_leave_biases_behind(digits: Network) -> None:
    recipe = Recipe(weights=NARROW, biases=FixedPoint(integer=1, fraction=14), batch_norm="folded")
    expected = changed(weight_bits=4 * WEIGHTS, table_bits=64 * 3, norm_bits=0, bias_bits=16 * OUTPUTS)
    assert memory(digits, recipe) == memory(quantize(digits, recipe)) == expected


def test_only_networks_are_counted() -> None:
    with pytest.raises(SpecError, match="memory counts a Network, got Linear; adopt it first"):
        memory(torch.nn.Linear(1, 1))  # type: ignore[arg-type]


def test_an_integer_recipe_is_not_foretold(digits: Network) -> None:
    with pytest.raises(SpecError, match="ask for the memory of the quantized model"):
        memory(digits, Recipe.integer())
    small = quantize(digits, Recipe.integer(), [(torch.rand(4, 1, 8, 8), torch.zeros(4))])
    assert memory(small) == memory(small, Recipe.integer())


def test_total_is_the_sum_of_all_but_qspinns_own(digits: Network) -> None:
    ledger = Ledger(1, 2, 4, 8, 16, 32, 64, 128, 256)
    assert ledger.total_bits == 255
    # 6032 weights, 10 biases, 96 norms, 2 thresholds, 2 decays and 1536 states.
    assert memory(digits).total_bits == 32 * (6032 + 10 + 96 + 2 + 2 + 1536)


def test_squat_fmnist_by_hand() -> None:
    model = build("squat-fmnist")
    weights, states = 400 + 25_600 + 10_240, 16 * 24 * 24 + 64 * 8 * 8 + 10
    expected = Ledger(
        weight_bits=32 * weights,
        bias_bits=32 * (16 + 64 + 10),
        norm_bits=2 * 32 * (16 + 64),
        threshold_bits=32 * 3,
        constant_bits=32 * 3,
        state_bits=32 * states,
        qspinn_bits=32 * (weights + 2 * states),
    )
    assert memory(model) == expected
    small = memory(model, Recipe.parse("W(Q1.6)-N(FP32)"))
    assert small == expected._replace(weight_bits=8 * weights, qspinn_bits=8 * weights + 64 * states)
    states_only = memory(model, Recipe(state=ThresholdCentered(bits=4)))
    assert states_only == expected._replace(state_bits=4 * states, table_bits=3 * 16 * 32, qspinn_bits=32 * weights + 36 * states)


def test_fitted_formats_are_known_once_quantized(digits: Network) -> None:
    recipe = Recipe(weights=FixedPoint(integer=None, fraction=6), state=FixedPoint(integer=None, fraction=2))
    with pytest.raises(SpecError, match=r"conv1: the width of Qi\.6 depends on data; ask for the memory of the quantized model"):
        memory(digits, recipe)
    images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    small = quantize(digits, recipe, [(images, torch.zeros(4))])
    assert isinstance(small, Network)
    # No weight reaches 1, and no membrane 2 - 1/4: one integer bit each, and the sign.
    assert max(layer.weight.abs().max().item() for layer in (digits.conv1, digits.conv2, digits.readout)) < 1
    assert memory(small) == changed(weight_bits=8 * WEIGHTS, state_bits=4 * STATES)
    loud = quantize(digits, recipe, [(images * 100, torch.zeros(4))])
    assert isinstance(loud, Network)
    assert memory(loud).state_bits > memory(small).state_bits


def test_fitted_constants_are_known_from_the_start(digits: Network) -> None:
    # The threshold of 1 needs one integer bit at least, 1 + 1 + 4 bits; so does the decay of 1/2.
    recipe = Recipe(constants=FixedPoint(integer=None, fraction=4))
    assert memory(digits, recipe) == changed(threshold_bits=6 * LAYERS, constant_bits=6 * LAYERS)


def test_constants_per_channel_are_stored_for_each() -> None:
    model = build("digits", width=4)
    model.lif1.register_buffer("threshold", torch.ones(4))
    assert memory(model).threshold_bits == 32 * (4 + 1)
    assert memory(model, Recipe(constants={"threshold": FixedPoint(integer=1, fraction=2)})).threshold_bits == 4 * (4 + 1)


def test_baked_weights_are_plain_floats(digits: Network) -> None:
    small = quantize(digits, Recipe(weights=LQNet(bits=2), state=NARROW))
    baked = bake(small)
    assert isinstance(baked, Network)
    assert memory(baked) == changed(state_bits=4 * STATES, table_bits=64 * LAYERS)


def test_asking_changes_nothing() -> None:
    model = build("digits").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    memory(model, Recipe(weights=NARROW))
    assert model.training
    assert model.recipe is None
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())


def test_refuses_a_pattern_that_matches_nothing(digits: Network) -> None:
    with pytest.raises(SpecError, match="layer pattern 'cnv1' matches nothing"):
        memory(digits, Recipe(overrides={"cnv1": Override()}))


def test_refuses_what_quantize_would() -> None:
    learned = build("digits", lif={"neuron": "parametric_lif", "tau": 2.0})
    with pytest.raises(SpecError, match="lif1: the time constant of a ParametricLIF is learned"):
        memory(learned, Recipe(constants=Uniform(bits=4, low=0.0, high=2.0)))


# Q-SpiNN, Table II: 784 x 400 weights, and V, V_th, V_reset and theta of 400 neurons.
QSPINN = {"W(FP32)-N(FP32)": 1.0, "W(Q1.8)-N(Q11.8)": 3.194, "W(Q1.6)-N(FP32)": 3.94, "W(Q1.6)-N(Q11.6)": 3.987}


@pytest.mark.parametrize("notation", QSPINN)
def test_qspinns_memory_savings(notation: str) -> None:
    model = build("stdp-net")
    assert memory(model).qspinn_bits == 784 * 400 * 32 + 400 * 4 * 32 == 10_086_400
    saving = memory(model).qspinn_bits / memory(model, Recipe.parse(notation)).qspinn_bits
    assert saving == pytest.approx(QSPINN[notation], abs=5e-4)


def test_what_qspinn_leaves_uncounted_is_in_the_total() -> None:
    found = auxiliary(build("stdp-net"))
    counters = 3 * 400  # 5 steps of rest fit 3 bits
    assert found == {
        "presynaptic traces": 32 * 784,
        "postsynaptic traces": 32 * 400,
        "refractory counters": counters,
        "conductances": 0,
        "lateral weights": 32,
    }
    assert auxiliary(build("stdp-net", reading="conductance"))["conductances"] == 2 * 32 * 400
    ledger = memory(build("stdp-net"))
    assert ledger.auxiliary_bits == sum(found.values())
    # One reset and one theta serve all neurons: 2 constants, where the paper counts 800.
    assert ledger.total_bits == ledger.qspinn_bits - 2 * 32 * 400 + 2 * 32 + ledger.auxiliary_bits


def test_an_adaptive_threshold_takes_the_bits_that_its_range_asks() -> None:
    model = build("stdp-net", inputs=16, neurons=4)
    model.excitatory.adapted.fill_(200.0)
    small = quantize(model, Recipe(state={"threshold": FixedPoint(integer=None, fraction=2)}))
    assert memory(small).threshold_bits == 4 * (1 + 8 + 2)  # -52 + 200 needs 8 integer bits
