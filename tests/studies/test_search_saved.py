import math
from dataclasses import replace
from pathlib import Path

import pytest

from spikequant.data import Batches, hold_out
from spikequant.data import load as load_data
from spikequant.errors import SpecError
from spikequant.models import Network, build
from spikequant.recipes import load, quantize, save
from spikequant.studies import Exploration, Judged, Options, Priced, Search, search_saved
from spikequant.studies.bench import with_time
from spikequant.studies.search_saved import read_space
from spikequant.training import Stdp, evaluate

TOML = "weights = ['float', { kind = 'lqnet', bits = 4 }]"


@pytest.fixture
def search(digits_network: Network, tmp_path: Path) -> Search:
    save(digits_network, tmp_path / "float")
    (tmp_path / "space.toml").write_text(TOML)
    return Search(str(tmp_path / "float"), "digits", tmp_path / "space.toml", Options(max_drop=0.05))


def test_judges_by_a_share_of_the_training_images(search: Search, tmp_path: Path) -> None:
    *_, found, record = search_saved(search, tmp_path / "out")
    assert isinstance(found, Exploration)
    assert found.judged_on == "validation"
    assert found.baseline.samples == pytest.approx(0.1 * 1437, abs=6)
    assert {variant["name"] for variant in record["variants"]} == {each.label for each in found.front()}
    assert [trial["name"] for trial in record["trials"]] == [each.label for each in found.evaluated]
    assert all(sum(variant["ledger"].values()) == variant["memory_bits"] for variant in record["variants"])
    assert "validation images" in record["setup"]["data"]


def test_the_best_is_saved_with_its_time_steps_and_training(search: Search, tmp_path: Path) -> None:
    search.space.write_text("schemes = ['itq']\ntime = [3]\nweights = [{ kind = 'lqnet', bits = 2 }]")
    *_, found, _ = search_saved(replace(search, options=Options(max_drop=1.0)), tmp_path / "out")
    assert isinstance(found, Exploration)
    best = load(tmp_path / "out" / "best")
    assert (best.wiring.time, best.recipe) == (3, found.best())
    data = load_data("digits")
    held = Batches(hold_out(data.train, 0.1, 0)[1], 128, data.scale)
    assert evaluate(best, held) == found.best_candidate().measures.accuracy
    assert evaluate(with_time(quantize(load(tmp_path / "float"), found.best()), 3), held) != evaluate(best, held)


def test_bounds_that_nothing_keeps_leave_no_network(search: Search, tmp_path: Path) -> None:
    search.space.write_text("weights = [{ kind = 'uniform', bits = 2, low = -10.0, high = 10.0 }]")
    list(search_saved(search, tmp_path / "out"))
    assert not (tmp_path / "out" / "best").exists()


def test_the_test_images_are_read_only_when_asked_for(search: Search, tmp_path: Path) -> None:
    told = Search(search.model, search.data, search.space, Options(max_drop=0.05, on_test=True))
    *_, found, _ = search_saved(told, tmp_path / "out")
    assert isinstance(found, Exploration)
    assert (found.judged_on, found.baseline.samples) == ("test", 360)


@pytest.mark.parametrize(("validation", "seed", "told"), [(None, 0, False), (0.0, 0, True), (0.1, 1, True), (0.1, 0, False)])
def test_tells_where_the_network_has_learned_from_what_judges(
    search: Search, digits_network: Network, tmp_path: Path, validation: float | None, seed: int, told: bool
) -> None:
    session = {"data": "digits", "validation": validation, "training": {"seed": seed}}
    save(digits_network, tmp_path / "float", {} if validation is None else {"session": session})
    *_, record = search_saved(search, tmp_path / "out")
    assert ("--validation 0.1 --seed 0" in record["setup"].get("note", "")) == told


@pytest.mark.parametrize("lr", [math.nan, -1.0])
def test_a_bad_rate_is_refused_even_where_nothing_is_trained(search: Search, tmp_path: Path, lr: float) -> None:
    with pytest.raises(SpecError, match="lr"):
        next(search_saved(replace(search, lr=lr), tmp_path / "out"))


def test_a_network_that_learns_by_stdp_is_trained_so(search: Search, tmp_path: Path) -> None:
    save(build("stdp-net", inputs=64, neurons=20, time=40), tmp_path / "float")
    search.space.write_text("schemes = ['itq']\nweights = [{ kind = 'fixed_point', integer = 1, fraction = 5 }]")
    price, judged, *_ = search_saved(replace(search, options=Options(max_drop=1.0)), tmp_path / "out")
    assert isinstance(price, Priced)
    assert isinstance(judged, Judged)
    assert judged.so_far.training == Stdp(epochs=1, seed=0)


def test_a_bad_space_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="No such file"):
        read_space(tmp_path / "absent.toml")
    (tmp_path / "bad.toml").write_text("weights = [1]")
    with pytest.raises(SpecError, match=r"bad.toml: .*weights"):
        read_space(tmp_path / "bad.toml")
