"""The how-to pages: their files and commands as they stand, on a study that is made small."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "add-a-quantizer.md"
SMALL = {"epochs = 8": "epochs = 1", "seeds = [0, 1, 2]": "seeds = [0, 1]"}


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return str(found)


def test_the_file_is_short() -> None:
    assert len(block("python").splitlines()) < 60


@pytest.mark.manual
def test_a_stranger_gets_a_row_by_one_command(tmp_path: Path) -> None:
    from spikequant.studies import shipped

    (tmp_path / "soft_ternary.py").write_text(block("python"))
    study = shipped()["baselines-digits"].read_text()
    for long, short in SMALL.items():
        study = study.replace(long, short)
    (tmp_path / "small.toml").write_text(study.replace('name = "baselines-digits"', 'name = "small"'))
    words = shlex.split(block("sh"))
    assert words[0] == "spikequant"
    command = [sys.executable, "-m", "spikequant", *words[1:], "small.toml", "--json"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    answer = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=500)
    assert answer.returncode == 0, answer.stderr
    rows = {row["method"]: row for row in json.loads(answer.stdout)["methods"]}
    assert rows.keys() == {"float", "Ternary"}
    assert rows["Ternary"]["seeds"] == 2
    assert rows["Ternary"]["measures"]["memory_bits"]["mean"] < rows["float"]["measures"]["memory_bits"]["mean"]
