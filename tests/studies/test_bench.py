import copy

import pytest
import torch

from spikequant.data import Batches
from spikequant.errors import Diverged, SpecError
from spikequant.models import Network
from spikequant.quantizers import LQNet, Membrane, Uniform
from spikequant.recipes import Recipe, memory, quantize
from spikequant.studies.bench import Bench, Loaders, check_objectives, with_time
from spikequant.training import Training, evaluate

SMALL = Recipe(weights=LQNet(bits=4), state=Uniform(bits=8, low=-2.0, high=2.0))


@pytest.fixture(scope="module")
def bench(digits_network: Network, digits_loaders: Loaders) -> Bench:
    return Bench(digits_network, digits_loaders, Training(epochs=1, lr=1e-3, start="float"), batches=20)


def test_the_baseline_is_the_float_network(bench: Bench, digits_network: Network, digits_loaders: Loaders) -> None:
    assert bench.baseline.accuracy == evaluate(digits_network, digits_loaders.validation) > 0.8
    assert (bench.baseline.emd, bench.baseline.memory_share) == (0.0, 1.0)
    assert bench.baseline.memory_bits == memory(digits_network).total_bits


def test_measures_are_those_of_the_functions_they_name(bench: Bench, digits_loaders: Loaders) -> None:
    network = bench.build(SMALL, None, "ptq")
    measures = bench.measure(network, max_drop=None)
    assert measures.accuracy == evaluate(network, digits_loaders.validation)
    assert measures.memory_bits == memory(network).total_bits
    assert 0 < (measures.emd or 0) < 0.1
    assert (measures.traffic_bits or 0) < (bench.baseline.traffic_bits or 0)


def test_a_hopeless_candidate_is_given_up_before_the_end(bench: Bench) -> None:
    silent = bench.build(Recipe(weights=Uniform(bits=2, low=-1e-6, high=1e-6)), None, "ptq")
    measures = bench.measure(silent, max_drop=0.01)
    assert measures.samples < bench.samples
    assert measures.emd is None
    assert bench.measure(silent, max_drop=None).samples == bench.samples


def test_training_with_quantizers_in_place_leaves_the_float_network_alone(bench: Bench, digits_network: Network) -> None:
    before = copy.deepcopy(digits_network.state_dict())
    trained = bench.build(SMALL, None, "itq")
    assert any(not torch.equal(before[name], value) for name, value in trained.state_dict().items() if name in before)
    assert all(torch.equal(before[name], value) for name, value in digits_network.state_dict().items())


def test_a_candidate_does_not_depend_on_those_trained_before(digits_network: Network, digits_loaders: Loaders) -> None:
    train = Batches(digits_loaders.train.split, 8, 16.0, seed=0)  # type: ignore[attr-defined]
    bench = Bench(digits_network, Loaders(train, train), Training(epochs=2, lr=1e-3, start="float"), batches=1)
    fitted = Recipe(weights=LQNet(bits=4), state=Membrane(bits=4))
    first = bench.build(fitted, None, "ptq")
    measures = bench.measure(first, None)
    bench.build(SMALL, None, "itq")
    again = bench.build(fitted, None, "ptq").state_dict()
    assert all(torch.equal(value, again[name]) for name, value in first.state_dict().items())
    bench.build(SMALL, None, "itq")
    assert bench.measure(first, None) == measures


def test_from_scratch_starts_anew(digits_network: Network, digits_loaders: Loaders) -> None:
    scratch = Bench(digits_network, digits_loaders, Training(epochs=1, lr=1e-9, start="scratch"), 1).build(SMALL, None, "itq")
    assert scratch.readout.weight.shape == digits_network.readout.weight.shape
    assert not torch.allclose(scratch.readout.parametrizations.weight.original, digits_network.readout.weight, atol=1e-3)


def test_other_time_steps(bench: Bench, digits_network: Network) -> None:
    assert bench.measure(bench.build(Recipe(), 2, "ptq"), None).steps == 2
    assert digits_network.wiring.time == 4
    assert with_time(digits_network, None).wiring == digits_network.wiring


def test_training_costs_more_than_judging_alone(bench: Bench) -> None:
    assert bench.price("itq") > bench.price("ptq") > 0


def test_what_diverges_has_no_accuracy(bench: Bench) -> None:
    broken = bench.build(Recipe(), None, "ptq")
    broken.readout.weight.data.fill_(float("inf"))
    with pytest.raises(Diverged):
        bench.measure(broken, None)
    assert bench.failed(broken).accuracy == 0


def test_wrong_use_is_refused(bench: Bench, digits_network: Network, digits_loaders: Loaders) -> None:
    with pytest.raises(SpecError, match="this one is quantized"):
        Bench(quantize(digits_network, SMALL), digits_loaders, None, 1)
    with pytest.raises(SpecError, match="gave no sample"):
        Bench(digits_network, Loaders(digits_loaders.train, []), None, 1)
    with pytest.raises(SpecError, match="pass training"):
        Bench(digits_network, digits_loaders, None, 1).build(SMALL, None, "itq")
    for objectives, complaint in [((), "at least one"), (("emd", "emd"), "each once"), (("memroy",), "did you mean 'memory'")]:
        with pytest.raises(SpecError, match=complaint):
            check_objectives(objectives)
