import copy
from collections.abc import Callable, Iterator
from itertools import pairwise
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from spikequant.data.batches import Batches, hold_out
from spikequant.errors import Diverged, MismatchError, SpecError, SpikequantError
from spikequant.models import Network, build
from spikequant.models.small import digits
from spikequant.quantizers import LSQ, FixedPoint, LQNet, ThresholdCentered, Uniform
from spikequant.recipes import Recipe, quantize
from spikequant.training.accuracy import evaluate
from spikequant.training.checkpoint import Checkpoint
from spikequant.training.events import Epoch, Finished, History, Step, Stopped
from spikequant.training.loop import fit, train
from spikequant.training.losses import LOSSES
from spikequant.training.spec import Training

POINTS = [(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1]))]


def one_weight() -> nn.Linear:
    """Logits (w0 x, w1 x), both weights 0."""
    model = nn.Linear(1, 2, bias=False)
    nn.init.zeros_(model.weight)
    return model


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in one.state_dict().items())


def timeless(history: History) -> History:
    return history.model_copy(update={"seconds": ()})


def test_one_step_of_gradient_descent_by_hand():
    """Softmax of two zeros is 1/2 each, so the gradient is (-1/2, 1/2) and the loss log 2."""
    model = one_weight()
    training = Training(epochs=1, lr=0.5, optimizer="sgd", schedule="constant")
    history = fit(model, [(torch.ones(1, 1), torch.tensor([0]))], training)
    assert model.weight.flatten().tolist() == [0.25, -0.25]
    assert history.losses == pytest.approx((0.6931472,))


def test_the_gradient_is_clipped_to_its_norm():
    """The norm of (-1/2, 1/2) is 0.7071; clipped to 0.07071 it is (-0.05, 0.05)."""
    model = one_weight()
    training = Training(epochs=1, lr=1.0, optimizer="sgd", schedule="constant", grad_clip=0.070710678)
    fit(model, [(torch.ones(1, 1), torch.tensor([0]))], training)
    assert model.weight.flatten().tolist() == pytest.approx([0.05, -0.05], rel=1e-4)


@pytest.mark.parametrize(
    ("name", "training", "told"),
    [
        (
            "SGD",
            Training(epochs=1, lr=0.5, optimizer="sgd", momentum=0.9, weight_decay=0.1),
            {"lr": 0.5, "momentum": 0.9, "weight_decay": 0.1},
        ),
        ("Adam", Training(epochs=1, lr=0.5, weight_decay=0.1), {"lr": 0.5, "weight_decay": 0.1}),
    ],
)
def test_the_optimizer_is_made_as_asked(monkeypatch, name, training, told):
    made = []

    class Seen(getattr(torch.optim, name)):
        def __init__(self, parameters, **options):
            made.append(options)
            super().__init__(parameters, **options)

    monkeypatch.setattr(f"spikequant.training.loop.{name}", Seen)
    fit(one_weight(), [(torch.ones(1, 1), torch.tensor([0]))], training)
    assert made == [told]


