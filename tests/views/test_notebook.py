import re
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
import torch

from spikequant.behavior import Drift
from spikequant.deploy import lower
from spikequant.errors import SpecError
from spikequant.models import build
from spikequant.recipes import Recipe, Space, quantize
from spikequant.studies import Evaluated, Exploration
from spikequant.studies.bench import Measures
from spikequant.studies.events import StudyEnded
from spikequant.views.notebook import html


def rows(text: str) -> int:
    return len(re.findall("<tr>", text)) - 1


def test_a_drift_shows_its_layers(untouched: Mapping[str, Any]) -> None:
    drift = Drift.from_dict(untouched["variants"][0]["drift"])
    shown = html(drift)
    assert shown.count("<svg") == 2
    assert rows(shown) == len(drift.layers) + 1
    assert f"EMD {drift.emd:.4f}" in shown


def test_names_in_a_notebook_stay_text(untouched: Mapping[str, Any]) -> None:
    drift = Drift.from_dict(untouched["variants"][0]["drift"])
    named = drift.model_copy(update={"layers": (drift.layers[0].model_copy(update={"name": "<script>alert(1)</script>"}),)})
    assert "<script" not in html(named)


def test_a_search_shows_its_front() -> None:
    base: dict[str, Any] = {"samples": 100, "memory_share": 0.5, "steps": 4, "emd": 0.01}
    one, two, worse = (Measures(accuracy=a, memory_bits=b, **base) for a, b in ((0.9, 800), (0.95, 1600), (0.8, 1600)))
    evaluated = [
        Evaluated(scheme="ptq", levels=(0,), choices={"weights": str(m.memory_bits)}, measures=m, passed=True, seconds=1.0)
        for m in (one, two, worse)
    ]
    found = Exploration(
        model="m", space=Space.from_toml("weights = ['float']"), strategy="every", objectives=("accuracy", "memory"),
        max_drop=0.1, seed=0, baseline=two, evaluated=tuple(evaluated),
    )  # fmt: skip
    shown = html(found)
    assert "3 candidates, 2 on the front" in shown
    assert (shown.count("<svg"), rows(shown)) == (1, 2)


def test_a_program_shows_its_operations() -> None:
    network = build("digits", width=2)
    images = torch.rand(8, *(1, 8, 8))
    program = lower(quantize(network, Recipe.integer(weight_bits=4, state_bits=8), [(images, torch.zeros(8, dtype=torch.long))]))
    shown = html(program)
    assert (shown.count("<svg"), rows(shown)) == (1, len(program.header.operations))
    assert str(program).startswith("program ")
    assert program.hash[:12] in shown


def trial(name: str, accuracy: float, bits: int) -> dict[str, Any]:
    return {"name": name, "state": "done", "key": "k", "measures": {"accuracy": accuracy, "memory_bits": bits}}


def test_the_end_of_a_study_shows_its_trials() -> None:
    shown = html(StudyEnded(trials=(trial("a", 0.5, 800), trial("b", 0.75, 1600)), interrupted=False, stopped=None))
    assert "2 of 2 trials done" in shown
    assert (shown.count("<svg"), rows(shown)) == (1, 2)
    assert "<svg" not in html(StudyEnded(trials=(trial("a", 0.5, 800),), interrupted=False, stopped=None))


@pytest.mark.parametrize(
    "code",
    [
        "import spikequant as sq; sq.compare, sq.lower, sq.explore",
        "import spikequant.behavior, spikequant.deploy, spikequant.studies",
        "from spikequant.studies.events import StudyEnded; from spikequant.deploy.program import Program; import spikequant.behavior",
    ],
)
def test_results_show_themselves_however_they_are_imported(code: str) -> None:
    """In a fresh process, for what was imported before counts; views are loaded only when a result is drawn."""
    code += """
import sys
kinds = [getattr(sys.modules[f"spikequant.{room}"], name) for room, name in
         (("behavior", "Drift"), ("deploy", "Program"), ("studies", "Exploration"), ("studies", "StudyEnded"))]
print([hasattr(kind, "_repr_html_") for kind in kinds], "altair" in sys.modules)
print(kinds[-1](trials=(), interrupted=False, stopped=None)._repr_html_())
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    known, drawn = answer.stdout.splitlines()
    assert known == "[True, True, True, True] False"
    assert "<p>0 of 0 trials done</p>" in drawn


def test_what_has_no_picture_is_refused() -> None:
    with pytest.raises(SpecError, match="type int has no picture"):
        html(3)
