import numpy as np
import pytest
from torch import nn

from spikequant.behavior.firing import Firing, LayerFiring
from spikequant.behavior.matching import check_twin, match, ordered
from spikequant.errors import MismatchError
from spikequant.neurons import IF


def named(*names: str) -> nn.Module:
    return nn.ModuleDict({name: IF() for name in names})


def firing(**channels: int) -> Firing:
    return Firing(tuple(LayerFiring(name, np.zeros((1, n), dtype=np.int64), np.ones(1), 1, 1) for name, n in channels.items()), 1)


def test_by_name_where_all_names_agree() -> None:
    assert match(named("a", "b"), named("b", "a")) == {"a": "a", "b": "b"}


def test_by_order_where_there_are_as_many() -> None:
    assert match(named("a", "b"), named("b", "c")) == {"a": "b", "b": "c"}


def test_refuses_other_numbers_of_layers() -> None:
    with pytest.raises(MismatchError, match=r"twins\[0\] has 1 spiking layers, the reference 2, and they differ in b"):
        match(named("a", "b"), named("a"), "twins[0]")


def test_layers_are_put_in_the_references_order() -> None:
    layers = ordered(firing(b=1, a=2), {"a": "a", "b": "b"}).layers
    assert [layer.name for layer in layers] == ["a", "b"]


def test_a_twin_has_the_same_channels() -> None:
    check_twin(firing(a=3), firing(b=3), "twins[0]")
    with pytest.raises(MismatchError, match=r"twins\[1\] has 4 channels in layer 'b', the reference 3"):
        check_twin(firing(a=3), firing(b=4), "twins[1]")
