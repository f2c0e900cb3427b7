"""The drop-in for a guest's ``state_quant`` argument: what algorithms F.4 found wanting, put right."""

import copy
import io
import itertools
import pickle

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from spikequant.errors import FormatError, SpecError
from spikequant.numerics import levels
from spikequant.quantizers import Anchored, FixedPoint, QuantizerSpec, SpQuant, StateQuant, ThresholdCentered, Uniform, ZeroCentered

FOUR = ThresholdCentered(bits=4)
SPECS = [Uniform(bits=3, low=-1.0, high=1.2), FOUR, ZeroCentered(bits=6), Anchored(bits=4), Uniform(bits=12, low=-1.0, high=1.2)]


def values() -> Tensor:
    return torch.randn(257, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.kind} {spec.width}")
def test_any_dtype_in_and_out(spec: QuantizerSpec, dtype: torch.dtype) -> None:
    """Each value becomes the level next to it, rounded to the dtype once."""
    x = values().to(dtype)
    found, table = StateQuant(spec)(x), levels(spec.grid())
    assert found.dtype == dtype
    nearest = (x.double().unsqueeze(1) - table.double()).abs().min(1).values
    assert all(level in table.to(dtype).tolist() for level in found.tolist())
    error = (found.double() - x.double()).abs() - nearest
    assert (error <= 1.3 * torch.finfo(dtype).eps * 1.2 + 1e-6).all()


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool])
def test_whole_numbers_come_out_as_levels(dtype: torch.dtype) -> None:
    """They were cut to whole numbers again: 1 became 0."""
    x = torch.tensor([1, 0, 1], dtype=dtype)
    assert StateQuant(FOUR)(x).equal(StateQuant(FOUR)(x.float()))


def test_infinities_saturate_and_nan_is_refused() -> None:
    quantizer = StateQuant(FOUR)
    assert quantizer(torch.tensor([torch.inf, -torch.inf])).tolist() == pytest.approx([1.2, -1.0])
    with pytest.raises(SpecError, match="cannot quantize NaN: 1 of 2 values"):
        quantizer(torch.tensor([0.0, torch.nan]))


def test_many_bits_keep_all_their_levels_or_are_refused() -> None:
    """snnTorch's 1024 exponential levels are 394 numbers; ours are refused, and a base closer to 1 gives them all."""
    assert StateQuant(Uniform(bits=16, low=-1.0, high=1.2)).table.unique().numel() == 2**16
    with pytest.raises(SpecError, match=r"only \d+ of 1024 levels differ in float32; use fewer bits, or a multiplier closer to 1"):
        StateQuant(ThresholdCentered(bits=10))
    assert StateQuant(ThresholdCentered(bits=10, multiplier=0.995)).table.unique().numel() == 1024


@pytest.mark.parametrize("write", [torch.save, lambda held, file: file.write(save(held))], ids=["torch", "safetensors"])
def test_the_spec_travels_with_the_weights(write: object) -> None:
    one, other = (nn.Sequential(nn.Linear(2, 2), StateQuant(spec)) for spec in (FOUR, Uniform(bits=2, low=-1.0, high=1.0)))
    file = io.BytesIO()
    write(one.state_dict(), file)  # type: ignore[operator]
    content = file.getvalue()
    held = torch.load(io.BytesIO(content), weights_only=True) if write is torch.save else load(content)
    other.load_state_dict(held)
    assert other[1].spec == FOUR
    assert other[1](values()).equal(one[1](values()))


def test_it_pickles_copies_and_stays_exact_in_half_precision() -> None:
    quantizer = StateQuant(FOUR)
    for twin in (pickle.loads(pickle.dumps(quantizer)), copy.deepcopy(quantizer), copy.deepcopy(quantizer).half()):
        assert twin.spec == FOUR
        assert twin(values()).equal(quantizer(values()))


@pytest.mark.parametrize(
    "state", [torch.tensor([1, 2, 3], dtype=torch.uint8), "no tensor", torch.tensor(list(b'{"kind": "lsq", "bits": 4}'))]
)
def test_a_damaged_spec_is_refused(state: object) -> None:
    quantizer = StateQuant(FOUR)
    with pytest.raises(FormatError, match="holds no spec of a grid"):
        quantizer.set_extra_state(state)
    assert quantizer.spec == FOUR


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's tracer, of its own classes
@pytest.mark.parametrize(
    ("spec", "gradient"),
    [*itertools.product(SPECS, ["pass", "mask"]), (SpQuant(lowest=-1), "stacked"), (SpQuant(), "stacked")],
    ids=lambda each: each if isinstance(each, str) else f"{each.kind} {each.width}",
)
def test_it_compiles_as_one_graph_with_the_same_values_and_gradients(spec: QuantizerSpec, gradient: str) -> None:
    quantizer = StateQuant(spec.model_copy(update={"gradient": gradient}))
    torch.compiler.reset()
    compiled = torch.compile(quantizer, fullgraph=True, backend="aot_eager")
    for dtype in (torch.float32, torch.float64):
        first, second = (values().mul(2).to(dtype).requires_grad_() for _ in range(2))
        found, expected = compiled(first), quantizer(second)
        assert found.equal(expected)
        found.sum().backward()
        expected.sum().backward()
        assert first.grad is not None
        assert second.grad is not None
        assert first.grad.equal(second.grad)
        assert bool((second.grad == 0).any()) == (gradient == "mask")


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_compiled_it_rounds_no_more_than_half_up() -> None:
    torch.compiler.reset()
    quantizer, x = StateQuant(FixedPoint(integer=1, fraction=0)), torch.tensor([0.49999997, 0.5, -0.5, -0.50000006])
    compiled = torch.compile(quantizer, fullgraph=True, backend="aot_eager")
    assert compiled(x).tolist() == quantizer(x).tolist() == [0.0, 1.0, 0.0, -1.0]


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_compiled_it_refuses_nan() -> None:
    torch.compiler.reset()
    compiled = torch.compile(StateQuant(FOUR), fullgraph=True, backend="aot_eager")
    with pytest.raises(RuntimeError, match="cannot quantize NaN"):
        compiled(torch.tensor([0.0, torch.nan]))


def test_what_no_guest_can_run_is_refused() -> None:
    with pytest.raises(SpecError, match="names no noise"):
        StateQuant(Uniform(bits=4, low=-1.0, high=1.0, rounding="stochastic"))
    with pytest.raises(SpecError, match="depends on data"):
        StateQuant(Uniform(bits=4))
