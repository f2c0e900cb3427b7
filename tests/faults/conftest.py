"""The campaign lies beside the package; its smoke forms run here, those that fork in a process that made no tensor."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))


@pytest.fixture
def chaos(tmp_path: Path) -> Callable[..., str]:
    """Runs a part of the campaign and gives what it prints; a part in which a rule was broken fails the test."""

    def run(*words: str) -> str:
        environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "chaos", *words, "--results", str(tmp_path)]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run
