import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from spikequant.deploy.c.loading import compiler
from spikequant.recipes import Recipe
from spikequant.studies import verbs


def test_export_and_verify(run: Callable[..., Any], tmp_path) -> None:
    verbs.quantize_saved("digits", Recipe.integer(weight_bits=2, state_bits=8), tmp_path / "small", "digits", 1)
    code, out, _ = run("export", "program", str(tmp_path / "small"), "--data", "digits", "--out", str(tmp_path / "net.sqp"), "--json")
    assert code == 0
    assert json.loads(out)["bytes"] == (tmp_path / "net.sqp").stat().st_size
    code, out, _ = run("verify", str(tmp_path / "net.sqp"), "--data", "digits", "--images", "5")
    assert code == 0
    assert [line.split(" of ")[0] for line in out.splitlines()] == [*(["c: 0"] if compiler() else []), "onnx: 0", "torch: 0"]


def test_a_nir_view_is_for_the_reader_that_is_named(run: Callable[..., Any], tmp_path) -> None:
    nir = pytest.importorskip("nir")
    verbs.quantize_saved("digits", Recipe.integer(weight_bits=2, state_bits=8), tmp_path / "small", "digits", 1)
    call = ("export", "nir", str(tmp_path / "small"), "--out", str(tmp_path / "net.nir"))
    for more, dt, said in (((), 1e-4, "spikingjelly"), (("--reader", "norse"), 1e-3, "norse")):
        code, out, _ = run(*call, *more)
        assert code == 0
        others = " and ".join(sorted({"norse", "snntorch", "spikingjelly"} - {said}))
        assert re.search(rf"spikes \d+, different \d+, as {said} reads it; {others} take a file of their own: --reader$", out)
        about = json.loads(nir.read(tmp_path / "net.nir").metadata["spikequant"])
        assert (about["reader"], about["dt"]) == (said, dt)
    code, _, err = run("export", "c", str(tmp_path / "small"), "--out", str(tmp_path / "build"), "--reader", "norse")
    assert (code, "form 'c' is the same for every reader, got reader 'norse'; leave it out" in err) == (2, True)


@pytest.mark.parametrize(("scores", "said"), [(None, "2 of 9 spikes differ"), (3, "2 of 9 spikes and 3 scores differ")])
def test_a_difference_ends_with_1_and_is_named(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, scores: int, said: str) -> None:
    first = "image 0, neuron (1,) of lif1 at step 2: the program gives 1"
    row = {"form": "torch", "spikes": 9, "different": 2, "first": {}, "said": first, "scores": scores}
    monkeypatch.setattr("spikequant.studies.verify_saved", lambda *_: {"program": "", "images": 1, "forms": [row]})
    code, out, _ = run("verify", "net.sqp", "--data", "digits")
    assert code == 1
    assert out.splitlines() == [
        f"torch: {said}",
        f"torch: first at {first}",
    ]


def test_a_score_that_differs_ends_with_1(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"form": "c", "spikes": 9, "different": 0, "first": None, "said": None, "scores": 1}
    monkeypatch.setattr("spikequant.studies.verify_saved", lambda *_: {"program": "", "images": 1, "forms": [row]})
    assert run("verify", "net.sqp", "--data", "digits")[:2] == (1, "c: 0 of 9 spikes and 1 scores differ\n")


def test_an_absent_program_is_usage(run: Callable[..., Any], tmp_path) -> None:
    code, _, err = run("verify", str(tmp_path / "none.sqp"), "--data", "digits")
    assert code == 2
    assert "none.sqp" in err
