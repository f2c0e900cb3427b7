"""What can be named: models, data sets, methods; which data sets are here, and which form of the kernels."""

from collections.abc import Callable

from spikequant import data, models
from spikequant.errors import DataError
from spikequant.neurons import kernels_in_use
from spikequant.quantizers.table import SPECS
from spikequant.studies.planning import shipped


def catalog() -> dict[str, list[str]]:
    """Every name that a command takes, by its kind.

    >>> sorted(catalog())
    ['datasets', 'methods', 'models', 'studies']
    """
    return {"models": models.names(), "datasets": data.names(), "methods": sorted(SPECS), "studies": sorted(shipped())}


def data_sets(progress: Callable[[str], object] = lambda text: None) -> dict[str, str | None]:
    """For every data set what is wrong with it, None where it is here and its hashes are right.

    >>> data_sets()["digits"] is None
    True
    """
    return {name: _problem(name, progress) for name in data.names()}


def kernels() -> dict[str, str | None]:
    """The form of the kernels that runs (``c``, ``torch``, or ``none`` where what is wished for is not here), its origin, what is wrong.

    >>> sorted(kernels())
    ['form', 'origin', 'problem']
    """
    found = kernels_in_use()
    return {"form": found.form, "origin": found.origin, "problem": found.problem}


def _problem(name: str, progress: Callable[[str], object]) -> str | None:
    progress(f"reading {name}")
    try:
        data.load(name)
    except DataError as error:
        return str(error)
    return None
