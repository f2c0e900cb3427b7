import gc

import pytest
import torch

from spikequant.numerics.kernels import pool

SHAPE = (3, 2**19)  # 6 MiB


@pytest.fixture(autouse=True)
def _no_idle_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    pool._idle.clear()


def idle() -> int:
    gc.collect()
    return sum(len(blocks) for blocks in pool._idle.values())


def test_large_memory_is_used_again_once_nothing_refers_to_it() -> None:
    first = pool.empty(SHAPE)
    place = first.data_ptr()
    assert idle() == 0
    del first
    assert idle() == 1
    assert pool.empty(SHAPE).data_ptr() == place


def test_memory_in_use_is_never_given_out() -> None:
    held = pool.empty(SHAPE).fill_(1.0)
    view = held[1:].permute(1, 0)
    del held
    other = pool.empty(SHAPE).fill_(2.0)
    assert idle() == 0
    assert bool((view == 1.0).all())
    assert other.data_ptr() != view.data_ptr()


def test_gradients_keep_their_memory() -> None:
    x = torch.ones(SHAPE, requires_grad=True)
    grown = pool.empty(SHAPE).fill_(3.0)
    (x * grown).sum().backward()
    del grown
    pool.empty(SHAPE).fill_(5.0)
    assert x.grad is not None
    assert bool((x.grad == 3.0).all())


def test_idle_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "IDLE_LIMIT", 8 * 2**20)
    both = [pool.empty(SHAPE), pool.empty(SHAPE)]
    both.clear()
    assert idle() == 1


def test_small_tensors_are_torchs_own() -> None:
    pool.empty((4, 4))
    assert idle() == 0
