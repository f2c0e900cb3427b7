"""What every operation has: one input of the right shape, no tensors, a name that C can bear."""

import pytest

from spikequant.deploy.base import Operation
from spikequant.errors import SpecError


def test_an_operation_gives_the_shape_of_its_one_input() -> None:
    op = Operation(name="a", inputs=("x",))
    assert op.out_shape([(3, 4)]) == (3, 4)
    assert op.slots([(3, 4)]) == {}
    assert op.only([(3, 4)], 2) == (3, 4)


def test_more_inputs_and_other_dimensions_are_refused() -> None:
    op = Operation(name="a", inputs=("x",))
    with pytest.raises(SpecError, match="takes one input"):
        op.out_shape([(3,), (3,)])
    with pytest.raises(SpecError, match="of 2 dimensions"):
        op.only([(3,)], 2)


@pytest.mark.parametrize("name", ["", "A", "1a", "a-b", "a" * 65])
def test_a_name_is_one_of_c(name: str) -> None:
    with pytest.raises(SpecError):
        Operation(name=name, inputs=("x",))
