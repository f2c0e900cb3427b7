import pytest

from spikequant.quantizers import LQNet, Uniform
from spikequant.recipes import Recipe
from spikequant.studies.keys import key_of, said
from spikequant.training import Training


def test_what_equals_its_default_is_not_said() -> None:
    assert said(Training(epochs=3, lr=1e-3)) == {"epochs": 3}
    assert said(Recipe(weights=LQNet(bits=2))) == {"weights": {"kind": "lqnet", "bits": 2}}


def test_methods_stay_apart() -> None:
    assert said(Uniform(bits=2)) != said(LQNet(bits=2))


@pytest.mark.parametrize("changed", [({"seed": 1}, {"f": "a"}, 1), ({"seed": 0}, {"f": "b"}, 1), ({"seed": 0}, {"f": "a"}, 2)])
def test_configuration_data_and_version_each_change_the_key(changed: tuple[dict[str, int], dict[str, str], int]) -> None:
    assert key_of(*changed) != key_of({"seed": 0}, {"f": "a"}, 1)


def test_the_order_of_fields_does_not_change_the_key() -> None:
    assert key_of({"a": 1, "b": 2}, {}) == key_of({"b": 2, "a": 1}, {})


def test_keys_stay_as_they_are() -> None:
    """A key that moves makes every committed record worthless: sha256 of the canonical JSON, computed outside."""
    assert key_of({"seed": 0}, {}, version=1) == "31f5e343237a4f932f224585ef71c17c678e0456c09764af5527ff2113851207"
