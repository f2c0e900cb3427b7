from types import SimpleNamespace

import pytest
import torch
from torch import nn

from spikequant.errors import SpecError
from spikequant.models import build
from spikequant.quantizers import Uniform
from spikequant.recipes import Recipe, quantize
from spikequant.training import accuracy_by_batch
from spikequant.training.batch_sizes import Rebatched


@pytest.mark.parametrize(("axis", "says"), [(0, {"takes_sequence": False}), (1, {"takes_sequence": True}), (0, {}), (1, {})])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 20])
def test_the_same_samples_in_the_same_order(size: int, axis: int, says: dict[str, bool]) -> None:
    x, y = torch.arange(7).reshape(7, 1).expand(7, 3), torch.arange(7)
    whole = x if axis == 0 else x.T
    loader = [(part, y[at : at + part.shape[axis]]) for at, part in zip((0, 4), whole.split([4, 3], dim=axis), strict=True)]
    batches = list(Rebatched(loader, size, SimpleNamespace(**says)))
    assert torch.equal(torch.cat([x for x, _ in batches], dim=axis), whole)
    assert torch.equal(torch.cat([y for _, y in batches]), y)
    assert {len(labels) for _, labels in batches[:-1]} <= {size}
    assert 1 <= len(batches[-1][1]) <= size


def test_only_what_follows_the_batch_depends_on_its_size() -> None:
    model = build("digits", seed=0)
    generator = torch.Generator().manual_seed(0)
    loader = [(20 * torch.rand(64, 1, 8, 8, generator=generator), torch.randint(10, (64,), generator=generator))]
    found = {}
    for scope in ("sample", "step_batch"):
        small = quantize(model, Recipe(state=Uniform(bits=2, range=scope)))
        with torch.no_grad():
            logits = [torch.cat([small.eval()(x) for x, _ in Rebatched(loader, size)]) for size in (1, 64)]
        found[scope] = torch.allclose(*logits, atol=1e-5)
        assert accuracy_by_batch(small, loader, sizes=(1, 32)).keys() == {1, 32}
    assert found == {"sample": True, "step_batch": False}


def test_a_batch_holds_a_sample() -> None:
    with pytest.raises(SpecError, match="at least 1 sample"):
        accuracy_by_batch(nn.Identity(), [], sizes=(0,))
