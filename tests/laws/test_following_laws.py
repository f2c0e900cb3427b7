"""The laws of grids whose range follows the data: within one call they are those of every grid; what of the batch they see is declared."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from spikequant.errors import SpecError
from spikequant.numerics import decode, encode
from spikequant.quantizers import QSNNMembrane, Quantizer, QuantizerSpec, ThresholdCentered, Uniform, ZeroCentered

SCOPES = ("step_batch", "sequence_batch", "sample")
SPECS: tuple[QuantizerSpec, ...] = (
    *(Uniform(bits=bits, range=scope) for bits in (1, 2, 4, 8) for scope in SCOPES),
    *(Uniform(bits=bits, range=scope, below=1) for bits in (2, 4) for scope in SCOPES),
    *(ThresholdCentered(bits=bits, range=scope) for bits in (1, 2, 4, 8) for scope in SCOPES),
    *(ThresholdCentered(bits=4, range=scope, zero=True, on_threshold=True, decay=0.9) for scope in SCOPES),
    *(ThresholdCentered(bits=4, range=scope, below=3, upper_multiplier=0.9) for scope in SCOPES),
    *(ZeroCentered(bits=bits, range=scope) for bits in (2, 8) for scope in SCOPES),
    *(QSNNMembrane(bits=bits) for bits in (2, 4, 8)),
    *(ZeroCentered(bits=3, range=scope, below=2, gradient="mask") for scope in SCOPES),
)


def values(seed: int, samples: int = 4) -> Tensor:
    return torch.randn(samples, 50, generator=torch.Generator().manual_seed(seed)) * 2


def title(spec: QuantizerSpec) -> str:
    return f"{spec.label()} {spec.width} bits"


def built(spec: QuantizerSpec) -> Quantizer:
    return spec.build((1, 50), 1).eval()


def snaps_to_itself(quantizer: Quantizer) -> None:
    snapped = quantizer(values(1))
    again = quantizer(snapped)
    if getattr(quantizer, "squash", False):  # by design: tanh is taken again
        assert not torch.allclose(again, snapped, rtol=1e-2)
        return
    assert torch.allclose(again, snapped, rtol=1e-6, atol=1e-6)  # extremes that are levels give the same range, but for its rounding


def keeps_the_order(quantizer: Quantizer) -> None:
    assert (quantizer(values(2).sort(dim=1).values).diff(dim=1) >= 0).all()


def has_few_values(quantizer: Quantizer) -> None:
    snapped = quantizer(values(3))
    for row in snapped if quantizer.spec.scope == "sample" else [snapped]:
        assert row.unique().numel() <= 2 ** (quantizer.spec.width or 0)


def decodes_what_it_encodes(quantizer: Quantizer) -> None:
    x = values(4)
    rounded = torch.tanh(x) if getattr(quantizer, "squash", False) else x
    grid = quantizer.ranging.of(rounded)
    assert torch.equal(decode(grid, encode(grid, rounded)), quantizer(x))


def keeps_dtype_and_shape(quantizer: Quantizer) -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        x = values(5).to(dtype)
        assert (quantizer(x).dtype, quantizer(x).shape) == (dtype, x.shape)


def refuses_nan(quantizer: Quantizer) -> None:
    x = values(6)
    x[0, 0] = torch.nan
    with pytest.raises(SpecError, match="NaN"):
        quantizer(x)


def keeps_nothing(quantizer: Quantizer) -> None:
    x = values(7)
    first = quantizer.train()(x)
    quantizer(values(8) * 100)
    assert torch.equal(quantizer(x), first)
    assert torch.equal(quantizer.eval()(x), first)


def sees_of_the_batch_what_it_declares(quantizer: Quantizer) -> None:
    x = torch.cat([values(9), 100 * values(10)])
    assert torch.equal(quantizer(x)[:4], quantizer(x[:4])) == (not quantizer.spec.batch_dependent)


LAWS = (
    snaps_to_itself,
    keeps_the_order,
    has_few_values,
    decodes_what_it_encodes,
    keeps_dtype_and_shape,
    refuses_nan,
    keeps_nothing,
    sees_of_the_batch_what_it_declares,
)


@pytest.mark.parametrize("following", SPECS, ids=title)
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(law: Callable[[Quantizer], None], following: QuantizerSpec) -> None:
    law(built(following))


class Undeclared(Uniform):
    @property
    def batch_dependent(self) -> bool:
        return False


def test_a_range_that_hides_its_batch_is_seen() -> None:
    with pytest.raises(AssertionError):
        sees_of_the_batch_what_it_declares(built(Undeclared(bits=4, range="step_batch")))
