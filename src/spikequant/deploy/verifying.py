"""The forms of a program beside its interpreter, value by value of every layer of neurons."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from spikequant.deploy.c import tracing
from spikequant.deploy.c.loading import compiler
from spikequant.deploy.checking import Divergence, Tally, first_divergence
from spikequant.deploy.machine import encode, moments
from spikequant.deploy.operations import emitting
from spikequant.deploy.program import Program
from spikequant.deploy.simulation import Simulation
from spikequant.errors import SpecError

Integers = NDArray[np.int64]
Values = dict[str, NDArray[Any]]
Form = Callable[[Program, Any], Values]


class Comparison(NamedTuple):
    """One form: spikes compared with the interpreter's, those that differ, and the first of these."""

    form: str
    spikes: int
    different: int
    first: Divergence | None


def in_torch(program: Program, images: Any) -> Values:
    """What every layer of neurons emits ``[time, batch, ...]``, in torch."""
    names = emitting(program.header.operations)
    return {name: value.numpy() for name, value in Simulation(program).values(torch.from_numpy(encode(program, images)), names)}


def in_onnxruntime(program: Program, images: Any) -> Values:
    """The same, in onnxruntime."""
    try:
        from spikequant.deploy.onnx.writing import traced
    except ImportError as error:
        raise SpecError(f"ONNX needs {error.name}, which is not installed: pip install 'spikequant[onnx]'") from None
    return traced(program, images)


FORMS: dict[str, Form] = {"c": tracing.traced, "onnx": in_onnxruntime, "torch": in_torch}


def verify(program: Program, images: Any, forms: Mapping[str, Form] | None = None) -> list[Comparison]:
    """Compare every form with the interpreter on images as ``write_c`` takes them: ``FORMS``, the C where there is a compiler.

    Raises:
        MismatchError: the images do not fit the program.
        SpecError: a form needs what is not installed.
    """
    if forms is None:
        forms = {name: form for name, form in FORMS.items() if name != "c" or compiler()}
    codes = encode(program, images)
    seen = [{name: moment.values[name] for name in emitting(program.header.operations)} for moment in moments(program, codes)]
    judge = {name: np.stack([values[name] for values in seen]) for name in emitting(program.header.operations)}
    return [_compared(program, codes, judge, form, run(program, images)) for form, run in forms.items()]


def _compared(program: Program, codes: Integers, judge: Values, form: str, found: Values) -> Comparison:
    tallies = {name: Tally(name) for name in judge}
    places = {name: tallies[name].add(torch.from_numpy(judge[name]), torch.from_numpy(found[name]).long()) for name in judge}
    first = first_divergence(program, codes, places) if any(places.values()) else None
    layers = [tally.result() for tally in tallies.values()]
    return Comparison(form, sum(layer.spikes for layer in layers), sum(layer.different for layer in layers), first)
