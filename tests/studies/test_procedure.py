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


def test_data_is_a_name_of_the_table() -> None:
    with pytest.raises(SpecError, match=r"^Setup\.data: unknown data set 'digts': must be one of cifar10, .*; did you mean 'digits'\?$"):
        Setup(data="digts", seed=0)
