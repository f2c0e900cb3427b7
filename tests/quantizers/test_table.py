import typing

import pytest
from pydantic import TypeAdapter

from spikequant.quantizers import AnySpec, FixedPoint, QuantizerSpec, Uniform
from spikequant.quantizers.baselines import Clustered, Rescaled, Squashed, Standardized
from spikequant.quantizers.learned import LearnedBasis, LearnedStep, TwoLevels
from spikequant.quantizers.modules import Fitted, Fixed
from spikequant.quantizers.table import MODULES, SPECS
from spikequant.quantizers.thresholds import LearnedThreshold, SharedStep

EXAMPLES = {"fixed_point": {"integer": 1, "fraction": 2}, "binary": {}, "q_snn_binary": {}, "spquant": {}}


def test_the_tables_hold_every_kind() -> None:
    kinds = {spec.model_fields["kind"].default: spec for spec in typing.get_args(typing.get_args(AnySpec)[0])}
    assert kinds == SPECS
    assert MODULES.keys() == SPECS.keys()


@pytest.mark.parametrize("kind", sorted(SPECS))
def test_the_kind_alone_tells_the_spec(kind: str) -> None:
    spec = TypeAdapter(AnySpec).validate_python({"kind": kind, **EXAMPLES.get(kind, {"bits": 4})})
    assert type(spec) is SPECS[kind]


@pytest.mark.parametrize(
    ("spec", "module"),
    [
        (Uniform(bits=2), Fitted),
        (Uniform(bits=2, low=-1.0, high=1.0), Fixed),
        (FixedPoint(integer=None, fraction=1), Fitted),
        (FixedPoint(integer=1, fraction=1), Fixed),
        (SPECS["lqnet"](bits=2), LearnedBasis),
        (SPECS["lsq"](bits=2), LearnedStep),
        (SPECS["threshold_centered"](bits=2), Fixed),
        (SPECS["zero_centered"](bits=2), Fixed),
        (SPECS["anchored"](bits=2), Fixed),
        (SPECS["binary"](), TwoLevels),
        (SPECS["q_snn_binary"](), Standardized),
        (SPECS["q_snn_membrane"](), Squashed),
        (SPECS["rescaw"](bits=2), Rescaled),
        (SPECS["spquant"](), Fixed),
        (SPECS["spquant"](learned=True), LearnedThreshold),
        (SPECS["mint"](bits=2), SharedStep),
        (SPECS["spikefit"](bits=2), Clustered),
    ],
)
def test_which_module_owns_which_grid(spec: QuantizerSpec, module: type) -> None:
    built = spec.build((3, 4), axis=1)
    assert type(built) is module
    assert (built.spec, built.shape, built.axis) == (spec, (3, 4), 1)
