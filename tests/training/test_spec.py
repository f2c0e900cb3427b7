import subprocess
import sys

import pytest

from spikequant.errors import SpecError
from spikequant.training.spec import Rates, Training


def test_a_training_is_a_value():
    training = Training(epochs=3, lr=0.01, patience=2)
    assert training == Training.read(training.fields())
    assert training != Training(epochs=3, lr=0.02, patience=2)
    assert hash(training) == hash(Training(epochs=3, lr=0.01, patience=2))
    with pytest.raises(ValueError, match="frozen"):
        training.epochs = 4


def test_the_defaults_are_written_once():
    assert Training(epochs=1).fields() == {
        "version": 1,
        "epochs": 1,
        "lr": 0.001,
        "optimizer": "adam",
        "momentum": 0.0,
        "weight_decay": 0.0,
        "schedule": "cosine",
        "warmup_steps": 0,
        "loss": "cross_entropy",
        "correct_rate": 1.0,
        "incorrect_rate": 0.0,
        "seed": 0,
        "rate_pull": 0.0,
        "precision": "float32",
        "start": "scratch",
        "pairing": "same",
    }


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "Training.epochs: is required"),
        ({"epochs": 0}, "Training.epochs: must be greater than or equal to 1, got 0; nearest valid value: 1"),
        ({"epochs": 2.5}, "Training.epochs: must be a valid integer"),
        ({"epochs": 1, "epoch": 1}, "Training.epoch: no such field; did you mean 'epochs'?"),
        ({"epochs": 1, "lr": 0.0}, "Training.lr: must be greater than 0, got 0.0"),
        ({"epochs": 1, "lr": 1e39}, "Training.lr: must be less than or equal to 1000, got 1e+39; nearest valid value: 1000.0"),
        ({"epochs": 1, "lr": float("nan")}, "Training.lr: must be a finite number, got nan"),
        ({"epochs": 1, "optimizer": "adan"}, "did you mean 'adam'?"),
        ({"epochs": 1, "loss": "cross_entropy_cuont"}, "did you mean 'cross_entropy_count'?"),
        ({"epochs": 1, "loss": "mse"}, "'squat_ce_count', 'mse_count', 'squat_mse' or 'squat_mse_count', got 'mse'"),
        ({"epochs": 1, "seed": -1}, "Training.seed: must be greater than or equal to 0, got -1; nearest valid value: 0"),
        ({"epochs": 1, "patience": 0}, "Training.patience: must be greater than or equal to 1, got 0; nearest valid value: 1"),
        ({"epochs": 1, "grad_clip": -1.0}, "Training.grad_clip: must be greater than 0, got -1.0"),
        ({"epochs": 1, "momentum": 0.9}, "momentum belongs to optimizer='sgd', got momentum=0.9 with 'adam'"),
        ({"epochs": 1, "correct_rate": 0.8}, "belong to the losses mse_count, squat_mse, squat_mse_count, got loss='cross_entropy'"),
        ({"epochs": 1, "loss": "mse_count", "correct_rate": 0.2, "incorrect_rate": 0.2}, "incorrect_rate must be below correct_rate"),
        ({"epochs": 1, "version": 2}, "Training.version: must be 1, got 2"),
    ],
)
def test_what_cannot_be_is_refused_with_its_rule(fields, told):
    with pytest.raises(SpecError) as caught:
        Training(**fields)
    assert told in str(caught.value)


def test_one_rate_that_is_none_has_one_complaint():
    with pytest.raises(SpecError, match=r"^Rates\.wanted\.a\.0: must be less than or equal to 1, got 1\.2; nearest valid value: 1\.0$"):
        Rates(weight=1.0, wanted={"a": (1.2,)})
    with pytest.raises(SpecError, match="the rate of at least 1 channel"):
        Rates(weight=1.0, wanted={"a": ()})


def test_the_spec_loads_no_torch():
    code = "import sys; from spikequant.training import Training; Training(epochs=1); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
