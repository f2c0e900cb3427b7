"""The wiring: a network as data, named nodes in topological order with their inputs."""

import keyword
from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, model_validator

from spikequant.errors import SpecError, nearest, unknown
from spikequant.quantizers import Spec

INPUT = "input"
KINDS = {
    "encode": 1,
    "conv2d": 1,
    "linear": 1,
    "batch_norm": 1,
    "max_pool": 1,
    "sum_pool": 1,
    "mean_pool": 1,
    "average_pool": 1,
    "flatten": 1,
    "dropout": 1,
    "activation": 1,
    "lif": 1,
    "synaptic": 1,
    "alpha": 1,
    "parametric_lif": 1,
    "trained_threshold": 1,
    "competing": 1,
    "traces": 1,
    "refraining": 1,
    "vote": 1,
    "add": 2,
}
NEURONS = frozenset({"lif", "synaptic", "alpha", "parametric_lif", "trained_threshold", "competing", "refraining"})
SCANS = NEURONS | {"traces"}
Args = dict[str, JsonValue]
Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


class Node(Spec):
    """One operation: its name, what it does, whose values it takes, and its arguments."""

    name: Identifier
    kind: str
    inputs: Annotated[tuple[str, ...], Field(strict=False)]
    args: Args = Field(default_factory=dict)


class Wiring(Spec):
    """A network as data. The last node's value, per time step, is the output; ``readout`` makes logits of it.

    ``time``: steps for which a still image is shown. ``input_shape``: one sample, without time and batch.
    ``readout``: ``count``, the sum over time (spike counts), ``mean``, or ``votes``, for how many steps each class is the first.
    """

    version: Literal[1] = 1
    name: str
    time: Annotated[int, Field(ge=1, le=100_000)]
    input_shape: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1, max_length=4, strict=False)]
    readout: Literal["count", "mean", "votes"]
    nodes: Annotated[tuple[Node, ...], Field(min_length=1, strict=False)]

    @model_validator(mode="after")
    def _is_topological(self) -> Self:
        known = [INPUT]
        for node in self.nodes:
            if node.kind not in KINDS:
                raise ValueError(unknown("kind of node", node.kind, KINDS, f"node {node.name!r}"))
            if len(node.inputs) != KINDS[node.kind]:
                raise ValueError(f"node {node.name!r}: {node.kind} takes {KINDS[node.kind]} inputs, got {len(node.inputs)}")
            if node.name in known or keyword.iskeyword(node.name):
                raise ValueError(f"node {node.name!r}: the name is taken; choose another")
            for source in node.inputs:
                if source not in known:
                    raise ValueError(f"node {node.name!r}: its input {source!r} is no earlier node{nearest(source, known)}")
            known.append(node.name)
        return self

    def of_kind(self, *kinds: str) -> list[Node]:
        """The nodes of these kinds, in order."""
        return [node for node in self.nodes if node.kind in kinds]


def chain(*steps: tuple[str, str, Args]) -> tuple[Node, ...]:
    """Nodes in a row: ``(name, kind, args)`` each, the first fed by the network's input.

    >>> [node.inputs for node in chain(("a", "flatten", {}), ("b", "dropout", {"p": 0.1}))]
    [('input',), ('a',)]
    """
    sources = [INPUT, *(name for name, _, _ in steps)]
    return tuple(
        Node(name=name, kind=kind, inputs=(source,), args=args) for source, (name, kind, args) in zip(sources, steps, strict=False)
    )


def firing_kind(usual: Args, own: Args | None) -> tuple[str, Args]:
    """Kind and arguments of a model's neurons: the usual LIF with what is its ``own``, or, named by ``own["neuron"]``, another kind alone.

    Raises:
        SpecError: ``own`` holds no arguments.

    >>> firing_kind({"tau": 2.0}, {"threshold": 0.5})
    ('lif', {'tau': 2.0, 'threshold': 0.5})
    >>> firing_kind({"tau": 2.0}, {"decay": 0.9})  # a LIF has one of them
    ('lif', {'decay': 0.9})
    >>> firing_kind({"tau": 2.0}, {"neuron": "activation", "shape": "clip"})
    ('activation', {'shape': 'clip'})
    """
    if own is not None and not isinstance(own, dict):
        raise SpecError(f"lif must hold arguments of the neurons, such as {{'tau': 2.0}}, got {own!r}")
    args = dict(own or {})
    kind = str(args.pop("neuron", "lif"))
    if kind != "lif":
        return kind, args
    return kind, {name: value for name, value in usual.items() if name != "tau" or "decay" not in args} | args
