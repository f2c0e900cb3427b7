import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from torch.optim import Adam

from spikequant.errors import FormatError, MismatchError, SpikequantError
from spikequant.models import build
from spikequant.quantizers import Uniform
from spikequant.recipes import Recipe, quantize
from spikequant.training.checkpoint import Checkpoint, fingerprint, first_difference
from spikequant.training.events import History
from spikequant.training.spec import Training

TRAINING = Training(epochs=4, patience=2)
HISTORY = History.of(TRAINING).after(loss=0.1, accuracy=1 / 3, seconds=0.25, steps=5)


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def stepped(path, model: nn.Module, training: Training = TRAINING, batches: int | None = 5) -> Checkpoint:
    """A checkpoint of a model that took one step."""
    optimizer = Adam(model.parameters())
    model(torch.ones(8, 1, 8, 8)).sum().backward()
    optimizer.step()
    return Checkpoint(path, model, optimizer, training, batches)


@pytest.fixture
def written(tmp_path, make_net):
    checkpoint = stepped(tmp_path / "run.safetensors", make_net())
    checkpoint.write(HISTORY, best=state(make_net(seed=9)))
    return checkpoint


def anew(checkpoint: Checkpoint, model: nn.Module, training: Training = TRAINING, batches: int | None = 5) -> Checkpoint:
    return Checkpoint(checkpoint.path, model, Adam(model.parameters()), training, batches)


def test_what_was_written_is_read_back_to_the_bit(written, make_net):
    again = anew(written, make_net(seed=1))
    history, best = again.read()
    assert history == HISTORY
    expected = state(make_net(seed=9))
    assert best.keys() == expected.keys()
    assert all(torch.equal(best[name], tensor) for name, tensor in expected.items())
    assert all(torch.equal(again.model.state_dict()[name], tensor) for name, tensor in written.model.state_dict().items())
    for mine, theirs in zip(again.model.parameters(), written.model.parameters(), strict=True):
        assert again.optimizer.state[mine].keys() == {"step", "exp_avg", "exp_avg_sq"}
        assert all(torch.equal(again.optimizer.state[mine][key], value) for key, value in written.optimizer.state[theirs].items())


@pytest.mark.parametrize(
    ("width", "training", "batches", "told"),
    [
        (17, TRAINING, 5, r"model.tensors.1.bias is 'float32 \[16\], trained' in the file and 'float32 \[17\], trained' here"),
        (16, Training(epochs=5, patience=2), 5, "training.epochs is 4 in the file and 5 here"),
        (16, Training(epochs=4), 5, "training.patience is 2 in the file and absent here"),
        (16, TRAINING, 6, "loader.batches is 5 in the file and 6 here"),
    ],
)
def test_the_checkpoint_of_another_run_is_refused_and_nothing_changes(written, make_net, width, training, batches, told):
    content, model = written.path.read_bytes(), make_net(width, seed=1)
    before = state(model)
    with pytest.raises(MismatchError, match=told):
        anew(written, model, training, batches).read()
    assert written.path.read_bytes() == content
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_another_grid_is_another_model(tmp_path):
    def small(bits):
        return quantize(build("digits"), Recipe(weights=Uniform(bits=bits, low=-1.0, high=1.0)))

    checkpoint = stepped(tmp_path / "run.safetensors", small(4))
    checkpoint.write(HISTORY, best={})
    anew(checkpoint, small(4)).read()
    with pytest.raises(MismatchError, match=r"model.recipe.weights.bits is 4 in the file and 2 here"):
        anew(checkpoint, small(2)).read()
    with pytest.raises(MismatchError, match=r"model.recipe is .* in the file and absent here"):
        anew(checkpoint, build("digits")).read()


def test_a_frozen_parameter_is_another_model(written, make_net):
    model = make_net()
    model[1].bias.requires_grad_(False)
    with pytest.raises(MismatchError, match=r"model.tensors.1.bias is 'float32 \[16\], trained' in the file and 'float32 \[16\]' here"):
        anew(written, model).read()


@pytest.mark.parametrize("at", [0, 8, 200, 1500, -1, -5000])
def test_every_damaged_byte_is_seen(written, make_net, at):
    content = bytearray(written.path.read_bytes())
    content[at] ^= 0x11
    written.path.write_bytes(content)
    with pytest.raises(FormatError, match=r"run\.safetensors"):
        anew(written, make_net()).read()


