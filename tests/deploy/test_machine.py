import numpy as np
import pytest
import torch

from spikequant.deploy import Program
from spikequant.deploy.machine import encode, moments, taken
from spikequant.deploy.operations import Concat, Conv2d, Dense, Leak, Lif
from spikequant.deploy.program import Header, Source
from spikequant.errors import MismatchError


def one(op, tensors: dict, source: Source, time: int = 1, readout: str = "sum") -> Program:
    return Program(Header(name="one", time=time, source=source, operations=op, readout=readout), tensors)


@pytest.mark.parametrize(("stride", "padding", "dilation", "groups"), [(1, 0, 1, 1), (2, 1, 1, 2), (3, 2, 2, 4), (1, 2, 3, 1)])
def test_convolution_is_torchs(stride: int, padding: int, dilation: int, groups: int) -> None:
    draw = np.random.default_rng(0)
    op = Conv2d(
        name="a",
        inputs=("input",),
        bits=8,
        channels=8,
        kernel=(3, 2),
        stride=(stride, 1),
        padding=(padding, 1),
        dilation=(dilation, 1),
        groups=groups,
    )
    w, x = draw.integers(-128, 128, (8, 4 // groups, 3, 2)), draw.integers(-9, 10, (2, 4, 9, 8))
    program = one((op,), {"a.weight": w, "a.bias": np.arange(8)}, Source(shape=(4, 9, 8), low=-9, high=9))
    found = next(moments(program, x)).values["a"]
    expected = torch.nn.functional.conv2d(
        torch.tensor(x).double(), torch.tensor(w).double(), torch.arange(8).double(), (stride, 1), (padding, 1), (dilation, 1), groups
    )
    assert np.array_equal(found, expected.numpy())


def test_scores_by_hand() -> None:
    """Two inputs to one neuron, threshold 4, subtract: u = 3, 6 (fires, 2 left), 5 (fires, 1 left)."""
    ops = (Dense(name="a", inputs=("input",), bits=3, features=1, bias=False), Lif(name="b", inputs=("a",), state_bits=8))
    program = one(ops, {"a.weight": np.array([[1, 2]]), "b.threshold": np.array([4])}, Source(shape=(2,)), time=3)
    assert program.run(np.array([[1, 1]])).tolist() == [[2]]
    assert [int(m.membranes["b"].v[0, 0]) for m in moments(program, np.array([[1, 1]]))] == [3, 2, 1]


def test_residual_values_by_name(residual: Program) -> None:
    codes = encode(residual, np.random.default_rng(0).uniform(-1, 1, (2, 1, 8, 8)).astype(np.float32))
    seen = set()
    for moment in moments(residual, codes):
        v = moment.values
        assert np.array_equal(v["add"], v["lif1"] + v["lif2"])
        assert np.array_equal(v["sums"], v["add"].reshape(2, 2, 4, 2, 4, 2).sum((3, 5)))
        assert np.array_equal(v["ors"], v["sums"].reshape(2, 2, 2, 2, 2, 2).max((3, 5)))
        seen |= set(np.unique(v["add"]).tolist())
    assert seen == {0, 1, 2}


def test_values_stay_in_their_proof(residual: Program) -> None:
    codes = encode(residual, np.random.default_rng(1).uniform(-1, 1, (8, 1, 8, 8)).astype(np.float32))
    for moment in moments(residual, codes):
        for name, proof in residual.proofs.items():
            assert proof.value.low <= moment.values[name].min()
            assert moment.values[name].max() <= proof.value.high


def test_tensors_of_any_kind_are_taken(residual: Program) -> None:
    images = torch.from_numpy(np.random.default_rng(2).uniform(-1, 1, (3, 1, 8, 8)))
    expected = residual.run(images.bfloat16().float().numpy())
    for each in (images.bfloat16(), images.bfloat16().double(), images.bfloat16().float().requires_grad_()):
        assert np.array_equal(residual.run(each), expected)


def test_batches_do_not_matter(residual: Program) -> None:
    images = np.random.default_rng(2).uniform(-1, 1, (70, 1, 8, 8)).astype(np.float32)
    assert np.array_equal(residual.run(images)[65:], residual.run(images[65:]))


def test_pixels_go_through_the_table() -> None:
    table = np.arange(256).reshape(1, -1) - 128
    op = Dense(name="a", inputs=("input",), bits=2, features=1, bias=False)
    program = one(
        (op,), {"a.weight": np.array([[1]]), "input.table": table.repeat(1, 0)}, Source(shape=(1,), low=-128, high=127, table=True)
    )
    assert program.run(np.array([[0], [255]], np.uint8)).tolist() == [[-128], [127]]


def test_real_images_are_rounded_to_even() -> None:
    op = Dense(name="a", inputs=("input",), bits=2, features=1, bias=False)
    program = one((op,), {"a.weight": np.array([[1]])}, Source(shape=(1,), low=-4, high=4, step=0.5))
    assert encode(program, np.array([[0.25], [0.75], [-0.25], [9.0]], np.float32)).flatten().tolist() == [0, 2, 0, 4]


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ([[[0.0]], [[0.5]]], r"whole numbers of events, got 0\.5"),
        ([[[0.0]], [[2.0]]], r"holds 0 to 2, must lie in 0 to 1; lower\(\.\.\., events=\(0, 2\)\)"),
        ([[[0]], [[-1]]], r"lower\(\.\.\., events=\(-1, 1\)\)"),
    ],
)
def test_events_are_taken_as_they_are_or_refused(events: list, message: str) -> None:
    op = Dense(name="a", inputs=("input",), bits=2, features=1, bias=False)
    program = one((op,), {"a.weight": np.array([[1]])}, Source(shape=(1,), still=False), time=2)
    assert program.run(np.array([[[1.0]], [[0.0]]])).tolist() == [[1]]
    with pytest.raises(MismatchError, match=message):
        program.run(np.array(events))


