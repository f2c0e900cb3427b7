"""What post-training quantization does with batch norm: folded into the weights before, or its statistics estimated again after."""

import copy

import torch
from torch import Tensor, nn

from spikequant.errors import SpecError
from spikequant.models import Network, Node, Wiring
from spikequant.neurons.showing import watching
from spikequant.recipes.calibration import Loader, show

Norm = nn.BatchNorm1d | nn.BatchNorm2d


@torch.no_grad()
def without_norms(model: Network) -> Network:
    """A copy whose batch norms are folded into the layers before them, in evaluation mode the same network.

    Equation: ``W' = g W``, ``b' = g (b - mean) + beta`` with ``g = gamma / sqrt(var + eps)`` for each output channel.

    Raises:
        SpecError: a batch norm does not follow a layer with weights that it alone reads.

    >>> from spikequant.models import build
    >>> without_norms(build("digits")).wiring.of_kind("batch_norm")
    []
    """
    before = {node.name: _folds_into(node, model.wiring) for node in model.wiring.of_kind("batch_norm")}
    folded = Network(model.wiring.model_copy(update={"nodes": tuple(_kept_nodes(model.wiring, before))}))
    state = {name: value for name, value in model.state_dict().items() if name.partition(".")[0] not in before}
    for norm, layer in before.items():
        scale, shift = _affine(model.get_submodule(norm))
        weight = state[f"{layer}.weight"]
        bias = state.get(f"{layer}.bias", torch.zeros_like(shift))
        state[f"{layer}.weight"] = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
        state[f"{layer}.bias"] = scale * bias + shift
    folded.to(next(model.parameters())).load_state_dict(state)
    return folded.train(model.training)


def reestimate(model: nn.Module, loader: Loader, batches: int) -> None:
    """Take the mean and variance of every batch norm anew from ``batches`` of training data, by the network as it stands.

    Raises:
        SpecError: the loader gave no batch.
    """
    norms = [module for module in model.modules() if isinstance(module, Norm)]
    momenta = [norm.momentum for norm in norms]
    with watching(model):
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # an average over all batches
            norm.train()
        show(model, loader, batches)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _folds_into(norm: Node, wiring: Wiring) -> str:
    (source,) = norm.inputs
    layer = next((node for node in wiring.of_kind("conv2d", "linear") if node.name == source), None)
    if layer is None or sum(source in node.inputs for node in wiring.nodes) > 1:
        raise SpecError(f"{norm.name} follows {source!r}, which is no layer with weights read by it alone: it cannot be folded")
    return source


def _kept_nodes(wiring: Wiring, before: dict[str, str]) -> list[Node]:
    layers = set(before.values())
    kept = []
    for node in wiring.nodes:
        if node.name in before:
            continue
        inputs = tuple(before.get(source, source) for source in node.inputs)
        args = {**node.args, "bias": True} if node.name in layers else copy.deepcopy(node.args)
        kept.append(node.model_copy(update={"inputs": inputs, "args": args}))
    return kept


def _affine(norm: nn.Module) -> tuple[Tensor, Tensor]:
    assert isinstance(norm, Norm), "the wiring says so"
    if norm.running_mean is None or norm.running_var is None:
        raise SpecError("a batch norm without running statistics cannot be folded")
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return scale, norm.bias - scale * norm.running_mean
