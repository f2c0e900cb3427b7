"""The one recorder: it keeps spike counts, per channel and per chunk of images, and no spike trains."""

import contextlib
import itertools
import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from spikequant.behavior.firing import Firing, LayerFiring
from spikequant.errors import MismatchError, SpecError
from spikequant.neurons import Listener, guests, observable, tally, tap
from spikequant.neurons.showing import from_rest, watching

Loader = Iterable[tuple[Tensor, Tensor]]

CHUNK = 8  # images counted together: the unit that floors and intervals resample


def record(model: nn.Module, loader: Loader, batches: int = 20, seed: int = 0) -> Firing:
    """Count the spikes of every channel over the first batches of a loader, in evaluation mode, without gradients.

    Equation: ``rate[c] = spikes of c / (images * steps * positions)``.
    A loader that ends early is taken as it is. ``seed`` fixes whatever the model draws, such as a rate encoding.

    Raises:
        SpecError: no batch was asked for or given.
        MismatchError: the model holds no spiking neuron, or one of another library that is not known, a neuron saw nothing, or gave
            anything but zeros and ones.

    >>> from spikequant.neurons import LIF
    >>> firing = record(nn.Sequential(LIF(decay=0.5)), [(torch.eye(2).expand(4, 2, 2), torch.zeros(2))])
    >>> firing.layers[0].rates.tolist(), firing.mean_rate, firing.layers[0].steps
    ([0.5, 0.5], 0.5, 4)
    """
    recorder = Recorder(model)
    with watching(model):
        for index, (x, _) in enumerate(first(loader, batches)):
            recorder.run(x, seed + index)
    return recorder.firing()


def pairs(loader: Loader, labels: bool = True) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of a loader, each looked at; without ``labels`` they may be anything.

    Raises:
        MismatchError: what is no batch ``(x, y)`` of tensors.

    >>> [len(x) for x, _ in pairs([(torch.zeros(3, 1), torch.zeros(3))])]
    [3]
    """
    for batch in loader:
        parts = batch if isinstance(batch, tuple | list) else (batch,)
        if len(parts) != 2 or not all(isinstance(part, Tensor) for part in (parts if labels else parts[:1])):
            told = ", ".join(type(part).__name__ for part in parts)
            raise MismatchError(f"a loader gives batches (x, y) of tensors, got {told}; take Batches of a split, or a list of such pairs")
        yield batch


def first(loader: Loader, batches: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The first batches of a loader.

    Raises:
        SpecError: fewer than one was asked for, or none was given.
        MismatchError: what is no batch.
    """
    if batches < 1:
        raise SpecError(f"batches must be at least 1, got {batches}")
    batch = None
    for batch in itertools.islice(pairs(loader, labels=False), batches):
        yield batch
    if batch is None:
        raise SpecError("the loader gave no batch: firing is watched on at least 1")


class Recorder:
    """Counts the spikes of one network, batch by batch."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._layers: dict[str, list[LayerFiring]] = {name: [] for name in observable(model)}
        self._batches = 0

    def run(self, x: Tensor, seed: int, also: Listener | None = None) -> None:
        """Run the network on one batch of inputs and count; ``also`` hears the same spikes.

        Raises:
            MismatchError: a neuron saw nothing, ran twice, or gave anything but zeros and ones.
        """

        def listener(name: str, spikes: Tensor) -> None:
            self._layers[name].append(count(name, spikes))
            if also is not None:
                also(name, spikes)

        def counter(name: str, counts: Tensor, steps: int, positions: int) -> None:
            self._layers[name].append(_layer(name, counts, steps, positions))

        self._batches += 1
        # Counts come with the scans for nothing; only who needs the spikes themselves pays for them.
        counts_alone = also is None and not guests(self._model)
        with tally(self._model, counter) if counts_alone else tap(self._model, listener), seeded(seed):
            from_rest(self._model, x)
        for name, seen in self._layers.items():
            if len(seen) != self._batches:
                times = len(seen) - self._batches + 1
                raise MismatchError(f"layer {name!r} ran {times} times in batch {self._batches}; every spiking layer must run once a batch")

    def firing(self) -> Firing:
        """What was counted so far."""
        layers = tuple(_joined(seen) for seen in self._layers.values())
        return Firing(layers, layers[0].images)


def count(name: str, spikes: Tensor) -> LayerFiring:
    """Count the spikes ``[time, batch, channel, *space]`` of one layer and batch; exact up to 2**24 positions.

    Raises:
        MismatchError: there is nothing to count, or something else than zeros and ones.
    """
    if not ((spikes == 0) | (spikes == 1)).all():
        raise MismatchError(f"layer {name!r} gave spikes that are not 0 or 1; only binary spikes have a firing rate")
    if spikes.ndim < 3 or spikes.numel() == 0:
        raise _nothing_counted(name, tuple(spikes.shape))
    per_image = spikes.float().sum(dim=(0, *range(3, spikes.ndim)))
    return _layer(name, per_image, len(spikes), math.prod(spikes.shape[3:]))


def _layer(name: str, counts: Tensor, steps: int, positions: int) -> LayerFiring:
    """One layer and batch from how often the neurons of a channel, one at each position, fired: ``[batch, channel]``."""
    if counts.ndim != 2 or counts.numel() == 0 or positions == 0:
        raise _nothing_counted(name, (steps, *counts.shape))
    batch, sites = len(counts), steps * positions
    chunks = min(batch, max(2, -(-batch // CHUNK)))
    sizes = np.full(chunks, batch // chunks, dtype=np.int64) + (np.arange(chunks) < batch % chunks)
    of_chunks = np.add.reduceat(counts.cpu().long().numpy(), sizes.cumsum() - sizes, axis=0)
    return LayerFiring(name, of_chunks, sites * sizes, batch, steps)


def _nothing_counted(name: str, shape: tuple[int, ...]) -> MismatchError:
    return MismatchError(f"layer {name!r} gave spikes of shape {shape}: must be [time, batch, channel, ...], none empty")


def _joined(seen: list[LayerFiring]) -> LayerFiring:
    counts, sites = np.concatenate([part.counts for part in seen]), np.concatenate([part.sites for part in seen])
    return LayerFiring(seen[0].name, counts, sites, sum(part.images for part in seen), max(part.steps for part in seen))


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within the block torch draws from this seed; afterwards as if nothing had been drawn."""
    devices = range(torch.cuda.device_count())
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed also looks for devices that are not here, at half a millisecond
        if devices:
            torch.cuda.manual_seed_all(seed)
        yield
