"""The report's figures: a record in, drawings out, with a caption that says what to see and a text alternative."""

from spikequant.views.figures.codes import occupancy
from spikequant.views.figures.freezing import freezing
from spikequant.views.figures.layers import causes, shares
from spikequant.views.figures.outcomes import outcomes
from spikequant.views.figures.rates import across, distributions
from spikequant.views.figures.steps import disagreement
from spikequant.views.figures.style import Figure, on_paper
from spikequant.views.figures.tradeoff import tradeoff
from spikequant.views.figures.trends import trends

__all__ = [
    "Figure",
    "across",
    "causes",
    "disagreement",
    "distributions",
    "freezing",
    "occupancy",
    "on_paper",
    "outcomes",
    "shares",
    "tradeoff",
    "trends",
]
