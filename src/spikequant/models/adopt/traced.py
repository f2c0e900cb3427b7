"""A foreign network as a list of calls: its forward is traced once, every known layer being one call."""

import operator
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import fx, nn

from spikequant.errors import SpecError
from spikequant.models.adopt.described import STATELESS, refuse
from spikequant.neurons import library

GIVEN = "the input"  # no layer has a space in its name, and one may be called "input"
ADDITIONS = frozenset({operator.add, operator.iadd, torch.add, "add", "add_"})

OURS = ("spikequant.neurons.", "spikequant.models.network")
LEAVES = ("torch.nn", "norse.", "snntorch.", "spikingjelly.activation_based.layer", *OURS)

CHAINS = ("torch.", "norse.", "spikingjelly.")  # whose forwards of an nn.Sequential run one child after the other


class Call(NamedTuple):
    """One step of a forward: the layer, an addition or a flatten, and the calls whose values it takes."""

    name: str
    does: nn.Module | str
    inputs: tuple[str, ...]


def calls(network: nn.Module) -> list[Call]:
    """The calls of a network in order that its output follows from; the last one's value is its output, of several the first.

    Raises:
        SpecError: its forward does something that no wiring can say.
    """
    root = _Root(network)
    tracer = _Tracer()
    try:
        graph = tracer.trace(root)
    except SpecError:
        raise
    except Exception as error:  # whatever the user's forward does with a proxy
        raise refuse(
            "the network", type(network).__name__, f"its forward cannot be traced: {error}; give its layers as nn.Sequential"
        ) from error
    return _read(graph, root)


class _Root(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Any) -> Any:
        return self.network(x)


class _Tracer(fx.Tracer):
    """Follows containers child by child, so that states that they hand on need no proxies."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return library(m) is not None or isinstance(m, tuple(STATELESS)) or type(m).__module__.startswith(LEAVES)

    def call_module(self, m: nn.Module, forward: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        inner = getattr(m, "lifted_module", None)  # Norse's Lift
        if inner is not None:
            return inner(args[0])
        if isinstance(m, nn.Sequential) and type(m).forward.__module__.startswith(CHAINS):
            value = args[0]
            for child in m.children():
                value = child(value)
                value = value[0] if isinstance(value, tuple) else value
            return value
        return super().call_module(m, forward, args, kwargs)


def _read(graph: fx.Graph, root: nn.Module) -> list[Call]:
    found, stands_for = list[Call](), dict[str, str]()
    output = _first(graph.output_node().args[0])
    asked = leading_to(getattr(output, "name", ""), {node.name: [each.name for each in node.all_input_nodes] for node in graph.nodes})
    for node in graph.nodes:
        if node.op == "placeholder":
            stands_for[node.name] = GIVEN
        elif node.op == "call_method" and node.name not in asked and str(node.target).endswith("_"):
            raise refuse(node.name, str(node.target), "it changes a value in place and is not read; write x = x + y")
        elif node.name not in asked:
            continue  # a state or a second output, which nobody reads
        elif node.op == "get_attr":
            reason = "the forward reads this tensor itself, a state perhaps; give one step of the network, as with init_hidden=True"
            raise refuse(str(node.target).removeprefix("network."), "tensor", reason)
        elif node.op == "call_module":
            module = root.get_submodule(str(node.target))
            name = str(node.target).removeprefix("network.").removeprefix("network") or type(module).__name__
            if any(call.name == name for call in found):
                raise refuse(
                    name, type(module).__name__, "it is called more than once, a loop over time perhaps; give one step of the network"
                )
            found.append(Call(name, module, (_source(node.args[0], stands_for, name),)))
            stands_for[node.name] = name
        elif node.target is operator.getitem and node.args[1] == 0 and node.args[0].name in stands_for:
            stands_for[node.name] = stands_for[node.args[0].name]
        else:
            does, sources = _operation(node)
            found.append(Call(node.name, does, tuple(_source(each, stands_for, node.name) for each in sources)))
            stands_for[node.name] = node.name
    _source(output, stands_for, "the output")
    return found


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, tuple | list) and value else value


def leading_to(last: str, sources: Mapping[str, Iterable[str]]) -> set[str]:
    """The last and all that its value follows from.

    >>> sorted(leading_to("c", {"b": ["a"], "c": ["b"], "d": ["b"]}))
    ['a', 'b', 'c']
    """
    found, left = set[str](), [last]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += sources.get(name, ())
    return found


def _operation(node: fx.Node) -> tuple[str, list[Any]]:
    if node.target in ADDITIONS and len(node.args) == 2 and not node.kwargs:
        return "add", list(node.args)
    if node.target in (torch.flatten, "flatten"):
        start, end = (*node.args[1:], *[0, -1][len(node.args) - 1 :])[:2]
        start, end = node.kwargs.get("start_dim", start), node.kwargs.get("end_dim", end)
        return f"flatten {start} {end}", [node.args[0]]
    raise refuse(node.name, str(getattr(node.target, "__name__", node.target)), "a wiring holds layers, plain additions and flattens only")


def _source(value: Any, stands_for: dict[str, str], place: str) -> str:
    if isinstance(value, fx.Node) and value.name in stands_for:
        return stands_for[value.name]
    raise refuse(place, "input", "it takes something else than the value of a layer before it")
