"""What a LIF can be asked for; the rest is refused, with the nearest that can."""

from typing import Any

import pytest

from spikequant.errors import SpecError
from spikequant.neurons import IF, LIF, Synaptic
from spikequant.neurons.choices import READ_BY
from spikequant.numerics import CHARGES


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (
            {"decay": 0.5, "charge": "relax_input"},
            "the charge 'relax_input' does not read decay, got 0.5; leave it out, or take charge='scale'",
        ),
        ({"tau": 2.0, "gain": 3.0}, "the charge 'relax_input' does not read gain"),
        ({"decay": 0.5, "rest": -0.5}, "the charge 'scale' does not read rest, got -0.5; leave it out, or take charge='relax'"),
        ({"decay": 1.0, "charge": "shift", "multiplier": 3}, "does not read multiplier"),
        ({"decay": 0.5, "shift": 3}, "the charge 'scale' does not read shift"),
        ({"decay": 0.5, "leak_rounding": "floor"}, "does not read leak_rounding"),
        ({"tau": 2.0, "v_threshold": 1.0}, "unknown argument of LIF 'v_threshold': must be one of .*; did you mean 'threshold'"),
    ],
)
def test_what_would_not_be_read_is_refused(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(SpecError, match=reason):
        LIF(**given)


def test_neurons_built_on_a_lif_refuse_it_too() -> None:
    for kind, given in ((IF, {}), (Synaptic, {"synapse": 0.5, "decay": 0.5})):
        with pytest.raises(SpecError, match=f"unknown argument of {kind.__name__} 'reset_mechanism'"):
            kind(reset_mechanism="subtract", **given)


def test_an_unknown_argument_is_held_against_those_of_the_neuron_too() -> None:
    with pytest.raises(SpecError, match=r"unknown argument of Synaptic 'synape'.* synapse, synapse_state, .*did you mean 'synapse'"):
        Synaptic(synape=0.5, decay=0.5)


def test_readers_are_charges() -> None:
    assert {charge for readers in READ_BY.values() for charge in readers} == set(CHARGES)
