"""Neurons of other libraries, known by the names of their classes alone: no library is imported for it.

Their conventions: snnTorch runs one step a call and hands its states out; SpikingJelly runs one step or a sequence, as
``step_mode`` says, and keeps its states; Norse's cells run one step, its layers a sequence, and both hand their states out.
"""

import functools
from typing import Any, cast

from torch import Tensor, nn

from spikequant.errors import MismatchError
from spikequant.neurons.lif import LIF

BASES = {
    "snntorch": frozenset({"SpikingNeuron"}),
    "spikingjelly": frozenset({"BaseNode", "SimpleBaseNode"}),
    "norse": frozenset({"SNN", "SNNCell", "SNNRecurrent", "SNNRecurrentCell"}),
}
# Where their other neurons are defined, whose conventions are not known here; those that do not spike are no neurons.
STRANGERS = (
    "snntorch._neurons.",
    "spikingjelly.activation_based.neuron",
    "spikingjelly.activation_based.rnn",
    "norse.torch.module.coba_lif",
    "norse.torch.module.lif_correlation",
)
SEQUENCES = frozenset({"AssociativeLeaky", "StateLeaky"})  # of snnTorch's base, yet a call runs all steps
STAND_IN = "stand_in"


def library(module: nn.Module) -> str | None:
    """The library whose spiking neuron this is: ``snntorch``, ``spikingjelly``, ``norse``, or None.

    >>> library(nn.Linear(1, 1)) is None
    True
    """
    package = _package(cast(Any, type(module)))
    fires = package != "norse" or hasattr(getattr(module, "p", None), "v_th")
    return package if fires else None


def is_foreign(module: nn.Module) -> bool:
    """Whether it is a module of one of these libraries, a neuron or not.

    >>> is_foreign(nn.Linear(1, 1))
    False
    """
    return any(base.__module__.partition(".")[0] in BASES for base in type(module).__mro__)


@functools.cache
def _package(kind: type) -> str | None:
    packages = ((base, base.__module__.partition(".")[0]) for base in kind.__mro__)
    return next((package for base, package in packages if base.__name__ in BASES.get(package, ())), None)


def guests(model: nn.Module) -> dict[str, nn.Module]:
    """The spiking neurons of other libraries by their qualified names, in the order of definition."""
    return {name: module for name, module in model.named_modules() if library(module)}


def strangers(model: nn.Module) -> dict[str, nn.Module]:
    """Neurons of these libraries whose conventions are not known here, by their qualified names; not those within another neuron."""
    within, found = tuple(f"{name}." for name in guests(model)), dict[str, nn.Module]()
    for name, module in model.named_modules():
        if _is_strange(cast(Any, type(module))) and not name.startswith(within):
            found[name], within = module, (*within, f"{name}.")
    return found


def unfamiliar(name: str, neuron: nn.Module) -> str:
    """What a user is told of a stranger: which library's neurons are known."""
    package = next(base.__module__ for base in type(neuron).__mro__ if base.__module__.startswith(STRANGERS)).partition(".")[0]
    known = f"those built on {' or '.join(sorted(BASES[package]))}" + (" that run one step a call" if package == "snntorch" else "")
    return f"{name}: of {package}'s neurons {known} are known, {type(neuron).__name__} is not"


@functools.cache
def _is_strange(kind: type) -> bool:
    names = {base.__name__ for base in kind.__mro__}
    defined = any(base.__module__.startswith(STRANGERS) for base in kind.__mro__)
    return defined and not any("NonSpiking" in name for name in names) and (_package(kind) is None or bool(names & SEQUENCES))


def observable(model: nn.Module) -> dict[str, nn.Module]:
    """All spiking neurons, ours and guests', in the order of definition; what stands in for a guest is no neuron beside it.

    >>> list(observable(nn.Sequential(nn.Linear(2, 2), LIF(decay=0.9))))
    ['1']
    """
    hosts = set(guests(model))
    found = {name: module for name, module in model.named_modules() if isinstance(module, LIF) or name in hosts}
    return {name: module for name, module in found.items() if name.removesuffix(f".{STAND_IN}") not in hosts - {name}}


def runs_steps(neuron: nn.Module) -> bool:
    """Whether a guest runs a single time step a call."""
    if library(neuron) == "spikingjelly":
        return bool(cast(Any, neuron).step_mode == "s")
    return library(neuron) == "snntorch" or any(base.__name__.endswith("Cell") for base in type(neuron).__mro__)


def spikes_of(name: str, output: object) -> Tensor:
    """The spikes in what a guest returns: its output, or the first of a tuple.

    Raises:
        MismatchError: it is no tensor.
    """
    first = output[0] if isinstance(output, tuple) else output
    if not isinstance(first, Tensor):
        raise MismatchError(f"layer {name!r} returned {type(first).__name__}; spikes must be a tensor, or the first of a tuple")
    return first


def rest(model: nn.Module) -> None:
    """Forget what guests hold from earlier calls: every state as before the first step, outside any graph.

    Of SpikingJelly that is whatever keeps something, synapses, recurrent containers and masks of dropout as well as neurons.
    """
    for module in model.modules():
        name = "reset" if _remembers(cast(Any, type(module))) else "reset_mem" if library(module) else ""
        forget = getattr(module, name, None)
        if callable(forget):
            forget()


@functools.cache
def _remembers(kind: type) -> bool:
    """Whether SpikingJelly's own reset would reach it."""
    return any(base.__name__ == "MemoryModule" and base.__module__.startswith("spikingjelly.") for base in kind.__mro__)


def enroll(model: nn.Module) -> None:
    """Let the library's own reset reach the neurons of a copy: snnTorch keeps a list of every neuron that was constructed."""
    for neuron in guests(model).values():
        listed = getattr(type(neuron), "instances", None)
        if library(neuron) == "snntorch" and listed is not None and not any(each is neuron for each in listed):
            listed.append(neuron)
