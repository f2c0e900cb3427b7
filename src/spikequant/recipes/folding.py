"""Batch norm, time constants and pools folded into weights: what each neuron adds to its membrane, in real units."""

import copy
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from spikequant.errors import SpecError
from spikequant.models import Network
from spikequant.models.wiring import INPUT, Node, Wiring
from spikequant.neurons import LIF, SecondOrder, Synaptic, TrainedThreshold
from spikequant.neurons.choices import READ_BY
from spikequant.recipes.calibration import Loader, inputs
from spikequant.recipes.windows import MEANS, windows

PASSING = ("dropout", "flatten", "max_pool")
CURRENTS = ("dropout", "max_pool")
FIRING = ("lif", "parametric_lif", "synaptic", "trained_threshold")


class Folded(NamedTuple):
    """One layer of synapses with all that follows it up to its neurons, in float64.

    The membrane of channel c gains ``weight[c] x + bias[c]``, x in whole numbers: spikes, sums of spikes, input codes.
    ``gamma``: the factor that batch norm and time constant put on the layer's own weight, per channel. ``norm`` and ``lif`` name
    the nodes folded and fed, None where there is none.
    """

    weight: Tensor
    bias: Tensor
    gamma: Tensor
    norm: str | None
    lif: str | None


def consumers(wiring: Wiring) -> dict[str, list[Node]]:
    """Who reads each value."""
    found: dict[str, list[Node]] = {}
    for node in wiring.nodes:
        for source in node.inputs:
            found.setdefault(source, []).append(node)
    return found


def units(model: Network, input_step: float) -> dict[str, float]:
    """The real value of a whole 1, of every value that is a whole number of something: spikes, sums of them, input codes.

    Raises:
        SpecError: two values of unlike units are added, or a pool averages unequal windows.
    """
    shapes = {INPUT: model.wiring.input_shape, **model.shapes()}
    found: dict[str, float] = {}
    for node in model.wiring.nodes:
        taken = [found.get(source) for source in node.inputs]
        if node.kind == "encode":
            found[node.name] = 1.0 if node.args.get("encoding") == "rate" else input_step
        elif node.kind in FIRING:
            lif = _lif(model, node.name)
            if isinstance(lif, Synaptic) and lif.recurrent is not None:
                raise SpecError(f"{node.name}: its own spikes come back to it, which no program does; leave recurrent out")
            found[node.name] = worth(lif)
        elif node.kind in MEANS and taken[0] is not None:
            found[node.name] = taken[0] / windows(node, shapes[node.inputs[0]], shapes[node.name]).divisor
        elif node.kind == "add":
            if taken[0] is None or taken[0] != taken[1]:
                raise SpecError(
                    f"{node.name}: only spikes and their sums can be added as whole numbers; add after the neurons, as SEW does"
                )
            found[node.name] = taken[0]
        elif node.kind in (*PASSING, "sum_pool") and taken[0] is not None:
            found[node.name] = taken[0]
    return found


def fold(model: Network, unit_of: dict[str, float]) -> dict[str, Folded]:
    """Every layer of synapses, folded.

    Equation: ``y = gamma (W x + b - mean) / sqrt(var + eps) + beta``; the membrane gains ``kappa y``, kappa the neuron's input gain,
    and what pulls it from its origin to where it decays.

    Raises:
        SpecError: a current is read by something that has no integer form.
    """
    readers, shapes = consumers(model.wiring), {INPUT: model.wiring.input_shape, **model.shapes()}
    found = {}
    for node in model.wiring.of_kind("conv2d", "linear"):
        layer = model.get_submodule(node.name)
        assert isinstance(layer, nn.Conv2d | nn.Linear), "the table of layers builds these"
        weight = layer.weight.detach().double()
        bias = torch.zeros(len(weight), dtype=torch.float64) if layer.bias is None else layer.bias.detach().double()
        norm, lif, pools = _fed(node, readers)
        gamma = torch.ones(len(weight), dtype=torch.float64)
        if norm is not None:
            gamma, bias = _normed(model.get_submodule(norm), bias)
        kappa = gain(_lif(model, lif)) if lif is not None else 1.0
        pulled = pull(_lif(model, lif)) if lif is not None else 0.0
        for pool in pools:
            divisor = windows(pool, shapes[pool.inputs[0]], shapes[pool.name]).divisor
            kappa, pulled = kappa / divisor, pulled / divisor
        unit = unit_of.get(node.inputs[0])
        if unit is None:
            raise SpecError(f"{node.name}: reads {node.inputs[0]}, a current that is no whole number; put neurons between them")
        gamma = gamma * kappa
        rows = gamma.reshape(-1, *[1] * (weight.ndim - 1))
        found[node.name] = Folded(weight * rows * unit, bias * kappa + pulled, gamma * unit, norm, lif)
    return found


def worth(lif: LIF) -> float:
    """What one spike is worth to who reads it.

    Raises:
        SpecError: the membrane begins with a share of its threshold, which no program does.
    """
    if not isinstance(lif, TrainedThreshold):
        return 1.0
    if lif.share:
        raise SpecError(f"a membrane that begins at {lif.share:g} thresholds has no integer form; build the network with start=0")
    return float(lif.fires_at.detach())


def gain(lif: LIF) -> float:
    """What a neuron multiplies its current with."""
    d = lif.standing
    if isinstance(d.gain, Tensor):
        raise SpecError("a gain per channel has no integer form; put it into the weights")
    return 1 / d.tau if d.charge == "relax_input" else 1.0 if d.charge in ("relax", "rate") else d.gain


