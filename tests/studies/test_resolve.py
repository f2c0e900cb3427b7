import sys
from pathlib import Path
from types import ModuleType

import pytest

from spikequant.errors import DataError, FormatError, SpecError
from spikequant.models import build
from spikequant.quantizers import LQNet
from spikequant.recipes import Recipe, save
from spikequant.studies.resolve import resolve_data, resolve_model, resolve_recipe


def test_a_model_is_a_name_a_folder_or_a_factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(build("digits", time=3), tmp_path / "saved")
    (tmp_path / "mine.py").write_text("from spikequant.models import build\ndef make():\n    return build('digits', time=7)\nnumber = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert resolve_model("digits").wiring.time == 4
    assert resolve_model(str(tmp_path / "saved")).wiring.time == 3
    assert resolve_model("mine:make").wiring.time == 7


def test_a_factory_may_adopt_a_foreign_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, foreign: ModuleType) -> None:
    """From the working directory, seeded; and told how where it forgets to adopt."""
    (tmp_path / "theirs_here.py").write_text(
        "import spikequant as sq\nfrom torch import nn\nneuron = []\n"
        "def net():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), neuron[0])\n"
        "def make():\n    return sq.models.adopt(net(), (1, 8, 8), time=5)\n"
        "def ours():\n    return sq.models.build('digits')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each not in ("", str(tmp_path))])
    resolve_model("theirs_here:ours")
    sys.modules["theirs_here"].neuron.append(foreign.Leaky())
    first, again, other = (resolve_model("theirs_here:make", seed) for seed in (1, 1, 2))
    assert first.layer_1.weight.equal(again.layer_1.weight)
    assert not first.layer_1.weight.equal(other.layer_1.weight)
    with pytest.raises(SpecError, match=r"returned Sequential, .* let it return spikequant\.models\.adopt"):
        resolve_model("theirs_here:net")


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("digts", "did you mean 'digits'"),
        ("no.such.module:make", "No module named"),
        ("json:no_such_factory", "no_such_factory"),
        ("json:JSONDecoder", "returned JSONDecoder"),
        ("./net.py:make", r"'\./net\.py' is no module's name; give package\.module:factory"),
        (".net:make", "is no module's name"),
        ("mistaken:make", r"invalid syntax.*mistaken\.py, line 1"),
        ("math:pi", "not a callable object; a factory is a function that is called without arguments"),
        ("json:loads", "missing a required argument: 's'"),
        ("x" * 300, "is neither a name"),
        ("x" * 300 + ":make", "No module named"),
    ],
)
def test_other_words_are_refused(word: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mistaken.py").write_text("def make(: pass")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SpecError, match=told):
        resolve_model(word)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"holds no model\.json"):
        resolve_model(str(tmp_path))


def test_a_recipe_is_a_file_or_a_notation(tmp_path: Path) -> None:
    recipe = Recipe(weights=LQNet(bits=3))
    (tmp_path / "recipe.toml").write_text(recipe.to_toml())
    assert resolve_recipe(str(tmp_path / "recipe.toml")) == recipe
    assert resolve_recipe("W(Q1.6)-N(Q11.6)") == Recipe.parse("W(Q1.6)-N(Q11.6)")


@pytest.mark.parametrize("text", ["weights = ", "[weights]\nkind = 'lqnt'\nbits = 2", "[weights]\nkind = 'lqnet'\nbits = 40"])
def test_a_bad_recipe_names_its_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(SpecError, match=r"recipe\.toml"):
        resolve_recipe(str(path))


@pytest.mark.parametrize("word", ["nowhere.toml", "x" * 300])
def test_an_absent_recipe_is_refused(word: str) -> None:
    with pytest.raises(SpecError, match="neither a TOML file nor a notation"):
        resolve_recipe(word)


def test_data_must_fit_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_data("digits", build("digits")).shape == (1, 8, 8)
    with pytest.raises(SpecError, match=r"samples of shape \(1, 8, 8\), squat-fmnist takes \(1, 28, 28\)"):
        resolve_data("digits", build("squat-fmnist"))
    monkeypatch.setenv("SPIKEQUANT_DATA", str(tmp_path))
    with pytest.raises(DataError):
        resolve_data("mnist", build("squat-fmnist"))
