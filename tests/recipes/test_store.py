import copy
import errno
import hashlib
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save as bytes_of
from torch import Tensor

from spikequant import files
from spikequant.errors import FormatError, MismatchError, SpecError, SpikequantError
from spikequant.models import Network, Node, Wiring, build
from spikequant.models.layers import Convolution
from spikequant.quantizers import (
    LSQ,
    MINT,
    Binary,
    FixedPoint,
    LQNet,
    QSNNBinary,
    QSNNMembrane,
    SpikeFit,
    SpQuant,
    ThresholdCentered,
    Uniform,
)
from spikequant.recipes import Override, Recipe, bake, load, quantize, save
from spikequant.recipes.store import JSON_LIMIT, read_document

Batch = tuple[Tensor, Tensor]
Step = Callable[[Network, Batch], Tensor]
Change = Callable[[dict[str, Any]], object]

NARROW = Uniform(bits=4, low=-1.0, high=1.0)
RECIPES = {
    "float": None,
    "nothing": Recipe(),
    "uniform": Recipe(weights=NARROW, biases=NARROW, state=NARROW, first="float"),
    "fitted": Recipe(weights=Uniform(bits=4, per_channel=True), state=Uniform(bits=4, per_channel=True), snapped="both"),
    "lqnet": Recipe(weights=LQNet(bits=2), state=ThresholdCentered(bits=4)),
    "lsq": Recipe(weights=LSQ(bits=4), state=LSQ(bits=8)),
    "binary": Recipe(weights=Binary(), overrides={"conv2": Override(weights="float")}),
    "q-snn": Recipe(weights=QSNNBinary(), state=QSNNMembrane(bits=4), snapped="after_reset"),
    "spikefit": Recipe(weights=SpikeFit(bits=2), state=SpQuant(), snapped="after_reset"),
    "fixed point": Recipe.parse("W(Q1.6)-N(Q2.2)"),
    "fitted fixed point": Recipe.parse("W(Qi.6)-N(Qi.4)"),
    "stochastic": Recipe.parse("W(Q1.4)-N(Q2.4)", "stochastic"),
    "constants": Recipe(constants={"decay": FixedPoint(integer=1, fraction=0), "threshold": FixedPoint(integer=1, fraction=1)}),
}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def saved(model: Network, tmp_path: Path) -> Path:
    save(model, tmp_path / "small", record={"seed": 3})
    return tmp_path / "small"


def forge(folder: Path, change: Change | None = None, tensors: bytes | None = None) -> None:
    """Another content under a hash that fits it, as only malice would write it."""
    document = json.loads((folder / "model.json").read_text())
    (folder / "model.safetensors").write_bytes(tensors or (folder / "model.safetensors").read_bytes())
    if change is not None:
        change(document)
    document.pop("sha256", None)
    document["sha256"] = hashlib.sha256(json.dumps(document).encode() + (folder / "model.safetensors").read_bytes()).hexdigest()
    (folder / "model.json").write_text(json.dumps(document))


