import json
from collections.abc import Callable
from typing import Any


def test_ranges_as_text_and_as_json(run: Callable[..., Any]) -> None:
    code, out, _ = run("ranges", "digits", "--data", "digits", "--images", "10")
    assert code == 0
    assert out.splitlines()[0].split("  ")[0] == "layer"
    assert "integer bits" in out
    code, out, _ = run("ranges", "digits", "--data", "digits", "--images", "10", "--json")
    assert code == 0
    assert json.loads(out)["ranges"][0]["layer"] == "conv1"
