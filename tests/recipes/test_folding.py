import pytest
import torch

from spikequant.errors import SpecError
from spikequant.models import Network, Wiring, build
from spikequant.models.wiring import Node, chain
from spikequant.recipes.folding import (
    current_retention,
    fold,
    gain,
    is_fresh,
    largest_input,
    measured,
    origin,
    reset_timing,
    retention,
    units,
)


def network(*steps) -> Network:
    nodes = chain(("encode", "encode", {}), *steps)
    return Network(Wiring(name="n", time=2, input_shape=(1, 4, 4), readout="mean", nodes=nodes))


CONV = ("conv", "conv2d", {"in_channels": 1, "out_channels": 2, "kernel_size": 3, "padding": 1})
NORM = ("norm", "batch_norm", {"channels": 2})
LIF = ("lif", "lif", {"tau": 2.0})


def test_worked_fold() -> None:
    """integer-program 4.6: gamma 1.2, beta -0.1, mean 0.3, var 0.49, tau 2; here with kappa 1/2 already in."""
    model = network(
        ("conv", "conv2d", {"in_channels": 1, "out_channels": 1, "kernel_size": 2, "bias": False}),
        ("norm", "batch_norm", {"channels": 1}),
        LIF,
    )
    model.conv.weight.data = torch.tensor([0.42, -0.17, 0.05, -0.31]).reshape(1, 1, 2, 2)
    model.norm.weight.data.fill_(1.2)
    model.norm.bias.data.fill_(-0.1)
    model.norm.running_mean.fill_(0.3)
    model.norm.running_var.fill_(0.49)
    folded = fold(model, units(model, 1.0))["conv"]
    assert (2 * folded.weight).flatten().tolist() == pytest.approx([0.71999, -0.29143, 0.08571, -0.53142], abs=1e-5)
    assert 2 * folded.bias.item() == pytest.approx(-0.61428, abs=1e-5)
    assert (folded.norm, folded.lif) == ("norm", "lif")


def test_folded_gain_is_what_the_layers_compute() -> None:
    torch.manual_seed(0)
    model = network(CONV, NORM, LIF)
    model.norm.running_mean.normal_()
    model.norm.running_var.uniform_(0.5, 2)
    x = torch.randn(3, 1, 4, 4)
    folded = fold(model, units(model, 0.25))["conv"]
    expected = model.norm.eval()(model.conv(x)).double() / 2
    found = torch.nn.functional.conv2d(x.double() / 0.25, folded.weight, folded.bias, padding=1)
    assert torch.allclose(found, expected, atol=1e-6)


def test_an_average_lies_in_the_unit() -> None:
    model = network(CONV, LIF, ("pool", "average_pool", {"output_size": 2}), ("flatten", "flatten", {}))
    assert units(model, 0.5) == {"encode": 0.5, "lif": 1.0, "pool": 0.25, "flatten": 0.25}


@pytest.mark.parametrize("pool", [("pool", "average_pool", {"output_size": 2}), ("pool", "mean_pool", {"kernel_size": 2, "stride": 2})])
def test_a_mean_of_currents_is_a_sum_of_smaller_ones(pool: tuple[str, str, dict[str, int]]) -> None:
    torch.manual_seed(0)
    model = network(CONV, NORM, pool, LIF).eval()
    model.norm.running_mean.normal_()
    folded, x = fold(model, units(model, 1.0))["conv"], torch.randn(3, 1, 4, 4)
    found = torch.nn.functional.conv2d(x.double(), folded.weight, folded.bias, padding=1)
    summed = torch.nn.functional.avg_pool2d(found, 2, divisor_override=1)
    assert torch.allclose(summed, model.pool(model.norm(model.conv(x))).double() / 2, atol=1e-6)
    assert units(network(CONV, LIF, pool), 1.0)["pool"] == 0.25


def test_what_neurons_keep_and_take() -> None:
    lifs = [network(("lif", "lif", args)).lif for args in ({"tau": 4.0}, {"decay": 0.9}, {"decay": 1.0, "charge": "shift", "shift": 3})]
    assert [retention(lif) for lif in lifs] == pytest.approx([0.75, 0.9, 0.875])
    assert [gain(lif) for lif in lifs] == [0.25, 1.0, 1.0]


def neuron(kind: str, **args):
    return network(("lif", kind, args)).lif


def test_what_is_learned_stands_as_it_is() -> None:
    lifs = [neuron("parametric_lif", tau=4.0, decay_input=decays) for decays in (True, False)]
    assert [retention(lif) for lif in lifs] == pytest.approx([0.75, 0.75])
    assert [gain(lif) for lif in lifs] == pytest.approx([0.25, 1.0])


def test_what_neurons_keep_of_a_current() -> None:
    assert current_retention(neuron("lif", tau=2.0)) is None
    assert current_retention(neuron("synaptic", synapse=0.75, decay=0.5)) == 0.75
    assert current_retention(neuron("synaptic", synapse=0.25, decay=0.5, form="rate")) == 0.75
    with pytest.raises(SpecError, match="a synapse per channel has no integer form"):
        current_retention(neuron("synaptic", synapse=[0.25, 0.5], decay=0.5))