@pytest.mark.parametrize("length", [0, 7, 100, -1, -4000])
def test_a_truncated_file_is_seen(written, make_net, length):
    written.path.write_bytes(written.path.read_bytes()[:length])
    with pytest.raises(FormatError, match="is damaged"):
        anew(written, make_net()).read()


def test_a_folder_and_a_foreign_file_are_no_checkpoints(tmp_path, make_net):
    foreign = tmp_path / "foreign.safetensors"
    save_file({"a": torch.zeros(1)}, foreign)
    for path, told in ((foreign, "is no checkpoint"), (tmp_path, r"is a folder; name a file, as .*checkpoint\.safetensors")):
        with pytest.raises(FormatError, match=told):
            Checkpoint(path, model := make_net(), Adam(model.parameters()), TRAINING, 5).read()


def forged(checkpoint: Checkpoint, change) -> None:
    """The file changed by someone who also mends its hash."""
    from spikequant.training.checkpoint import _digest

    with safe_open(checkpoint.path, framework="pt") as file:
        document = json.loads(file.metadata()["document"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    del document["sha256"]
    change(document, tensors)
    document["sha256"] = _digest(tensors, document)
    save_file(tensors, checkpoint.path, metadata={"document": json.dumps(document)})


FORGERIES = {
    "another version": (lambda d, t: d.update(version=2), "has version 2, this spikequant reads 1"),
    "no history": (lambda d, t: d.pop("history"), "history is unreadable"),
    "a strange history": (lambda d, t: d["history"].update(losses="many"), "history is unreadable"),
    "a weight of another shape": (lambda d, t: t.update({"model.1.bias": torch.zeros(3)}), "tensors are not those"),
    "a weight less": (lambda d, t: t.pop("model.1.bias"), "tensors are not those"),
    "a best weight less": (lambda d, t: t.pop("best.1.bias"), "tensors are not those"),
    "a moment of nothing": (lambda d, t: t.update({"optimizer.9.weight.step": torch.zeros(())}), "tensors are not those"),
    "a moment of another shape": (lambda d, t: t.update({"optimizer.1.bias.exp_avg": torch.zeros(3)}), "tensors are not those"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_file_is_refused_before_anything_changes(written, make_net, name):
    change, told = FORGERIES[name]
    forged(written, change)
    model = make_net(seed=1)
    before = state(model)
    with pytest.raises(FormatError, match=told):
        anew(written, model).read()
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_a_failed_write_keeps_the_last_file(written, monkeypatch):
    content = written.path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(SpikequantError, match=r"cannot write .* No space left on device"):
        written.write(HISTORY, best={})
    assert written.path.read_bytes() == content
    assert [path.name for path in written.path.parent.iterdir()] == ["run.safetensors"]


def test_tied_and_strided_tensors_are_kept(tmp_path):
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Linear(64, 64)
            self.other = nn.Linear(64, 64, bias=False)
            self.other.weight = self.one.weight
            self.register_buffer("turned", torch.arange(6.0).reshape(2, 3).T)

        def forward(self, x):
            return self.other(self.one(x.flatten(1)))

    checkpoint = stepped(tmp_path / "run.safetensors", Tied())
    checkpoint.write(HISTORY, best={})
    again = anew(checkpoint, Tied())
    again.read()
    assert torch.equal(again.model.other.weight, checkpoint.model.one.weight)
    assert torch.equal(again.model.turned, checkpoint.model.turned)


def test_first_difference_names_its_place():
    assert first_difference({"a": [1, {"b": 2}]}, {"a": (1, {"b": 2})}) is None
    assert first_difference({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}) == "a[1].b is 2 in the file and 3 here"
    assert first_difference({"a": 1, "b": 2}, {"a": 1}) == "b is 2 in the file and absent here"
    assert first_difference({"a": [1]}, {"a": [1, 2]}) == "a is [1] in the file and [1, 2] here"


def test_a_fingerprint_knows_no_values(make_net):
    assert fingerprint(make_net(seed=0)) == fingerprint(make_net(seed=1))
    assert fingerprint(make_net(16)) != fingerprint(make_net(17))
    assert json.loads(json.dumps(fingerprint(build("digits")))) == fingerprint(build("digits"))
