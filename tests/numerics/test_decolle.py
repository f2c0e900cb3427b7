"""Golden numbers of DECOLLE's neuron: one synapse, spikes at steps 0 and 3."""

import pytest
import torch

from spikequant.numerics import Refractory, refractory_scan, trace_scan
from spikequant.numerics.decolle import Refrained, fired, refrain

SPIKES = torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0]).reshape(5, 1)
ALPHA, BETA, GAMMA, ZERO = (torch.tensor(value) for value in (0.97, 0.92, 0.65, 0.0))


def close(found: torch.Tensor, expected: list[float]) -> bool:
    return found.flatten().tolist() == pytest.approx(expected, abs=2e-6)


def test_normalized_as_in_the_authors_code() -> None:
    p, q = trace_scan(SPIKES, ALPHA, BETA)
    assert close(q, [0.08, 0.0736, 0.067712, 0.142295, 0.130911])
    assert close(p, [0.0, 0.0024, 0.004536, 0.006431, 0.010507])
    spikes, u, r = refractory_scan(100 * p, Refractory(GAMMA, ZERO))
    assert torch.allclose(u.flatten(), torch.tensor([0.0, 0.24, 0.1036, 0.065628, 0.325344]), atol=1e-4)
    assert close(r, [0.0, 0.0, -0.35, -0.5775, -0.725375])
    assert spikes.flatten().tolist() == [0, 1, 1, 1, 1]


def test_plain_as_equation_2() -> None:
    p, _ = trace_scan(SPIKES, ALPHA, BETA, "plain")
    spikes, u, _ = refractory_scan(0.01 * p, Refractory(GAMMA, ZERO, scaling="plain"))
    assert close(u, [0.0, -1.0, -0.64, -0.4036, -0.247828])
    assert spikes.flatten().tolist() == [1, 0, 0, 0, 0]  # at the threshold, where the normalized one stays silent


def test_rounding_every_step_is_seen_by_the_next() -> None:
    def down(step: int, value: torch.Tensor) -> torch.Tensor:
        return torch.floor(value * 16) / 16

    p, q = trace_scan(SPIKES, ALPHA, BETA, rounds=(down, down))
    assert q.flatten().tolist() == [0.0625, 0.0, 0.0, 0.0625, 0.0]  # 0.08 becomes 1/16, and that a decay later nothing
    assert p.flatten().tolist() == [0.0] * 5
    assert down(0, torch.tensor(-0.35)) == -0.375
    _, _, r = refractory_scan(torch.ones(2, 1), Refractory(GAMMA, ZERO), (lambda step, v: v, down))
    assert r.flatten().tolist() == [0.0, -0.375]


def test_gradients_reach_the_membrane_by_the_current_alone() -> None:
    first = torch.tensor([0.1], requires_grad=True)
    neuron = Refractory(GAMMA, ZERO)
    u, held = refrain(first, Refrained(torch.zeros(1), torch.zeros(1)), neuron)
    fired(u, neuron).sum().backward()
    assert first.grad is not None
    assert first.grad.item() == pytest.approx(1 / (10 * 0.1 + 1) ** 2)
    assert not held.r.requires_grad
    assert not held.spikes.requires_grad