def test_the_cosine_schedule_runs_over_all_steps(monkeypatch):
    """Four steps in two epochs; the gradient of a linear output is constant, so moves are the learning rates."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    monkeypatch.setattr("spikequant.training.loop.criterion", lambda training, model: lambda outputs, targets: -outputs.mean())
    loader = [(torch.ones(1, 1), torch.tensor([0]))] * 2
    events = train(model, loader, Training(epochs=2, lr=0.5, optimizer="sgd"))
    places = [0.0] + [model.weight.item() for event in events if isinstance(event, Step)]
    assert [b - a for a, b in pairwise(places)] == pytest.approx([0.5, 0.4267767, 0.25, 0.0732233])


def test_events_come_in_order_with_their_numbers(make_net, batches):
    events = list(train(make_net(), batches, Training(epochs=2), validation=batches))
    assert [type(event) for event in events] == [Step] * 4 + [Epoch] + [Step] * 4 + [Epoch, Finished]
    steps = [event for event in events if isinstance(event, Step)]
    assert [(step.step, step.total_steps, step.epoch) for step in steps] == [(n, 8, 1 + (n > 4)) for n in range(1, 9)]
    assert all(step.examples_per_s > 0 for step in steps)
    epochs = [event for event in events if isinstance(event, Epoch)]
    history = events[-1].history
    assert tuple(epoch.train_loss for epoch in epochs) == history.losses
    assert tuple(epoch.validation_accuracy for epoch in epochs) == history.accuracies
    assert tuple(epoch.seconds for epoch in epochs) == history.seconds
    assert epochs[0].train_loss == pytest.approx(sum(step.loss for step in steps[:4]) / 4)
    assert (history.steps, history.epochs) == (8, 2)


def test_the_mean_loss_weighs_samples_and_not_batches():
    """With no learning to speak of: a batch of three at loss log 2, then one image whose logits are the same."""
    model = one_weight()
    uneven = [(torch.zeros(3, 1), torch.tensor([0, 1, 0])), (torch.full((1, 1), 100.0), torch.tensor([1]))]
    model.weight.data = torch.tensor([[0.01], [0.0]])
    history = fit(model, uneven, Training(epochs=1, lr=1e-12))
    assert history.losses[0] == pytest.approx((3 * 0.6931472 + 1.3132617) / 4, rel=1e-5)  # log(1 + e) of the one


def test_a_network_learns_the_digits(few_digits):
    model = build("digits")
    history = fit(model, Batches(few_digits, 32, 16.0, seed=0), Training(epochs=8, lr=0.01))
    assert history.losses[-1] < history.losses[0] / 2
    assert evaluate(model, Batches(few_digits, 128, 16.0)) > 0.9
    assert not model.training


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_teaches(loss, make_net, batches):
    training = Training(epochs=6, lr=0.01, loss=loss)
    history = fit(make_net(), batches, training)
    assert history.losses[-1] < 0.8 * history.losses[0]
    first = next(train(one_weight(), [(torch.ones(1, 1), torch.tensor([0]))], training))
    assert first.loss == pytest.approx(LOSSES[loss](torch.zeros(1, 1, 2), torch.tensor([0])).item())


def test_the_mode_in_which_a_model_comes_does_not_matter(make_net, batches):
    fit(one := make_net().train(), batches, Training(epochs=2))
    fit(other := make_net().eval(), batches, Training(epochs=2))
    assert same(one, other)


def test_bfloat16_trains_close_to_float32_and_keeps_float32_weights(few_digits):
    loader = Batches(few_digits, 32, 16.0, seed=0)
    exact, coarse = build("digits"), build("digits")
    fine = fit(exact, loader, Training(epochs=3, lr=3e-3))
    rough = fit(coarse, loader, Training(epochs=3, lr=3e-3, precision="bfloat16"))
    assert {parameter.dtype for parameter in coarse.parameters()} == {torch.float32}
    assert rough.losses != fine.losses
    assert rough.losses[-1] == pytest.approx(fine.losses[-1], abs=0.25)


def shuffled(split, seed: int) -> DataLoader:
    return DataLoader(TensorDataset(split.x.float() / 16, split.y), batch_size=64, shuffle=True)


@pytest.mark.parametrize("loaded", [shuffled, lambda split, seed: Batches(split, 64, 16.0, seed=seed)])
def test_the_seed_alone_decides(make_net, few_digits, loaded):
    def of(seed: int) -> tuple[nn.Module, History]:
        model = make_net()
        torch.rand(seed + 1)  # a global generator that was used before
        return model, fit(model, loaded(few_digits, 0), Training(epochs=2, seed=seed))

    (one, first), (again, second), (other, third) = of(1), of(1), of(2)
    assert timeless(first) == timeless(second)
    assert same(one, again)
    assert first.losses != third.losses
    assert not same(one, other)


def test_epochs_draw_anew(make_net):
    """With the same weights and batch, only dropout tells the epochs apart."""
    model = make_net()
    batch = [(torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(16) % 10)]
    losses = fit(model, batch, Training(epochs=2, lr=1e-30)).losses
    assert losses[0] != losses[1]


def test_set_epoch_is_called_from_zero():
    class Watched(list[tuple[Tensor, Tensor]]):
        told: tuple[int, ...] = ()

        def set_epoch(self, epoch: int) -> None:
            self.told += (epoch,)

    loader = Watched(POINTS)
    fit(nn.Linear(2, 2), loader, Training(epochs=3))
    assert loader.told == (0, 1, 2)


def float_net() -> nn.Module:
    return build("digits", width=4)


def rate_net() -> nn.Module:
    """The same, shown as spikes that are drawn anew for every batch."""
    wiring = digits(width=4)
    encode = wiring.nodes[0].model_copy(update={"args": {"encoding": "rate"}})
    torch.manual_seed(0)
    return Network(wiring.model_copy(update={"nodes": (encode, *wiring.nodes[1:])}))


def of_recipe(recipe: Recipe) -> Callable[[Batches], nn.Module]:
    return lambda loader: quantize(float_net(), recipe, loader)


MODELS: dict[str, Callable[[Batches], nn.Module]] = {
    "float": lambda loader: float_net(),
    "rate": lambda loader: rate_net(),
    "LQ-Net": of_recipe(Recipe(weights=LQNet(bits=2), state=ThresholdCentered(bits=4))),
    "LSQ": of_recipe(Recipe(weights=LSQ(bits=3))),
    "fitted": of_recipe(Recipe(weights=Uniform(bits=4), state=Uniform(bits=6))),
    "stochastic": of_recipe(Recipe(weights=FixedPoint(integer=1, fraction=4, rounding="stochastic"))),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_run_that_was_killed_goes_on_bit_for_bit(tmp_path, batches, name):
    training = Training(epochs=4, lr=3e-3, seed=5)
    whole = MODELS[name](batches)
    expected = fit(whole, batches, training, validation=batches)
    path = tmp_path / "runs" / "one.safetensors"
    for event in train(MODELS[name](batches), batches, training, batches, path):
        if isinstance(event, Step) and (event.epoch, event.step) == (3, 10):
            break  # two epochs are on disk, the third is lost
    torch.rand(17)
    batches.set_epoch(7)
    resumed = MODELS[name](batches)
    events = list(train(resumed, batches, training, batches, path))
    assert events[0].step == 9
    assert timeless(events[-1].history) == timeless(expected)
    assert same(resumed, whole)


@pytest.mark.parametrize(
    "optimizer", [{"optimizer": "sgd", "momentum": 0.9}, {"optimizer": "sgd"}, {"weight_decay": 0.01, "warmup_steps": 5}]
)
def test_every_optimizer_goes_on_bit_for_bit(tmp_path, make_net, few_digits, optimizer):
    training = Training(epochs=4, lr=0.02, **optimizer)
    expected = fit(whole := make_net(), shuffled(few_digits, 0), training)
    path = tmp_path / "run.safetensors"
    for event in train(make_net(), shuffled(few_digits, 0), training, checkpoint=path):
        if isinstance(event, Epoch) and event.epoch == 2:
            break
    history = fit(resumed := make_net(seed=3), shuffled(few_digits, 0), training, checkpoint=path)
    assert timeless(history) == timeless(expected)
    assert same(resumed, whole)


def test_the_checkpoint_of_a_moment_is_needed(tmp_path, make_net, batches, monkeypatch):
    """The test above can fail: without the optimizer's moments the resumed run differs."""
    training, path = Training(epochs=4, lr=0.02), tmp_path / "run.safetensors"
    fit(whole := make_net(), batches, training)
    for event in train(make_net(), batches, training, checkpoint=path):
        if isinstance(event, Epoch) and event.epoch == 2:
            break
    monkeypatch.setattr(Checkpoint, "_set_moments", lambda checkpoint, moments: None)
    fit(resumed := make_net(), batches, training, checkpoint=path)
    assert not same(resumed, whole)


