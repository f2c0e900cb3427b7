"""Which configuration to try next, and which finished ones to keep. No torch."""

from spikequant.search.budget import Option, allocate
from spikequant.search.candidate import Candidate, Shape, Strategy, Verdict, asked, every
from spikequant.search.cells import Cell, cells
from spikequant.search.claims import Claim, paper_claims, read_claims
from spikequant.search.front import front, hypervolume, knee
from spikequant.search.gains import with_gains
from spikequant.search.halving import halving
from spikequant.search.judging import Finding, judge
from spikequant.search.noise import Noise, noise_of, paper_noise
from spikequant.search.published import published
from spikequant.search.quantile import half_width
from spikequant.search.reward import PUBLISHED_MU, Scored, reward, select
from spikequant.search.rows import Row, bearing, paper_rows, papers, read_rows, without
from spikequant.search.stopping import DropTest
from spikequant.search.table import STRATEGIES, strategy

__all__ = [
    "PUBLISHED_MU",
    "STRATEGIES",
    "Candidate",
    "Cell",
    "Claim",
    "DropTest",
    "Finding",
    "Noise",
    "Option",
    "Row",
    "Scored",
    "Shape",
    "Strategy",
    "Verdict",
    "allocate",
    "asked",
    "bearing",
    "cells",
    "every",
    "front",
    "half_width",
    "halving",
    "hypervolume",
    "judge",
    "knee",
    "noise_of",
    "paper_claims",
    "paper_noise",
    "paper_rows",
    "papers",
    "published",
    "read_claims",
    "read_rows",
    "reward",
    "select",
    "strategy",
    "with_gains",
    "without",
]
