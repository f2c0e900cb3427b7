from collections.abc import Callable

import pytest

Refused = Callable[[str, dict[str, object], str], None]


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("binary", {"scale": "men"}, "did you mean 'mean'"),
        ("binary", {"bits": 1}, "Binary.bits: no such field"),
    ],
)
def test_bad_fields_are_refused(refused: Refused, kind: str, fields: dict[str, object], message: str) -> None:
    refused(kind, fields, message)
