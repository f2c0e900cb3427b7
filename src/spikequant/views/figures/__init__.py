"""The report's figures: a record in, static SVG out, with a caption that says what to see and a text alternative."""

from spikequant.views.figures.layers import causes, shares
from spikequant.views.figures.rates import distributions
from spikequant.views.figures.style import Figure
from spikequant.views.figures.tradeoff import tradeoff

__all__ = ["Figure", "causes", "distributions", "shares", "tradeoff"]
