"""The laws of the modules: what evaluation, copies, checkpoints and gradients may do to them; and a mutant for each law."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from spikequant.quantizers import Quantizer

Law = Callable[[Any], None]


def some(method: Any, seed: int, values: int = 40) -> Tensor:
    """Values of all five channels, beyond the range too."""
    rows = torch.randn(5, values, generator=torch.Generator().manual_seed(seed)) * 2
    return method.whole(rows)


def kept(quantizer: Quantizer) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in quantizer.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def evaluation_changes_nothing(method: Any) -> None:
    quantizer, x = method.quantizer.eval(), some(method, 1)
    before, first = kept(quantizer), quantizer(x).detach()
    quantizer(some(method, 2) * 100)
    assert same(kept(quantizer), before)
    assert torch.equal(quantizer(x).detach(), first)


def evaluation_does_not_look_at_the_batch(method: Any) -> None:
    quantizer, a, b = method.quantizer.eval(), some(method, 1), some(method, 2) * 100
    batch = 1 - quantizer.axis
    together = quantizer(torch.cat([a, b], dim=batch)).split(40, dim=batch)
    if method.spec.rounding_rule != "stochastic":
        assert torch.equal(together[0], quantizer(a))
        assert torch.equal(together[1], quantizer(b))
    elif batch == 0:  # noise goes by position: what comes first is the same
        assert torch.equal(together[0], quantizer(a))


def buffers_get_no_gradient(method: Any) -> None:
    for mode in (True, False):
        quantizer = method.quantizer.train(mode)
        x = some(method, 3).requires_grad_()
        quantizer(x).sum().backward()
        assert x.grad is not None
        assert all(not buffer.requires_grad and buffer.grad is None for buffer in quantizer.buffers())
        assert all(value.grad_fn is None for value in quantizer.state_dict().values())
    learned = [parameter for parameter in quantizer.parameters() if parameter.requires_grad]
    assert quantizer(some(method, 3)).requires_grad == bool(learned)


def a_checkpoint_holds_everything(method: Any) -> None:
    quantizer, x = method.quantizer, some(method, 4)
    for seed in (5, 6):
        quantizer.train()(some(method, seed))
    fresh = method.spec.build(quantizer.shape, quantizer.axis)
    assert not fresh.load_state_dict(quantizer.state_dict()).missing_keys
    assert torch.equal(fresh.eval()(x), quantizer.eval()(x))
    assert same(kept(fresh), kept(quantizer))


def a_copy_stands_alone(method: Any) -> None:
    quantizer, x = method.quantizer, some(method, 7)
    twin = copy.deepcopy(quantizer)
    assert torch.equal(twin(x), quantizer(x))
    before, answer = kept(quantizer), quantizer(x).detach()
    twin.train()(some(method, 8) * 5)
    twin.observe(some(method, 9) * 5)
    twin.fit()
    with torch.no_grad():
        for value in twin.state_dict().values():
            value.fill_(1)
    assert same(kept(quantizer), before)
    assert torch.equal(quantizer(x), answer)


def the_same_history_gives_the_same_grid(method: Any) -> None:
    grids, first, second, third = [], some(method, 1), some(method, 2), some(method, 3)
    for _ in range(2):
        twin = method.spec.build(method.quantizer.shape, method.quantizer.axis)
        twin.observe(first)
        twin.fit()
        outputs = [twin(x).detach() for x in (second, third)]
        grids.append((*kept(twin).values(), *outputs))
    assert all(torch.equal(one, other) for one, other in zip(*grids, strict=True))


LAWS = (
    evaluation_changes_nothing,
    evaluation_does_not_look_at_the_batch,
    buffers_get_no_gradient,
    a_checkpoint_holds_everything,
    a_copy_stands_alone,
    the_same_history_gives_the_same_grid,
)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(law: Law, subject: Any) -> None:
    law(subject)


class Toy(nn.Module):
    """Plus and minus the largest magnitude that training showed."""

    reach: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.shape, self.axis = (5, 60), 0
        self.register_buffer("reach", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.learn(x)
        return x + (x.sign() * self.reach - x).detach()

    def learn(self, x: Tensor) -> None:
        self.reach.copy_(x.detach().abs().max())

    def observe(self, x: Tensor) -> None:
        self.learn(x)

    def fit(self) -> None:
        pass


class Drifts(Toy):
    def forward(self, x: Tensor) -> Tensor:
        self.reach.mul_(2)
        return super().forward(x)


class LooksAround(Toy):
    def forward(self, x: Tensor) -> Tensor:
        return x + (x.sign() * x.abs().max() - x).detach()


class Leaks(Toy):
    def learn(self, x: Tensor) -> None:
        self.reach = x.abs().max()


class Forgets(Toy):
    def __init__(self) -> None:
        super().__init__()
        del self.reach
        self.reach = torch.ones(())


class Shares(Toy):
    def __deepcopy__(self, memo: dict[int, Any]) -> "Shares":
        twin = Shares()
        twin.reach = self.reach
        return twin


class Gambles(Toy):
    def learn(self, x: Tensor) -> None:
        self.reach.copy_(torch.rand(()))


class ToySpec:
    rounding_rule = "nearest_even"

    def __init__(self, kind: type[Toy]) -> None:
        self.kind = kind

    def build(self, shape: tuple[int, ...], axis: int) -> Toy:
        return self.kind()


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_the_base_of_the_mutants_is_sound(law: Law, example: Any) -> None:
    law(example._replace(spec=ToySpec(Toy), quantizer=Toy()))


@pytest.mark.parametrize(("law", "mutant"), list(zip(LAWS, (Drifts, LooksAround, Leaks, Forgets, Shares, Gambles), strict=True)))
def test_a_mutant_is_seen(law: Law, mutant: type[Toy], example: Any) -> None:
    with pytest.raises(AssertionError):
        law(example._replace(spec=ToySpec(mutant), quantizer=mutant()))
