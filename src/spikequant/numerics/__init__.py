"""The arithmetic of grids and membranes, with its gradients: tensors in, tensors out. `kernels/` holds fast twins."""

from spikequant.numerics.grid import Affine, Grid, Table, affine, bounds, integers, levels, table, to
from spikequant.numerics.lq import fit_basis, lq_grid, signs, start_basis
from spikequant.numerics.lsq import scale_gradient, start_step
from spikequant.numerics.norm import Norm
from spikequant.numerics.rounding import ROUNDINGS, Rounding, round_to_integer, uniform
from spikequant.numerics.scan import CHARGES, Charge, Dynamics, Reset, Snapped, State
from spikequant.numerics.snap import Gradient, decode, encode, midpoints, snap, through
from spikequant.numerics.squat import exponential_levels
from spikequant.numerics.surrogate import DERIVATIVES, Compare, Surrogate, spike
from spikequant.numerics.twins import lif_scan, moments, norm_scan, norm_scan_fits

__all__ = [
    "CHARGES",
    "DERIVATIVES",
    "ROUNDINGS",
    "Affine",
    "Charge",
    "Compare",
    "Dynamics",
    "Gradient",
    "Grid",
    "Norm",
    "Reset",
    "Rounding",
    "Snapped",
    "State",
    "Surrogate",
    "Table",
    "affine",
    "bounds",
    "decode",
    "encode",
    "exponential_levels",
    "fit_basis",
    "integers",
    "levels",
    "lif_scan",
    "lq_grid",
    "midpoints",
    "moments",
    "norm_scan",
    "norm_scan_fits",
    "round_to_integer",
    "scale_gradient",
    "signs",
    "snap",
    "spike",
    "start_basis",
    "start_step",
    "table",
    "through",
    "to",
    "uniform",
]
