"""Simulation and program of an integer recipe agree bit for bit, whatever the network."""

import random
from collections.abc import Callable

import pytest
import torch

from spikequant.deploy import Program, lower
from spikequant.errors import SpecError
from spikequant.models import Network, Wiring, build
from spikequant.models.wiring import chain
from spikequant.quantizers import QSNNMembrane, ThresholdCentered, Uniform
from spikequant.recipes import Recipe, quantize

NETWORKS = {
    "digits": ("digits", {}),
    "squat-fmnist": ("squat-fmnist", {"time": 5}),
    "sew-resnet8": ("sew-resnet8", {"width": 4, "time": 3}),
    "snnTorch's Synaptic": ("digits", {"lif": {"neuron": "synaptic", "synapse": 0.7, "decay": 0.9, "reset_timing": "next_charged"}}),
    "Norse's LIF": (
        "digits",
        {"lif": {"neuron": "synaptic", "synapse": 0.2, "form": "rate", "decay": 0.0, "charge": "rate_input", "gain": 0.1, "compare": ">"}},
    ),
    "ParametricLIF": ("digits", {"lif": {"neuron": "parametric_lif", "tau": 3.0}}),
}


def noise(network: Network, seed: int, images: int = 4) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [(torch.rand(images, *network.wiring.input_shape, generator=generator) * 2 - 0.5, torch.zeros(images, dtype=torch.long))]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    "recipe",
    [
        Recipe.integer(),
        Recipe.integer(2, 6),
        Recipe.integer(1, 12, leak_rounding="half_up", leak_bits=5),
        Recipe.integer(4, 16, leak_bits=12),
    ],
)
def test_no_spike_differs(name: str, recipe: Recipe) -> None:
    kind, options = NETWORKS[name]
    float_network = build(kind, **options)
    small = quantize(float_network, recipe, noise(float_network, 0))
    found = lower(small).check(small, noise(small, 1))
    assert found.exact, found.first
    assert found.layers[0].program_rates.max() > 0


def drawn(choose: Callable[[list], object]) -> tuple[Network, Recipe]:
    """A network of random neurons, its norms loud, and a random integer recipe."""
    kind = choose(["lif", "synaptic", "parametric_lif"])
    of_kind = {
        "lif": {"decay": choose([1.0, 0.99, 0.5])} if choose([True, False]) else {"tau": choose([1.0, 2.0, 7.0])},
        "synaptic": {"synapse": choose([0.05, 0.3, 0.95, 1.0]), "decay": choose([1.0, 0.97, 0.5]), "form": choose(["decay", "rate"])},
        "parametric_lif": {"tau": choose([1.5, 4.0]), "decay_input": choose([True, False])},
    }[kind]
    reset, threshold = choose(["subtract", "value", "none"]), choose([0.1, 1.0, 3.0])
    compare = {"compare": choose([">", ">="]), "compare_at": choose(["stored", "full"])}
    timings = {"subtract": ["next_charged"], "value": ["now_once"][: compare["compare_at"] == "stored"], "none": ["now_once"]}
    timing = choose(["now", "next", *timings[reset]])
    if reset == "value" and kind != "synaptic":
        of_kind["reset_value"] = choose([0.0, -0.5, 0.05])
    lif = {"neuron": kind, "threshold": threshold, "reset": reset, "reset_timing": timing, **compare, **of_kind}
    network = build("digits", lif=lif, width=4, time=choose([1, 6]))
    for norm in (network.norm1, network.norm2):
        norm.weight.data.uniform_(-3, 3)
        norm.bias.data.uniform_(-0.5, 1)
    how = {"leak_bits": choose([3, 8, 12]), "leak_rounding": choose(["floor", "trunc", "half_up"]), "spread": choose([1.0, 8.0, 64.0])}
    recipe = Recipe.integer(choose([1, 2, 4, 8]), choose([6, 8, 12, 16, 20, 24]), current_bits=choose([20, 24]), **how)
    return network, recipe.model_copy(update={"snapped": choose([None, "after_reset"])})


