import json
import sys

import pytest
import typer

from spikequant.errors import SpecError
from spikequant.views.verbs import BROKEN, BUG, INTERRUPTED, USAGE, Answer, verb


def ended(work: object, capsys: pytest.CaptureFixture[str], as_json: bool = False, debug: bool = False) -> tuple[int, str, str]:
    def command(as_json: bool, debug: bool) -> Answer:
        if isinstance(work, BaseException):
            raise work
        print("a library prints")
        print("and warns", file=sys.stderr)
        assert isinstance(work, Answer)
        return work

    with pytest.raises(typer.Exit) as caught:
        verb(command)(as_json=as_json, debug=debug)
    written = capsys.readouterr()
    return caught.value.exit_code, written.out, written.err


def test_standard_output_holds_the_answer_alone(capsys: pytest.CaptureFixture[str]) -> None:
    answer = Answer({"emd": 0.5}, "EMD 0.5")
    assert ended(answer, capsys) == (0, "EMD 0.5\n", "a library prints\nand warns\n")
    code, out, err = ended(answer, capsys, as_json=True)
    assert (code, json.loads(out), err) == (0, {"emd": 0.5}, "a library prints\nand warns\n")


def test_a_broken_bound_is_answered_and_told_by_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(Answer({}, "broken", BROKEN), capsys)[:2] == (1, "broken\n")


@pytest.mark.parametrize("as_json", [False, True])
def test_a_users_error_is_one_line_without_traceback(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    assert ended(SpecError("bits 0 must be at least 1"), capsys, as_json) == (USAGE, "", "error: bits 0 must be at least 1\n")


def test_what_python_calls_calibration_is_data_at_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    error = SpecError("the states of lif1 need data: pass calibration=loader, or give a fixed range")
    assert ended(error, capsys)[2] == "error: the states of lif1 need data: pass --data NAME, or give a fixed range\n"


def test_debug_adds_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ended(SpecError("bits 0"), capsys, debug=True)
    assert (code, out) == (2, "")
    assert "Traceback" in err
    assert err.endswith("error: bits 0\n")


def test_an_interrupt_ends_with_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(KeyboardInterrupt(), capsys) == (INTERRUPTED, "", "interrupted\n")
    assert INTERRUPTED == 130


def test_a_bug_of_ours_is_not_taken_for_a_broken_bound(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ended(ZeroDivisionError("x"), capsys)
    assert (code, out) == (BUG, "")
    assert "ZeroDivisionError" in err
    assert "bug in spikequant" in err


def test_a_value_that_json_cannot_hold_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ended(Answer({"emd": float("nan")}, ""), capsys, as_json=True)
    assert (code, out) == (BUG, "")
