"""The smoke form of the kills, of the faults at each step of writing, and the check that both would see a missing guard."""

from collections.abc import Callable

import pytest


@pytest.mark.slow
def test_studies_survive_kills(chaos: Callable[..., str]) -> None:
    assert "0 broke the rule" in chaos("kills", "one worker", "several workers", "coordinator", "--kills", "8", "--seconds", "60")


@pytest.mark.slow
def test_a_fault_at_a_step_of_writing_is_told_and_nothing_is_torn(chaos: Callable[..., str]) -> None:
    assert "0 broke the rule" in chaos("steps", "export", "train", "--every", "3")
    assert "0 broke the rule" in chaos("steps", "report", "--every", "41")


@pytest.mark.parametrize("guard", ["sync", "lock", "hash check"])
def test_without_a_guard_the_campaign_fails(chaos: Callable[..., str], guard: str) -> None:
    assert "0 broke the rule" in chaos("mutants", guard)


@pytest.mark.long
def test_without_the_rename_the_campaign_fails(chaos: Callable[..., str]) -> None:
    assert "0 broke the rule" in chaos("mutants", "rename")
