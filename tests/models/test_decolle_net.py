from pathlib import Path

import pytest
import torch

from spikequant.errors import SpecError
from spikequant.models import Network, build
from spikequant.quantizers import FixedPoint
from spikequant.recipes import Recipe, load, memory, plan, quantize, save

SMALL = {"shape": (2, 8, 8), "channels": (3, 4, 4), "classes": 3, "time": 6}
PAPER = (1.165, 1.926, 2.132)  # W(FP32)-N(Qi.16), W(Q1.14)-N(Qi.14), W(Q1.12)-N(Qi.12)


def events() -> torch.Tensor:
    return (torch.rand(6, 2, 2, 8, 8, generator=torch.Generator().manual_seed(0)) < 0.3).float()


def fixed(integer: int, fraction: int) -> FixedPoint:
    return FixedPoint(integer=integer, fraction=fraction)


def test_shapes_are_those_of_the_authors_network() -> None:
    shapes = build("decolle").shapes()
    assert [shapes[name] for name in ("pool1", "neurons2", "pool3", "readout")] == [(64, 16, 16), (128, 16, 16), (128, 8, 8), (11,)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (32, 32)}, r"shape must be 3 numbers, channels, height and width, got \(32, 32\)"),
        ({"shape": (2, 3, 3)}, "height and width of shape must be at least 4"),
        ({"channels": (64, 128)}, "channels must be 3 numbers"),
        ({"decays": (0.9, 0.8)}, "decays must be 3 numbers, alpha, beta and gamma"),
    ],
)
def test_refuses_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        build("decolle", **options)


def test_the_class_that_is_first_in_most_steps_wins() -> None:
    network = build("decolle", **SMALL).eval()
    steps = network.steps(events())
    votes = network(events())
    assert votes.sum(1).tolist() == [6.0, 6.0]
    assert votes[0].tolist() == [float((steps[:, 0].argmax(-1) == each).sum()) for each in range(3)]


def test_every_parameter_takes_its_own_fixed_point(tmp_path: Path) -> None:
    state = {"p": fixed(1, 9), "q": fixed(1, 8), "r": fixed(1, 6), "v": fixed(3, 5)}
    recipe = Recipe(weights=fixed(1, 7), state=state, constants={"alpha": fixed(1, 6), "beta": fixed(1, 5), "gamma": fixed(1, 3)})
    small = quantize(build("decolle", **SMALL), recipe)
    assert (small.traces2.alpha.item(), small.traces2.beta.item(), small.neurons2.gamma.item()) == (0.96875, 0.90625, 0.625)
    found = {node.name: value for node, value in small.eval().values(events())}
    assert torch.equal(found["traces1"] * 2**9, (found["traces1"] * 2**9).round())
    assert not torch.equal(found["traces1"] * 2**8, (found["traces1"] * 2**8).round())
    shapes, states = small.shapes(), [each for each in plan(small, recipe) if each.part in ("state", "p", "q", "r")]
    assert len(states) == 12
    assert memory(small).state_bits == sum(each.spec.width * torch.Size(shapes[each.layer]).numel() for each in states)
    save(small, tmp_path / "small")
    assert torch.equal(load(tmp_path / "small")(events()), small(events()))


def test_integer_bits_are_fitted_to_each_state() -> None:
    small = quantize(build("decolle", **SMALL), Recipe.parse("W(Q1.6)-N(Qi.6)"), calibration=[(events(), torch.zeros(2).long())])
    assert small.traces1.p_state.grid().size == 2**8
    assert small(events()).shape == (2, 3)


def test_states_of_decolle_belong_to_no_other_network() -> None:
    with pytest.raises(SpecError, match="p: only DECOLLE's neurons have these; leave them out"):
        quantize(build("digits"), Recipe(state={"p": fixed(1, 6)}))


def savings(network: Network, integer: int) -> list[float]:
    def bits(weight: int | None, fraction: int) -> int:
        constants = dict.fromkeys(("alpha", "beta", "gamma"), fixed(1, fraction))
        weights = None if weight is None else fixed(1, weight)
        return memory(network, Recipe(weights=weights, state=fixed(integer, fraction), constants=constants)).qspinn_bits

    whole = memory(network).qspinn_bits
    return [whole / bits(*each) for each in ((None, 16), (14, 14), (12, 12))]


def test_the_papers_savings_are_met_within_three_percent_and_by_no_integer_bits_exactly() -> None:
    network = build("decolle")
    residuals = {i: max(abs(ours / theirs - 1) for ours, theirs in zip(savings(network, i), PAPER, strict=True)) for i in range(1, 8)}
    assert min(residuals, key=residuals.__getitem__) == 4
    assert residuals[4] == pytest.approx(0.0297, abs=5e-4)
    assert savings(network, 4) == pytest.approx([1.1361, 1.9305, 2.1954], abs=1e-4)
