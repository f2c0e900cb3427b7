from pathlib import Path
from typing import Any

import pytest

from spikequant.errors import SpecError
from spikequant.studies.pictured import PostTraining, Supervised, needs, weight_bytes

SMALL: dict[str, Any] = {"data": "digits", "seed": 3, "model": {"name": "digits", "args": {"width": 2, "time": 1}}, "batch_size": 512}
LQ = {"weights": {"kind": "lqnet", "bits": 2}}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"training": {"epochs": 1, "seed": 1}}, "follow from the trial"),
        ({"training": {"epochs": 1, "patience": 2}}, "held-out share"),
        ({"model": "digts"}, "did you mean 'digits'"),
        ({"model": {"name": "json:loads", "args": {"width": 2}}}, "names no code"),
        ({"training": {"epochs": 1, "rates": {"weight": 1.0}}, "pruning": {"share": 0.5}}, "pruning takes channels out"),
    ],
)
def test_fields_that_do_not_fit_are_refused(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError, match=told):
        Supervised.read(SMALL | {"training": {"epochs": 1}} | changed)


def test_needs_and_weights_follow_from_the_setup() -> None:
    scratch = Supervised.read(SMALL | {"training": {"epochs": 1}})
    assert needs(scratch) == set()
    assert needs(scratch.model_copy(update={"init": "float"})) == {"reference"}
    assert needs(PostTraining.read(SMALL | {"recipe": LQ})) == {"reference"}
    trained = 4 * (2 * 9 + 4 * 2 * 9 + 16 * 10 + 10 + 2 * (2 + 4) + 2 * (2 + 4))
    assert weight_bytes(scratch) >= trained


@pytest.mark.parametrize("name", ["os:abort", "mine:make", "absent/folder", "digit", "x" * 300])
def test_a_study_names_no_code(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SpecError, match=r"^Supervised\.model: unknown model .* or the folder of a saved network; a study names no code"):
        Supervised.read(SMALL | {"model": name, "training": {"epochs": 1}})
