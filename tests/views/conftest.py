import copy
import random
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from spikequant.views.main import main
from spikequant.views.record import Record, parse

LAYERS = {"conv1": 16, "conv2": 32, "dense": 64}
FLOOR = 0.004
WEIGHTS = {  # label -> noise added to rates per halving of bits below 8, shift of all rates alike, accuracy lost at 2 bits
    "uniform narrow [-1, 1]": (0.012, 0.01, 0.03),
    "uniform wide [-10, 10]": (0.05, 0.09, 0.42),
    "LQ-Net": (0.006, 0.004, 0.012),
    "fixed point": (0.02, -0.03, 0.09),
}
STATES = {"float": 0.0, "uniform signed": 0.03, "threshold-centered": 0.01}


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


def share(rates: list[float], test: Any) -> float:
    return sum(map(test, rates)) / len(rates)


def shares(rates: list[float]) -> dict[str, float]:
    return {
        "mean_rate": sum(rates) / len(rates),
        "dead": share(rates, lambda r: r < 0.05),
        "silent": share(rates, lambda r: r == 0),
        "saturated": share(rates, lambda r: r > 0.95),
    }


def distances(emd: float) -> dict[str, Any]:
    near = [[value * 0.8, value * 1.2] for value in (emd, FLOOR)]
    return {"emd": emd, "emd_interval": near[0], "emd_floor": FLOOR, "emd_floor_interval": near[1], "training_floor": None}


def layer(name: str, before: list[float], after: list[float]) -> dict[str, Any]:
    emd = sum(abs(a - b) for a, b in zip(sorted(before), sorted(after), strict=True)) / len(before)
    shift = abs(sum(before) - sum(after)) / len(before)
    return {
        "name": name,
        "channels": len(before),
        **distances(emd),
        "emd_mean_shift": shift,
        "emd_shape": max(emd - shift, 0),
        **shares(after),
        "died": [i for i, (b, a) in enumerate(zip(before, after, strict=True)) if b >= 0.05 > a],
        "revived": [i for i, (b, a) in enumerate(zip(before, after, strict=True)) if a >= 0.05 > b],
        "matched_shift": sum(abs(a - b) for a, b in zip(before, after, strict=True)) / len(before),
        "agreement": 1 - emd * 2,
        "first_difference": 1,
        "disagreement": [0.0, emd, emd * 2, min(1.0, emd * 3)],
        "rates": after,
        "reference": {**shares(before), "rates": before},
    }


def drift(layers: list[dict[str, Any]]) -> dict[str, Any]:
    def mean(key: str) -> float:
        return sum(part[key] for part in layers) / len(layers)

    before = {
        f"reference_{key}": sum(part["reference"][key] for part in layers) / len(layers) for key in layers[0]["reference"] if key != "rates"
    }
    return {
        "version": 1,
        **distances(mean("emd")),
        **{key: mean(key) for key in ("mean_rate", "dead", "silent", "saturated", "matched_shift", "agreement")},
        **before,
        "images": 360,
        "dead_below": 0.05,
        "saturated_above": 0.95,
        "pooled": False,
        "layers": layers,
    }


def variant(source: random.Random, floats: dict[str, list[float]], weights: str, bits: int, state: str, scheme: str) -> dict[str, Any]:
    noise, shift, loss = WEIGHTS[weights]
    grow = 4 / bits**1.5 * (0.5 if scheme == "qat" else 1)
    layers = []
    for depth, (name, before) in enumerate(floats.items(), 1):
        spread = (noise * grow + STATES[state]) * depth**0.5
        after = [min(max(round(r * (1 + shift * grow * 4) + source.gauss(0, spread), 6), 0.0), 1.0) for r in before]
        layers.append(layer(name, before, after))
    record = drift(layers)
    lost = loss * (2 / bits) ** 2 * (0.25 if scheme == "qat" else 1) + STATES[state] / 6 + source.gauss(0, 0.002)
    names = {"ptq": "", "qat": ", trained on"}
    return {
        "name": f"{weights} {bits} bits" + ("" if state == "float" else f", {state} state") + names[scheme],
        "weights": weights,
        "state": state,
        "bits": bits,
        "state_bits": None if state == "float" else 4,
        "scheme": scheme,
        "accuracy": round((0.975 - max(lost, -0.003)) * 360) / 360,
        **{key: record[key] for key in ("emd", "emd_floor", "mean_rate", "dead", "saturated")},
        "memory_bits": 24_000 * bits + (2_000 * 32 if state == "float" else 2_000 * 4),
        "drift": record,
    }


def build() -> dict[str, Any]:
    source = random.Random(0)
    floats = {name: [round(source.betavariate(1.2, 6), 6) for _ in range(n)] for name, n in LAYERS.items()}
    plans = [(w, b, "float", "ptq") for w in WEIGHTS for b in (2, 4, 8)]
    plans += [(w, 4, s, "ptq") for w in ("uniform narrow [-1, 1]", "LQ-Net") for s in list(STATES)[1:]]
    plans += [(w, 2, "float", "qat") for w in WEIGHTS]
    whole = [shares(rates) for rates in floats.values()]
    mean = {key: sum(part[key] for part in whole) / len(whole) for key in whole[0]}
    return {
        "version": 1,
        "float": {
            "name": "float",
            "accuracy": 351 / 360,
            **mean,
            "memory_bits": 24_000 * 32 + 64_000,
            "layers": [{"name": name, "rates": rates} for name, rates in floats.items()],
        },
        "variants": [variant(source, floats, *plan) for plan in plans],
        "setup": {
            "data": "digits",
            "seed": 0,
            "train_images": 1437,
            "test_images": 360,
            "epochs": 12,
            "time_steps": 4,
            "seconds": 41.2,
            "command": "spikequant demo --seed 0",
            "spikequant": "0.1.0",
            "torch": "2.13.0+cpu",
        },
    }


DOCUMENT = build()


@pytest.fixture(scope="session")
def untouched() -> dict[str, Any]:
    """The document of ``document``, for those who only read it."""
    return DOCUMENT


@pytest.fixture
def document() -> dict[str, Any]:
    """A demo's document of 20 variants and 3 layers, as far as its numbers go a plausible one."""
    return copy.deepcopy(DOCUMENT)


@pytest.fixture
def comparison(document: dict[str, Any]) -> dict[str, Any]:
    """What ``compare`` writes: a drift with its two networks beside it."""
    chosen = document["variants"][1]
    return {
        "version": 1,
        **chosen["drift"],
        "reference": {"name": "float", "label": "float / float", "accuracy": 0.975, "memory_bits": 832_000.0},
        "network": {"name": "small", "label": "uniform / float", "accuracy": 0.961, "memory_bits": 160_000.0},
        "setup": {"data": "digits", "batches": 20, "command": "spikequant compare runs/float runs/small --data digits"},
    }


@pytest.fixture
def record(document: dict[str, Any]) -> Record:
    return parse(document)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """The command as its console entry runs it: exit code, standard output, standard error."""

    def command(*arguments: object) -> Outcome:
        monkeypatch.setattr("sys.argv", ["spikequant", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        written = capsys.readouterr()
        return Outcome(int(ended.value.code or 0), written.out, written.err)

    return command
