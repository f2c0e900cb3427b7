from typing import Literal

import pytest

from spikequant.quantizers import MINT
from spikequant.studies.doubt import is_reading


class Guess(MINT):
    kind: Literal["tests.test_doubt:Guess"] = "tests.test_doubt:Guess"  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("configuration", "expected"),
    [
        ({"recipe": {"state": {"kind": "spquant", "lowest": -1}}}, False),
        ({"recipe": {"state": {"kind": "spquant", "learned": True}}}, True),
        ({"recipe": {"state": {"v": {"kind": "mint", "bits": 2}}}}, True),
        ({"pruning": {"share": 0.25, "score": "rank"}}, False),
        ({"pruning": {"share": 0.25, "score": "fisher"}}, True),
        ({"model": {"name": "digits", "args": {"lif": {"neuron": "trained_threshold"}}}}, True),
        ({"model": {"name": "digits", "args": {"lif": {"neuron": "activation"}}}, "measures": ["accuracy"]}, False),
        ({"kind": "of a stranger"}, False),
        ({"recipe": {"weights": {"kind": "tests.test_doubt:Guess", "bits": 2}}}, True),
        ({"recipe": {"weights": {"kind": "tests.test_doubt:Other", "bits": 2}}}, False),
    ],
)
def test_what_is_our_reading(configuration: object, expected: bool) -> None:
    assert is_reading(configuration) == expected
