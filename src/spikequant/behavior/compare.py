"""Two networks on the same images: what each layer did, how far apart they are, and what that distance means."""

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from spikequant.behavior.agreement import Agreement
from spikequant.behavior.drift import Drift
from spikequant.behavior.firing import DEAD_BELOW, SATURATED_ABOVE, Firing
from spikequant.behavior.floors import Resamples
from spikequant.behavior.judging import Bounds, drift
from spikequant.behavior.matching import check_twin, match, ordered
from spikequant.behavior.recorder import Loader, Recorder, first
from spikequant.errors import SpecError
from spikequant.neurons.showing import watching


def compare(  # noqa: PLR0913 (the two networks and the inputs, then options by name)
    reference: nn.Module,
    network: nn.Module,
    loader: Loader,
    *,
    batches: int = 20,
    dead_below: float = DEAD_BELOW,
    saturated_above: float = SATURATED_ABOVE,
    twins: Sequence[nn.Module] = (),
    pooled: bool = False,
    seed: int = 0,
    resamples: int = 200,
) -> Drift:
    """Watch two networks on the same batches and say how the firing of the second differs from the first's.

    Per layer: EMD of the two sets of channel rates, its mean shift and shape, the sampling floor (the reference against
    itself on resampled images), mean rate, dead, silent and saturated shares, channels that died or revived, the shift
    ``mean |r_c - r'_c|`` of matched channels, the share of equal spikes, the first time step at which one differs.
    The network's values are the mean over layers, or those of all channels as one set when ``pooled``. ``twins`` are
    float networks like the reference from other seeds: with them comes the training floor.
    Layers are matched by name where all names agree, else by order.

    Raises:
        MismatchError: the layers cannot be matched, or a layer saw nothing.
        SpecError: an option is out of its range, or fewer than 2 images were given.

    Source: "Beyond Accuracy", Eq. 3; the floors, the split and the matching are ours.

    >>> import torch
    >>> from spikequant.neurons import IF
    >>> images = [(torch.rand(4, 8, 3), torch.zeros(8))]
    >>> result = compare(nn.Sequential(IF()), nn.Sequential(IF()), images)
    >>> result.emd, result.layers[0].agreement, result.layers[0].first_difference
    (0.0, 1.0, None)
    """
    bounds = Bounds.checked(dead_below, saturated_above)
    for name, value, least in (("resamples", resamples, 1), ("seed", seed, 0)):
        if value < least:
            raise SpecError(f"{name} must be at least {least}, got {value}")
    others = {"the network": network} | {f"twins[{index}]": twin for index, twin in enumerate(twins)}
    pairs = [match(reference, model, place) for place, model in others.items()]
    agreement = Agreement(pairs[0])
    base, *firings = _watch([reference, *others.values()], first(loader, batches), seed, agreement)
    if base.images < 2:
        raise SpecError("a comparison needs at least 2 images, got 1: the sampling floor resamples them")
    base = replace(base, pooled=pooled)
    other, *floats = (replace(ordered(firing, names), pooled=pooled) for firing, names in zip(firings, pairs, strict=True))
    for index, twin in enumerate(floats):
        check_twin(base, twin, f"twins[{index}]")
    chunks = len(base.layers[0].counts)
    return drift(base, other, bounds, agreement, Resamples(chunks, resamples, seed).judge(base, other, floats))


def _watch(models: Sequence[nn.Module], batches: Loader, seed: int, agreement: Agreement) -> list[Firing]:
    """Run all models on each batch with the same random numbers; the first two are compared bit by bit."""
    recorders = [Recorder(model) for model in models]
    listeners = [agreement.hold, agreement.check, *[None] * (len(models) - 2)]
    with watching(*models):
        for index, (x, _) in enumerate(batches):
            for recorder, listener in zip(recorders, listeners, strict=True):
                recorder.run(x, seed + index, listener)
    return [recorder.firing() for recorder in recorders]
