import pytest

from spikequant.errors import SpecError
from spikequant.numerics import levels
from spikequant.quantizers import MINT, QSNNBinary, QSNNMembrane, QuantizerSpec, ReScaW, SpikeFit, SpQuant


@pytest.mark.parametrize(
    ("spec", "width", "label", "stored"),
    [
        (QSNNBinary(), 1, "Q-SNN", 40),
        (QSNNMembrane(), 8, "Q-SNN tanh", 64),
        (ReScaW(bits=2), 2, "ReScaW", 160),
        (ReScaW(bits=2, ste="identity"), 2, "ReScaW identity", 160),
        (SpQuant(lowest=-1), 2, "SpQuant ternary", 0),
        (SpQuant(), 3, "SpQuant 5 levels", 0),
        (SpQuant(learned=True), 3, "SpQuant 5 levels, learned threshold (our reading)", 0),
        (MINT(bits=4), 4, "MINT (our reading)", 0),
        (SpikeFit(bits=2), 2, "SpikeFit (our reading)", 64),
    ],
)
def test_what_a_spec_answers(spec: QuantizerSpec, width: int, label: str, stored: int) -> None:
    assert (spec.width, spec.label(), spec.stored_bits(5)) == (width, label, stored)


def test_levels_of_spquant() -> None:
    assert levels(SpQuant().grid()).tolist() == [-3, -2, -1, 0, 1]
    assert levels(SpQuant(lowest=-1, threshold=0.5).grid()).tolist() == [-0.5, 0, 0.5]


def test_what_a_spec_refuses() -> None:
    with pytest.raises(SpecError, match="nearest valid value: -1"):
        SpQuant(lowest=0)
    with pytest.raises(SpecError, match="nearest valid value: 2"):
        QSNNMembrane(bits=1)
    with pytest.raises(SpecError, match="'official' or 'identity'"):
        ReScaW(bits=2, ste="identiy")  # type: ignore[arg-type]


def test_only_readings_of_an_abstract_are_uncertain() -> None:
    found = [spec.uncertain for spec in (QSNNBinary(), QSNNMembrane(), ReScaW(bits=2), SpQuant(), SpikeFit(bits=2), MINT(bits=2))]
    assert found == [False, False, False, False, True, True]
