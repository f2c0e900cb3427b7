import torch
from torch import Tensor, nn

from spikequant.neurons.showing import from_rest, placed, watching


def test_batches_go_where_the_model_is() -> None:
    x = torch.ones(2)
    assert placed(nn.Linear(2, 2, device="meta"), x).device.type == "meta"
    assert placed(nn.ReLU(), x) is x


def test_what_is_no_tensor_is_shown_as_it_is() -> None:
    class Keyed(nn.Module):
        def forward(self, x: dict[str, Tensor]) -> Tensor:
            return x["a"]

    given = torch.ones(1)
    assert from_rest(Keyed(), {"a": given}) is given


def test_each_module_is_given_back_its_mode() -> None:
    model = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1)).train()
    model[1].eval()
    with watching(model):
        assert not any(module.training for module in model.modules())
        assert not torch.is_grad_enabled()
    assert [module.training for module in model.modules()] == [True, True, False]
