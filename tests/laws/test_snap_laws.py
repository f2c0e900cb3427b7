"""The laws of encode, decode and snap, over every method; and for each law a mutant that breaks it."""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from spikequant.errors import SpecError
from spikequant.numerics import decode, encode

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class Form(NamedTuple):
    """The three functions that the laws speak of."""

    snap: Callable[[Tensor], Tensor]
    encode: Callable[[Tensor], Tensor]
    decode: Callable[[Tensor], Tensor]


def form(method: Any) -> Form:
    grid, quantizer = method.grid, method.quantizer

    def encoded(x: Tensor) -> Tensor:
        noise = quantizer.noise(0, x.unsqueeze(0))
        return encode(grid, x, quantizer.rounding_rule, None if noise is None else noise[0])

    return Form(quantizer, encoded, lambda code: decode(grid, code))


def snaps_to_itself(method: Any, form: Form) -> None:
    snapped = form.snap(method.whole(method.points()))
    assert torch.equal(form.snap(snapped), snapped)


def keeps_the_order(method: Any, form: Form) -> None:
    if method.spec.rounding_rule != "stochastic":
        assert (method.rows(form.snap(method.whole(method.points()))).diff(dim=1) >= 0).all()


def has_few_values(method: Any, form: Form) -> None:
    snapped = method.rows(form.snap(method.whole(method.points())))
    width = method.spec.width or (method.grid.size - 1).bit_length()
    for found, levels in zip(snapped, method.values, strict=True):
        assert found.unique().numel() <= levels.numel() <= 2**width
        assert torch.isin(found, levels).all()


def decodes_what_it_encodes(method: Any, form: Form) -> None:
    x = method.whole(method.points())
    assert torch.equal(form.decode(form.encode(x)), form.snap(x))


def codes_lie_in_the_grid(method: Any, form: Form) -> None:
    x = method.whole(method.points())
    codes = form.encode(x)
    assert (codes.dtype, codes.shape) == (torch.int32, x.shape)
    assert 0 <= codes.min() <= codes.max() < method.grid.size


def levels_have_codes_in_order(method: Any, form: Form) -> None:
    codes = torch.arange(method.grid.size, dtype=torch.int32).expand(5, -1)
    assert torch.equal(method.rows(form.encode(method.whole(method.values))), codes)
    assert torch.equal(method.rows(form.decode(method.whole(codes))), method.values)


def keeps_dtype_and_shape(method: Any, form: Form) -> None:
    for dtype in DTYPES:
        x = method.whole(method.points()).to(dtype)
        snapped = form.snap(x)
        assert (snapped.dtype, snapped.shape, snapped.device) == (dtype, x.shape, x.device)
        assert torch.equal(form.snap(snapped), snapped)
        for found, levels in zip(method.rows(snapped), method.values.to(dtype), strict=True):
            assert torch.isin(found, levels).all()


def refuses_nan(method: Any, form: Form) -> None:
    x = method.whole(method.values.clone())
    x[0, 0] = torch.nan
    with pytest.raises(SpecError, match=r"1 of .* values are NaN"):
        form.snap(x)
    with pytest.raises(SpecError, match=r"1 of .* values are NaN"):
        form.encode(x)


def saturates(method: Any, form: Form) -> None:
    for far, end in ((torch.inf, -1), (1e30, -1), (-1e30, 0), (-torch.inf, 0)):
        x = method.whole(torch.full((5, 3), far))
        assert torch.equal(method.rows(form.snap(x)), method.values[:, [end] * 3])


def takes_a_level_that_its_rounding_allows(method: Any, form: Form) -> None:
    x = method.points()
    x = x[:, x.isfinite().all(0)]
    snapped, levels = method.rows(form.snap(method.whole(x))).contiguous(), method.values.contiguous()
    place = torch.searchsorted(levels, x.contiguous(), right=True)
    below, above = (levels.gather(1, (place + shift).clamp(0, levels.shape[1] - 1)) for shift in (-1, 0))
    rule = method.spec.rounding_rule
    if rule == "truncate":
        assert torch.equal(snapped, below)
    elif rule == "stochastic":
        assert ((snapped == below) | (snapped == above)).all()
    elif (edges := method.edges()) is not None:  # a grid that rounds by edges of its own says so
        assert torch.equal(snapped, levels.gather(1, torch.searchsorted(edges, x.to(edges.dtype).contiguous())))
    else:
        least = torch.minimum((below - x).abs(), (above - x).abs())
        rounding = 2.0**-22 * torch.maximum(levels.abs().amax(1, keepdim=True), x.abs())
        assert ((snapped - x).abs() <= least + rounding).all()


def passes_or_masks_the_gradient(method: Any, form: Form) -> None:
    points = method.points()
    x = method.whole(points).requires_grad_()
    pull = torch.arange(x.numel(), dtype=x.dtype).reshape(x.shape) + 1
    (gradient,) = torch.autograd.grad((form.snap(x) * pull).sum(), x)
    if method.spec.gradient in ("tanh", "stacked") or getattr(method.spec, "ste", None) == "official":
        return  # a gradient of its own: tests/quantizers/test_baselines.py has its values
    inside = (points >= method.values[:, :1]) & (points <= method.values[:, -1:])
    if method.spec.gradient == "unit":
        inside = points.abs() <= 1
    expected = pull if method.spec.gradient == "pass" else pull * method.whole(inside)
    assert torch.equal(gradient, expected)


