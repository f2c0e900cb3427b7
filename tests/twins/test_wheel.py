"""The wheel as it is built: with the library, so that who installs it needs no compiler; without, where there was none."""

import json
import os
import platform
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling")
ROOT = Path(__file__).parents[2]
USE = """
import ctypes, json, pathlib, platform
import spikequant
from spikequant.numerics import kernels_in_use
from spikequant.numerics.kernels import compiling, native, selfcheck
here = compiling.features()
sets = [each for each in compiling.instruction_sets(platform.machine()) if compiling.runs(each, here)]
files = [native.HERE / compiling.file_name(each, threads) for each in sets for threads in (True, False)]
agree = {file.name: selfcheck.agrees(ctypes.CDLL(str(file))) for file in files}
print(json.dumps([str(pathlib.Path(spikequant.__file__).parents[1]), kernels_in_use().form, kernels_in_use().origin, files[0].name, agree]))
"""


def build(folder: Path, **environment: str) -> tuple[Path, str]:
    """A wheel of this checkout, and what was said."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    run = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=True)
    (wheel,) = folder.iterdir()
    return wheel, run.stdout + run.stderr


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="libraries are shipped for Linux with glibc")
def test_the_wheel_carries_the_library_and_calls_no_compiler(tmp_path: Path) -> None:
    wheel, _ = build(tmp_path / "dist")
    assert wheel.name.partition("-py3-none-")[2].startswith("manylinux_2_")
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    variables = {"PYTHONPATH": str(tmp_path / "installed"), "CC": "false", "SPIKEQUANT_CACHE": str(tmp_path / "cache")}
    environment = os.environ | variables | {"SPIKEQUANT_KERNELS": "native"}
    run = subprocess.run([sys.executable, "-c", USE], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    place, form, origin, best, agree = json.loads(run.stdout)
    assert place == str(tmp_path / "installed")
    assert form == "c"
    assert origin == f"shipped with the wheel: {place}/spikequant/numerics/kernels/{best}"
    assert len(agree) >= 2
    assert all(agree.values())
    assert not (tmp_path / "cache").exists()


def test_without_a_compiler_the_wheel_is_pure_and_this_is_said(tmp_path: Path) -> None:
    wheel, said = build(tmp_path, CC="no-such-compiler")
    assert wheel.name.endswith("-py3-none-any.whl")
    assert "this wheel is pure, without the C library: there is no C compiler no-such-compiler" in said
    assert not [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".so")]