def test_a_finished_run_is_not_run_again(tmp_path, make_net, batches):
    training, path = Training(epochs=2), tmp_path / "run.safetensors"
    history = fit(first := make_net(), batches, training, checkpoint=path)
    written = path.stat().st_mtime_ns
    events = list(train(again := make_net(seed=4), batches, training, checkpoint=path))
    assert events == [Finished(history)]
    assert same(first, again)
    assert not again.training
    assert path.stat().st_mtime_ns == written


def test_the_checkpoint_of_another_training_is_refused(tmp_path, make_net, batches):
    path = tmp_path / "run.safetensors"
    fit(make_net(), batches, Training(epochs=1), checkpoint=path)
    content = path.read_bytes()
    with pytest.raises(MismatchError, match=r"training.lr is 0.001 in the file and 0.002 here"):
        fit(make_net(), batches, Training(epochs=1, lr=0.002), checkpoint=path)
    assert path.read_bytes() == content


def test_a_checkpoint_that_cannot_be_written_is_told_before_training(tmp_path, make_net, batches):
    (tmp_path / "file").write_text("")
    with pytest.raises(SpikequantError, match="cannot make folder"):
        next(train(make_net(), batches, Training(epochs=1), checkpoint=tmp_path / "file" / "run.safetensors"))


def scripted(monkeypatch, accuracies: list[float]) -> None:
    """Validation that answers as told."""
    told: Iterator[float] = iter(accuracies)
    monkeypatch.setattr("spikequant.training.loop.evaluate", lambda model, loader: next(told))


