import os
import threading
import time
from pathlib import Path

import pytest

from spikequant.errors import SpikequantError
from spikequant.studies.lock import alone, held


def test_a_second_run_is_refused_and_told_who_holds_the_folder(tmp_path: Path) -> None:
    with held(tmp_path), pytest.raises(SpikequantError, match=f"in use by process {os.getpid()} on .* since "), held(tmp_path):
        pass
    with held(tmp_path):
        pass


def test_runs_that_share_a_database_share_the_folder_but_not_with_one_that_does_not(tmp_path: Path) -> None:
    with held(tmp_path, shared=True), held(tmp_path, shared=True), pytest.raises(SpikequantError, match="in use"), held(tmp_path):
        pass


def test_a_damaged_note_of_the_holder_does_no_harm(tmp_path: Path) -> None:
    with held(tmp_path):
        (tmp_path / "run.lock").write_text("[1")
        with pytest.raises(SpikequantError, match="is in use; wait"), held(tmp_path):
            pass


def test_a_trials_folder_is_waited_for(tmp_path: Path) -> None:
    entered, order = threading.Event(), list[str]()

    def outlive() -> None:
        with alone(tmp_path):
            entered.set()
            time.sleep(0.1)
            order.append("the first ends")

    first = threading.Thread(target=outlive)
    first.start()
    entered.wait()
    with alone(tmp_path):
        order.append("the second begins")
    first.join()
    assert order == ["the first ends", "the second begins"]
    assert list(tmp_path.iterdir()) == []


def test_one_that_never_leaves_is_told(tmp_path: Path) -> None:
    with alone(tmp_path), pytest.raises(SpikequantError, match="another process has been at work"), alone(tmp_path, 0.1):
        pass
