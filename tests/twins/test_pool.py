import gc
import math
import os
import subprocess
import sys

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


def test_a_block_that_another_thread_takes_first_is_replaced_by_a_fresh_one() -> None:
    class Contested(list):
        def __bool__(self) -> bool:
            return True

    pool._idle[math.prod(SHAPE) * 4] = Contested()
    assert pool.empty(SHAPE).shape == SHAPE


def test_idle_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_idle_limit", 8 * 2**20)
    both = [pool.empty(SHAPE), pool.empty(SHAPE)]
    both.clear()
    assert idle() == 1


def test_small_tensors_are_torchs_own() -> None:
    pool.empty((4, 4))
    assert idle() == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_process_writes_into_memory_of_its_own() -> None:
    script = (
        "import os, torch\nfrom spikequant.numerics.kernels import pool\ntorch.set_num_threads(1)\n"
        "held = pool.empty((2**18,)).fill_(1.0)\n"
        "if os.fork() == 0:\n    held.fill_(2.0)\n    os._exit(0)\n"
        "os.wait()\nprint(held.unique().tolist())"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout == "[1.0]\n"


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
@pytest.mark.parametrize(("asked", "faults"), [("", True), ("0", True), ("1", False)])
def test_pages_are_kept_only_where_asked_for(asked: str, faults: bool) -> None:
    script = (
        "import resource, torch, spikequant.numerics\n"
        "def faults():\n    torch.ones(2**24)\n    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        # The first blocks lie below what is allocated between them, and are not used again.
        "seen = [faults() for _ in range(9)]; print(min(after - before for before, after in zip(seen, seen[1:])))"
    )
    environment = {**os.environ, "SPIKEQUANT_KEEP_PAGES": asked}
    answer = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert (int(answer.stdout) > 2**24 * 4 // 2**21 // 2) == faults  # of the 64 MiB, at least half come anew, in pages of 2 MiB at most
