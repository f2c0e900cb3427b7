"""One specification in, one record out; on this machine or many. The seeds of the field as ready studies. One function per verb."""

from spikequant.studies.demo import demo
from spikequant.studies.resolve import resolve_data, resolve_model, resolve_recipe
from spikequant.studies.verbs import Session, compare_saved, quantize_saved, train

__all__ = ["Session", "compare_saved", "demo", "quantize_saved", "resolve_data", "resolve_model", "resolve_recipe", "train"]
