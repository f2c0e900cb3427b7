import pytest

from spikequant.data import load
from spikequant.errors import SpecError
from spikequant.models import build
from spikequant.quantizers import Uniform
from spikequant.recipes import Recipe, quantize, save
from spikequant.studies import examine
from spikequant.studies.examine import states


def test_a_saved_network_is_examined_on_training_samples(tmp_path) -> None:
    save(quantize(build("digits"), Recipe(state=Uniform(bits=2, low=-1.0, high=1.0))), tmp_path)
    record = examine(str(tmp_path), "digits", batches=2, batch_size=8)
    assert (record["samples"], [layer["layer"] for layer in record["layers"]]) == (16, ["lif1", "lif2"])
    assert record["layers"][0]["grid"]["zero"] is False
    assert record["layers"][0]["use"]["high"] > 0
    assert record["layers"][0]["advice"]


def test_without_data_nothing_is_said_of_its_use() -> None:
    assert all(layer["use"] is None for layer in examine("digits")["layers"])


def test_a_report_is_told_of_quantized_states_alone() -> None:
    small = quantize(build("digits"), Recipe(state=Uniform(bits=2, low=-1.0, high=1.0)))
    found = states(small, load("digits"))
    assert [len(layer["occupancy"]) for layer in found] == [4, 4]
    assert sum(share for _, share, _ in found[0]["occupancy"]) == pytest.approx(1)
    assert states(build("digits"), load("digits")) == []


def test_no_batch_is_refused() -> None:
    with pytest.raises(SpecError, match="batches -1 must be at least 1"):
        examine("digits", "digits", batches=-1)