def test_patience_stops_and_brings_the_best_weights_back(monkeypatch, make_net, batches):
    scripted(monkeypatch, [0.5, 0.7, 0.7, 0.6])
    model, weights, events = make_net(), {}, []
    for event in train(model, batches, Training(epochs=9, patience=2), validation=batches):
        events.append(event)
        if isinstance(event, Epoch):
            weights[event.epoch] = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert events[-2] == Stopped(epoch=4, best_epoch=2)
    assert (events[-1].history.epochs, events[-1].history.best_epoch) == (4, 2)
    assert all(torch.equal(weights[2][name], tensor) for name, tensor in model.state_dict().items())
    assert not all(torch.equal(weights[4][name], tensor) for name, tensor in model.state_dict().items())


def test_without_patience_the_last_weights_stay(monkeypatch, make_net, batches):
    scripted(monkeypatch, [0.7, 0.6])
    fit(judged := make_net(), batches, Training(epochs=2), validation=batches)
    fit(alone := make_net(), batches, Training(epochs=2))
    assert same(judged, alone)


def test_the_best_weights_come_back_at_the_last_epoch_too(monkeypatch, make_net, batches):
    scripted(monkeypatch, [0.5, 0.7, 0.6])
    events = list(train(make_net(), batches, Training(epochs=3, patience=3), validation=batches))
    assert not any(isinstance(event, Stopped) for event in events)
    assert events[-1].history.best_epoch == 2


def test_early_stop_goes_on_bit_for_bit(tmp_path, make_net, few_digits):
    """The best weights live in the checkpoint: here they come from before the kill."""
    kept, held = hold_out(few_digits, 0.25, seed=0)
    loader, validation = Batches(kept, 50, 16.0, seed=0), Batches(held, 64, 16.0)
    training, path = Training(epochs=8, lr=0.5, schedule="constant", patience=3), tmp_path / "run.safetensors"
    expected = fit(whole := make_net(), loader, training, validation)
    assert expected.epochs > (expected.best_epoch or 0)
    for event in train(make_net(), loader, training, validation, path):
        if isinstance(event, Epoch) and event.epoch == expected.epochs - 1:
            break
    history = fit(resumed := make_net(), loader, training, validation, path)
    assert timeless(history) == timeless(expected)
    assert same(resumed, whole)
    again = list(train(anew := make_net(), loader, training, validation, path))
    assert [type(event) for event in again] == ([Stopped] if expected.epochs < 8 else []) + [Finished]
    assert same(anew, whole)


class Failing(nn.Module):
    """Gives an infinite value in its third training pass."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("passes", torch.zeros((), dtype=torch.int64))

    def forward(self, x):
        self.passes += 1
        return x * torch.inf if self.passes >= 3 else x


def test_a_loss_that_is_not_finite_stops_with_step_and_layer_and_keeps_the_weights():
    model = nn.Sequential(nn.Linear(2, 2), Failing(), nn.Linear(2, 2))
    loader = POINTS * 2
    events = train(model, loader, Training(epochs=3))
    assert [next(events).step for _ in range(2)] == [1, 2]
    next(events)
    weights = {name: tensor.clone() for name, tensor in model.named_parameters()}
    with pytest.raises(Diverged, match="step 3 in epoch 2: the output of layer '1' is not finite"):
        next(events)
    assert all(torch.equal(weights[name], parameter) for name, parameter in model.named_parameters())


@pytest.mark.parametrize("name", ["float", "fitted"])
def test_a_neuron_or_grid_that_refuses_nan_tells_of_the_layer_before_it(batches, name):
    model = MODELS[name](batches)
    next(iter(model.conv1.parameters())).data[0, 0, 0, 0] = torch.nan
    with pytest.raises(Diverged, match="step 1 in epoch 1: the parameter 'weight' of layer 'conv1'"):
        fit(model, [(torch.ones(4, 1, 8, 8), torch.arange(4))], Training(epochs=1))


def test_other_errors_of_a_model_stay_as_they_are():
    with pytest.raises(MismatchError, match="digits takes"):
        fit(build("digits"), [(torch.ones(4, 1, 9, 9), torch.arange(4))], Training(epochs=1))


class Hidden(torch.autograd.Function):
    """Sound forward, NaN backward: as a spike hides what is behind it."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * torch.nan