@pytest.mark.parametrize("name", RECIPES)
def test_what_is_loaded_is_what_was_saved(model: Network, loader: list[Batch], tmp_path: Path, step: Step, name: str) -> None:
    recipe = RECIPES[name]
    network = model if recipe is None else quantize(model, recipe, loader)
    assert isinstance(network, Network)
    step(network, loader[0])
    save(network, tmp_path / "a")
    loaded = load(tmp_path / "a")
    assert not loaded.training
    assert (loaded.wiring, loaded.recipe) == (network.wiring, recipe)
    for x, _ in loader:
        assert loaded(x).equal(network.eval()(x))
    save(loaded, tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


@pytest.mark.parametrize("name", ["lqnet", "constants"])
def test_training_goes_on_after_loading(model: Network, loader: list[Batch], tmp_path: Path, step: Step, name: str) -> None:
    network = quantize(model, RECIPES[name], loader)  # type: ignore[arg-type]
    assert isinstance(network, Network)
    step(network, loader[0])
    save(network, tmp_path)
    loaded = load(tmp_path)
    for batch in loader:
        assert step(network, batch).equal(step(loaded, batch))
    assert loaded.eval()(loader[0][0]).equal(network.eval()(loader[0][0]))


def test_baked_networks_are_saved_too(model: Network, loader: list[Batch], tmp_path: Path) -> None:
    baked = bake(quantize(model, Recipe(weights=LQNet(bits=2), state=NARROW, constants=FixedPoint(integer=1, fraction=0))))
    assert isinstance(baked, Network)
    save(baked, tmp_path)
    loaded = load(tmp_path)
    assert loaded(loader[0][0]).equal(baked(loader[0][0]))
    assert type(loaded.conv1) is Convolution


def test_rate_encoded_networks_show_the_same_spikes(loader: list[Batch], tmp_path: Path, step: Step) -> None:
    wiring = build("digits", width=4).wiring
    nodes = (Node(name="encode", kind="encode", inputs=("input",), args={"encoding": "rate", "seed": 5}), *wiring.nodes[1:])
    network = Network(Wiring(name="rated", time=4, input_shape=(1, 8, 8), readout="count", nodes=nodes))
    step(network, loader[0])
    save(network, tmp_path)
    assert load(tmp_path)(loader[0][0]).equal(network.eval()(loader[0][0]))


def test_the_record_is_kept(saved: Path) -> None:
    document = read_document(saved)
    assert document["record"] == {"seed": 3}
    assert (document["format"], document["version"], document["recipe"]) == ("spikequant-model", 1, None)
    assert sorted(contents(saved)) == ["model.json", "model.safetensors"]


def test_saving_again_replaces(model: Network, saved: Path) -> None:
    other = build("digits", width=8, seed=1)
    save(other, saved)
    assert load(saved).conv1.weight.equal(other.conv1.weight)


def test_a_missing_folder_is_made(model: Network, tmp_path: Path) -> None:
    save(model, str(tmp_path / "a" / "b"))
    assert load(str(tmp_path / "a" / "b")).wiring == model.wiring


def test_refuses_a_record_that_is_not_json_before_anything_is_written(model: Network, saved: Path) -> None:
    before = contents(saved)
    with pytest.raises(SpecError, match="record: must be plain values, as JSON holds them: Object of type Network"):
        save(build("digits", width=8), saved, record={"model": model})
    assert contents(saved) == before
    with pytest.raises(SpecError, match="record"):
        save(model, saved / "new", record={"accuracy": torch.ones(())})
    assert not (saved / "new").exists()


def test_refuses_to_write_what_load_would_refuse(model: Network, saved: Path) -> None:
    before = contents(saved)
    mint = quantize(model, Recipe(weights=LSQ(bits=4), state=MINT(bits=4), batch_norm="folded"))
    broken = copy.deepcopy(model)
    with torch.no_grad():
        broken.conv1.weight[0, 0, 0, 0] = torch.nan
    for network, message in (
        (copy.deepcopy(model).double(), "digits could not be read back: tensor 'conv1.weight' is torch.float64 .* needs torch.float32"),
        (copy.deepcopy(model).half(), "tensor 'conv1.weight' is torch.float16"),
        (bake(mint), "the weights of conv1 are float and have no step to share"),
        (broken, "tensor 'conv1.weight' holds values that are not finite"),
    ):
        with pytest.raises((MismatchError, FormatError), match=message):
            save(network, saved)
    with pytest.raises(SpecError, match="save takes a Network, got Linear; adopt it first"):
        save(torch.nn.Linear(1, 1), saved)  # type: ignore[arg-type]
    assert contents(saved) == before
    save(mint, saved)
    assert load(saved).recipe == mint.recipe


def test_saving_draws_no_random_number(model: Network, tmp_path: Path) -> None:
    state = torch.get_rng_state()
    save(model, tmp_path)
    assert torch.get_rng_state().equal(state)


def test_refuses_a_place_under_a_file(model: Network, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(SpikequantError, match=r"cannot make folder .*file.small.*choose a folder that you may write to"):
        save(model, tmp_path / "file" / "small")
    assert contents(tmp_path) == {"file": b"kept"}


def steps_of_saving(network: Network, folder: Path, at: Callable[[int], object]) -> int:
    """Save while ``at`` is called with the number of every step of writing; how many there were."""
    numbers = itertools.count()
    with files.watched(lambda step, path: at(next(numbers))):
        save(network, folder)
    return next(numbers)


def test_a_kill_at_any_step_of_saving_leaves_the_old_network_or_the_new(saved: Path, tmp_path: Path) -> None:
    old, new = load(saved), build("digits", width=4, seed=9)
    count = steps_of_saving(new, saved, lambda step: shutil.copytree(saved, tmp_path / str(step)))
    found = [load(tmp_path / str(step)).conv1.weight for step in range(count)]
    kept = [weight.equal(old.conv1.weight) for weight in found]
    assert kept == sorted(kept, reverse=True)
    assert {len(set(kept)), len(contents(saved))} == {2}
    assert all(weight.equal(new.conv1.weight) for weight, is_old in zip(found, kept, strict=True) if not is_old)


def test_a_fault_at_any_step_of_saving_is_told_and_leaves_the_old_network_or_the_new(model: Network, tmp_path: Path) -> None:
    new = build("digits", width=4, seed=9)
    save(model, tmp_path / "counted")
    for step in range(steps_of_saving(new, tmp_path / "counted", lambda step: None)):
        folder = tmp_path / str(step)
        save(model, folder)

        def full(now: int, fails: int = step) -> None:
            if now == fails:
                raise OSError(errno.ENOSPC, "no space left on device")

        with pytest.raises(SpikequantError, match="no space left on device; choose a folder"):
            steps_of_saving(new, folder, full)
        assert any(load(folder).conv1.weight.equal(each.conv1.weight) for each in (model, new))


@pytest.mark.parametrize("part", [0, 0.5, 0.99])
@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_refuses_a_truncated_file(saved: Path, name: str, part: float) -> None:
    content = (saved / name).read_bytes()
    (saved / name).write_bytes(content[: int(part * len(content))])
    with pytest.raises(FormatError, match=r"model\.(json|safetensors)"):
        load(saved)


@pytest.mark.parametrize("flip", [0x01, 0x02, 0xFF])
@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_refuses_a_flipped_byte(saved: Path, name: str, flip: int) -> None:
    content = (saved / name).read_bytes()
    for place in range(0, len(content), 97):
        (saved / name).write_bytes(content[:place] + bytes([content[place] ^ flip]) + content[place + 1 :])
        with pytest.raises(FormatError, match=r"model\.(json|safetensors)|version"):
            load(saved)


def test_refuses_a_changed_number(saved: Path) -> None:
    path = saved / "model.json"
    path.write_text(path.read_text().replace('"tau": 2.0', '"tau": 3.0', 1))
    with pytest.raises(FormatError, match=r"do not fit the hash in model\.json: damaged, changed by hand, or of two models"):
        load(saved)


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_refuses_a_missing_file(saved: Path, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(FormatError, match=rf"{name.replace('.', '[.]')}.*(give|a saved model is) a folder"):
        load(saved)


def test_refuses_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"nowhere holds no model\.json; give a folder that spikequant\.save made"):
        load(tmp_path / "nowhere")


def test_refuses_the_tensors_of_another_model(saved: Path, tmp_path: Path) -> None:
    save(build("digits", width=8), tmp_path / "other")
    (saved / "model.safetensors").write_bytes((tmp_path / "other" / "model.safetensors").read_bytes())
    with pytest.raises(FormatError, match="of two models"):
        load(saved)


def tensors(network: Network, change: Callable[[dict[str, Tensor]], object]) -> bytes:
    held = {name: value.clone() for name, value in network.state_dict().items()}
    change(held)
    return bytes_of(held)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda held: held.pop("conv2.weight"), r"tensor 'conv2\.weight' is absent"),
        (lambda held: held.update(extra=torch.ones(1)), "tensor 'extra' is not part of this model"),
        (
            lambda held: held.update({"norm1.bias": torch.ones(5)}),
            r"tensor 'norm1\.bias' is torch\.float32 \(5,\), the model needs .*\(4,\)",
        ),
        (
            lambda held: held.update({"norm1.bias": torch.ones(4).double()}),
            r"is torch\.float64 \(4,\), the model needs torch\.float32 \(4,\)",
        ),
    ],
)
def test_refuses_tensors_that_do_not_fit(model: Network, saved: Path, change: Callable[[dict[str, Tensor]], object], message: str) -> None:
    forge(saved, tensors=tensors(model, change))
    with pytest.raises(MismatchError, match=message):
        load(saved)


