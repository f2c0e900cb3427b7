import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from spikequant import __version__

HEAVY = {"torch", "numpy", "scipy", "altair", "vl_convert", "pydantic", "jinja2", "safetensors"}
VERBS = ("demo", "doctor", "ls", "train", "quantize", "compare", "report")


def test_help_imports_nothing_heavy() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "spikequant", "--help"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in answer.stderr.splitlines()}
    assert "typer" in imported
    assert imported & (HEAVY - {"pydantic"}) == set()
    for verb in VERBS:
        assert verb in answer.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_json_debug_and_an_example(run: Callable[..., Any], verb: str) -> None:
    code, out, _ = run(verb, "--help")
    assert code == 0
    assert "--json" in out
    assert "--debug" in out
    assert f"Example: spikequant {verb}" in out


def test_version(run: Callable[..., Any]) -> None:
    assert run("--version")[:2] == (0, f"spikequant {__version__}\n")


@pytest.mark.parametrize(
    "arguments", [["demos"], ["compare"], ["compare", "a", "b", "--data", "digits", "--batches", "0"], ["ls", "modls"]]
)
def test_usage_errors_end_with_2_and_print_nothing_on_standard_output(run: Callable[..., Any], arguments: list[str]) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert "Traceback" not in err


def test_an_unknown_verb_is_met_with_the_nearest(run: Callable[..., Any]) -> None:
    assert "Did you mean" in run("demos").err
