"""Every benchmark runs alone, at tiny sizes, and says what it must; no figure is judged here."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

FOLDER = Path(__file__).parents[2] / "benchmarks"
TINY = {
    "lif": "--time 2 --batch 2 --neurons 16 --batch-of-8-bits 1",
    "weights": "--channels 4",
    "squat_step": "--time 2 --batch 2",
    "evaluation": "--time 2 --images 2",
    "state_quant": "--batch 2 --channels 2 --size 4",
    "sew_step": "--batch 2 --width 4",
    "sew18_step": "--batch 1 --width 2",
    "emd": "--layers 2 --neurons 20 --images 2 --time 2",
    "ptq_grid": "--images 16 --time 2 --grids 2 --images-of-peer 2",
    "stdp": "--images 1 --neurons 4 --steps 3",
}
OURS = {
    "lif": "LIF bandwidth",
    "weights": "LQ-Net",
    "squat_step": "LQ-Net weights",
    "evaluation": "SQUAT evaluation",
    "state_quant": "threshold-centered",
    "sew_step": "LQ-Net weights",
    "sew18_step": "LQ-Net weights",
    "emd": "recorder",
    "ptq_grid": "PTQ grid",
    "stdp": "STDP",
}
AGAINST = {
    "lif": {"snntorch": "snnTorch state_quant", "spikingjelly": "SpikingJelly", "norse": "Norse"},
    "weights": {"brevitas": "Brevitas"},
    "squat_step": {"snntorch": "snnTorch, float", "spikingjelly": "SpikingJelly, float"},
    "evaluation": {"brevitas": "snnTorch + Brevitas, 4-bit"},
    "state_quant": {"snntorch": "snnTorch"},
    "sew_step": {"spikingjelly": "SpikingJelly, float"},
    "sew18_step": {"spikingjelly": "SpikingJelly, float"},
    "emd": {"scipy": "scipy"},
    "ptq_grid": {"brevitas": "snnTorch + Brevitas"},
    "stdp": {},
}


def run(name: str, *options: str, **environment: str) -> str:
    command = [sys.executable, str(FOLDER / f"{name}.py"), "--rounds", "1", *TINY[name].split(), *options]
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1", **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_document(name: str) -> None:
    document: dict[str, Any] = json.loads(run(name, "--json"))
    rows, absent = document["rows"], document["absent"]
    assert document["benchmark"] == name
    assert document["environment"]["tier"] in ("AMX", "AVX512", "AVX2", "NEON", "baseline")
    assert document["copy_gb_per_second"]["median"] > 0
    nobody_to_race = not rows and absent.keys() & AGAINST[name].keys()  # ours alone is no comparison
    assert nobody_to_race or any(OURS[name] in row["work"] for row in rows)
    assert {row["peer"] for row in rows} >= {said for peer, said in AGAINST[name].items() if peer not in absent}
    assert not {said for peer, said in AGAINST[name].items() if peer in absent} & {row["peer"] for row in rows}
    for row in rows:
        assert 0 < row["worst"] <= row["ratio"] <= row["best"]
        assert row["rounds"] == 1


def test_table_without_peers(tmp_path: Path) -> None:
    """A peer that cannot be imported is absent, and the rest is shown."""
    (tmp_path / "scipy.py").write_text("raise ImportError('not today')\n")
    table = run("emd", PYTHONPATH=str(tmp_path))
    assert "absent: scipy (not today)" in table
    assert "recorder in evaluation" in table
    assert "EMD over" not in table


def test_make_bench_runs_every_script() -> None:
    recipe = (FOLDER.parent / "Makefile").read_text().partition("\nbench:")[2]
    scripts = {path.stem for path in FOLDER.glob("*.py") if "Bench(" in path.read_text() and path.stem != "timing"}
    assert scripts == {*TINY, "gpu"}
    assert set(recipe.partition("for script in ")[2].partition(";")[0].split()) == scripts


@pytest.mark.skipif(torch.cuda.is_available(), reason="it would measure for minutes")
def test_without_a_gpu_it_says_so_and_saves_nothing(tmp_path: Path) -> None:
    for script in FOLDER.glob("*.py"):
        shutil.copy(script, tmp_path)
    command = [sys.executable, str(tmp_path / "gpu.py"), "--save"]
    said, told = (subprocess.run([*command, *form], capture_output=True, text=True, check=True).stdout for form in (["--json"], []))
    document = json.loads(said)
    assert (document["rows"], document["absent"]) == ([], {"gpu": "torch finds none: nothing to measure"})
    assert told.endswith("absent: gpu (torch finds none: nothing to measure)\n")
    assert not (tmp_path / "results").exists()


def test_the_page_shows_every_result(tmp_path: Path) -> None:
    document = json.loads(run("emd", "--json"))
    document["environment"] |= {"changed": False}
    (tmp_path / "emd.json").write_text(json.dumps(document))
    (tmp_path / "gpu.json").write_text(
        json.dumps(document | {"environment": document["environment"] | {"changed": True, "gpu": "NVIDIA H200"}})
    )
    shown = subprocess.run(
        [sys.executable, "-c", "import sys, pathlib, table; print(table.page(pathlib.Path(sys.argv[1])))", str(tmp_path)],
        cwd=FOLDER, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for row in document["rows"]:
        assert f"| {row['work']} | {row['ours']} | {row['peer']} | **{row['ratio']:.3g}** |" in shown
        assert f"| {row['worst']:.3g} to {row['best']:.3g} | 1 |" in shown
    on_processor, on_gpu = shown.split("## emd")[1:]
    assert ("Copy: " in on_processor, "uncommitted changes" in on_processor) == (True, False)
    assert on_gpu.strip().startswith(f"NVIDIA H200, beside {document['environment']['cpu']}")
    assert ("Copy: " in on_gpu, "with uncommitted changes." in on_gpu) == (False, True)
