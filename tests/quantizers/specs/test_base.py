import subprocess
import sys

import pytest
import torch

from spikequant.errors import SpecError
from spikequant.numerics import Affine, levels
from spikequant.quantizers import LSQ, Anchored, Binary, FixedPoint, LQNet, Spec, ThresholdCentered, Uniform, ZeroCentered
from spikequant.quantizers.specs.base import RangedSpec


@pytest.mark.parametrize(
    ("spec", "width", "label"),
    [
        (Uniform(bits=4), 4, "uniform fitted"),
        (Uniform(bits=4, low=-10, high=10), 4, "uniform [-10, 10]"),
        (Uniform(bits=4, low=-0.5, high=0.5, levels_at="twos"), 4, "uniform [-0.5, 0.5] twos"),
        (FixedPoint(integer=None, fraction=6), None, "Qi.6"),
        (LQNet(bits=3), 3, "LQ-Net"),
        (LQNet(bits=3, clip=10.0), 3, "LQ-Net clip 10"),
        (LSQ(bits=5), 5, "LSQ"),
        (ThresholdCentered(bits=6), 6, "threshold-centered"),
        (ZeroCentered(bits=6), 6, "zero-centered"),
        (Anchored(bits=2), 2, "anchored"),
        (Binary(), 1, "binary"),
    ],
)
def test_width_and_label(spec: Spec, width: int | None, label: str) -> None:
    assert (spec.width, spec.label()) == (width, label)


@pytest.mark.parametrize("spec", [Uniform(bits=4), FixedPoint(integer=None, fraction=2), LQNet(bits=2), LSQ(bits=2), Binary()])
def test_a_grid_that_data_must_choose_is_refused_with_the_reason(spec: Spec) -> None:
    with pytest.raises(SpecError, match=f"the grid of {spec.label()} depends on data; quantize a model with it"):
        spec.grid()


def test_grids_are_affine_but_for_the_exponential_ones() -> None:
    assert isinstance(FixedPoint(integer=1, fraction=1).grid(), Affine)
    assert isinstance(Anchored(bits=2).grid(), Affine)
    assert not isinstance(ZeroCentered(bits=2).grid(), Affine)


def test_specs_do_not_load_torch() -> None:
    code = "import sys, spikequant.quantizers as q; q.Uniform(bits=4, low=-1.0, high=1.0).fields(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
    assert subprocess.run([sys.executable, "-c", code.replace(".fields()", ".grid()")], check=False, timeout=60).returncode == 1


RANGED: tuple[RangedSpec, ...] = (
    Uniform(bits=4),
    Uniform(bits=4, levels_at="zero"),
    Uniform(bits=4, below=2),
    ThresholdCentered(bits=4, range="frozen"),
    ThresholdCentered(bits=4, range="frozen", zero=True, on_threshold=True, decay=0.5),
    ThresholdCentered(bits=4, range="sample", below=1),
    ZeroCentered(bits=4, range="frozen", below=2),
)


@pytest.mark.parametrize("spec", RANGED, ids=lambda spec: spec.label())
@pytest.mark.parametrize("shape", [(), (3,)], ids=["one", "rows"])
def test_a_grid_over_a_range_lies_where_the_range_lies(spec: RangedSpec, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """On a device that holds no values: mixing devices fails there as it does on a GPU."""
    monkeypatch.setattr(torch.Tensor, "__bool__", lambda self: True)  # every check of a value holds
    ends = torch.empty(shape, device="meta"), torch.empty(shape, device="meta")
    assert levels(spec.over(*ends, 0 if shape else None)).device.type == "meta"
