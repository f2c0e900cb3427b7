import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from spikequant.errors import MismatchError, SpecError
from spikequant.models import build
from spikequant.recipes import save
from spikequant.search import paper_rows
from spikequant.studies import folder
from spikequant.studies.grid import drafts
from spikequant.studies.pictured import weight_bytes
from spikequant.studies.planning import plan, shipped
from spikequant.studies.study import Study, grouped


def told(study: str, only: str = "") -> list[str]:
    with pytest.raises(SpecError) as caught:
        plan(study, only)
    return str(caught.value).splitlines()


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_shipped_study_bears_its_file_name(name: str) -> None:
    assert f'name = "{name}"' in shipped()[name].read_text()


def test_the_smoke_study_is_a_dozen_trials_each_after_what_it_needs() -> None:
    trials = plan("digits-smoke").trials
    assert 12 <= len(trials) <= 14
    keys = [trial.key for trial in trials]
    assert len({*keys}) == len(keys)
    assert all(keys.index(need) < keys.index(trial.key) for trial in trials for need in trial.needs)
    pairs = {trial.name: trial.pairing for trial in trials}
    assert (pairs["float/s0"], pairs["qat/lqnet/s1"]) == (None, "same")


def test_only_keeps_what_bears_the_tags_and_what_that_needs(write_study: Callable[..., str]) -> None:
    assert [trial.name for trial in plan("digits-smoke", "qat lqnet s1").trials] == ["float/s1", "qat/lqnet/s1"]
    assert told("digits-smoke", "lqnt") == [
        "unknown tag 'lqnt': must be one of b2, b4, float, lqnet, narrow, ptq, qat, s0, s1, scratch; did you mean 'lqnet'?"
    ]
    assert "bears all the tags" in told("digits-smoke", "float lqnet")[0]


def test_keys_follow_what_decides_the_numbers_and_nothing_else(write_study: Callable[..., str]) -> None:
    def keys(study: str) -> list[str]:
        return [trial.key for trial in plan(study).trials]

    first = keys(write_study())
    assert keys(write_study(**{'name = "tiny"': 'name = "other"\ntitle = "t"'})) == first
    assert keys(write_study(**{"epochs = 1": "epochs = 1, lr = 1e-3"})) == first
    bits = keys(write_study(**{"bits = 2": "bits = 3"}))
    assert bits[0] == first[0]
    assert bits[1] != first[1]
    trained = keys(write_study(**{"epochs = 1": "epochs = 2"}))
    assert trained[0] != first[0]
    assert trained[1] != first[1]
    assert plan(write_study(), deterministic=True).trials[0].key != first[0]


def test_the_key_of_a_saved_network_follows_what_its_folder_holds(write_study: Callable[..., str], tmp_path: Path) -> None:
    saved = write_study(**{'{ name = "digits", args = { width = 2, time = 1 } }': f'"{tmp_path / "saved"}"'})
    planned, sizes = [], []
    for seed, width in ((0, 2), (0, 2), (1, 2), (1, 3)):
        save(build("digits", seed=seed, width=width, time=1), tmp_path / "saved")
        planned.append(plan(saved))
        sizes.append(weight_bytes(planned[-1].trials[1].setup))
    folder.describe(tmp_path / "out", planned[0], {})
    first, same, other, wider = (each.trials[1] for each in planned)
    assert same.key == first.key
    assert len({first.key, other.key, wider.key}) == 3
    assert sizes[3] > sizes[2] == sizes[0]
    with pytest.raises(MismatchError, match=r"ptq/s0: files_sha256\.model\.json"):
        folder.refuse_changed(tmp_path / "out", [other], [])


