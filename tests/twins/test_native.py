import os
import subprocess
import sys
from pathlib import Path

import pytest

from spikequant.numerics.kernels import native

ASK = "from spikequant.numerics.kernels import native; print(native.library() is not None); print(native.origin())"


def answer(**environment: str) -> tuple[bool, str]:
    """Whether a fresh process has the library, and where from."""
    run = subprocess.run([sys.executable, "-c", ASK], env=os.environ | environment, capture_output=True, text=True, check=True)
    here, origin = run.stdout.splitlines()
    return here == "True", origin


def test_it_is_compiled_once_into_the_cache(tmp_path: Path) -> None:
    here, origin = answer(SPIKEQUANT_CACHE=str(tmp_path), SPIKEQUANT_KERNELS="auto")
    assert here
    (compiled,) = (tmp_path / "kernels").iterdir()
    assert origin == f"compiled into {compiled}"
    made = compiled.stat().st_mtime_ns
    assert answer(SPIKEQUANT_CACHE=str(tmp_path))[0]
    assert compiled.stat().st_mtime_ns == made


@pytest.mark.parametrize("environment", [{"SPIKEQUANT_KERNELS": "torch"}, {"CC": "no-such-compiler"}])
def test_without_it_torch_is_used_and_said(tmp_path: Path, environment: dict[str, str]) -> None:
    here, origin = answer(SPIKEQUANT_CACHE=str(tmp_path), **environment)
    assert not here
    assert origin.startswith("none: torch is used")


def test_a_compiler_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    assert not answer(SPIKEQUANT_CACHE=str(tmp_path), CC="false")[0]
    assert list((tmp_path / "kernels").iterdir()) == []


def test_a_damaged_library_is_not_used(tmp_path: Path) -> None:
    answer(SPIKEQUANT_CACHE=str(tmp_path))
    (compiled,) = (tmp_path / "kernels").iterdir()
    compiled.write_bytes(b"no library")
    assert not answer(SPIKEQUANT_CACHE=str(tmp_path))[0]


def test_sources_are_shipped() -> None:
    assert all((native.HERE / source).is_file() for source in native.SOURCES)
