import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from spikequant.numerics.kernels import native
from spikequant.numerics.kernels.compiling import features, file_name, instruction_sets, runs

ASK = """
import json
from spikequant.numerics import kernels_in_use
from spikequant.numerics.kernels.native import library
found, error = kernels_in_use(), None
try:
    library()
except ValueError as refused:
    error = str(refused)
print(json.dumps([found.form, found.origin, found.problem or "", error]))
"""


class Answer(NamedTuple):
    form: str
    origin: str
    problem: str
    error: str | None


def answer(cache: Path, **environment: str) -> Answer:
    """What a fresh process of a checkout finds: nothing is shipped there."""
    variables = os.environ | {"SPIKEQUANT_CACHE": str(cache), "SPIKEQUANT_KERNELS": "auto"} | environment
    run = subprocess.run([sys.executable, "-c", ASK], env=variables, capture_output=True, text=True, check=True)
    return Answer(*json.loads(run.stdout))


def test_it_is_compiled_once_into_the_cache(tmp_path: Path) -> None:
    found = answer(tmp_path)
    (compiled,) = (tmp_path / "kernels").iterdir()
    assert found == ("c", f"compiled on first use: {compiled}", "", None)
    made = compiled.stat().st_mtime_ns
    assert answer(tmp_path, SPIKEQUANT_KERNELS="native", CC="false").form == "c"
    assert compiled.stat().st_mtime_ns == made


def test_torch_can_be_asked_for(tmp_path: Path) -> None:
    assert answer(tmp_path, SPIKEQUANT_KERNELS="torch") == ("torch", "SPIKEQUANT_KERNELS=torch", "", None)
    assert list(tmp_path.iterdir()) == []


def test_without_it_torch_is_used_and_why_is_said(tmp_path: Path) -> None:
    found = answer(tmp_path, CC="no-such-compiler")
    assert found.form == "torch"
    assert "there is no C compiler no-such-compiler" in found.problem
    assert found.error is None


def test_its_absence_is_an_error_where_it_is_asked_for(tmp_path: Path) -> None:
    found = answer(tmp_path, SPIKEQUANT_KERNELS="native", CC="no-such-compiler")
    assert found.form == "none"
    assert found.error == found.problem
    assert found.problem.startswith("SPIKEQUANT_KERNELS=native, but no library is shipped with the wheel")
    assert "there is no C compiler no-such-compiler" in found.problem


def test_another_wish_is_an_error(tmp_path: Path) -> None:
    error = answer(tmp_path, SPIKEQUANT_KERNELS="nativ").error
    expected = "SPIKEQUANT_KERNELS: unknown form of the kernels 'nativ': must be one of auto, native, torch; did you mean 'native'?"
    assert error == expected


def test_a_compiler_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    assert "false failed" in answer(tmp_path, CC="false").problem
    assert list((tmp_path / "kernels").iterdir()) == []


@pytest.mark.slow
def test_a_damaged_library_is_not_used(tmp_path: Path) -> None:
    answer(tmp_path)
    (compiled,) = (tmp_path / "kernels").iterdir()
    compiled.write_bytes(b"no library")
    found = answer(tmp_path)
    assert found.form == "torch"
    assert str(compiled) in found.problem


@pytest.mark.parametrize("threads", [True, False])
def test_the_best_shipped_one_that_the_processor_runs_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: bool) -> None:
    monkeypatch.setattr(native, "HERE", tmp_path)
    monkeypatch.setattr(native, "_openmp", lambda: threads)
    with pytest.raises(FileNotFoundError, match="none for this processor"):
        native._shipped()
    for each in instruction_sets(platform.machine()):
        (tmp_path / file_name(each, threads)).touch()
    best = next(each for each in instruction_sets(platform.machine()) if runs(each, features()))
    assert native._shipped().name == file_name(best, threads)
    monkeypatch.setattr(native, "features", lambda: "flags : fpu sse2")
    assert native._shipped().name == file_name(instruction_sets(platform.machine())[-1], threads)


def test_sources_are_shipped() -> None:
    assert all((native.HERE / source).is_file() for source in native.SOURCES)
