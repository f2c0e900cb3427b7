import pytest

from spikequant.errors import SpecError
from spikequant.training import Decolle, Stdp


def test_defaults_are_bindsnets() -> None:
    assert (Stdp().pre, Stdp().post, Stdp().trace_ms, Stdp().holding) == (1e-4, 1e-2, 20.0, "on_change")


def test_refuses_an_unknown_holding() -> None:
    with pytest.raises(SpecError, match=r"Stdp\.holding"):
        Stdp(holding="inplace")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spec", "fields", "told"),
    [
        (Stdp, {"low": 1.0, "high": 0.0}, "low must be below high, got 1.0 and 0.0"),
        (Decolle, {"second_moment": 1.0}, r"Decolle\.second_moment: must be less than 1"),
    ],
)
def test_what_could_not_learn_is_refused(spec: type, fields: dict[str, float], told: str) -> None:
    with pytest.raises(SpecError, match=told):
        spec(**fields)


def test_the_rate_of_decolle_falls_as_its_authors_say() -> None:
    decolle = Decolle()
    assert [round(decolle.lr / decolle.rate(epoch)) for epoch in (0, 29, 30, 59, 60, 90)] == [1, 1, 5, 5, 10, 15]