def test_events_differ_by_step_and_concat_joins() -> None:
    ops = (Concat(name="a", inputs=("input", "input")), Dense(name="b", inputs=("a",), bits=3, features=2, bias=False))
    program = one(ops, {"b.weight": np.array([[1, 2], [3, 0]])}, Source(shape=(1,), still=False), time=2)
    assert program.run(np.array([[[0]], [[1]]])).tolist() == [[3, 3]]


@pytest.mark.parametrize(("rule", "expected"), [("sum", [2, 1, 0]), ("last", [1, 0, 0]), ("first_spike", [1, 0, 3])])
def test_readouts(rule: str, expected: list[int]) -> None:
    op = Dense(name="a", inputs=("input",), bits=2, features=3, bias=False)
    program = one((op,), {"a.weight": np.zeros((3, 1))}, Source(shape=(1,)), time=3, readout=rule)
    scores = None
    for t, value in enumerate([[0, 1, 0], [1, 0, 0], [1, 0, 0]]):
        scores = taken(program, scores, t, np.array([value]))
    assert scores.tolist() == [expected]


def test_the_membrane_can_be_the_value() -> None:
    leak = Leak(kind="shift", shift=1)
    ops = (
        Dense(name="a", inputs=("input",), bits=4, features=1, bias=False),
        Lif(name="b", inputs=("a",), state_bits=8, leak=leak, reset="none", emits="membrane"),
    )
    program = one(ops, {"a.weight": np.array([[4]]), "b.threshold": np.array([1])}, Source(shape=(1,)), time=3, readout="last")
    assert program.run(np.array([[1]])).tolist() == [[7]]  # 4, 2 + 4, 3 + 4


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 1, 7, 8)), "takes"),
        (np.zeros((0, 1, 8, 8)), "takes"),
        (np.full((1, 1, 8, 8), np.nan), "not finite"),
        (np.full((1, 1, 8, 8), 200), "must lie in -127 to 127"),
        (np.zeros((1, 1, 8, 8), complex), "takes numbers, got complex128"),
        (None, "takes numbers, got NoneType"),
    ],
)
def test_unfit_images_are_refused(residual: Program, images: np.ndarray, message: str) -> None:
    with pytest.raises(MismatchError, match=message):
        residual.run(images)
