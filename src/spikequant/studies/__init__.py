"""One specification in, one record out; on this machine or many. The seeds of the field as ready studies. One function per verb."""

from spikequant.studies.bench import Loaders
from spikequant.studies.coordinator import RunOptions
from spikequant.studies.demo import demo
from spikequant.studies.events import StudyEnded
from spikequant.studies.examine import examine
from spikequant.studies.exploration import Evaluated, Exploration
from spikequant.studies.explorer import Judged, Options, Priced, explore, exploring
from spikequant.studies.exporting import export, verify_saved
from spikequant.studies.observing import ranges
from spikequant.studies.planning import Plan, plan, shipped
from spikequant.studies.price import quoted
from spikequant.studies.resolve import resolve_data, resolve_model, resolve_recipe
from spikequant.studies.rows import study_rows
from spikequant.studies.running import run, states
from spikequant.studies.search_saved import Search, search_saved
from spikequant.studies.standings import joined, standings
from spikequant.studies.verbs import Session, compare_saved, quantize_saved, train

__all__ = [
    "Evaluated",
    "Exploration",
    "Judged",
    "Loaders",
    "Options",
    "Plan",
    "Priced",
    "RunOptions",
    "Search",
    "Session",
    "StudyEnded",
    "compare_saved",
    "demo",
    "examine",
    "explore",
    "exploring",
    "export",
    "joined",
    "plan",
    "quantize_saved",
    "quoted",
    "ranges",
    "resolve_data",
    "resolve_model",
    "resolve_recipe",
    "run",
    "search_saved",
    "shipped",
    "standings",
    "states",
    "study_rows",
    "train",
    "verify_saved",
]
