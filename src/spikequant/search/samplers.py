"""Optuna's samplers, for spaces too large to enumerate."""

import warnings
from typing import Any

from spikequant.errors import SpecError
from spikequant.search.candidate import Candidate, Shape, Strategy, refuse_empty

SAMPLERS: dict[str, tuple[str, dict[str, Any]]] = {
    "nsga2": ("NSGAIISampler", {"population_size": 20}),
    "nsga3": ("NSGAIIISampler", {"population_size": 20}),
    "random": ("RandomSampler", {}),
    "tpe": ("TPESampler", {}),
}


def sampled(shape: Shape, name: str, objectives: int, evaluations: int, seed: int) -> Strategy:
    """Candidates from an Optuna sampler, told the costs of each; the same seed asks the same, given the same answers.

    A candidate that comes again counts as one of ``evaluations``, though it need not be judged again.

    Raises:
        SpecError: the space is empty, there is less than 1 evaluation or objective, or Optuna is absent.
    """
    refuse_empty(shape)
    if evaluations < 1 or objectives < 1:
        raise SpecError(f"a sampler needs at least 1 evaluation (got {evaluations}) and 1 objective (got {objectives})")
    sampler, options = SAMPLERS[name]
    optuna = _optuna()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # NSGA-III
        study = optuna.create_study(directions=["minimize"] * objectives, sampler=getattr(optuna.samplers, sampler)(seed=seed, **options))
    for _ in range(evaluations):
        trial = study.ask()
        levels = tuple(trial.suggest_int(f"axis{axis}", 0, count - 1) for axis, count in enumerate(shape.levels))
        scheme = trial.suggest_int("scheme", 0, shape.schemes - 1)
        verdict = yield Candidate(scheme, levels, trial.suggest_int("rounding", 0, shape.roundings - 1))
        study.tell(trial, list(verdict.costs))


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise SpecError("this strategy needs Optuna, which is not installed: pip install optuna; or search with 'halving'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
