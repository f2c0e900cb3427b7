"""One source, several instruction sets, the same bits."""

import ctypes
import itertools
import platform
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from spikequant.numerics import Dynamics, Grid, Norm, State, Surrogate, Tail, affine, table
from spikequant.numerics.kernels import compiling, lif_native, norm_native
from spikequant.numerics.kernels.compiling import compile_library, features, instruction_sets, runs
from spikequant.numerics.kernels.native import HERE, SOURCES

CHARGES = ("scale", "relax", "relax_input", "shift", "shift_min1", "multiply_shift")
SURROGATES = ("arctan", "sigmoid", "fast_sigmoid", "triangle", "squat")
GRIDS: list[Grid | None] = [
    None,
    affine(-1.0, 1.2, 16),
    table(torch.linspace(-1, 1.5, 13) ** 3),
    table(torch.linspace(-1.2, 1.5, 200) ** 3),
]
ROUNDINGS = ("nearest_even", "half_up", "truncate")


def libraries(folder: Path) -> dict[str, ctypes.CDLL]:
    """The library for each instruction set that this processor runs."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    made = {}
    for instruction_set in instruction_sets(platform.machine()):
        if runs(instruction_set, features()):
            path = folder / f"{instruction_set}.so"
            compile_library(compiler, HERE / SOURCES[0], path, instruction_set, threads=True)
            made[instruction_set] = ctypes.CDLL(str(path))
    return made


def currents(*shape: int) -> Tensor:
    """Random values, among them zeros of both signs, ties, huge and subnormal numbers."""
    x = torch.randn(shape)
    special = torch.tensor([0.0, -0.0, 0.5, -0.5, 1.5, 1e-41, -1e-41, 1e9, -1e9])
    places = torch.randint(0, x.numel(), (x.numel() // 50,))
    x.view(-1)[places] = special[torch.randint(0, len(special), places.shape)]
    return x


def lif_outputs(index: int, grid: Grid | None, charge: str, rounding: str) -> list[Tensor]:
    exact = rounding if index % 4 == 1 else "nearest_even"
    state = None if grid is None else State(grid, exact, "mask", "both")  # type: ignore[arg-type]
    timing, surrogate = ("now", "next")[index % 2], Surrogate(SURROGATES[index % 5], 1.5)
    d = Dynamics(torch.tensor(0.8), charge, 0.9, 2.0, 0.7, 3, 2, reset_timing=timing, detach_reset=False, surrogate=surrogate)  # type: ignore[arg-type]
    current = currents(5, 3, 601).requires_grad_()
    spikes, last = lif_native.lif_scan(current, d, state, None)
    loss = (spikes * torch.randn_like(spikes)).sum() + (last * torch.randn_like(last)).sum()
    return [spikes, last, *torch.autograd.grad(loss, current)]


def norm_outputs(pool: int, grid: Grid | None) -> list[Tensor]:
    current = currents(4, 3, 8, 7, 9).requires_grad_()
    mean, variance = norm_native.moments(norm_native.channels_last(current.detach()).reshape(-1, 8))
    scale, shift = torch.rand(8).requires_grad_(), torch.randn(8).requires_grad_()
    norm = Norm(scale, shift, mean, variance.rsqrt())
    spikes = norm_native.norm_scan(
        current, norm, Dynamics(torch.tensor(0.8), decay=0.9), None if grid is None else State(grid), None, Tail(pool)
    )
    return [spikes, mean, variance, *torch.autograd.grad((spikes * torch.randn_like(spikes)).sum(), [current, scale, shift])]


def outputs() -> list[Tensor]:
    torch.manual_seed(0)
    settings = itertools.product(GRIDS, CHARGES, ROUNDINGS)
    found = [lif_outputs(index, *setting) for index, setting in enumerate(settings)]
    return [each for some in [*found, *itertools.starmap(norm_outputs, itertools.product((1, 2), GRIDS))] for each in some]


@pytest.mark.slow
def test_every_instruction_set_gives_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}
    for name, c in libraries(tmp_path).items():
        monkeypatch.setattr(lif_native, "library", lambda c=c: c)
        monkeypatch.setattr(norm_native, "library", lambda c=c: c)
        found[name] = [each.detach().contiguous().view(torch.int32) for each in outputs()]
    if len(found) < 2:
        pytest.skip("this processor runs one instruction set only")
    first, *others = found.values()
    assert all(torch.equal(a, b) for other in others for a, b in zip(first, other, strict=True))


def test_a_processor_runs_what_its_features_allow() -> None:
    v3 = " ".join(compiling.LEVELS["x86-64-v3"])
    assert runs("x86-64-v3", f"flags : {v3}")
    assert not runs("x86-64-v3", v3.replace("avx2", ""))
    assert not runs("x86-64-v4", v3)
    assert runs("aarch64", "")
    assert compiling.LEVELS["x86-64-v3"] < compiling.LEVELS["x86-64-v4"]


def test_what_the_compiler_says_is_passed_on_and_nothing_stays(tmp_path: Path) -> None:
    source = tmp_path / "wrong.c"
    source.write_text("#error on purpose\n")
    with pytest.raises(OSError, match="on purpose"):
        compile_library(shutil.which("cc") or pytest.skip("no C compiler"), source, tmp_path / "wrong.so", "native", threads=False)
    assert list(tmp_path.iterdir()) == [source]