def test_a_reset_after_the_charge_is_a_late_one_unless_it_sets_a_value() -> None:
    assert [reset_timing("n", neuron("lif", tau=2.0, reset_timing=each)) for each in ("now", "next", "next_charged")] == [
        "now",
        "next",
        "next",
    ]
    with pytest.raises(SpecError, match="n: reset_timing 'next_charged' with reset 'value' has no integer form"):
        reset_timing("n", neuron("lif", tau=2.0, reset="value", reset_timing="next_charged"))
    with pytest.raises(SpecError, match="'now_once'"):
        reset_timing("n", neuron("lif", tau=2.0, reset_timing="now_once"))


def test_a_membrane_that_no_reset_leaves_above_its_threshold_pays_once() -> None:
    def timing(**choices: object) -> str:
        return reset_timing("n", neuron("lif", tau=2.0, reset_timing="now_once", **choices))

    assert [timing(reset="none"), timing(reset="value"), timing(reset="value", compare=">")] == ["now"] * 3
    for choices in ({"compare_at": "full"}, {"snapped": "both"}):
        with pytest.raises(SpecError, match="'now_once' with reset 'value'"):
            timing(reset="value", **choices)


def test_a_membrane_is_measured_from_where_a_reset_puts_it() -> None:
    """decay .8 pulls it by .2 of the way to 0: of -.5 that is .1 a step; one that relaxes to its origin stays there."""
    value = {"reset": "value", "reset_value": -0.5}
    torch.manual_seed(0)
    for args, more in (({"decay": 0.8}, 0.1), ({"tau": 2.0}, 0.0), ({"decay": 1.0}, 0.0)):
        model = network(CONV, ("pool", "mean_pool", {"kernel_size": 2}), ("lif", "lif", {**args, **value}))
        other = Network(network(CONV, ("pool", "mean_pool", {"kernel_size": 2}), ("lif", "lif", args)).wiring)
        other.load_state_dict(model.state_dict())
        assert (origin("lif", model.lif), origin("lif", other.lif)) == (-0.5, 0.0)
        found, plain = (fold(each, units(each, 1.0))["conv"].bias for each in (model, other))
        assert torch.allclose(found - plain, torch.full((2,), more / 4, dtype=torch.float64))  # the sum of 4 of a mean's window
    with pytest.raises(SpecError, match=r"n: its membrane begins at -0\.2, .* where a reset puts it, here 0"):
        origin("n", neuron("lif", tau=2.0, rest=-0.2))
    with pytest.raises(SpecError, match=r"n: behind a synaptic current .* at 0, got -0\.5"):
        origin("n", neuron("synaptic", synapse=0.5, decay=0.5, **value))


def test_spikes_that_come_back_are_refused() -> None:
    model = network(CONV, ("lif", "synaptic", {"decay": 0.5, "recurrent": {"kind": "one_to_one", "shape": [1]}}))
    with pytest.raises(SpecError, match="lif: its own spikes come back to it, which no program does"):
        units(model, 1.0)


def test_fresh_batch_norms_are_measured() -> None:
    model = network(CONV, NORM, LIF)
    assert is_fresh(model)
    batches = [(torch.randn(8, 1, 4, 4), torch.zeros(8)) for _ in range(3)]
    found = measured(model, batches, 3)
    assert not is_fresh(found)
    assert is_fresh(model)
    currents = torch.cat([model.conv(x) for x, _ in batches])
    assert torch.allclose(found.norm.running_mean, currents.mean((0, 2, 3)), atol=1e-5)


def test_inputs_need_data() -> None:
    assert largest_input([(torch.tensor([[-3.0, 1.0]]), torch.zeros(1)), (torch.tensor([[9.0]]), torch.zeros(1))], 1) == 3.0
    with pytest.raises(SpecError, match="no batch"):
        largest_input([], 1)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ((CONV, ("pool", "max_pool", {"kernel_size": 2}), NORM, LIF), "norm"),
        ((CONV, ("pool", "mean_pool", {"kernel_size": 2}), NORM, LIF), "norm"),
        ((CONV, ("conv2", "conv2d", {"in_channels": 2, "out_channels": 2, "kernel_size": 1}), LIF), "no integer form"),
    ],
)
def test_currents_without_an_integer_form(steps, message: str) -> None:
    model = network(*steps)
    with pytest.raises(SpecError, match=message):
        fold(model, units(model, 1.0))


def test_currents_of_two_readers_are_refused() -> None:
    nodes = [*network(CONV, LIF).wiring.nodes, Node(name="other", kind="lif", inputs=("conv",), args={"tau": 2.0})]
    model = Network(Wiring(name="n", time=2, input_shape=(1, 4, 4), readout="mean", nodes=tuple(nodes)))
    with pytest.raises(SpecError, match="read by lif, other"):
        fold(model, units(model, 1.0))


def test_sums_of_unlike_units_are_refused() -> None:
    nodes = [*network(CONV, LIF).wiring.nodes, Node(name="sum", kind="add", inputs=("conv", "lif"))]
    with pytest.raises(SpecError, match="SEW"):
        units(Network(Wiring(name="n", time=2, input_shape=(1, 4, 4), readout="mean", nodes=tuple(nodes))), 1.0)


def test_unequal_windows_are_refused() -> None:
    with pytest.raises(SpecError, match="unequal windows"):
        units(network(CONV, LIF, ("pool", "average_pool", {"output_size": 3})), 1.0)


def test_networks_of_the_table_fold() -> None:
    for name in ("digits", "squat-fmnist", "sew-resnet8"):
        model = build(name)
        assert len(fold(model, units(model, 1.0))) == len(model.wiring.of_kind("conv2d", "linear"))
