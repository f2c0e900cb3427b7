import pytest

from spikequant.errors import SpecError
from spikequant.studies.procedure import Setup
from spikequant.studies.table import PROCEDURES


@pytest.mark.parametrize("name", sorted(PROCEDURES))
def test_every_procedure_says_data_seed_and_measures(name: str) -> None:
    assert issubclass(PROCEDURES[name].setup, Setup)
    assert {"data", "seed", "measures"} <= PROCEDURES[name].setup.model_fields.keys()


def test_seeds_fit_a_generator() -> None:
    with pytest.raises(SpecError, match="seed"):
        Setup(data="digits", seed=2**32)
