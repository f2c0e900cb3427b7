import os
import subprocess
import sys

import pytest

from spikequant.surroundings import KEEP_PAGES, for_trials, pages, surroundings

KEPT = {KEEP_PAGES: "1"} if sys.platform == "linux" else {}


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEEP_PAGES, raising=False)


def test_pages_are_kept_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pages() == KEPT
    assert for_trials(3) == {"OMP_NUM_THREADS": "3"} | KEPT
    monkeypatch.setenv(KEEP_PAGES, "0")
    assert pages() == dict.fromkeys(KEPT, "0")


def test_only_what_starts_in_the_block_has_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with surroundings(for_trials(3)):
        script = f"import os; print(os.environ['OMP_NUM_THREADS'], os.environ.get({KEEP_PAGES!r}))"
        told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert told.split() == ["3", str(KEPT.get(KEEP_PAGES))]
    assert (os.environ["OMP_NUM_THREADS"], KEEP_PAGES in os.environ) == ("7", False)


def test_a_command_keeps_its_pages() -> None:
    script = (
        "import atexit, os, sys; sys.argv = ['spikequant', '--version']; from spikequant.views.main import main; "
        f"atexit.register(lambda: print(os.environ.get({KEEP_PAGES!r}), 'torch' in sys.modules)); main()"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert told.split()[-2:] == [str(KEPT.get(KEEP_PAGES)), "False"]  # before torch and the pool are loaded
