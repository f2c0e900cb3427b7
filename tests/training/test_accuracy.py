from types import ModuleType

import pytest
import torch
from torch import nn

from spikequant.errors import Diverged, MismatchError, SpecError
from spikequant.training.accuracy import evaluate, judged

TARGETS = torch.tensor([0, 1, 2, 0])


def test_accuracy_is_the_share_of_right_samples_whatever_the_batches():
    assert evaluate(nn.Identity(), [(torch.eye(4), TARGETS)]) == 0.75
    assert evaluate(nn.Identity(), [(torch.eye(4)[:3], TARGETS[:3]), (torch.eye(4)[3:], TARGETS[3:])]) == 0.75


def test_steps_are_summed_over_time():
    steps = torch.tensor([[[1.0, 0.0]], [[0.0, 0.6]], [[0.0, 0.6]]])
    assert evaluate(nn.Identity(), [(steps, torch.tensor([1]))]) == 1.0


def test_the_model_is_in_evaluation_mode_without_gradients_and_then_as_before(make_net, batches):
    model = make_net()
    model.train()
    model[2].eval()
    modes = [module.training for module in model.modules()]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    seen = []
    model[5].register_forward_hook(lambda module, inputs, output: seen.append((module.training, output.requires_grad)))
    first, second = evaluate(model, batches), evaluate(model, batches)
    assert first == second
    assert set(seen) == {(False, False)}
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_the_mode_comes_back_after_an_error(make_net):
    model = make_net().train()
    with pytest.raises(MismatchError, match="target 12 is none of the model's 10 classes"):
        evaluate(model, [(torch.zeros(1, 1, 8, 8), torch.tensor([12]))])
    assert model.training


@pytest.mark.parametrize("loader", [[], [(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))]])
def test_nothing_seen_is_an_error_and_not_an_accuracy(loader):
    with pytest.raises(SpecError, match="no sample to evaluate on"):
        evaluate(nn.Identity(), loader)


def test_logits_that_are_not_finite_have_no_accuracy():
    with pytest.raises(Diverged, match="Identity gave logits that are not finite in batch 2"):
        evaluate(nn.Identity(), [(torch.eye(4), TARGETS), (torch.full((4, 4), torch.nan), TARGETS)])


def test_judged_tells_which_samples_were_right() -> None:
    logits = torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0]])
    found = list(judged(nn.Identity(), [(logits, torch.tensor([0, 0, 0])), (logits[:1], torch.tensor([1]))]))
    assert [answers.tolist() for answers in found] == [[True, False, True], [False]]


def test_guests_begin_every_batch_at_rest(foreign: ModuleType) -> None:
    """A charge of 0.6 in class 1 fires only on top of that of the batch before; silence is read as class 0."""
    model, batch = nn.Sequential(foreign.IFNode(step_mode="m")), (torch.tensor([[[0.0, 0.6]]]), torch.tensor([0]))
    assert evaluate(model, [batch, batch]) == 1.0
    assert model[0].v == 0.0
