"""The smoke form of the faults at steps that write over an earlier result."""

from collections.abc import Callable

import pytest


@pytest.mark.slow
@pytest.mark.parametrize(("name", "every"), [("train again", 5), ("export again", 2), ("report again", 41)])
def test_a_fault_leaves_the_old_or_the_new(chaos: Callable[..., str], name: str, every: int) -> None:
    assert "0 broke the rule" in chaos("steps", name, "--every", str(every))


@pytest.mark.slow
def test_a_save_that_can_lose_the_old_network_is_seen(chaos: Callable[..., str]) -> None:
    assert "0 broke the rule" in chaos("mutants", "order of a save")
