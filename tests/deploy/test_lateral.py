"""What neurons of a layer do to each other, by hand."""

import numpy as np
import pytest
import torch

from spikequant.deploy import Program, Simulation
from spikequant.deploy.lateral import Delay, Inhibit, Winner
from spikequant.deploy.machine import moments, run
from spikequant.deploy.operations import Add, Lif, emitting
from spikequant.deploy.program import Header, Source
from spikequant.errors import FormatError, SpecError

DELAY = Delay(name="before", inputs=("winner",), shape=(3,))
LOOP = (
    DELAY,
    Inhibit(name="pull", inputs=("before",), strength=5),
    Add(name="charge", inputs=("input", "pull")),
    Lif(name="cells", inputs=("charge",), state_bits=8, reset="value"),
    Winner(name="winner", inputs=("cells",), draws=2),
)
TENSORS = {"cells.threshold": np.array([2, 2, 2]), "winner.draws": np.array([0, 2**15 - 1])}


def looped(*operations: object, **tensors: np.ndarray) -> Program:
    source = Source(shape=(3,), low=0, high=3, still=False)
    return Program(Header(name="loop", time=3, source=source, operations=operations or LOOP), TENSORS | tensors)


def test_the_winner_of_a_step_holds_the_others_down_in_the_next() -> None:
    program = looped()
    inputs = np.array([[[2, 0, 3]], [[1, 2, 3]], [[2, 2, 2]]])
    seen = [(moment.values["cells"][0].tolist(), moment.values["winner"][0].tolist()) for moment in moments(program, inputs)]
    # Step 0: draw 0 takes the first of two. Step 1: 1, 2 - 5 and 3 - 5 fire not. Step 2: 1 + 2, -3 + 2 and -2 + 2.
    assert seen == [([1, 0, 1], [1, 0, 0]), ([0, 0, 0], [0, 0, 0]), ([1, 0, 0], [1, 0, 0])]
    assert run(program, inputs).tolist() == [[2, 0, 0]]


def test_the_greatest_draw_takes_the_last() -> None:
    program = looped(LOOP[3].model_copy(update={"inputs": ("input",)}), LOOP[4])
    values = [moment.values["winner"][0].tolist() for moment in moments(program, np.full((3, 1, 3), 2))]
    assert values == [[1, 0, 0], [0, 0, 1], [1, 0, 0]]


def test_torch_agrees_on_gradual_inputs() -> None:
    program, codes = looped(), np.random.default_rng(0).integers(0, 4, (3, 50, 3))
    simulation = Simulation(program)
    values = dict(simulation.values(torch.from_numpy(codes)))
    for t, moment in enumerate(moments(program, codes)):
        assert all(np.array_equal(values[name][t].numpy(), value) for name, value in moment.values.items() if name != "input")
    assert np.array_equal(simulation(torch.from_numpy(codes)).numpy(), run(program, codes))


def test_a_layer_goes_by_the_name_of_its_winner() -> None:
    assert emitting(LOOP) == {"winner": LOOP[3]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"inputs": ("before",)}, "no later operation"),
        ({"inputs": ("input",)}, "no later operation"),
        ({"inputs": ("charge",)}, "can give"),
        ({"inputs": ("winner", "cells")}, "takes one input"),
    ],
)
def test_a_delay_is_held_to_what_it_declares(change: dict, words: str) -> None:
    with pytest.raises((SpecError, FormatError, ValueError), match=words):
        looped(DELAY.model_copy(update=change), *LOOP[1:])


def test_a_delay_has_the_shape_that_it_declares() -> None:
    alone = LOOP[3].model_copy(update={"inputs": ("input",)})
    with pytest.raises(SpecError, match="declares shape"):
        looped(DELAY.model_copy(update={"shape": (4,)}), LOOP[1], alone, LOOP[4])


def test_a_winner_is_drawn_among_few_enough() -> None:
    with pytest.raises(SpecError, match="at most 65535"):
        LOOP[4].out_shape([(2**16,)])
    assert LOOP[4].out_shape([(2**16 - 1,)]) == (2**16 - 1,)


def test_bounds_hold_the_inhibition_of_all_others() -> None:
    program = looped()
    assert program.reach("pull") == (-10, 0)
    assert program.reach("winner") == (0, 1)
    assert program.proofs["winner"].widest.high == 3 * (2**15 - 1)