def leaves_its_input_alone(method: Any, form: Form) -> None:
    x = method.whole(method.points())
    before = x.clone()
    snapped = form.snap(x)
    snapped.zero_()
    assert torch.equal(x, before)


LAWS = (
    snaps_to_itself,
    keeps_the_order,
    has_few_values,
    decodes_what_it_encodes,
    codes_lie_in_the_grid,
    levels_have_codes_in_order,
    keeps_dtype_and_shape,
    refuses_nan,
    saturates,
    takes_a_level_that_its_rounding_allows,
    passes_or_masks_the_gradient,
    leaves_its_input_alone,
)

Law = Callable[[Any, Form], None]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(law: Law, subject: Any) -> None:
    law(subject, form(subject))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_laws_on_a_gpu(subject: Any) -> None:
    here, there = form(subject), form(subject._replace(quantizer=copy.deepcopy(subject.quantizer).cuda()))
    x = subject.whole(subject.points())
    assert there.snap(x.cuda()).is_cuda
    moved = Form(*(lambda x, function=function: function(x.cuda()).cpu() for function in there))
    assert torch.equal(moved.snap(x), here.snap(x))
    assert torch.equal(moved.encode(x), here.encode(x))
    for law in LAWS:
        law(subject, moved)


Mutant = Callable[[Form], Form]
MUTANTS: tuple[tuple[Law, str, Mutant], ...] = (
    (snaps_to_itself, "goes half of the way", lambda f: f._replace(snap=lambda x: (f.snap(x) + x) / 2)),
    (keeps_the_order, "turns signs", lambda f: f._replace(snap=lambda x: -f.snap(x))),
    (keeps_the_order, "wraps", lambda f: f._replace(snap=lambda x: f.snap(torch.where(x > 0.9, -x, x)))),
    (has_few_values, "lets infinity through", lambda f: f._replace(snap=lambda x: torch.where(x.isinf(), x, f.snap(x)))),
    (has_few_values, "has a fifth level", lambda f: f._replace(snap=lambda x: torch.where(x.abs() < 0.1, 0.0, f.snap(x)))),
    (decodes_what_it_encodes, "is off by one float", lambda f: f._replace(decode=lambda code: f.decode(code) * (1 + 2**-23))),
    (codes_lie_in_the_grid, "counts from one", lambda f: f._replace(encode=lambda x: f.encode(x) + 1)),
    (codes_lie_in_the_grid, "counts from minus two", lambda f: f._replace(encode=lambda x: f.encode(x) - 2)),
    (codes_lie_in_the_grid, "has wide codes", lambda f: f._replace(encode=lambda x: f.encode(x).long())),
    (levels_have_codes_in_order, "never reaches the top", lambda f: f._replace(encode=lambda x: f.encode(x).clamp(max=2))),
    (levels_have_codes_in_order, "decodes backwards", lambda f: f._replace(decode=lambda code: -f.decode(code))),
    (keeps_dtype_and_shape, "answers in float32", lambda f: f._replace(snap=lambda x: f.snap(x).float())),
    (keeps_dtype_and_shape, "rounds in half precision", lambda f: f._replace(snap=lambda x: f.snap(x).bfloat16().to(x.dtype))),
    (keeps_dtype_and_shape, "flattens", lambda f: f._replace(snap=lambda x: f.snap(x).flatten())),
    (refuses_nan, "takes NaN for zero", lambda f: f._replace(snap=lambda x: f.snap(x.nan_to_num()))),
    (refuses_nan, "encodes NaN", lambda f: f._replace(encode=lambda x: f.encode(x.nan_to_num()))),
    (saturates, "sends infinity down, as snnTorch does", lambda f: f._replace(snap=lambda x: f.snap(x.nan_to_num(posinf=-9.0)))),
    (takes_a_level_that_its_rounding_allows, "truncates", lambda f: f._replace(snap=lambda x: f.snap(x - 1 / 3))),
    (takes_a_level_that_its_rounding_allows, "is off by a hundredth", lambda f: f._replace(snap=lambda x: f.snap(x - 1e-2))),
    (passes_or_masks_the_gradient, "masks", lambda f: f._replace(snap=lambda x: f.snap(x.clamp(-1, 1)))),
    (passes_or_masks_the_gradient, "doubles", lambda f: f._replace(snap=lambda x: f.snap(x + (x - x.detach()).nan_to_num()))),
    (leaves_its_input_alone, "works in place", lambda f: f._replace(snap=lambda x: x.copy_(f.snap(x)))),
    (leaves_its_input_alone, "answers with the input", lambda f: f._replace(snap=lambda x: x)),
)  # fmt: skip


@pytest.mark.parametrize(
    ("law", "mutant"), [(law, mutant) for law, _, mutant in MUTANTS], ids=[f"{law.__name__}-{name}" for law, name, _ in MUTANTS]
)
def test_a_mutant_is_seen(law: Law, mutant: Mutant, example: Any) -> None:
    law(example, form(example))
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        law(example, mutant(form(example)))


def test_every_law_has_a_mutant() -> None:
    assert {law for law, _, _ in MUTANTS} == set(LAWS)