def test_refuses_infinite_tensors(model: Network, saved: Path) -> None:
    forge(saved, tensors=tensors(model, lambda held: held["conv1.weight"].view(-1)[3].fill_(torch.inf)))
    with pytest.raises(FormatError, match=r"tensor 'conv1\.weight' holds values that are not finite"):
        load(saved)


def test_refuses_tensors_that_are_none(saved: Path) -> None:
    for content in (b"none", b"\xff" * 64, (2**62).to_bytes(8, "little") + b"{}", b"\x02" + bytes(7) + b"[]"):
        forge(saved, tensors=content)
        with pytest.raises(FormatError, match=r"model\.safetensors is damaged"):
            load(saved)


def drop(name: str) -> Change:
    return lambda document: document.pop(name)


def put(name: str, value: object) -> Change:
    return lambda document: document.update({name: value})


def wire(**changes: object) -> Change:
    return lambda document: document["wiring"].update(changes)


def argue(node: int, **args: object) -> Change:
    return lambda document: document["wiring"]["nodes"][node]["args"].update(args)


HOSTILE: dict[str, Change] = {
    "no format": drop("format"),
    "other format": put("format", "onnx"),
    "no version": drop("version"),
    "older": put("version", 0),
    "newer": put("version", 2),
    "version as text": put("version", "1"),
    "version nan": put("version", float("nan")),
    "no wiring": drop("wiring"),
    "no recipe": drop("recipe"),
    "null wiring": put("wiring", None),
    "wiring a list": put("wiring", [1]),
    "wiring a number": put("wiring", 1),
    "recipe a list": put("recipe", ["weights"]),
    "recipe a text": put("recipe", "W(Q1.6)-N(Q1.6)"),
    "unknown recipe field": put("recipe", {"wights": None}),
    "unknown kind": put("recipe", {"weights": {"kind": "pickle", "bits": 2}}),
    "unmatched pattern": put("recipe", {"overrides": {"conv9": {"weights": "float"}}}),
    "nan in the recipe": put("recipe", {"weights": {"kind": "uniform", "bits": 2, "low": float("nan"), "high": 1.0}}),
    "bits": put("recipe", {"weights": {"kind": "lqnet", "bits": 10**6}}),
    "nan in the wiring": argue(3, tau=float("nan")),
    "infinity": argue(3, threshold=float("inf")),
    "negative threshold": argue(3, threshold=-1.0),
    "negative size": argue(1, out_channels=-4),
    "huge": argue(1, out_channels=10**15),
    "beyond int64": argue(1, out_channels=10**40),
    "text for a size": argue(1, out_channels="16"),
    "unknown argument": argue(1, device="cuda:99"),
    "nested": argue(1, kernel_size=[[[[3]]]]),
    "no time": wire(time=0),
    "endless time": wire(time=10**9),
    "no nodes": wire(nodes=[]),
    "input shape": wire(input_shape=[1, 8, -8]),
    "a field too many": wire(code="import os"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_refuses_hostile_documents(saved: Path, name: str) -> None:
    forge(saved, HOSTILE[name])
    with pytest.raises(FormatError, match=r"model\.json"):
        load(saved)


def test_names_the_version_that_it_reads(saved: Path) -> None:
    forge(saved, put("version", 2))
    with pytest.raises(FormatError, match=r"model\.json has version 2, this spikequant reads 1"):
        load(saved)


@pytest.mark.parametrize(
    "content",
    [
        *["", "null", "[]", "3", '"model"', "{", "{'format': 1}", '{"format": NaN}', "\ufeff{}"],
        *["[" * 100_000, "[" * 900 + "]" * 900, '{"a":' * 50_000, '{"version": ' + "9" * 5000 + "}"],
    ],
    ids=lambda content: content[:20],
)
def test_refuses_hostile_json(saved: Path, content: str) -> None:
    (saved / "model.json").write_text(content)
    with pytest.raises(FormatError, match=r"model\.json (is not JSON|is no spikequant model)"):
        load(saved)


@pytest.mark.parametrize("depth", [100, 300, 500, 900, 950, 980, 990])
def test_refuses_deep_nesting_within_a_good_document(saved: Path, depth: int) -> None:
    text = (saved / "model.json").read_text()
    (saved / "model.json").write_text(text.replace('"kernel_size": 3', f'"kernel_size": {"[" * depth}{"]" * depth}', 1))
    with pytest.raises(FormatError, match=r"model\.json"):
        load(saved)


def test_refuses_bytes_that_are_no_text(saved: Path) -> None:
    (saved / "model.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FormatError, match="is not JSON"):
        load(saved)


def test_refuses_a_document_larger_than_any_model_needs(saved: Path) -> None:
    with (saved / "model.json").open("ab") as file:
        file.truncate(JSON_LIMIT + 1)
    with pytest.raises(FormatError, match=rf"is larger than {JSON_LIMIT} bytes"):
        load(saved)


def test_a_wiring_that_declares_more_than_its_file_holds_takes_no_memory(saved: Path) -> None:
    forge(saved, lambda document: document["wiring"]["nodes"][-1]["args"].update(out_features=10**9))
    with pytest.raises(FormatError, match=r"model\.json: the wiring declares 33\d+ values, model\.safetensors beside it holds \d+"):
        load(saved)


def test_saving_leaves_the_network_as_it_was(model: Network, tmp_path: Path) -> None:
    before = copy.deepcopy(model.state_dict())
    save(model.train(), tmp_path)
    assert model.training
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())
