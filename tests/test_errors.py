import pytest

from spikequant import errors
from spikequant.errors import SpikequantError, nearest, unknown


def test_every_error_of_the_tree_is_a_value_error_under_one_root() -> None:
    drawn = [name for name in vars(errors) if f"─ {name} " in (errors.__doc__ or "")]
    assert drawn == ["SpecError", "DataError", "FormatError", "MismatchError", "Diverged"]
    assert all(getattr(errors, name).__bases__ == (SpikequantError,) for name in drawn)
    assert SpikequantError.__bases__ == (ValueError,)


@pytest.mark.parametrize(
    ("value", "hint"),
    [("lqnt", "; did you mean 'lqnet'?"), ("LQNET", "; did you mean 'lqnet'?"), ("zzz", ""), ("", "")],
)
def test_nearest_hints_only_at_what_is_close(value: str, hint: str) -> None:
    assert nearest(value, ["uniform", "lqnet"]) == hint


def test_unknown_names_place_value_all_valid_names_and_the_nearest() -> None:
    message = unknown("quantizer", "unifrm", iter(["uniform", "lqnet"]), place="net.toml:3")
    assert message == "net.toml:3: unknown quantizer 'unifrm': must be one of lqnet, uniform; did you mean 'uniform'?"


def test_where_there_is_nothing_to_choose_from_no_empty_list_is_told() -> None:
    assert unknown("group", "flot", []) == "unknown group 'flot': there is none to choose from"
