import pytest

from spikequant.data import load, names
from spikequant.errors import DataError, SpecError


def test_every_name_has_a_reader_that_answers_for_it(tmp_path):
    assert names() == ["digits", "mnist", "fashion-mnist", "cifar10", "cifar100", "nmnist", "nmnist-17", "shd", "dvs-gesture", "fsdd"]
    for name in names():
        if name == "digits":
            assert load(name, tmp_path).name == name
        else:
            folder = tmp_path / name.removesuffix("-17")
            with pytest.raises(DataError, match=f"^no .* (no|in) .*{folder}|^no folder {folder}, "):
                load(name, tmp_path)


def test_an_unknown_name_is_told_with_the_nearest():
    with pytest.raises(SpecError, match=r"unknown data set 'fashion_mnist': must be one of .*; did you mean 'fashion-mnist'\?"):
        load("fashion_mnist")
    with pytest.raises(SpecError, match="unknown data set 'None'"):
        load(None)


def test_the_root_comes_from_the_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("SPIKEQUANT_DATA", str(tmp_path / "sets"))
    with pytest.raises(DataError, match=f"no folder {tmp_path}/sets/mnist, and none in {tmp_path}/sets/MNIST/raw"):
        load("mnist")


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_real_sets_are_found_under_the_variable(monkeypatch, official_root, name):
    monkeypatch.setenv("SPIKEQUANT_DATA", str(official_root))
    data = load(name)
    assert data.name == name
    assert data.shape == (1, 28, 28)
