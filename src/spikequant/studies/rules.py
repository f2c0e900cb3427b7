"""How a candidate of a search learns with its quantizers in place: by gradients, by STDP, or by losses of each layer's own."""

from collections.abc import Iterator, Sized

from spikequant.errors import SpecError
from spikequant.models import Network
from spikequant.studies.unsupervised import steps
from spikequant.training import Decolle, Event, Loader, Stdp, Training, assign, learn, learn_locally
from spikequant.training import train as training_events
from spikequant.training.decolle import blocks
from spikequant.training.stdp import parts

Rule = Training | Stdp | Decolle


def taught(network: Network, loader: Loader, rule: Rule) -> Iterator[Event]:
    """Train in place, one event at a time; neurons that learned by STDP are labelled by the same samples."""
    if isinstance(rule, Stdp):
        total = len(loader) * rule.epochs if isinstance(loader, Sized) else None
        yield from steps(learn(network, loader, rule), total)
        assign(network, loader)
    elif isinstance(rule, Decolle):
        yield from learn_locally(network, loader, rule)
    else:
        yield from training_events(network, loader, rule)


def own_rule(network: Network, epochs: int, lr: float, seed: int) -> Rule:
    """The rule by which a trained float network learns on; STDP takes no ``lr``, DECOLLE learns after a fifth of the steps.

    Raises:
        SpecError: a number is out of its range.
    """
    checked = Training(epochs=epochs, lr=lr, start="float", seed=seed)
    if network.wiring.of_kind("competing"):
        return Stdp(epochs=epochs, seed=seed)
    if network.wiring.of_kind("refraining"):
        return Decolle(epochs=epochs, lr=lr, seed=seed, settling=0, burn_in=network.wiring.time // 5)
    return checked


def refuse_other_rule(network: Network, rule: Rule | None) -> None:
    """Refuse a rule by which the network cannot learn, before anything is trained.

    Raises:
        SpecError: gradients, for neurons that compete.
        MismatchError: STDP or local losses, and the network is built otherwise.
    """
    if isinstance(rule, Stdp):
        parts(network)
    elif isinstance(rule, Decolle):
        blocks(network, rule.seed)
    elif rule is not None and network.wiring.of_kind("competing"):
        raise SpecError(f"training: {network.wiring.name} learns by STDP, not by gradients; pass spikequant.training.Stdp, not Training")
