"""The demo: one small network on the embedded digits, quantized many ways, each compared with the float one."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import torch

from spikequant import __version__
from spikequant.behavior import Drift, Firing, compare, record
from spikequant.data import Batches, DataSet, load
from spikequant.models import Network, build
from spikequant.quantizers import FixedPoint, LQNet, ThresholdCentered, Uniform
from spikequant.recipes import Recipe, memory, quantize
from spikequant.studies.examine import states
from spikequant.training import Training, evaluate, fit

BATCH = 64
FLOAT = Training(epochs=8, lr=3e-3)
TUNE = Training(epochs=4, lr=1e-3, start="float")
SCRATCH = Training(epochs=8, lr=3e-3, start="scratch")
UNSIGNED, SIGNED = (0.0, 1.0), (-1.0, 1.0)


class Case(NamedTuple):
    """One variant: its recipe, the labels of its parts, and the training that follows, if any."""

    recipe: Recipe
    weights: str
    state: str
    training: Training | None = None

    @property
    def scheme(self) -> Literal["ptq", "qat", "scratch"]:
        """Post-training, trained on, or trained from scratch."""
        if self.training is None:
            return "ptq"
        return "qat" if self.training.start == "float" else "scratch"

    def name(self) -> str:
        """Unique within the demo."""
        weights = self.weights if self.recipe.weights is None else f"{self.weights} {self.recipe.weights.width} bits"
        state = "" if self.recipe.state is None else f", state {self.state} {getattr(self.recipe.state, 'width', '')} bits"
        origin = "" if self.training is None else f", trained from {self.training.start}"
        return f"{weights}{state}{origin}"


def demo(seed: int = 0, progress: Callable[[str], object] = lambda text: None) -> dict[str, Any]:
    """Train, quantize every way, compare; the record that the report is made from.

    The float network and every trained variant from scratch share initialization and order of data. The test images are read
    once for each finished variant; nothing is chosen by them.
    """
    begun = time.monotonic()
    data = load("digits")
    float_network = build("digits", seed=seed)
    train, test = _batches(data, seed)
    variants = []
    with _one_thread():
        progress("training the float network")
        fit(float_network, train, FLOAT.model_copy(update={"seed": seed}))
        reference = _reference(float_network, test)
        for case in cases():
            progress(case.name())
            variants.append(_variant(case, float_network, data, seed))
    setup = {
        "data": "UCI optical digits, 8x8, embedded",
        "seed": seed,
        "train_images": len(data.train.y),
        "test_images": len(data.test.y),
        "epochs": FLOAT.epochs,
        "time_steps": float_network.wiring.time,
        "seconds": round(time.monotonic() - begun, 1),
        "command": f"spikequant demo --seed {seed}",
        "spikequant": __version__,
        "torch": torch.__version__,
    }
    return {"version": 1, "float": reference, "variants": variants, "setup": setup}


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Tensors this small lose more by sharing than they gain, far more on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def cases() -> Iterator[Case]:
    """Every variant of the demo."""
    for bits in (2, 4, 8):
        for each in _weights(bits):
            yield each
    for bits in (2, 4, 8):
        for each in _states(bits):
            yield each
    yield Case(Recipe(weights=LQNet(bits=4), state=_uniform(4, UNSIGNED)), "LQ-Net", "unsigned [0, 1]")
    yield Case(Recipe(weights=LQNet(bits=2)), "LQ-Net", "float", SCRATCH)
    yield Case(Recipe(weights=_uniform(2, (-1.0, 1.0))), "uniform narrow [-1, 1]", "float", SCRATCH)
    yield Case(Recipe(weights=LQNet(bits=2)), "LQ-Net", "float", TUNE)
    yield Case(Recipe(weights=_uniform(2, (-1.0, 1.0))), "uniform narrow [-1, 1]", "float", TUNE)
    yield Case(Recipe(weights=_uniform(2, (-10.0, 10.0))), "uniform wide [-10, 10]", "float", TUNE)
    yield Case(Recipe(state=_uniform(2, SIGNED)), "float", "signed [-1, 1]", TUNE)
    yield Case(Recipe(weights=LQNet(bits=2), state=_uniform(2, UNSIGNED)), "LQ-Net", "unsigned [0, 1]", TUNE)


def _weights(bits: int) -> Iterator[Case]:
    yield Case(Recipe(weights=_uniform(bits, (-1.0, 1.0))), "uniform narrow [-1, 1]", "float")
    yield Case(Recipe(weights=_uniform(bits, (-10.0, 10.0))), "uniform wide [-10, 10]", "float")
    yield Case(Recipe(weights=LQNet(bits=bits)), "LQ-Net", "float")
    fixed = FixedPoint(integer=0 if bits == 2 else 1, fraction=1 if bits == 2 else bits - 2)
    yield Case(Recipe(weights=fixed), f"fixed point {fixed.label()}", "float")


def _states(bits: int) -> Iterator[Case]:
    yield Case(Recipe(state=_uniform(bits, UNSIGNED)), "float", "unsigned [0, 1]")
    yield Case(Recipe(state=_uniform(bits, SIGNED)), "float", "signed [-1, 1]")
    yield Case(Recipe(state=ThresholdCentered(bits=bits)), "float", "threshold-centered")


def _uniform(bits: int, limits: tuple[float, float]) -> Uniform:
    return Uniform(bits=bits, low=limits[0], high=limits[1])


def _batches(data: DataSet, seed: int) -> tuple[Batches, Batches]:
    return Batches(data.train, BATCH, data.scale, seed=seed), Batches(data.test, BATCH, data.scale)


def _reference(network: Network, test: Batches) -> dict[str, Any]:
    firing: Firing = record(network, test)
    return {
        "name": "float",
        "accuracy": evaluate(network, test),
        "mean_rate": firing.mean_rate,
        "dead": firing.dead(),
        "silent": firing.silent,
        "saturated": firing.saturated(),
        "memory_bits": memory(network).total_bits,
        "layers": [{"name": layer.name, "rates": layer.rates.tolist()} for layer in firing.layers],
    }


def _variant(case: Case, float_network: Network, data: DataSet, seed: int) -> dict[str, Any]:
    train, test = _batches(data, seed)
    scratch = case.training is not None and case.training.start == "scratch"
    network = quantize(build("digits", seed=seed) if scratch else float_network, case.recipe, train)
    if case.training is not None:
        fit(network, train, case.training.model_copy(update={"seed": seed}))
    drift: Drift = compare(float_network, network, test)
    return {
        "name": case.name(),
        "weights": case.weights,
        "state": case.state,
        "bits": case.recipe.weights.width if case.recipe.weights is not None else None,
        "state_bits": getattr(case.recipe.state, "width", None),
        "scheme": case.scheme,
        "start": case.training.start if case.training else None,
        "pairing": case.training.pairing if case.training and scratch else None,
        "accuracy": evaluate(network, test),
        "emd": drift.emd,
        "emd_floor": drift.emd_floor,
        "mean_rate": drift.mean_rate,
        "dead": drift.dead,
        "saturated": drift.saturated,
        "memory_bits": memory(network).total_bits,
        "ledger": memory(network).parts,
        "state_health": states(network, data),
        "configuration": case.recipe.fields() | ({} if case.training is None else {"training": case.training.model_dump(mode="json")}),
        "drift": drift.to_dict(),
    }
