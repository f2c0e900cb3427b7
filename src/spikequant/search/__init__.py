"""Which configuration to try next, and which finished ones to keep. No torch."""

from spikequant.search.budget import Option, allocate
from spikequant.search.candidate import Candidate, Shape, Strategy, Verdict, asked, every
from spikequant.search.front import front, hypervolume, knee
from spikequant.search.halving import halving
from spikequant.search.published import published
from spikequant.search.reward import PUBLISHED_MU, Scored, reward, select
from spikequant.search.stopping import DropTest
from spikequant.search.table import STRATEGIES, strategy

__all__ = [
    "PUBLISHED_MU",
    "STRATEGIES",
    "Candidate",
    "DropTest",
    "Option",
    "Scored",
    "Shape",
    "Strategy",
    "Verdict",
    "allocate",
    "asked",
    "every",
    "front",
    "halving",
    "hypervolume",
    "knee",
    "published",
    "reward",
    "select",
    "strategy",
]
