import json
from pathlib import Path
from typing import Any

import pytest

from spikequant.errors import SpecError
from spikequant.studies.keys import RESULTS_VERSION, key_of
from spikequant.studies.records import Record, write
from spikequant.studies.standings import estimate, joined, standings

STUDY = """
version = 1
name = "tiny"
seeds = [0, 1]
[defaults]
procedure = "supervised"
data = "digits"
model = { name = "digits", args = { width = 2, time = 1 } }
batch_size = 512
training = { epochs = 1 }
measures = ["accuracy", "memory"]
[axes.weights]
lsq = { recipe = { weights = { kind = "lsq", bits = 2 } } }
[[trials]]
name = "float"
[[trials]]
name = "weights"
axes = ["weights"]
reference = "float"
measures = ["accuracy", "emd"]
recipe = { first = { kind = "uniform", bits = 8 } }
"""
MINE = """
from typing import Literal
import torch
from spikequant.numerics import Grid, table
from spikequant.quantizers import QuantizerSpec
class Fixed3(QuantizerSpec):
    kind: Literal["tiny_method:Fixed3"] = "tiny_method:Fixed3"
    @property
    def width(self) -> int: return 2
    def label(self) -> str: return "three"
    def grid(self) -> Grid: return table(torch.tensor([-0.1, 0.0, 0.1]))
class Stray(Fixed3):
    pass
"""


def record(name: str, accuracy: float, seed: int, kind: str = "lsq", study: str = "tiny") -> Record:
    configuration: dict[str, Any] = {"setup": {"seed": seed, "recipe": {"weights": {"kind": kind}}}, "of": name}
    return Record(
        results_version=RESULTS_VERSION, study=study, key=key_of(configuration, {}), name=f"{name}/s{seed}", tags=(name,),
        configuration=configuration, data_sha256={}, measures={"accuracy": accuracy, "emd": None if kind == "float" else 0.5}, hashes={},
    )  # fmt: skip


def test_means_and_intervals_from_records_alone(tmp_path: Path) -> None:
    for seed, accuracy in enumerate((0.5, 0.6, 0.7)):
        write(tmp_path / "a", record("weights/lsq", accuracy, seed))
        write(tmp_path / "b", record("weights/spikefit", accuracy + 0.1, seed, "spikefit"))
    write(tmp_path / "b", record("float", 0.9, 0, "float"))
    write(tmp_path / "b", record("other", 0.1, 0, "float", "another"))
    found = standings([tmp_path / "a", tmp_path / "b", tmp_path / "absent"], "tiny")
    assert [(each.method, each.seeds, each.uncertain) for each in found] == [
        ("float", 1, False),
        ("weights/spikefit", 3, True),
        ("weights/lsq", 3, False),
    ]
    assert found[0].values["accuracy"] == (0.9, None, None)
    assert "emd" not in found[0].values
    mean, low, high = found[2].values["accuracy"]
    assert (mean, low, high) == pytest.approx((0.6, 0.6 - 0.248414, 0.6 + 0.248414), abs=1e-5)  # 4.3027 * 0.1 / sqrt(3)
    assert estimate([0.5, 0.5]) == (0.5, 0.5, 0.5)


def test_methods_that_no_test_image_was_shown_to_come_last(tmp_path: Path) -> None:
    write(tmp_path, record("b", 0.1, 0))
    for name in ("c", "a"):
        write(tmp_path, record(name, 0.0, 0).model_copy(update={"measures": {"validation_accuracy": 0.9}}))
    assert [each.method for each in standings([tmp_path], "tiny")] == ["b", "a", "c"]


def test_without_records_the_command_is_told(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=rf"run it: spikequant run tiny --results {tmp_path}$"):
        standings([tmp_path / "tiny", tmp_path / "records"], "tiny")


def test_a_method_joins_with_its_groups_own_terms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("study.toml").write_text(STUDY)
    Path("tiny_method.py").write_text(MINE)
    plan = joined("study.toml", "tiny_method:Fixed3", "weights", tmp_path / "out")
    assert [trial.name for trial in plan.trials] == ["float/s0", "Fixed3/s0", "float/s1", "Fixed3/s1"]
    recipe: Any = plan.trials[1].configuration["setup"]["recipe"]
    assert recipe["weights"] == {"kind": "tiny_method:Fixed3"}
    assert recipe["first"]["bits"] == 8
    assert json.dumps(plan.trials[1].configuration["setup"]["measures"]) == '["accuracy", "emd"]'
    with pytest.raises(SpecError, match="unknown group 'state'"):
        joined("study.toml", "tiny_method:Fixed3", "state", tmp_path / "out")
    with pytest.raises(SpecError, match="let it say kind"):
        joined("study.toml", "tiny_method:Stray", "weights", tmp_path / "out")
    with pytest.raises(SpecError, match="not a class below"):
        joined("study.toml", "tiny_method:torch", "weights", tmp_path / "out")
    with pytest.raises(SpecError, match="importable from here"):
        joined("study.toml", "absent_method:Fixed3", "weights", tmp_path / "out")
    for damaged, told in {"": "trials: is required", "a = = 1": "study.toml:1: not valid TOML", "trials = [3]": "trials"}.items():
        Path("study.toml").write_text(damaged)
        with pytest.raises(SpecError, match=told):
            joined("study.toml", "tiny_method:Fixed3", "weights", tmp_path / "out")
