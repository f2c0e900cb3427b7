"""The forms of a program beside its interpreter: every spike of every layer of neurons, every score."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from spikequant.deploy.c import tracing
from spikequant.deploy.c.loading import compiler
from spikequant.deploy.checking import Divergence, Tally, first_divergence
from spikequant.deploy.machine import encode, moments, taken
from spikequant.deploy.operations import emitting
from spikequant.deploy.program import Program
from spikequant.deploy.simulation import Simulation
from spikequant.errors import SpecError

Integers = NDArray[np.int64]
Values = dict[str, NDArray[Any]]
Seen = tuple[Values, NDArray[Any]]
"""What every layer of neurons emits ``[time, batch, ...]``, and scores ``[batch, class]``."""
Form = Callable[[Program, Any], Seen]


class Comparison(NamedTuple):
    """One form: spikes compared with the interpreter's, those that differ and the first of these, and how many scores differ."""

    form: str
    spikes: int
    different: int
    first: Divergence | None
    scores: int


def in_torch(program: Program, images: Any) -> Seen:
    """In torch."""
    simulation, names, last = Simulation(program), emitting(program.header.operations), program.header.operations[-1].name
    values = dict(simulation.values(torch.from_numpy(encode(program, images)), [*names, last]))
    return {name: values[name].numpy() for name in names}, simulation.scores(values[last]).numpy()


def in_onnxruntime(program: Program, images: Any) -> Seen:
    """In onnxruntime."""
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
    judge = _interpreted(program, codes)
    return [_compared(program, codes, judge, form, run(program, images)) for form, run in forms.items()]


def _interpreted(program: Program, codes: Integers) -> Seen:
    names, last = emitting(program.header.operations), program.header.operations[-1].name
    seen, scores = [], None
    for t, moment in enumerate(moments(program, codes)):
        value = moment.values[last]
        scores = taken(program, scores, t, value.reshape(len(value), -1))
        seen.append({name: moment.values[name] for name in names})
    assert scores is not None, "time is at least 1"
    return {name: np.stack([values[name] for values in seen]) for name in names}, scores


def _compared(program: Program, codes: Integers, judge: Seen, form: str, found: Seen) -> Comparison:
    (right, right_scores), (values, scores) = judge, found
    tallies = {name: Tally(name) for name in right}
    places = {name: tallies[name].add(torch.from_numpy(right[name]), torch.from_numpy(values[name]).long()) for name in right}
    first = first_divergence(program, codes, places) if any(places.values()) else None
    layers = [tally.result() for tally in tallies.values()]
    spikes, different = (sum(getattr(layer, name) for layer in layers) for name in ("spikes", "different"))
    return Comparison(form, spikes, different, first, int((scores != right_scores).sum()))