@pytest.mark.parametrize(
    ("validation", "group", "told_of"),
    [
        ("", "validation = 0.2", "holds out validation = 0 by seed 0; it must be 0.2 by seed 0, as here"),
        ("validation = 0.2", "seeds = [1]\nreference_seed = 0", "holds out validation = 0.2 by seed 0; it must be 0.2 by seed 1"),
        ("validation = 0.2", "", None),
        ("", 'procedure = "supervised"\nvalidation = 0.2', None),
    ],
)
def test_no_trial_validates_on_what_its_reference_has_learned(
    write_study: Callable[..., str], validation: str, group: str, told_of: str | None
) -> None:
    measured = '"accuracy", "validation_accuracy", "emd"]\n' + group
    procedure = {'procedure = "post_training"\n': ""} if "procedure" in group else {}
    study = write_study(**{"batch_size = 512": f"batch_size = 512\n{validation}", '"accuracy", "emd"]': measured}, **procedure)
    if told_of is None:
        assert len(plan(study).trials) == 2
    else:
        assert told_of in told(study)[0]


@pytest.mark.parametrize("validation", ["", "validation = 0.2"])
def test_no_trial_stops_early_by_what_its_reference_has_learned(write_study: Callable[..., str], validation: str) -> None:
    group = 'procedure = "supervised"\ninit = "float"\nvalidation = 0.2\ntraining = { epochs = 3, patience = 1 }'
    study = write_study(**{"batch_size = 512": f"batch_size = 512\n{validation}", 'procedure = "post_training"': group})
    if validation:
        assert len(plan(study).trials) == 2
    else:
        assert "training.patience rests on images which its reference has learned from" in told(study)[0]


def test_every_mistake_is_told_at_once_with_its_line(write_study: Callable[..., str]) -> None:
    study = write_study(
        **{"epochs = 1": "epochs = 0", "batch_size": "batch_sze", '"lqnet"': '"lqnt"', '"accuracy", "emd"': '"accuracy", "emdd"'}
    )
    lines = told(study)
    assert lines[0].startswith(f"{study}:10: defaults.batch_sze: no such field; did you mean 'batch_size'?")
    assert lines[1].startswith(f"{study}:11: defaults.training.epochs: must be greater than or equal to 1, got 0; nearest valid value: 1")
    assert lines[2].startswith(f"{study}:23: trials.recipe.weights.kind: unknown kind 'lqnt'")
    assert lines[2].endswith("did you mean 'lqnet'?")
    assert len(lines) == 3


def test_mistakes_of_all_kinds_are_told_in_one_round(write_study: Callable[..., str]) -> None:
    study = write_study("""\
        version = 1
        name = "six"
        objective = "accurcy"
        [defaults]
        procedure = "supervsed"
        data = "digts"
        model = "digis"
        batch_size = 0
        measures = ["accuracy"]
        [[trials]]
        name = "ptq"
        reference = "flot"
    """)
    expected = [
        (3, "objective: unknown measure 'accurcy'", "; did you mean 'accuracy'?"),
        (5, "defaults.procedure: unknown procedure 'supervsed'", "; did you mean 'supervised'?"),
        (6, "defaults.data: unknown data set 'digts'", "; did you mean 'digits'?"),
        (7, "defaults.model: unknown model 'digis'", "; did you mean 'digits'?, or the folder of a saved network; a study names no code"),
        (8, "defaults.batch_size: must be greater than or equal to 1, got 0", "; nearest valid value: 1"),
        (10, "trials.training: is required", ""),
        (12, "trials.reference: unknown group 'flot'", ": there is none to choose from"),
    ]
    lines = told(study)
    assert len(lines) == len(expected)
    for told_of, (line, beginning, end) in zip(lines, expected, strict=True):
        assert told_of.startswith(f"{study}:{line}: {beginning}")
        assert told_of.endswith(end)


