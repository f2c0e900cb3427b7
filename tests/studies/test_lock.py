import os
from pathlib import Path

import pytest

from spikequant.errors import SpikequantError
from spikequant.studies.lock import held


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
