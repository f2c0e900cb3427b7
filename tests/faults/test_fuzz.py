"""The smoke form of the malformed files and configurations: a few of each target, and a reader that breaks the rule is seen."""

from collections.abc import Callable
from random import Random

import pytest

pytest.importorskip("h5py")

from chaos.confined import Target, run
from chaos.fuzz import COUNTS
from chaos.targets import KINDS, TARGETS

from spikequant.errors import FormatError


def test_malformed_input_is_refused_by_documented_errors_only(chaos: Callable[..., str]) -> None:
    assert "0 broke the rule" in chaos("fuzz", "--share", "0.002")


def test_the_whole_campaign_is_as_large_as_it_says() -> None:
    sums = {kind: sum(COUNTS[target.name] for target in targets) for kind, targets in KINDS.items()}
    assert sums["tensor"] >= 1_000_000
    assert sums["data"] >= 100_000
    assert sums["configuration"] >= 100_000
    assert COUNTS.keys() == TARGETS.keys()


def _raise(error: BaseException) -> None:
    raise error


def _spin(content: bytes) -> None:
    while True:
        pass


@pytest.mark.parametrize(
    ("read", "told"),
    [
        (lambda content: _raise(KeyError("x")), "undocumented"),
        (lambda content: _raise(FormatError("")), "refused"),
        (lambda content: bytearray(2**31), "undocumented"),
        (_spin, "slow"),
    ],
)
def test_a_reader_that_breaks_the_rule_is_seen(read: Callable[[bytes], None], told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaos.confined.SECONDS", 0.2)
    outcome = run(Target("bad", lambda random: random.randbytes(4), read, (FormatError,)), 0, 0, 1)
    assert outcome.counts[told] == len(outcome.failures) == 1


def test_an_input_is_the_same_whatever_ran_before_it() -> None:
    make = TARGETS["tensors"].make
    assert make(Random("tensors-0-7")) == make(Random("tensors-0-7")) != make(Random("tensors-0-8"))