def test_a_gradient_that_is_not_finite_stops_training_before_the_step():
    class Net(nn.Linear):
        def forward(self, x):
            return Hidden.apply(super().forward(x))

    model = Net(2, 2)
    weight = model.weight.detach().clone()
    with pytest.raises(Diverged, match="step 1 in epoch 1: the gradient of 'bias' is not finite"):
        fit(model, POINTS, Training(epochs=1))
    assert torch.equal(model.weight, weight)


def test_a_step_that_leaves_the_finite_numbers_stops_training():
    """The gradient of the weight is half the input, 1e37; the step is a thousand times that."""
    training = Training(epochs=1, lr=1000, optimizer="sgd")
    with pytest.raises(Diverged, match=r"step 1 in epoch 1: the parameter 'weight' is not finite; lower lr"):
        fit(one_weight(), [(torch.full((1, 1), 2e37), torch.tensor([0]))], training)


def test_a_broken_batch_is_named():
    with pytest.raises(Diverged, match="the input batch is not finite"):
        fit(nn.Linear(2, 2), [(torch.full((2, 2), torch.nan), torch.tensor([0, 1]))], Training(epochs=1))


class Endless(IterableDataset[tuple[Tensor, Tensor]]):
    def __iter__(self):
        return iter([(torch.zeros(2), torch.tensor(0))] * 4)


def test_a_loader_without_a_length_needs_a_constant_schedule():
    loader = DataLoader(Endless(), batch_size=2)
    with pytest.raises(SpecError, match="schedule='cosine' needs a loader with a length"):
        fit(nn.Linear(2, 2), loader, Training(epochs=1))
    events = list(train(nn.Linear(2, 2), loader, Training(epochs=1, schedule="constant")))
    assert [event.total_steps for event in events if isinstance(event, Step)] == [None, None]


def test_a_loader_that_gives_nothing_is_told():
    with pytest.raises(SpecError, match="no sample in epoch 1"):
        fit(nn.Linear(2, 2), [], Training(epochs=1))
    with pytest.raises(SpecError, match="no sample in epoch 2"):
        fit(nn.Linear(2, 2), iter(POINTS), Training(epochs=2, schedule="constant"))
    with pytest.raises(SpecError, match="a batch without a sample in epoch 1"):
        fit(nn.Linear(2, 2), [(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64))], Training(epochs=1))


@pytest.mark.parametrize(
    ("training", "told"),
    [
        (Training(epochs=2, patience=1), "patience=1 needs validation: a split of the training set"),
        (Training(epochs=2, warmup_steps=2), "warmup_steps=2 must be below the 2 steps of the run; nearest valid value: 1"),
    ],
)
def test_what_cannot_be_is_told_before_training(training, told):
    with pytest.raises(SpecError, match=told):
        fit(nn.Linear(2, 2), POINTS, training)


def test_targets_beyond_the_classes_are_told():
    with pytest.raises(MismatchError, match="target 2 is none of the model's 2 classes"):
        fit(nn.Linear(2, 2), [(torch.ones(1, 2), torch.tensor([2]))], Training(epochs=1))


def test_a_model_without_parameters_cannot_be_trained():
    with pytest.raises(SpecError, match="Identity has no parameter to train"):
        fit(nn.Identity(), POINTS, Training(epochs=1))


def test_frozen_parameters_stay():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    frozen, free = model[0].weight.clone(), model[1].weight.clone()
    fit(model, POINTS, Training(epochs=2, lr=0.1))
    assert torch.equal(model[0].weight, frozen)
    assert not torch.equal(model[1].weight, free)


def test_the_history_says_how_the_run_began(make_net, batches):
    history = fit(make_net(), batches, Training(epochs=1, seed=4, start="float", pairing="independent"))
    assert (history.seed, history.start, history.pairing) == (4, "float", "independent")


def test_a_loss_that_hangs_on_no_parameter_is_refused() -> None:
    class Detached(nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return super().forward(input).detach()

    with pytest.raises(SpecError, match="step 1 in epoch 1 hangs on no parameter"):
        fit(Detached(2, 2), [(torch.eye(2), torch.tensor([0, 1]))], Training(epochs=1))


class Charge(nn.Sequential):
    """What a guest has charged up to is the output."""

    def forward(self, x: Tensor) -> Tensor:
        super().forward(x)
        return self[1].v


def test_guests_begin_every_step_at_rest_and_end_so(foreign: ModuleType) -> None:
    model = Charge(nn.Linear(2, 2), foreign.IFNode())
    assert fit(model, POINTS, Training(epochs=2)).epochs == 2
    assert copy.deepcopy(model)[1].v == 0.0  # torch copies nothing that still hangs in a graph
