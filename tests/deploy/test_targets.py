from functools import partial
from typing import get_args

import numpy as np
import pytest
import torch

from spikequant.deploy import Program, lower
from spikequant.deploy.lateral import Delay, Inhibit
from spikequant.deploy.operations import Add, Dense, Leak, Lif, Synapse
from spikequant.deploy.program import Header, Source
from spikequant.deploy.targets import NEAREST, PLAIN, TARGETS, Violation, recipe, violations
from spikequant.errors import SpecError
from spikequant.models import build
from spikequant.recipes import quantize


def with_neurons(program: Program, thresholds: int | None = None, **fields: object) -> Program:
    """The program with all its neurons changed."""
    operations = [op.model_copy(update=fields) if isinstance(op, Lif) else op for op in program.header.operations]
    tensors = {
        name: np.full_like(value, thresholds) if thresholds and name.endswith("threshold") else value
        for name, value in program.tensors.items()
    }
    return Program(program.header.model_copy(update={"operations": tuple(operations)}), tensors)


def one(weights: list, bits: int, threshold: int, time: int, **fields: object) -> Program:
    """A neuron with two inputs of up to 9."""
    dense = Dense(name="dense", inputs=("input",), bits=bits, features=1, bias=False)
    header = Header(
        name="one", time=time, source=Source(shape=(2,), high=9), operations=(dense, Lif(name="lif", inputs=("dense",), **fields))
    )
    return Program(header, {"dense.weight": np.array(weights), "lif.threshold": np.array([threshold])})


def test_a_program_passes_where_it_keeps_every_limit(residual: Program) -> None:
    assert violations(residual, "generic-w4v8") == []
    assert violations(residual, "generic-w8v16") == []


def test_violated_fields_come_with_the_nearest_legal_value(residual: Program) -> None:
    found = violations(residual, "mcu-w2v8")
    assert Violation("conv1", "bits", 4, 2) in found
    assert Violation("lif2", "leak", "shift_min1", "shift") in found
    assert str(found[0]) == "conv1: bits is 4; nearest legal value: 2"


@pytest.mark.parametrize(
    ("target", "field", "value", "nearest"),
    [
        ("mcu-w2v8", "leak", Leak(kind="multiply_shift", multiplier=3, shift=2), "shift"),
        ("mcu-w2v8", "leak", Leak(kind="constant", amount=2), "shift"),
        ("truenorth", "leak", Leak(kind="multiply_shift", multiplier=3, shift=2), "constant"),
        ("loihi-lif", "leak", Leak(kind="shift", shift=2), "multiply_shift"),
        ("odin", "leak", Leak(), "constant"),
        ("xylo", "reset", "value", "subtract"),
        ("odin", "reset", "none", "value"),
    ],
)
def test_nearest_is_what_acts_most_alike(residual: Program, target: str, field: str, value: object, nearest: str) -> None:
    said = value.kind if isinstance(value, Leak) else value
    assert Violation("lif1", field, said, nearest) in violations(with_neurons(residual, **{field: value}), target)


@pytest.mark.parametrize("field", NEAREST)
def test_every_kind_has_its_order(field: str) -> None:
    kinds = set(get_args((Leak.model_fields["kind"] if field == "leak" else Lif.model_fields["reset"]).annotation)) - {"table"}
    assert {kind: {kind, *others} for kind, others in NEAREST[field].items()} == dict.fromkeys(kinds, kinds)


def test_one_threshold_for_a_layer(residual: Program) -> None:
    assert Violation("lif1", "threshold", [60, 90], 75) in violations(residual, "loihi-lif")
    assert not [each for each in violations(with_neurons(residual, 8), "loihi-lif") if each.field == "threshold"]