@pytest.mark.parametrize(
    ("old", "new", "line", "text"),
    [
        ("model = {", 'model = "digts"\nother = {', 9, "did you mean 'digits'"),
        ('"accuracy", "emd"', '"accuracy", "emdd"', 22, "did you mean 'emd'"),
        ('reference = "float"', 'reference = "flaot"', 21, "did you mean 'float'"),
        ('reference = "float"', "", 18, "name the group of its float networks"),
        ('"post_training"', '"post_trainig"', 20, "did you mean 'post_training'"),
        ('["accuracy", "memory"]', '["memory"]', 12, "the study's objective 'accuracy'"),
        ('name = "ptq"', 'name = "ptq"\nseed = 3', 20, "seeds = [3]"),
        ('name = "ptq"', 'name = "float"', 19, "is there already"),
        ('name = "ptq"', 'name = "p tq"', 19, "nearest valid value: 'p-tq'"),
        ("[defaults]", '[axes."a b"]\nc = {}\n[defaults]', 6, "axes.a b: must match"),
        ("epochs = 1", "epochs = = 1", 11, "not valid TOML"),
        ("version = 1", "version = 2", 2, "must be 1"),
        ('objective = "accuracy"', "threads = 0", 4, "nearest valid value: 1"),
        ('objective = "accuracy"', 'objective = "memory"', 4, "'memory' gives no value of that name"),
        ('objective = "accuracy"', 'objective = "emdd"', 4, "unknown measure 'emdd'"),
        ('objective = "accuracy"', 'objective = "start"', 4, "must be one of accuracy, agreement, emd, emd_independent"),
        ("bits = 2 }", "bits = 99 }", 23, "nearest valid value: 8"),
        ('reference = "float"', 'refrence = "float"', 21, "no such field; did you mean 'reference'"),
        ('name = "ptq"', 'name = "ptq"\naxis = []', 20, "no such field; did you mean 'axes'"),
        ("batch_size = 512", 'reference = "float"', 10, "reference: belongs into a group of trials"),
        ("batch_size = 512", "seeds = [1]", 10, "seeds: belongs into a group of trials"),
        ('reference = "float"', 'reference = "ptq"', 21, "cannot be its own reference"),
    ],
)
def test_a_mistake_is_told_with_line_value_and_nearest(write_study: Callable[..., str], old: str, new: str, line: int, text: str) -> None:
    lines = told(write_study(**{old: new}))
    assert any(f"study.toml:{line}:" in each and text in each for each in lines), lines


@pytest.mark.parametrize("text", ["", "trials = 3", "version = 1\nname = 'x'\ntrials = [3]", "a = nan", "a = 2026-01-01", "[" * 5000])
def test_whatever_a_file_holds_is_refused_in_words(write_study: Callable[..., str], text: str) -> None:
    assert told(write_study(text))[0] != ""


def test_circles_and_twins_of_one_trial_are_refused(write_study: Callable[..., str]) -> None:
    circle = write_study(**{'name = "float"': 'name = "float"\nreference = "ptq"\ninit = "float"'})
    assert "in a circle" in told(circle)[0]
    double = write_study(**{'[[trials]]\nname = "ptq"': '[[trials]]\nname = "again"\n[[trials]]\nname = "ptq"'})
    assert "say the same" in told(double)[0]


def test_a_training_floor_needs_more_than_one_seed(write_study: Callable[..., str]) -> None:
    assert "other seeds" in told(write_study(**{'"accuracy", "emd"': '"accuracy", "training_floor"'}))[0]


def test_another_word_is_no_study() -> None:
    assert told("digits-smok")[0].endswith("did you mean 'digits-smoke'?")
    assert "is neither a file nor one of" in told("x" * 300)[0]


def test_squats_trials_bear_the_tags_of_its_rows() -> None:
    study = Study.read(grouped(tomllib.loads(shipped()["squat"].read_text())))
    tags = {frozenset(draft.tags) - {"s0", "s1", "s2"} for draft in drafts(study)}
    assert tags == {row.tags for row in paper_rows("squat")}
    assert len(list(drafts(study))) == 3 * 93


def test_the_plane_holds_the_papers_closing_wish() -> None:
    names = {draft.name for draft in drafts(Study.read(grouped(tomllib.loads(shipped()["squat-plane"].read_text()))))}
    assert {"qat/exponential/w3/m5/s0", "qat/exponential/w6/m2/s0"} <= names


def test_the_plane_starts_from_the_float_networks_of_the_tables() -> None:
    studies = [Study.read(grouped(tomllib.loads(shipped()[name].read_text()))) for name in ("squat-plane", "squat-fmnist")]
    plane, tables = (next(draft.fields for draft in drafts(study) if draft.name == "float/s0") for study in studies)
    assert plane == tables
