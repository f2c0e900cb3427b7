"""Where the candidates of a search are built and judged, on what is not the test set."""

import copy
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import torch
from torch import Tensor

from spikequant.behavior import Firing, operations, record
from spikequant.errors import Diverged, SpecError, unknown
from spikequant.models import Network, Prefixes
from spikequant.neurons import tally
from spikequant.quantizers import Spec
from spikequant.recipes import Recipe, memory, quantize, traffic
from spikequant.search import DropTest
from spikequant.studies.rules import Rule, taught
from spikequant.training import Loader, Step, Training, judged

ERROR = 0.01  # chance that a good candidate is called hopeless
PRICED_STEPS = 3


class Loaders(NamedTuple):
    """What a search may see: samples to calibrate and train on, and others to judge by. The test set is neither."""

    train: Loader
    validation: Loader


class Measures(Spec):
    """What was measured of one network. ``emd`` and ``traffic_bits`` are absent of one whose accuracy made it hopeless.

    ``memory_share`` is the memory as a share of the float network's, by Q-SpiNN's formula. ``samples``: on how many ``accuracy`` rests.
    """

    accuracy: float
    samples: int
    memory_bits: int
    memory_share: float
    steps: int
    emd: float | None = None
    traffic_bits: float | None = None


COSTS: dict[str, Callable[[Measures], float]] = {
    "accuracy": lambda measures: 1 - measures.accuracy,
    "emd": lambda measures: 1.0 if measures.emd is None else measures.emd,
    "memory": lambda measures: float(measures.memory_bits),
    "steps": lambda measures: float(measures.steps),
    "traffic": lambda measures: 1e30 if measures.traffic_bits is None else measures.traffic_bits,
}


def check_objectives(objectives: tuple[str, ...]) -> None:
    """Raise where an objective is unknown, named twice, or there is none."""
    for name in objectives:
        if name not in COSTS:
            raise SpecError(unknown("objective", name, COSTS, "objectives"))
    if not objectives or len(set(objectives)) < len(objectives):
        raise SpecError(f"objectives {objectives} must be at least one, each once; as ('accuracy', 'memory', 'emd')")


class Bench:
    """Builds candidates from one float network and measures them against it, sample by sample on the same data."""

    def __init__(self, model: Network, loaders: Loaders, training: Rule | None, batches: int) -> None:
        if model.recipe is not None:
            raise SpecError("a search starts from a float network, and this one is quantized; give the one it was made from")
        self.model, self.loaders, self.training, self.batches = model, loaders, training, batches
        self.prefixes, self.float_bits = Prefixes(), memory(model).qspinn_bits
        begun = time.monotonic()
        with self.prefixes.shared(model):
            with tally(model, lambda *_: None):  # its counts are kept for the recorder
                self.right: list[Tensor] = list(judged(model, from_start(loaders.validation)))
            self.samples = sum(map(len, self.right))
            if not self.samples:
                raise SpecError("the validation loader gave no sample; it must be iterable anew each time, and hold at least 1")
            self.firing: Firing = record(model, loaders.validation, batches)
            self.baseline = self._measured(model, sum(int(answers.sum()) for answers in self.right) / self.samples, self.samples)
        self.seconds = time.monotonic() - begun

    def build(self, recipe: Recipe, steps: int | None, scheme: str) -> Network:
        """The quantized network of a candidate: ``ptq`` as it stands, ``itq`` trained with the quantizers in place."""
        start, rule = self.model, self._trained() if scheme == "itq" else None
        if isinstance(rule, Training) and rule.start == "scratch":
            torch.manual_seed(rule.seed)
            start = Network(self.model.wiring)
        network = quantize(with_time(start, steps), recipe, from_start(self.loaders.train))
        if rule is not None:
            deque(taught(network, self.loaders.train, rule), maxlen=0)
        return network

    def measure(self, network: Network, max_drop: float | None) -> Measures:
        """Measure a candidate; one whose accuracy has surely dropped by more than ``max_drop`` is given up early.

        Raises:
            Diverged: its outputs are not finite.
        """
        test = None if max_drop is None else DropTest.of(self.samples, max_drop, ERROR)
        right = seen = 0
        with self.prefixes.shared(network):
            with tally(network, lambda *_: None):  # its counts are kept, so that the recorder need not run the network again
                for float_right, answers in zip(self.right, judged(network, from_start(self.loaders.validation)), strict=True):
                    right, seen = right + int(answers.sum()), seen + len(answers)
                    test = test and test.told((float_right.int() - answers.int()).tolist())
                    if test is not None and test.hopeless:
                        return self._sized(network, right / seen, seen)
            return self._measured(network, right / seen, seen)

    def failed(self, network: Network) -> Measures:
        """What stands for a network that diverged."""
        return self._sized(network, 0.0, self.samples)

    def price(self, scheme: str) -> float:
        """Seconds that one candidate will take, from what the float network took and from a few training steps."""
        if scheme == "ptq":
            return self.seconds
        network, begun, steps = copy.deepcopy(self.model), time.monotonic(), 0
        total: int | None = None
        with suppress(Diverged):  # that candidates diverge is for the search to find out
            for event in taught(network, self.loaders.train, self._trained()):
                if isinstance(event, Step):
                    steps, total = event.step, event.total_steps
                    if steps >= PRICED_STEPS:
                        break
        return self.seconds + (time.monotonic() - begun) / max(steps, 1) * (total or steps)

    def _trained(self) -> Rule:
        if self.training is None:
            raise SpecError("the scheme 'itq' trains every candidate: pass training=Training(...), or search 'ptq' alone")
        return self.training

    def _sized(self, network: Network, accuracy: float, samples: int) -> Measures:
        held = memory(network)
        share = held.qspinn_bits / self.float_bits
        return Measures(accuracy=accuracy, samples=samples, memory_bits=held.total_bits, memory_share=share, steps=network.wiring.time)

    def _measured(self, network: Network, accuracy: float, samples: int) -> Measures:
        used = {name: each.effective for name, each in operations(network, self.loaders.validation, 1).items()}
        moved = {"traffic_bits": traffic(network, used).total_bits}
        emd = self.firing.emd(record(network, self.loaders.validation, self.batches))
        return self._sized(network, accuracy, samples).model_copy(update=moved | {"emd": emd})


def from_start(loader: Loader) -> Loader:
    """The loader in the order of its first epoch: a training leaves it in that of its last, and candidates must not depend on others."""
    set_epoch = getattr(loader, "set_epoch", None)
    if set_epoch is not None:
        set_epoch(0)
    return loader


def with_time(model: Network, steps: int | None) -> Network:
    """A copy of the network that runs another number of time steps; None keeps them.

    Raises:
        SpecError: events have the time steps that they have.
    """
    copied = copy.deepcopy(model)
    if steps is not None and steps != model.wiring.time:
        if model.takes_sequence:
            raise SpecError(f"{model.wiring.name} takes events, whose time steps are the data's; leave the axis 'time' out")
        copied.wiring = model.wiring.model_copy(update={"time": steps})
    return copied


__all__ = ["COSTS", "Bench", "Diverged", "Loaders", "Measures", "check_objectives", "with_time"]
