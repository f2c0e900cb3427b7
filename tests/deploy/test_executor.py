import copy
import pickle
import shutil
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch

from spikequant.deploy import Executor, Program, executor
from spikequant.deploy.c.vectors import drawn
from spikequant.deploy.executor import Engine, multiplications
from spikequant.deploy.machine import encode, run
from spikequant.errors import MismatchError, SpecError

needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="no cc")


@needs_cc
def test_scores_are_the_interpreters_on_any_number_of_threads(residual: Program) -> None:
    images = drawn(residual, 7)
    compiled, expected = Executor(residual), run(residual, images)
    before = torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            assert np.array_equal(compiled.run(encode(residual, images)), expected)
    finally:
        torch.set_num_threads(before)
    assert len(set(map(tuple, expected.tolist()))) > 1


def test_multiplications_by_hand(residual: Program) -> None:
    """4 steps of 18 and 36 weights at 64 places, and 40 weights at one."""
    assert multiplications(residual) == 4 * (18 * 64 + 36 * 64 + 40)


@needs_cc
def test_it_is_compiled_when_that_pays(residual: Program, monkeypatch) -> None:
    images, each = drawn(residual, 2), 2 * multiplications(residual)
    monkeypatch.setattr(executor, "PAYS", 2 * each)
    engine, expected = Engine(residual), run(residual, images)
    for compiled in (False, False, True, True):
        assert np.array_equal(engine.run(images), expected)
        assert (engine.executor is not None) == compiled


@needs_cc
def test_a_compiled_program_is_copied_and_pickled(residual: Program, monkeypatch) -> None:
    monkeypatch.setattr(executor, "PAYS", 0)
    images = drawn(residual, 2)
    expected = residual.run(images)
    assert residual._engine.executor is not None
    for other in (copy.deepcopy(residual), pickle.loads(pickle.dumps(residual))):
        assert other.hash == residual.hash
        assert np.array_equal(other.run(images), expected)
        assert not other.tensors["lif1.threshold"].flags.writeable


@pytest.mark.parametrize(("variable", "value"), [("CC", "/no/compiler"), ("CC", "false"), ("SPIKEQUANT_KERNELS", "torch")])
def test_without_a_compiler_the_interpreter_runs(residual: Program, monkeypatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr(executor, "PAYS", 0)
    engine, images = Engine(residual), drawn(residual, 2)
    assert np.array_equal(engine.run(images), run(residual, images))
    assert engine.executor is None


@needs_cc
def test_a_wrong_executor_is_not_used(residual: Program, monkeypatch) -> None:
    right = executor.sources
    other = Program(residual.header, residual.tensors | {"dense.weight": -1 - residual.tensors["dense.weight"]})
    monkeypatch.setattr(executor, "sources", lambda program, activity, form: right(other, activity, form=form))
    monkeypatch.setattr(executor, "PAYS", 0)
    engine, images = Engine(residual), drawn(residual, 2)
    with pytest.warns(RuntimeWarning, match="differs from the interpreter"):
        assert np.array_equal(engine.run(images), run(residual, images))
    with warnings.catch_warnings():
        assert np.array_equal(engine.run(images), run(residual, images))


def test_scores_beyond_32_bits_are_left_to_the_interpreter(summing: Callable[..., Program], monkeypatch) -> None:
    monkeypatch.setattr(executor, "PAYS", 0)
    engine = Engine(summing(16, 40))
    assert engine.run(np.ones((1, 8), np.int64)).tolist() == [[40 * (1016 * 2**16 + 1), 0]]
    assert engine.executor is None


@needs_cc
@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.full((1, 1, 8, 8), 500), "holds 500 to 500, must lie in -127 to 127"),
        (np.full((1, 1, 8, 8), 0.5), "got float64; program.run takes real images"),
        (np.zeros((1, 64), np.int8), "takes"),
    ],
)
def test_what_no_encoding_gives_is_refused(residual: Program, codes: np.ndarray, message: str) -> None:
    with pytest.raises(MismatchError, match=message):
        Executor(residual).run(codes)


def test_refusals(residual: Program, monkeypatch) -> None:
    monkeypatch.setenv("CC", "/no/compiler")
    with pytest.raises(SpecError, match="no C compiler"):
        Executor(residual)
    monkeypatch.setattr(executor, "LARGEST", 10)
    with pytest.raises(SpecError, match="at most 10"):
        Executor(residual)
