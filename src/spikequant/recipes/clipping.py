"""Which weights a learned grid's clip touches: with LQ-Net often none, and then the clip is no setting at all."""

from torch import nn
from torch.nn.utils import parametrize

from spikequant.quantizers import LQNet, Quantizer
from spikequant.recipes.plan import original, weighted


def beyond_clip(model: nn.Module) -> dict[str, float]:
    """The share of the weights of each layer that lie beyond the clip of its LQ-Net grid; layers without such a clip are left out.

    >>> from spikequant.models import build
    >>> from spikequant.recipes import Recipe, quantize
    >>> beyond_clip(quantize(build("digits"), Recipe(weights=LQNet(bits=2, clip=1.0))))
    {'conv1': 0.0, 'conv2': 0.0, 'readout': 0.0}
    """
    found = {}
    for name, layer in weighted(model).items():
        clip, weights = _clip(layer), original(layer, "weight")
        if clip is not None and weights is not None:
            found[name] = float((weights.detach().abs() > clip).double().mean())
    return found


def idle_clip(model: nn.Module) -> str | None:
    """A sentence, where no weight reaches the clip of any LQ-Net grid: two such clips are two draws of one configuration.

    A grid that starts from its clip depends on it all the same, and is not meant.
    """
    shares, grids = beyond_clip(model), [_grid(layer) for layer in weighted(model).values()]
    if not shares or any(shares.values()) or any(grid is not None and grid.start == "clip" for grid in grids):
        return None
    clips = " and ".join(sorted({f"{grid.clip:g}" for grid in grids if grid is not None and grid.clip is not None}))
    largest = max(
        float(weights.detach().abs().max()) for layer in weighted(model).values() if (weights := original(layer, "weight")) is not None
    )
    return (
        f"the clip at {clips} touches no weight (the largest is {largest:.3g}): LQ-Net's levels follow the weights, so any wider clip "
        "gives this same network; start='clip' lets the first levels depend on it"
    )


def _grid(layer: nn.Module) -> LQNet | None:
    if not parametrize.is_parametrized(layer, "weight"):
        return None
    held = layer.parametrizations["weight"][0]  # type: ignore[index]
    return held.spec if isinstance(held, Quantizer) and isinstance(held.spec, LQNet) else None


def _clip(layer: nn.Module) -> float | None:
    grid = _grid(layer)
    return None if grid is None else grid.clip