@pytest.mark.parametrize("where", ["currents", "spikes"])
@pytest.mark.parametrize("pool", [{"kernel_size": 2, "stride": 2}, {"kernel_size": 3, "stride": 1}])
def test_means_over_windows_are_sums(where: str, pool: dict[str, int]) -> None:
    """Of currents, whose scale takes the division over, and of spikes."""
    side = 8 if pool["stride"] == 2 else 6
    conv = ("conv2d", {"in_channels": 1, "out_channels": 4, "kernel_size": 3, "padding": 1 if side == 8 else 0})
    steps = [("pool", "mean_pool", pool), ("lif", "lif", {"decay": 0.9, "threshold": 0.2})]
    flat = 4 * (16 if side == 8 else 4 * 4)
    ordered = steps if where == "currents" else steps[::-1]
    head = [("flatten", "flatten", {}), ("readout", "linear", {"in_features": flat, "out_features": 3})]
    nodes = chain(("encode", "encode", {}), ("conv", *conv), *ordered, *head)
    network = Network(Wiring(name="n", time=5, input_shape=(1, 8, 8), readout="mean", nodes=nodes))
    small = quantize(network, Recipe.integer(), noise(network, 0))
    found = lower(small).check(small, noise(small, 1))
    assert found.exact, found.first
    assert 0.05 < found.layers[0].program_rates.mean() < 0.95
    near = lower(network.eval(), noise(network, 0)).check(network, noise(network, 1))
    assert near.layers[0].different < 0.02 * near.layers[0].spikes


def test_no_spike_of_random_neurons_differs() -> None:
    torch.manual_seed(0)
    choose, exact = random.Random(0).choice, 0
    while exact < 40:
        network, recipe = drawn(choose)
        try:
            small = quantize(network, recipe, noise(network, 0))
            program = lower(small)
        except SpecError as refused:
            if not any(each in str(refused) for each in ("rounds to 0", "beyond 32 bits", "reaches")):
                raise
            continue
        found = program.check(small, noise(small, 1))
        assert found.exact, (network.lif1, recipe.arithmetic, found.first)
        exact += 1


def test_scores_are_the_logits_in_units(tmp_path) -> None:
    float_network = build("digits")
    small = quantize(float_network, Recipe.integer(), noise(float_network, 0)).eval()
    (x, _), program = noise(small, 1, 16)[0], lower(small)
    scores, logits = program.run(x.numpy()), small(x)
    assert (scores[scores != 0] / (logits.double().detach().numpy())[scores != 0]).std() < 1e-9
    assert program.predict(x.numpy()).tolist() == logits.argmax(1).tolist()
    program.save(tmp_path / "net.sqp")
    assert Program.load(tmp_path / "net.sqp").run(x.numpy()).tolist() == scores.tolist()


def test_votes_are_refused() -> None:
    network = Network(build("digits").wiring.model_copy(update={"readout": "votes"}))
    with pytest.raises(SpecError, match="readout 'votes' has no integer form"):
        lower(quantize(network, Recipe.integer(), noise(network, 0)))


FOLLOWING = {
    "step_batch": ThresholdCentered(bits=3, range="step_batch"),
    "sequence_batch": Uniform(bits=3, range="sequence_batch"),
    "Q-SNN tanh follows each step_batch": QSNNMembrane(bits=4),
}


@pytest.mark.parametrize("name", FOLLOWING)
def test_ranges_that_follow_the_batch_are_refused(name: str) -> None:
    network = build("digits")
    small = quantize(network, Recipe(state=FOLLOWING[name], snapped="after_reset"), noise(network, 0))
    with pytest.raises(SpecError, match=f"lif1.state: the range of .*{name}.*use a state with range='frozen'"):
        lower(small, noise(small, 0))


def test_what_is_no_network_of_ours_is_refused() -> None:
    program = lower(quantize(build("digits"), Recipe.integer(), noise(build("digits"), 0)))
    for call in (lambda: lower(torch.nn.Linear(3, 4)), lambda: program.check([], torch.nn.Linear(3, 4))):
        with pytest.raises(SpecError, match=r"a program comes of a network of spikequant, got (Linear|list)"):
            call()


def test_a_float_network_needs_data() -> None:
    with pytest.raises(SpecError, match="pass calibration"):
        lower(build("digits"))
