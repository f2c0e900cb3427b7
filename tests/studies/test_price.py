from collections.abc import Callable
from pathlib import Path

import pytest

from spikequant.errors import DataError
from spikequant.studies.planning import plan
from spikequant.studies.price import KEPT_BYTES, alone, kind_of, measure, prices, quoted


def test_trials_that_cost_the_same_are_measured_once() -> None:
    trials = {trial.name: trial for trial in plan("digits-smoke").trials}
    assert kind_of(trials["ptq/lqnet/b2/s0"]) == kind_of(trials["ptq/lqnet/b4/s1"])
    assert kind_of(trials["ptq/lqnet/b4/s0"]) != kind_of(trials["ptq/narrow/b4/s0"])
    assert kind_of(trials["qat/lqnet/s0"]) != kind_of(trials["scratch/s0"])


def test_a_switch_of_training_is_another_kind_of_trial(write_study: Callable[..., str]) -> None:
    plain, through, softer = (
        kind_of(plan(write_study(**{"epochs = 1 }": f"epochs = 1, freezing = {{ spikes = true{more} }} }}"})).trials[0])
        for more in ("", ", straight_through = true", ", power = 2.0")
    )
    assert through != plain == softer


def test_a_price_grows_with_the_epochs(write_study: Callable[..., str]) -> None:
    setup = plan(write_study()).trials[0].setup.fields()
    short, memory = measure("supervised", setup | {"training": {"epochs": 1}}, 1)
    long, _ = measure("supervised", setup | {"training": {"epochs": 1000}}, 1)
    assert long > 20 * short
    assert memory > 50 * 2**20


def test_only_what_is_not_done_is_priced(write_study: Callable[..., str]) -> None:
    tiny = plan(write_study())
    base, ptq = tiny.trials
    assert prices(tiny, []) == {}
    document = quoted(tiny, {base.key: "done", ptq.key: "new"}, workers=4)
    assert document["price"]["trials"] == 1
    assert document["price"]["disk_bytes"] > KEPT_BYTES
    assert [("price" in trial, trial["state"]) for trial in document["trials"]] == [(False, "done"), (True, "new")]


def test_alone_every_trial_pays_for_its_float_networks() -> None:
    table = plan("beyond-accuracy-digits", only="table1 2bits s0")
    floats = [trial for trial in table.trials if trial.name.startswith("float/")]
    seconds = {trial.key: 1.0 for trial in table.trials}
    found = alone(table, seconds)
    assert {found[trial.key] for trial in floats} == {1.0}
    assert {found[trial.key] for trial in table.trials if trial not in floats} == {6.0}  # its own, and five float networks
    done = alone(table, {trial.key: 1.0 for trial in table.trials if trial not in floats})
    assert {*done.values()} == {1.0}


def test_trials_without_their_data_are_listed_without_key_and_price(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPIKEQUANT_DATA", str(tmp_path))
    absent = plan("beyond-accuracy", only="cifar100 resnet8 s0", absent_data=True)
    assert len(absent.trials) > 20
    document = quoted(absent, {trial.key: "new" for trial in absent.trials}, workers=1)
    assert {(trial["key"], trial["state"]) for trial in document["trials"]} == {(None, "data_absent")}
    assert "no folder" in document["trials"][0]["reason"]
    assert document["price"]["trials"] == 0
    with pytest.raises(DataError, match="no folder"):
        plan("beyond-accuracy", only="cifar100 resnet8 s0")
