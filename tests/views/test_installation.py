import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spikequant.studies import catalog
from spikequant.views import installation
from spikequant.views.installation import free_memory


def test_ls_lists_every_name_by_kind(run: Callable[..., Any]) -> None:
    code, out, _ = run("ls", "--json")
    lists = json.loads(out)
    assert code == 0
    assert list(lists) == ["models", "datasets", "methods", "studies"]
    assert "squat-fmnist" in lists["models"]
    assert "fashion-mnist" in lists["datasets"]
    assert "lqnet" in lists["methods"]


def test_ls_can_print_one_list(run: Callable[..., Any]) -> None:
    assert run("ls", "models").out.startswith("models  decolle digits ")
    assert list(json.loads(run("ls", "methods", "--json").out)) == ["methods"]


@pytest.fixture
def checks(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], tuple[int, dict[str, Any]]]:
    """Exit code and document of doctor, on a machine with no data and no peer but json."""
    monkeypatch.setenv("SPIKEQUANT_DATA", str(tmp_path))
    monkeypatch.setattr(installation, "PEERS", ("json", "no_such_peer"))

    def examine() -> tuple[int, dict[str, Any]]:
        code, out, _ = run("doctor", "--json")
        return code, json.loads(out)

    return examine


def test_doctor_finds_a_sound_installation_and_says_what_is_absent(
    checks: Callable[[], tuple[int, dict[str, Any]]], tmp_path: Path
) -> None:
    code, document = checks()
    told = {check["what"]: check["state"] for check in document["checks"]}
    assert code == 0
    assert document["cores"] >= 1
    assert "fail" not in told.values()
    assert told["data set digits: found, hashes right"] == "ok"
    assert told["optional, not installed: no_such_peer"] == "ok"
    assert told["optional, installed: json of unknown version"] == "ok"
    assert any(what.startswith("data set mnist: ") and str(tmp_path) in what and state == "warn" for what, state in told.items())


def test_doctor_fails_where_something_needed_is_absent(
    checks: Callable[[], tuple[int, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installation, "NEEDED", ("torch", "no-such-distribution"))
    code, document = checks()
    assert code == 1
    assert {"state": "fail", "what": "no-such-distribution is not installed; install spikequant again with pip"} in document["checks"]


def test_doctor_tells_of_a_torch_that_cannot_be_imported_and_asks_nothing_of_it(
    checks: Callable[[], tuple[int, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def kernels() -> None:
        raise ImportError("torch")

    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr(catalog, "kernels", kernels)
    code, document = checks()
    assert (code, document["kernels"]) == (1, None)
    assert [check["state"] for check in document["checks"]] == ["ok", "fail", "ok"]
    assert document["checks"][1]["what"].startswith("torch cannot be imported (")


def test_doctor_fails_on_a_torch_that_is_too_old(checks: Callable[[], tuple[int, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "TORCH_FLOOR", (99, 1))
    code, document = checks()
    assert code == 1
    assert any("is older than 99.1" in check["what"] for check in document["checks"])


@pytest.mark.parametrize(
    ("kernels", "code", "state", "line"),
    [
        ({"form": "c", "origin": "shipped with the wheel: k.so", "problem": None}, 0, "ok", "kernels: c (shipped with the wheel: k.so)"),
        ({"form": "torch", "origin": "SPIKEQUANT_KERNELS=torch", "problem": None}, 0, "ok", "kernels: torch (SPIKEQUANT_KERNELS=torch)"),
        ({"form": "torch", "origin": "", "problem": "no compiler"}, 0, "warn", "kernels: torch, which is slower: no compiler"),
        ({"form": "none", "origin": "", "problem": "no compiler"}, 1, "fail", "kernels: no compiler"),
    ],
)
def test_doctor_says_which_form_of_the_kernels_runs(
    checks: Callable[[], tuple[int, dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
    kernels: dict[str, str | None],
    code: int,
    state: str,
    line: str,
) -> None:
    monkeypatch.setattr(catalog, "kernels", lambda: kernels)
    found, document = checks()
    assert found == code
    assert document["kernels"] == kernels
    assert {"state": state, "what": line} in document["checks"]


def test_a_peer_that_cannot_be_imported_is_a_warning(
    checks: Callable[[], tuple[int, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "broken_peer.py").write_text("raise RuntimeError('operator does not exist')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(installation, "PEERS", ("broken_peer",))
    code, document = checks()
    assert code == 0
    problem = "broken_peer is installed but cannot be imported (operator does not exist); optional"
    assert {"state": "warn", "what": problem} in document["checks"]


def test_doctor_prints_a_line_for_every_check(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "PEERS", ())
    code, out, _ = run("doctor")
    assert code == 0
    assert out.startswith("spikequant 0.")
    assert all(line[:6] in {"ok    ", "warn  ", "fail  "} for line in out.splitlines()[1:])


def test_free_memory_is_a_number_of_bytes_where_the_system_tells() -> None:
    free = free_memory()
    assert free is None or 2**20 < free < 2**50
