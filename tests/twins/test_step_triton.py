"""A time step in Triton: grids, wrapping and rails against the reference, and code for a GPU without fused multiply-add."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from spikequant.numerics import Dynamics, State, affine, integers, scan

pytest.importorskip("triton", reason="Triton, which comes with torch's CUDA wheels, is not installed")

from spikequant.numerics.kernels import lif_triton


def test_wrapping_integers_agree(device: str) -> None:
    grid = integers(1.0, -128, 256)
    current = torch.randint(-300, 300, (6, 4, 50)).float()
    d = Dynamics(torch.tensor(100.0), charge="shift", shift=3)
    for rounding in ("nearest_even", "half_up", "truncate"):
        state = State(grid, rounding, wrap=True)
        assert torch.equal(lif_triton.lif_scan(current.to(device), d, state, None)[0].cpu(), scan.lif_scan(current, d, state)[0])


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # NumPy, inside the interpreter: infinity less infinity
def test_values_on_midpoints_and_rails_agree(device: str) -> None:
    edge = torch.linspace(-1.2, 1.2, 73)
    current = torch.cat([edge, torch.nextafter(edge, edge + 1), torch.tensor([torch.inf, -torch.inf])]).reshape(1, 1, -1)
    d = Dynamics(torch.tensor(1.0), decay=0.0)
    for rounding, snapped in itertools.product(("nearest_even", "half_up", "truncate"), ("before_fire", "after_reset")):
        state = State(affine(-1.0, 1.0, 16), rounding, snapped=snapped)
        twins = lif_triton.lif_scan(current.to(device), d, state, None), scan.lif_scan(current, d, state)
        for a, b in zip(*twins, strict=True):
            assert torch.equal(a.cpu().nan_to_num(9.0), b.nan_to_num(9.0))


COMPILE = """
from triton import compile
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from spikequant.numerics import Dynamics, State, affine, integers, table
from spikequant.numerics.kernels import lif_triton
import torch

KINDS = {"S": "constexpr", "BLOCK": "constexpr", "bad": "*i32", **dict.fromkeys("steps neurons stride inner channels".split(), "i32")}
grid = affine(-1.0, 1.2, 16)
moving = grid._replace(step=grid.step.clone().requires_grad_())
states = (
    State(grid, gradient="mask", snapped="both"),
    State(table(torch.linspace(-1.2, 1.5, 200)), gradient="mask", snapped="both"),
    State(integers(1.0, -128, 256), gradient="mask", snapped="both", wrap=True),
    State(moving, gradient="stacked", snapped="both"),
)
neurons = (("relax_input", "value", "next"), ("scale", "subtract", "now"), ("shift", "none", "now"), ("scale", "subtract", "next"))
for (charge, reset, late), state in zip(neurons, states):
    threshold = torch.tensor(1.0, requires_grad=state.gradient == "stacked")
    d = Dynamics(threshold, charge, tau=3.0, reset=reset, reset_timing=late, detach_reset=False)
    settings = lif_triton._settings(d, state, True, True, False)
    for kernel in (lif_triton._forward, lif_triton._backward):
        kinds = {name: KINDS.get(name, "*fp32") for name in kernel.arg_names}
        source = ASTSource(kernel, kinds, constexprs={"S": settings, "BLOCK": lif_triton.BLOCK})
        ptx = compile(source, target=GPUTarget("cuda", 90, 32), options={"enable_fp_fusion": False}).asm["ptx"]
        assert "fma." not in ptx, "a fused multiply-add changes bits"
"""


def test_compiles_without_fused_multiply_add(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"} | {"TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
