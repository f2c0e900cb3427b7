import pytest
import torch
from torch import Tensor

from spikequant.errors import SpecError
from spikequant.numerics import Dynamics, Norm
from spikequant.numerics.kernels import events_native, lif_native, lif_torch, norm_native

D = Dynamics(torch.tensor(1.0), decay=0.9)
FORMS = {
    "lif": lambda x: lif_native.lif_scan(x, D, None, None)[0],
    "lif without C": lambda x: lif_torch.lif_scan(x, D, None, None)[0],
    "norm": lambda x: norm_native.norm_scan(x, Norm(torch.ones(16), torch.zeros(16)), D),
    "convolution": lambda x: events_native.conv2d(x[0], torch.ones(16, 16, 3, 3), None, events_native.Form(3, 1)),
}


def penalty(form: str, x: Tensor, *, create_graph: bool) -> Tensor:
    y = FORMS[form](x)
    (first,) = torch.autograd.grad((y * y).sum(), x, create_graph=create_graph)
    return first.square().sum()


@pytest.mark.parametrize("form", FORMS)
def test_second_derivatives_are_refused(form: str) -> None:
    x = 2 * torch.rand(2, 1, 16, 5, 5, requires_grad=True)
    assert penalty(form, x, create_graph=False) > 0
    with pytest.raises(SpecError, match="create_graph=True"):
        penalty(form, x, create_graph=True)


def test_triton_refuses_them_too(device: str) -> None:
    lif_triton = pytest.importorskip("spikequant.numerics.kernels.lif_triton", exc_type=ImportError)
    x = torch.rand(2, 1, 3, device=device, requires_grad=True)
    spikes, _ = lif_triton.lif_scan(x, D, None, None)
    with pytest.raises(SpecError, match="create_graph=True"):
        torch.autograd.grad(spikes.sum(), x, create_graph=True)