def origin(name: str, lif: LIF) -> float:
    """Where a membrane begins and is reset to: a program measures it from there.

    Raises:
        SpecError: it begins elsewhere, or not at 0 behind a synaptic current.
    """
    d, start = lif.dynamics, lif.rest
    reset = d.reset_value if d.reset == "value" else 0.0
    if start != reset:
        raise SpecError(f"{name}: its membrane begins at {start:g}, a program's begins where a reset puts it, here {reset:g}; set rest so")
    if start and isinstance(lif, SecondOrder):
        raise SpecError(f"{name}: behind a synaptic current a program's membrane begins and resets at 0, got {start:g}")
    return start


def pull(lif: LIF) -> float:
    """What a step adds to a membrane that is measured from its origin; one that relaxes to its origin needs nothing."""
    return 0.0 if lif.dynamics.charge in READ_BY["rest"] else (retention(lif) - 1) * lif.rest


def retention(lif: LIF) -> float:
    """What a neuron keeps of its membrane in one step.

    Raises:
        SpecError: it differs between channels.
    """
    d = lif.standing
    if d.charge in ("relax", "relax_input"):
        return 1 - 1 / d.tau
    if d.charge in ("rate", "rate_input"):
        return 1 - float(d.gain)
    if d.charge == "scale":
        return _of_all("decay", lif.decay)
    return d.multiplier * 2.0**-d.shift if d.charge == "multiply_shift" else 1 - 2.0**-d.shift


def current_retention(lif: LIF) -> float | None:
    """What a neuron keeps of its synaptic current in one step; None where it has none.

    Raises:
        SpecError: it differs between channels.
    """
    if not isinstance(lif, Synaptic) or not lif.has_synapse:
        return None
    constant = _of_all("synapse", lif.synapse)
    return 1 - constant if lif.form == "rate" else constant


def reset_timing(name: str, lif: LIF) -> Literal["now", "next"]:
    """When a spike resets, as a program knows it.

    Raises:
        SpecError: no program does so.
    """
    d = lif.dynamics
    if d.reset_timing == "now" or (d.reset_timing == "now_once" and _once(lif)):
        return "now"
    if d.reset_timing == "next" or (d.reset_timing == "next_charged" and d.reset != "value"):  # the same, where nothing is set to a value
        return "next"
    raise SpecError(f"{name}: reset_timing {d.reset_timing!r} with reset {d.reset!r} has no integer form; use 'now' or 'next'")


def _once(lif: LIF) -> bool:
    """Whether no reset leaves a membrane above its threshold, that ``now_once`` would make pay again."""
    d = lif.dynamics
    return d.reset == "none" or (d.reset == "value" and d.compare_at == "stored" and lif.snapped == "before_fire")


def _of_all(name: str, constant: Tensor) -> float:
    if constant.min() < constant.max():
        raise SpecError(f"a {name} per channel has no integer form: a layer leaks by one multiplier")
    return float(constant.reshape(-1)[0])


def measured(model: Network, loader: Loader, batches: int) -> Network:
    """A copy whose batch norms hold the moments of this data: for networks that were never trained."""
    copied = copy.deepcopy(model).train()
    norms = [module for module in copied.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over batches
    for module in copied.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    with torch.no_grad():
        for x in inputs(loader, batches):
            copied(x)
    return copied.eval()


def is_fresh(model: Network) -> bool:
    """Whether a batch norm has seen no data yet."""
    return any(module.num_batches_tracked == 0 for module in model.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d))


def _fed(node: Node, readers: dict[str, list[Node]]) -> tuple[str | None, str | None, list[Node]]:
    """The batch norm and the neuron that a layer feeds, and the means over windows on the way: of currents, which become sums."""
    norm, at, pooled, means = None, node, False, list[Node]()
    while True:
        following = readers.get(at.name, [])
        if not following:
            return norm, None, means
        if len(following) > 1:
            names = ", ".join(each.name for each in following)
            raise SpecError(f"{at.name}: its current is read by {names}; a current that is no whole number can have one reader")
        at = following[0]
        if at.kind in FIRING:
            return norm, at.name, means
        if at.kind == "batch_norm" and norm is None and not pooled:
            norm = at.name
        elif at.kind in MEANS:
            means.append(at)
        elif at.kind not in CURRENTS:
            raise SpecError(
                f"{node.name}: its current passes {at.name} ({at.kind}), which has no integer form there; put neurons between them"
            )
        pooled |= at.kind in ("max_pool", *MEANS)


def _lif(model: Network, name: str) -> LIF:
    lif = model.get_submodule(name)
    assert isinstance(lif, LIF), "the table of layers builds it"
    return lif


def _normed(norm: nn.Module, bias: Tensor) -> tuple[Tensor, Tensor]:
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d), "the table of layers builds it"
    if norm.running_mean is None or norm.running_var is None:
        raise SpecError("a batch norm without running statistics cannot be folded; set track_running_stats=True")
    inverse = torch.rsqrt(norm.running_var.double() + norm.eps)
    gamma = norm.weight.detach().double() * inverse if norm.affine else inverse
    beta = norm.bias.detach().double() if norm.affine else torch.zeros_like(inverse)
    return gamma, (bias - norm.running_mean.double()) * gamma + beta


def largest_input(loader: Loader, batches: int) -> float:
    """The greatest magnitude that the loader's first batches show.

    Raises:
        SpecError: it gave no batch, or only zeros.
    """
    largest = max(float(x.abs().max()) for x in inputs(loader, batches))
    if largest == 0:
        raise SpecError("the calibration loader gave only zeros; pass at least one batch of training data")
    return largest
