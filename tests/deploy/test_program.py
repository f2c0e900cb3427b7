from collections.abc import Callable

import numpy as np
import pytest

from spikequant.deploy import Program
from spikequant.errors import FormatError, SpecError


def test_saved_and_read_again(residual: Program, tmp_path) -> None:
    residual.save(tmp_path / "net.sqp")
    read = Program.load(tmp_path / "net.sqp")
    assert read.hash == residual.hash
    assert read.header == residual.header
    images = np.random.default_rng(0).uniform(-1, 1, (3, 1, 8, 8)).astype(np.float32)
    assert np.array_equal(read.run(images), residual.run(images))


def test_hash_covers_header_and_tensors(residual: Program) -> None:
    longer = Program(residual.header.model_copy(update={"time": 5}), residual.tensors)
    heavier = Program(residual.header, residual.tensors | {"conv1.bias": residual.tensors["conv1.bias"] + 1})
    assert len({residual.hash, longer.hash, heavier.hash}) == 3


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("lif1.threshold", np.array([0, 5]), "below 1"),
        ("lif1.threshold", np.array([5]), "shape"),
        ("conv1.weight", np.full((2, 1, 3, 3), 8), "must lie in -8 to 7"),
        ("lif3.threshold", np.array([1, 2, 3, 4, 32]), "must lie in 1 to 31"),
        ("other", np.array([1]), "not part"),
        ("lif1.threshold", np.array([60, 89.5]), r"holds 89\.5, must hold whole numbers"),
        ("lif1.threshold", np.array([60, np.nan]), "holds nan, must hold whole numbers"),
    ],
)
def test_unfit_tensors_are_refused(residual: Program, name: str, value: np.ndarray, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Program(residual.header, residual.tensors | {name: value})


def test_what_was_proven_cannot_be_changed(residual: Program) -> None:
    mine = np.array([60, 90])
    program = Program(residual.header, residual.tensors | {"lif1.threshold": mine})
    mine[:] = 0
    assert program.tensors["lif1.threshold"].tolist() == [60, 90]
    with pytest.raises(ValueError, match="read-only"):
        program.tensors["lif1.threshold"][0] = 0


def test_an_absent_tensor_is_named(residual: Program) -> None:
    with pytest.raises(SpecError, match=r"'dense\.bias' is absent"):
        Program(residual.header, {name: value for name, value in residual.tensors.items() if name != "dense.bias"})


@pytest.mark.parametrize(("readout", "reach"), [("sum", (0, 7 * 1017)), ("last", (0, 1017)), ("first_spike", (0, 7))])
def test_scores_reach_what_the_readout_makes_of_the_last_value(summing: Callable[..., Program], readout: str, reach: tuple) -> None:
    program = summing(0, 7)
    assert Program(program.header.model_copy(update={"readout": readout}), program.tensors).reach_of_scores == reach


def test_order_is_topological(residual: Program) -> None:
    fields = residual.header.fields()
    fields["operations"] = fields["operations"][1:]
    with pytest.raises(SpecError, match="'conv1' is no earlier operation"):
        type(residual.header).read(fields)


def test_an_absent_file_is_named(tmp_path) -> None:
    with pytest.raises(FormatError, match=r"none\.sqp is absent, or no file"):
        Program.load(tmp_path / "none.sqp")


def test_equal_scores_go_to_the_lowest_class(residual: Program, monkeypatch) -> None:
    monkeypatch.setattr(Program, "run", lambda self, images: np.array([[1, 3, 3], [2, 2, 2]]))
    assert residual.predict(None).tolist() == [1, 0]
