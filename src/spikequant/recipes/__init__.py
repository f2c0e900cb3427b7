"""Which grid hangs where, and how it is hung: apply, calibrate, bake; the memory ledger."""

from spikequant.recipes.calibration import calibrate
from spikequant.recipes.clipping import beyond_clip, idle_clip
from spikequant.recipes.hang import attach, bake, quantize
from spikequant.recipes.integer import accumulator_shift, fed
from spikequant.recipes.ledger import Ledger, auxiliary, memory, widths
from spikequant.recipes.plan import Hung, original, plan, weighted
from spikequant.recipes.ranges import Range, observe_ranges
from spikequant.recipes.recipe import Arithmetic, Override, Recipe
from spikequant.recipes.space import Axis, LayerChoices, Space
from spikequant.recipes.store import load, read_document, save
from spikequant.recipes.traffic import Traffic, traffic

__all__ = [
    "Arithmetic",
    "Axis",
    "Hung",
    "LayerChoices",
    "Ledger",
    "Override",
    "Range",
    "Recipe",
    "Space",
    "Traffic",
    "accumulator_shift",
    "attach",
    "auxiliary",
    "bake",
    "beyond_clip",
    "calibrate",
    "fed",
    "idle_clip",
    "load",
    "memory",
    "observe_ranges",
    "original",
    "plan",
    "quantize",
    "read_document",
    "save",
    "traffic",
    "weighted",
    "widths",
]
