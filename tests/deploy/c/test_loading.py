import pytest

from spikequant.deploy.c import loading
from spikequant.errors import SpecError

HEADER = "int three(void);\n"


def test_a_library_is_loaded() -> None:
    if loading.compiler() is None:
        pytest.skip("no cc")
    assert loading.loaded(HEADER, '#include "model.h"\nint three(void) { return 3; }\n').three() == 3


def test_what_is_missing_or_fails_is_said(monkeypatch) -> None:
    monkeypatch.setenv("CC", "/no/compiler")
    assert loading.compiler() is None
    with pytest.raises(SpecError, match="no C compiler /no/compiler"):
        loading.loaded(HEADER, "")
    monkeypatch.setenv("CC", "false")
    with pytest.raises(SpecError, match="cannot be compiled"):
        loading.loaded(HEADER, "")
