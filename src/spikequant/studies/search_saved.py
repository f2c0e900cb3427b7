"""The verb explore: a search over a saved network and a standard data set, its record and its report's record."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from spikequant.behavior import compare
from spikequant.data import Batches, hold_out
from spikequant.errors import SpecError
from spikequant.models import Network
from spikequant.recipes import Space, memory, save
from spikequant.studies.bench import Bench, Loaders
from spikequant.studies.exploration import Evaluated, Exploration
from spikequant.studies.explorer import Event, Options, exploring
from spikequant.studies.resolve import resolve_data, resolve_model
from spikequant.studies.rules import own_rule
from spikequant.studies.verbs import learned

BEST = "best"
REPORTED = 12  # candidates of the front whose drift the report shows
LEARNED = "the network has learned from images that judge here, and does better on them: train it with --validation {:g} --seed {}"


@dataclass(frozen=True)
class Search:
    """What is searched: a trained network, a data set, a space in a TOML file; ``validation`` is the share held out to judge by."""

    model: str
    data: str
    space: Path
    options: Options = field(default_factory=Options)
    validation: float = 0.1
    batch_size: int = 128
    epochs: int = 1
    lr: float = 1e-3


def search_saved(search: Search, out: Path) -> Iterator[Event | dict[str, Any]]:
    """Search, one event at a time: those of ``exploring``, and last the record of the front that a report is made from.

    The smallest network that keeps the bounds is then in the folder ``best`` of ``out``: a recipe lacks its time steps and its training.

    Raises:
        SpecError: the network is not trained or not float, or an option is out of its range.
    """
    space = read_space(search.space)
    model = resolve_model(search.model)
    loaders = _loaders(search, model)
    checked = own_rule(model, search.epochs, search.lr, search.options.seed)  # a bad option is refused even where no candidate is trained
    training = None if space.schemes == ("ptq",) else checked
    found = None
    for event in exploring(model, space, loaders, search.options, training, batches=20, folder=out):
        found = event if isinstance(event, Exploration) else found
        yield event
    if found is not None:
        bench = Bench(model, loaders, training, batches=20)
        if any(each.passed for each in found.evaluated):
            _save_best(bench, found, search.model, out / BEST)
        yield front_record(bench, found, search)


def read_space(path: Path) -> Space:
    """The space of a TOML file.

    Raises:
        SpecError: absent, not TOML, or not a space.
    """
    try:
        return Space.from_toml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"space {path}: {error.strerror}; give a TOML file such as: weights = [{{ kind = 'lqnet', bits = 4 }}]") from None
    except (SpecError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: {error}") from None


def front_record(bench: Bench, found: Exploration, search: Search) -> dict[str, Any]:
    """The drift of the front's smallest candidates, built again, in the form of a report's record."""
    kept = sorted(found.front(), key=lambda each: (not each.passed, each.measures.memory_bits))[:REPORTED]
    float_, base = bench.firing, found.baseline
    reference = {"name": "float", "accuracy": base.accuracy, "mean_rate": float_.mean_rate, "dead": float_.dead()}
    judged = f"{found.judged_on}_images"
    setup = {"data": f"{search.data}, {found.judged_on} images", judged: base.samples, "candidates": len(found.evaluated)}
    setup |= {"strategy": found.strategy, "max_drop": found.max_drop, "max_emd": found.max_emd, "torch": torch.__version__}
    setup |= {"note": LEARNED.format(search.validation, search.options.seed)} if _judged_on_learned(search) else {}
    return {
        "version": 1,
        "float": reference | {"saturated": float_.saturated(), "memory_bits": base.memory_bits},
        "variants": [_variant(bench, found, each) for each in kept],
        "trials": [_trial(each) for each in found.evaluated],
        "setup": setup,
    }


def _save_best(bench: Bench, found: Exploration, model: str, folder: Path) -> None:
    best = found.best_candidate()
    trained = None if found.training is None or best.scheme == "ptq" else found.training.fields()
    save(_built(bench, found, best), folder, {"quantized_from": model, "candidate": best.label, "training": trained})


def _trial(each: Evaluated) -> dict[str, Any]:
    measured = {name: getattr(each.measures, name) for name in ("accuracy", "emd", "memory_bits")}
    return {"name": each.label, "state": each.note or "done", "measures": measured}


def _variant(bench: Bench, found: Exploration, each: Evaluated) -> dict[str, Any]:
    network = _built(bench, found, each)
    drift = compare(bench.model, network, bench.loaders.validation, batches=bench.batches)
    shown = {name: getattr(drift, name) for name in ("emd", "emd_floor", "mean_rate", "dead", "saturated")}
    return {
        "name": each.label,
        "weights": each.choices.get("weights", "float"),
        "state": each.choices.get("state", "float"),
        "scheme": "ptq" if each.scheme == "ptq" else "qat",
        "accuracy": each.measures.accuracy,
        "memory_bits": memory(network).total_bits,
        "ledger": memory(network).parts,
        "configuration": found.recipe(each).fields(),
        "drift": drift.to_dict(),
        **shown,
    }


def _built(bench: Bench, found: Exploration, each: Evaluated) -> Network:
    return bench.build(found.recipe(each), found.space.steps(each.levels), each.scheme)


def _judged_on_learned(search: Search) -> bool:
    return not search.options.on_test and learned(search.model, search.data, search.validation, search.options.seed)


def _loaders(search: Search, model: Network) -> Loaders:
    data = resolve_data(search.data, model)
    kept, held = hold_out(data.train, search.validation, search.options.seed)
    judging = data.test if search.options.on_test else held
    # In a drawn order: the early stop assumes that no part of the samples differs from another.
    train = Batches(kept, search.batch_size, data.scale, seed=search.options.seed)
    return Loaders(train, Batches(judging, search.batch_size, data.scale, seed=search.options.seed))