def test_even_weights(residual: Program) -> None:
    (odd,) = [each for each in violations(residual, "loihi-lif") if each.layer == "conv1" and each.field == "weight"]
    assert odd.nearest == odd.value - 1
    even = Program(residual.header, residual.tensors | {"conv1.weight": residual.tensors["conv1.weight"] // 2 * 2})
    assert not [each for each in violations(even, "loihi-lif") if each.layer == "conv1" and each.field == "weight"]


def test_sums_that_can_reach_the_rail_of_an_event_are_said(residual: Program) -> None:
    assert [each.field for each in violations(residual, "odin") if each.layer == "lif3"].count("sums") == 1


@pytest.mark.parametrize(
    ("target", "weights", "leak", "fields"),
    [
        ("xylo", [[-3, 120]], Leak(kind="shift_min1", shift=2), {"state_bits": 16}),
        ("speck", [[-3, 120]], Leak(), {"state_bits": 16}),
        ("odin", [[0, 7]], Leak(kind="constant", amount=2), {"state_bits": 8, "signed": False, "reset": "value"}),
    ],
)
def test_sums_that_stay_within_the_rails_pass(target: str, weights: list, leak: Leak, fields: dict) -> None:
    made = partial(one, weights, 4 if target == "odin" else 8, 190, leak=leak, **fields)
    assert violations(made(10), target) == []
    wide = [each.field for each in violations(made(10_000), target)]
    assert wide == (["sums"] if target == "speck" else [])


@pytest.mark.parametrize("target", ["loihi-lif", "truenorth"])
def test_narrower_states_must_not_reach_rails_that_the_chip_has_not(target: str) -> None:
    """Down by up to 36 a step: -108 after 3, where 8 bits end at -128; a chip goes on."""
    made = partial(one, [[-4, 2]], 8, 40, reset="value", compare=">" if target == "loihi-lif" else ">=")
    assert violations(made(3, state_bits=8), target) == []
    (narrow,) = violations(made(4, state_bits=8), target)
    assert narrow == Violation("lif", "state_bits", 8, TARGETS[target].state_bits, unverified=target == "truenorth")
    assert violations(made(10_000, state_bits=TARGETS[target].state_bits), target) == []


def test_a_membrane_that_a_current_charges_has_the_chips_width() -> None:
    leak = Leak(kind="shift_min1", shift=2)
    program = one([[-3, 120]], 8, 100, 10, state_bits=8, leak=leak, synapse=Synapse(bits=16, leak=leak))
    assert violations(program, "xylo") == [Violation("lif", "state_bits", 8, 16)]


@pytest.mark.parametrize(
    ("target", "field", "leak", "most"),
    [
        ("loihi-lif", "leak.shift", Leak(kind="multiply_shift", multiplier=32767, shift=15), 12),
        ("odin", "leak.amount", Leak(kind="constant", amount=128), 127),
    ],
)
def test_leaks_have_the_bits_of_the_chip(residual: Program, target: str, field: str, leak: Leak, most: int) -> None:
    assert Violation("lif1", field, most + 1 if target == "odin" else 15, most) in violations(with_neurons(residual, leak=leak), target)


def test_a_current_has_the_limits_of_a_membrane(residual: Program) -> None:
    synapse = Synapse(bits=24, leak=Leak(kind="multiply_shift", multiplier=3, shift=2), overflow="wrap")
    found = violations(with_neurons(residual, synapse=synapse), "xylo")
    assert Violation("lif1", "synapse.bits", 24, 16) in found
    assert Violation("lif1", "synapse.leak", "multiply_shift", "shift_min1") in found
    assert Violation("lif1", "synapse.overflow", "wrap", "saturate") in found


@pytest.mark.parametrize("field", ["timing", "compare_at", "snapped", "emits", "shift"])
def test_what_only_code_can_do_is_refused(residual: Program, field: str) -> None:
    other = {"timing": "next", "compare_at": "full", "snapped": "after_reset", "emits": "membrane", "shift": 2}[field]
    changed = with_neurons(residual, **{field: other})
    for target in ("loihi-lif", "xylo", "speck", "truenorth", "odin"):
        assert Violation("lif1", field, other, PLAIN[field]) in violations(changed, target)
    assert field not in {each.field for each in violations(changed, "generic-w8v16")}


def test_one_neuron_has_few_different_weights(residual: Program) -> None:
    """TrueNorth: four types of axons."""
    levels = [np.array([[0, 1, 2, 3, -1, 0, 1, 2]] * 5), np.array([[0, 1, 2, 3, -2, -1, 1, 2]] * 5)]
    few, many = (Program(residual.header, residual.tensors | {"dense.weight": each}) for each in levels)
    assert not [each for each in violations(few, "truenorth") if each.layer == "dense"]
    assert [each for each in violations(many, "truenorth") if each.layer == "dense"] == [Violation("dense", "weight_levels", 5, 4)]


def test_no_membrane_outlasts_a_step(residual: Program) -> None:
    """Akida: one step, and more bits in the layer that sees the input."""
    one = Program(residual.header.model_copy(update={"time": 1}), residual.tensors)
    assert Violation("residual", "time", 4, 1) in violations(residual, "akida1")
    assert not [each for each in violations(one, "akida1") if each.field == "time"]
    wide = [op.model_copy(update={"bits": 8}) if op.name in ("conv1", "dense") else op for op in one.header.operations]
    changed = Program(one.header.model_copy(update={"operations": tuple(wide)}), one.tensors)
    assert [each for each in violations(changed, "akida1") if each.field == "bits"] == [Violation("dense", "bits", 8, 4)]
    assert not [each for each in violations(changed, "akida2") if each.field == "bits"]


def test_what_is_unverified_is_said(residual: Program) -> None:
    doubtful = [each for each in violations(with_neurons(residual, compare=">"), "speck") if each.field == "compare"]
    assert all(each.unverified and str(each).endswith("(a limit that is unverified)") for each in doubtful)
    assert len(doubtful) == 3


def test_neurons_that_pause_or_act_on_each_other() -> None:
    source = Source(shape=(3,), low=0, high=1, still=False)
    operations = (
        Delay(name="before", inputs=("cells",), shape=(3,)),
        Inhibit(name="pull", inputs=("before",), strength=5),
        Add(name="charge", inputs=("input", "pull")),
        Lif(name="cells", inputs=("charge",), state_bits=8, reset="value", refractory=2),
    )
    program = Program(Header(name="loop", time=3, source=source, operations=operations), {"cells.threshold": np.full(3, 2)})
    assert violations(program, "generic-w4v8") == []
    assert [(each.layer, each.field, each.unverified) for each in violations(program, "speck")][:3] == [
        ("before", "lateral", True), ("pull", "lateral", True), ("cells", "refractory", True),
    ]  # fmt: skip
    assert "refractory" not in {each.field for each in violations(program, "loihi-lif")}


def test_an_unknown_target_is_named(residual: Program) -> None:
    with pytest.raises(SpecError, match=r"unknown target 'xilo'.*did you mean 'xylo'"):
        violations(residual, "xilo")
    assert all(name.islower() for name in TARGETS)


@pytest.mark.parametrize("target", ["generic-w4v8", "generic-w8v16", "mcu-w1v8", "mcu-w2v8", "lq-w3v8"])
def test_networks_of_a_targets_recipe_pass_it(target: str) -> None:
    generator = torch.Generator().manual_seed(0)
    loader = [(torch.rand(4, 1, 8, 8, generator=generator), torch.zeros(4, dtype=torch.long))]
    small = quantize(build("digits"), recipe(target), loader)
    program = lower(small)
    assert violations(program, target) == []
    assert program.check(small, loader).exact


@pytest.mark.parametrize(("target", "field"), [("xylo", "leaks"), ("odin", "leaks"), ("loihi-lif", "one_threshold"), ("speck", "leaks")])
def test_what_no_recipe_meets_is_refused(target: str, field: str) -> None:
    with pytest.raises(SpecError, match=f"no integer recipe meets {target}: its {field} is"):
        recipe(target)
    with pytest.raises(SpecError, match="generic-w4v8"):
        recipe("generic-w4v9")


def test_a_targets_bits_are_its_own() -> None:
    with pytest.raises(SpecError, match="mcu-w2v8 says weight_bits itself; leave that out, or use"):
        recipe("mcu-w2v8", weight_bits=2)
