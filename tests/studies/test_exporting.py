import json
from pathlib import Path

import pytest
import torch

from spikequant.data import DataSet, Split, table
from spikequant.deploy import Program
from spikequant.deploy.c.loading import compiler
from spikequant.deploy.onnx import check_onnx
from spikequant.errors import SpecError
from spikequant.models import Network, Wiring, build
from spikequant.models.wiring import chain
from spikequant.recipes import Recipe, load, save
from spikequant.studies import export, verify_saved
from spikequant.studies.verbs import quantize_saved


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's network, untrained, in whole numbers."""
    folder = tmp_path_factory.mktemp("small")
    quantize_saved("digits", Recipe.integer(weight_bits=4, state_bits=8), folder, "digits", 2)
    return folder


def test_every_form_is_of_one_program(small: Path, tmp_path: Path) -> None:
    found = {form: export(form, str(small), tmp_path / form, "digits") for form in ("c", "onnx", "program")}
    assert len({document["program"] for document in found.values()}) == 1
    program = Program.load(tmp_path / "program")
    assert program.header.source.table
    assert program.hash == check_onnx(tmp_path / "onnx") == json.loads((tmp_path / "c" / "report.json").read_text())["program"]
    assert found["onnx"]["bytes"] == (tmp_path / "onnx").stat().st_size
    counted = found["program"]["ledger"]
    assert sum(size for name, size in counted["bytes"].items() if name != "state") == found["program"]["bytes"]
    assert counted["work"]["conv1"]["dense"] >= counted["work"]["conv1"]["effective"] > 0
    again = export("onnx", str(tmp_path / "program"), tmp_path / "again", "digits")
    assert again["program"] == program.hash
    assert (tmp_path / "again").read_bytes() == (tmp_path / "onnx").read_bytes()


@pytest.mark.skipif(compiler() is None, reason="no C compiler")
def test_verify_compares_forms_and_networks(small: Path, tmp_path: Path) -> None:
    export("program", str(small), tmp_path / "net.sqp", "digits")
    found = verify_saved(str(tmp_path / "net.sqp"), "digits", images=20)
    assert [(row["form"], row["different"], row["first"], row["scores"]) for row in found["forms"]] == [
        ("c", 0, None, 0),
        ("onnx", 0, None, 0),
        ("torch", 0, None, 0),
    ]
    (row,) = verify_saved(str(tmp_path / "net.sqp"), "digits", 20, str(small))["forms"]
    assert (row["different"], row["spikes"] > 0) == (0, True)
    network = load(small)
    name = next(name for name, _ in network.named_parameters() if "conv1" in name)
    dict(network.named_parameters())[name].data.mul_(-1)
    save(network, tmp_path / "other")
    (row,) = verify_saved(str(tmp_path / "net.sqp"), "digits", 20, str(tmp_path / "other"))["forms"]
    assert row["different"] > 0
    assert row["first"]["layer"] in row["said"]


def test_a_network_that_draws_spikes_of_images_is_written(tmp_path: Path) -> None:
    network = build("stdp-net", inputs=64, neurons=10, time=15)
    network.get_submodule("synapses").weight.data.mul_(20)
    network.get_submodule("vote").labels.copy_(torch.arange(10))
    save(network, tmp_path / "net")
    for form in ("c", "program"):
        written = export(form, str(tmp_path / "net"), tmp_path / form, "digits")
    assert written["report"]["layers"]["excitatory"]["spikes_changed"] < 0.05
    assert written["ledger"]["work"]["vote"]["effective"] > 0  # some fire
    (row,) = verify_saved(str(tmp_path / "program"), "digits", 20, str(tmp_path / "net"))["forms"]
    assert row["different"] < row["spikes"] / 20


def test_a_program_takes_as_many_events_at_once_as_its_training_data_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = (torch.arange(16 * 4 * 20) % 4).reshape(16, 4, 20).to(torch.uint8), torch.arange(16) % 2
    counts = DataSet("counts", Split(x, y, sequence=True), Split(x, y, sequence=True), 2, (20,), {}, scale=1.0)
    monkeypatch.setitem(table.READERS, "counts", lambda root: counts)
    seeing = ("encode", "encode", {"encoding": "events"})
    nodes = chain(seeing, ("linear", "linear", {"in_features": 20, "out_features": 2}), ("lif", "lif", {"decay": 0.5}))
    save(Network(Wiring(name="events", time=4, input_shape=(20,), readout="count", nodes=nodes)), tmp_path / "net")
    export("program", str(tmp_path / "net"), tmp_path / "net.sqp", "counts")
    assert Program.load(tmp_path / "net.sqp").header.source.high == 3


def test_data_that_does_not_fit_is_refused(small: Path, tmp_path: Path) -> None:
    export("program", str(small), tmp_path / "net.sqp")
    with pytest.raises(SpecError, match="pass calibration"):
        export("program", "digits", tmp_path / "none.sqp")
    assert not (tmp_path / "none.sqp").exists()
    with pytest.raises(SpecError, match="unknown form 'onx': must be one of c, nir, onnx, program; did you mean 'onnx'"):
        export("onx", str(small), tmp_path / "none.sqp")
    program = Program.load(tmp_path / "net.sqp")
    events = Program(
        program.header.model_copy(update={"source": program.header.source.model_copy(update={"still": False})}), program.tensors
    )
    events.save(tmp_path / "events.sqp")
    with pytest.raises(SpecError, match="digits has images of shape"):
        verify_saved(str(tmp_path / "events.sqp"), "digits")
