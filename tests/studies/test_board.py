from collections.abc import Callable

import pytest
from optuna.trial import TrialState

from spikequant.studies.board import Board
from spikequant.studies.failures import Failure, Kind
from spikequant.studies.keys import RESULTS_VERSION
from spikequant.studies.planning import Trial, plan
from spikequant.studies.records import Record
from spikequant.studies.store import Row


@pytest.fixture
def board(write_study: Callable[..., str]) -> Board:
    return Board({trial.key: trial for trial in plan(write_study()).trials})


def record(trial: Trial) -> Record:
    return Record(
        results_version=RESULTS_VERSION,
        study="tiny",
        key=trial.key,
        name=trial.name,
        tags=trial.tags,
        configuration=trial.configuration,
        data_sha256=trial.data_sha256,
        measures={"accuracy": 0.5},
        hashes={"model": "a" * 64},
    )


def done(board: Board, key: str) -> Row:
    return Row(1, TrialState.COMPLETE, record(board.trials[key]), None)


def failed(kind: Kind) -> Row:
    return Row(2, TrialState.FAIL, None, Failure(kind, "why"))


WAITS = Row(3, TrialState.WAITING, None, None)


def test_a_trial_waits_for_what_it_needs(board: Board) -> None:
    base, ptq = board.trials
    assert board.to_enqueue() == [base, ptq]
    board.rows = {base: WAITS, ptq: WAITS}
    assert (board.ready(base), board.ready(ptq)) == (True, False)
    assert board.to_enqueue() == []
    board.rows = {base: done(board, base), ptq: WAITS}
    assert board.ready(ptq)
    assert (board.state(base), board.state(ptq)) == ("done", "waiting")


def test_what_needs_a_lost_trial_is_blocked_and_says_by_which(board: Board) -> None:
    base, ptq = board.trials
    board.rows = {base: failed("diverged"), ptq: WAITS}
    assert (board.state(base), board.state(ptq)) == ("diverged", "blocked")
    assert board.reason(base) == "why"
    assert "float/s0" in (board.reason(ptq) or "")


@pytest.mark.parametrize(("kind", "again"), [("diverged", False), ("killed", True), ("interrupted", True), ("failed", True)])
def test_the_rule_decides_whether_the_next_command_tries_again(board: Board, kind: Kind, again: bool) -> None:
    base, _ = board.trials
    board.rows = {base: failed(kind)}
    assert (base in board.to_enqueue()) is again


def test_a_trial_known_from_text_is_done_and_is_run_only_where_its_network_is_needed(board: Board) -> None:
    base, ptq = board.trials
    board.texts = {base: record(board.trials[base]), ptq: record(board.trials[ptq])}
    assert board.wanted() == set()
    board.texts = {base: record(board.trials[base])}
    assert board.wanted() == {base, ptq}
    assert board.state(base) == "done"


def test_a_trial_without_its_record_is_not_done(board: Board) -> None:
    base, _ = board.trials
    board.rows = {base: Row(1, TrialState.COMPLETE, None, None)}
    assert not board.kept(base)
    assert base in board.to_enqueue()


def test_programs_read_a_trial_as_documented(board: Board) -> None:
    base, _ = board.trials
    board.rows = {base: done(board, base)}
    assert board.told(base) == {"key": base, "name": "float/s0", "tags": ["float", "s0"], "state": "done", "measures": {"accuracy": 0.5}}
