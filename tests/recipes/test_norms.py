import pytest
import torch

from spikequant.errors import SpecError
from spikequant.models import Network, build
from spikequant.models.wiring import Node, Wiring
from spikequant.quantizers import Uniform
from spikequant.recipes import Recipe, load, quantize, save
from spikequant.recipes.norms import reestimate, without_norms


def loader(seed: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [(3 * torch.rand(16, 1, 8, 8, generator=generator), torch.arange(16) % 10) for _ in range(3)]


@pytest.fixture
def trained() -> Network:
    model = build("digits", seed=0)
    with torch.no_grad():
        for x, _ in loader():
            model(x)
        for norm in (model.norm1, model.norm2):
            norm.weight.uniform_(0.5, 2, generator=torch.Generator().manual_seed(1))
            norm.bias.uniform_(-0.5, 0.5, generator=torch.Generator().manual_seed(2))
    return model.eval()


def currents(model: Network, x: torch.Tensor) -> torch.Tensor:
    return next(value for node, value in model.values(x) if node.name == ("norm1" if hasattr(model, "norm1") else "conv1"))


def test_the_folded_network_is_the_same(trained: Network) -> None:
    folded = without_norms(trained)
    assert folded.wiring.of_kind("batch_norm") == []
    assert not folded.training
    x = loader(5)[0][0]
    assert torch.allclose(currents(folded, x), currents(trained, x), rtol=1e-4, atol=1e-5)
    assert (folded(x) - trained(x)).abs().max() < 0.5
    assert trained.wiring.of_kind("batch_norm") != []


def test_the_folded_network_keeps_the_precision(trained: Network) -> None:
    x = loader(5)[0][0].double()
    folded = without_norms(trained.double())
    assert folded.conv1.bias.dtype == torch.float64
    assert torch.allclose(currents(folded, x), currents(trained, x), rtol=1e-12, atol=1e-12)


def test_a_norm_that_follows_something_else_is_refused() -> None:
    nodes = (Node(name="norm", kind="batch_norm", inputs=("input",), args={"channels": 2, "space": 1}),)
    with pytest.raises(SpecError, match="norm follows 'input'"):
        without_norms(Network(Wiring(name="n", time=1, input_shape=(2,), readout="mean", nodes=nodes)))


def test_statistics_are_those_of_the_network_as_it_stands(trained: Network) -> None:
    kept = trained.norm1.weight.clone()
    with torch.no_grad():
        trained.conv1.weight.mul_(2)
    before = trained.norm1.running_var.clone()
    reestimate(trained, loader(), 3)
    seen = torch.cat([trained.conv1(x) for x, _ in loader()])
    assert torch.allclose(trained.norm1.running_mean, seen.mean((0, 2, 3)), atol=1e-4)
    assert (trained.norm1.running_var > 2 * before).any()
    assert torch.equal(trained.norm1.weight, kept)
    assert (trained.norm1.momentum, trained.norm1.training) == (0.1, False)
    with pytest.raises(SpecError, match="gave no batch"):
        reestimate(trained, [], 3)


def test_the_recipe_says_what_becomes_of_batch_norm(trained: Network, tmp_path) -> None:
    weights = Uniform(bits=4, levels_at="zero")
    folded = quantize(trained, Recipe(weights=weights, batch_norm="folded"))
    again = quantize(trained, Recipe(weights=weights, batch_norm="reestimated"), loader())
    kept = quantize(trained, Recipe(weights=weights))
    assert [len(each.wiring.of_kind("batch_norm")) for each in (folded, again, kept)] == [0, 2, 2]
    assert not torch.equal(again.norm1.running_mean, kept.norm1.running_mean)
    save(folded, tmp_path)
    x = loader(7)[0][0]
    assert torch.equal(load(tmp_path)(x), folded.eval()(x))
    with pytest.raises(SpecError, match="batch_norm='reestimated' needs calibration"):
        quantize(trained, Recipe(weights=weights, batch_norm="reestimated"))
