"""The arithmetic of grids and membranes, with its gradients: tensors in, tensors out. `kernels/` holds fast twins."""

from spikequant.numerics.charging import charged, charging, settled
from spikequant.numerics.clustering import chosen, k_means
from spikequant.numerics.decolle import (
    FAST_SIGMOID,
    Refractory,
    Refrained,
    Scaling,
    Traced,
    fired,
    refractory_scan,
    refrain,
    trace,
    trace_scan,
)
from spikequant.numerics.freezing import graded_scan, mixed, refreshed, share
from spikequant.numerics.grid import Affine, Grid, Table, affine, bounds, integers, levels, table, to
from spikequant.numerics.kernels.native import Kernels, kernels_in_use
from spikequant.numerics.lloyd import fit_levels
from spikequant.numerics.lq import lq_grid, signs, sorted_levels, start_basis
from spikequant.numerics.lsq import scale_gradient, start_step
from spikequant.numerics.norm import Norm, Tail
from spikequant.numerics.positive import positive, raw_of
from spikequant.numerics.ranging import Ranging, Scope
from spikequant.numerics.rounding import ROUNDINGS, Rounding, rated, round_to_integer
from spikequant.numerics.scan import CHARGES, Charge, Dynamics, Reset, ResetTiming, Snapped, State, widened
from spikequant.numerics.snap import Gradient, decode, encode, midpoints, through
from spikequant.numerics.soundness import has_nan, recording
from spikequant.numerics.squat import Bases, anchored, below_zero, exponential_levels, leaking
from spikequant.numerics.stdp import Competition, Conductance, Format, Formats, Learned, Plasticity, Shown, Stream, compete
from spikequant.numerics.surrogate import DERIVATIVES, Compare, Surrogate, spike
from spikequant.numerics.synaptic import AlphaHeld, Form, Held, Synapse, alpha_scan, synaptic_scan
from spikequant.numerics.twins import conv2d, fit_basis, lif_scan, moments, norm_scan, norm_scan_fits, present, snap, sorted_gaps, uniform

__all__ = [
    "CHARGES",
    "DERIVATIVES",
    "FAST_SIGMOID",
    "ROUNDINGS",
    "Affine",
    "AlphaHeld",
    "Bases",
    "Charge",
    "Compare",
    "Competition",
    "Conductance",
    "Dynamics",
    "Form",
    "Format",
    "Formats",
    "Gradient",
    "Grid",
    "Held",
    "Kernels",
    "Learned",
    "Norm",
    "Plasticity",
    "Ranging",
    "Refractory",
    "Refrained",
    "Reset",
    "ResetTiming",
    "Rounding",
    "Scaling",
    "Scope",
    "Shown",
    "Snapped",
    "State",
    "Stream",
    "Surrogate",
    "Synapse",
    "Table",
    "Tail",
    "Traced",
    "affine",
    "alpha_scan",
    "anchored",
    "below_zero",
    "bounds",
    "charged",
    "charging",
    "chosen",
    "compete",
    "conv2d",
    "decode",
    "encode",
    "exponential_levels",
    "fired",
    "fit_basis",
    "fit_levels",
    "graded_scan",
    "has_nan",
    "integers",
    "k_means",
    "kernels_in_use",
    "leaking",
    "levels",
    "lif_scan",
    "lq_grid",
    "midpoints",
    "mixed",
    "moments",
    "norm_scan",
    "norm_scan_fits",
    "positive",
    "present",
    "rated",
    "raw_of",
    "recording",
    "refractory_scan",
    "refrain",
    "refreshed",
    "round_to_integer",
    "scale_gradient",
    "settled",
    "share",
    "signs",
    "snap",
    "sorted_gaps",
    "sorted_levels",
    "spike",
    "start_basis",
    "start_step",
    "synaptic_scan",
    "table",
    "through",
    "to",
    "trace",
    "trace_scan",
    "uniform",
    "widened",
]
