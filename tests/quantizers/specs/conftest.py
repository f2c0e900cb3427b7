from collections.abc import Callable
from typing import Any

import pytest

from spikequant.errors import SpecError
from spikequant.numerics import levels
from spikequant.quantizers import QuantizerSpec
from spikequant.quantizers.table import SPECS


@pytest.fixture
def values() -> Callable[[QuantizerSpec], list[float]]:
    """The levels of a spec's grid."""
    return lambda spec: levels(spec.grid()).tolist()


@pytest.fixture
def refused() -> Callable[[str, dict[str, Any], str], None]:
    """Bad fields are refused with the rule and the nearest valid value, however they come."""

    def check(kind: str, fields: dict[str, Any], message: str) -> None:
        for make in (lambda: SPECS[kind](**fields), lambda: SPECS[kind].read(fields)):
            with pytest.raises(SpecError, match=message):
                make()

    return check
