from collections.abc import Callable

import pytest

Refused = Callable[[str, dict[str, object], str], None]


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("lqnet", {"bits": 9}, "LQNet.bits: .* nearest valid value: 8"),
        ("lqnet", {"bits": 2, "clip": 0.0}, "LQNet.clip: must be greater than 0, got 0.0"),
        ("lqnet", {"bits": 2, "start": "clip"}, "start='clip' needs a clip to start from"),
        ("lqnet", {"bits": 2, "average": 1.0}, "LQNet.average: must be less than 1, got 1.0"),
        ("lqnet", {"bits": 2, "ridge": -1.0}, "LQNet.ridge: .* nearest valid value: 0"),
        ("lqnet", {"bits": 2, "rounding": "truncate"}, "LQNet.rounding: must be 'nearest_even', got 'truncate'"),
        ("lsq", {"bits": 1}, "signed LSQ needs at least 2 bits, got 1; nearest valid value: 2"),
        ("lsq", {"bits": 2, "gradient": "pass"}, "LSQ.gradient: must be 'mask', got 'pass'"),
    ],
)
def test_bad_fields_are_refused(refused: Refused, kind: str, fields: dict[str, object], message: str) -> None:
    refused(kind, fields, message)
