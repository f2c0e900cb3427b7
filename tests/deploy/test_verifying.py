import sys

import numpy as np
import pytest

from spikequant.deploy import Program
from spikequant.deploy.c.loading import compiler
from spikequant.deploy.c.vectors import drawn
from spikequant.deploy.verifying import FORMS, in_torch, verify
from spikequant.errors import SpecError


@pytest.mark.skipif(compiler() is None, reason="no cc")
def test_all_forms_agree(residual: Program) -> None:
    found = verify(residual, drawn(residual, 6))
    assert [(each.form, each.different, each.first, each.scores) for each in found] == [(name, 0, None, 0) for name in FORMS]
    assert {each.spikes for each in found} == {6 * 4 * (2 * 64 + 2 * 64 + 5)}


@pytest.mark.skipif(compiler() is None, reason="no cc")
def test_all_forms_agree_where_neurons_compete(competing: Program) -> None:
    assert [(each.different, each.scores) for each in verify(competing, drawn(competing, 6))] == [(0, 0)] * 3


def test_without_a_compiler_the_c_is_left_out(residual: Program, monkeypatch) -> None:
    monkeypatch.setenv("CC", "/no/compiler")
    assert [each.form for each in verify(residual, drawn(residual, 1))] == ["onnx", "torch"]


@pytest.mark.skipif(compiler() is None, reason="no cc")
def test_a_c_of_another_program_is_seen(residual: Program) -> None:
    other = Program(residual.header, residual.tensors | {"lif2.threshold": residual.tensors["lif2.threshold"] + [0, 1]})
    (found,) = verify(residual, drawn(residual, 6), {"c": lambda program, images: FORMS["c"](other, images)})
    assert found.first is not None
    assert (found.first.layer, found.first.neuron[0]) == ("lif2", 1)


@pytest.mark.skipif(compiler() is None, reason="no cc")
@pytest.mark.parametrize("form", list(FORMS))
def test_a_score_that_differs_is_counted_where_no_spike_does(competing: Program, form: str) -> None:
    """The votes come from synapses without neurons."""
    other = Program(competing.header, competing.tensors | {"vote.basis": competing.tensors["vote.basis"] + [[1, 1], [0, 0]]})
    (found,) = verify(competing, drawn(competing, 6), {form: lambda program, images: FORMS[form](other, images)})
    assert (found.different, found.first) == (0, None)
    assert 0 < found.scores <= 6


def test_the_first_divergence_is_named(residual: Program) -> None:
    other = Program(residual.header, residual.tensors | {"lif2.threshold": residual.tensors["lif2.threshold"] + [0, 1]})
    images = drawn(residual, 6)
    (found,) = verify(residual, images, {"other": lambda program, images: in_torch(other, images)})
    first = found.first
    assert first is not None
    assert (first.layer, first.neuron[0], first.distance, first.spikes) == ("lif2", 1, 0, 1)
    assert found.different > 0
    differing = in_torch(residual, images)[0]["lif2"] != in_torch(other, images)[0]["lif2"]
    assert first.step == np.argwhere(differing)[0][0]
    assert str(first).startswith(f"image {first.image}, neuron {first.neuron} of lif2 at step {first.step}: the program gives 1, 0 from")


def test_without_the_extra_the_way_to_it_is_said(residual: Program, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "spikequant.deploy.onnx.writing", None)
    with pytest.raises(SpecError, match=r"pip install 'spikequant\[onnx\]'"):
        verify(residual, drawn(residual, 1), {"onnx": FORMS["onnx"]})
