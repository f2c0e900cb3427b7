"""A small trained network, batches to judge candidates by, and a study of two small trials."""

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from spikequant.data import Batches, hold_out, load
from spikequant.models import Network, build
from spikequant.studies import Loaders
from spikequant.training import Training, fit

TINY = """
version = 1
name = "tiny"
objective = "accuracy"

[defaults]
procedure = "supervised"
data = "digits"
model = { name = "digits", args = { width = 2, time = 1 } }
batch_size = 512
training = { epochs = 1 }
measures = ["accuracy", "memory"]
measure_batches = 1

[[trials]]
name = "float"

[[trials]]
name = "ptq"
procedure = "post_training"
reference = "float"
measures = ["accuracy", "emd"]
recipe.weights = { kind = "lqnet", bits = 2 }
"""


@pytest.fixture(scope="session")
def digits_loaders() -> Loaders:
    data = load("digits")
    kept, held = hold_out(data.train, 0.2, seed=0)
    return Loaders(Batches(kept, 64, data.scale, seed=0), Batches(held, 64, data.scale, seed=0))


@pytest.fixture(scope="session")
def digits_network(digits_loaders: Loaders) -> Network:
    network = build("digits", seed=0, width=8)
    fit(network, digits_loaders.train, Training(epochs=3, lr=1e-2))
    return network


@pytest.fixture
def write_study(tmp_path: Path) -> Callable[..., str]:
    """Writes a study file, ``tiny`` with replacements if no text is given, and names it."""

    def write(text: str = TINY, **replaced: str) -> str:
        for old, new in replaced.items():
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "study.toml"
        path.write_text(textwrap.dedent(text))
        return str(path)

    return write
