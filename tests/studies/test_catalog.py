import pytest

from spikequant.neurons import kernels_in_use
from spikequant.studies.catalog import catalog, data_sets, kernels


def test_names_of_every_kind_are_listed() -> None:
    lists = catalog()
    assert "squat-fmnist" in lists["models"]
    assert "fashion-mnist" in lists["datasets"]
    assert "lqnet" in lists["methods"]


def test_says_which_data_sets_are_here_and_why_others_are_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("empty")
    monkeypatch.setenv("SPIKEQUANT_DATA", str(folder))
    said: list[str] = []
    found = data_sets(said.append)
    assert found["digits"] is None
    assert str(folder) in (found["mnist"] or "")
    assert said == [f"reading {name}" for name in found]


def test_says_which_form_of_the_kernels_runs_and_why(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setenv("SPIKEQUANT_KERNELS", "torch")
    kernels_in_use.cache_clear()
    request.addfinalizer(kernels_in_use.cache_clear)
    assert kernels() == {"form": "torch", "origin": "SPIKEQUANT_KERNELS=torch", "problem": None}
