"""How far a state can go where events arrive one by one, as on chips that saturate after each of them."""

import numpy as np

from spikequant.deploy.arithmetic import Integers, leak
from spikequant.deploy.bounds import Range
from spikequant.deploy.operations import Add, Lif
from spikequant.deploy.program import INPUT, Program


def rails(op: Lif) -> Range:
    """What the state that takes the events can hold: the synaptic current where there is one, else the membrane."""
    half = 0 if op.synapse is None else 1 << (op.synapse.bits - 1)
    return Range(-half, half - 1) if half else Range(op.low, op.high)


def midway(program: Program, op: Lif) -> Range:
    """What that state can reach within a step, in whatever order its events come. Beyond the rails, the order would decide the result.

    The state is followed from rest as an interval per channel, over all steps or until it grows no more; of a plain neuron (no
    codebook, fired and reset at once).
    """
    how, ends, threshold = op.leak if op.synapse is None else op.synapse.leak, rails(op), program.tensors[f"{op.name}.threshold"]
    events, whole = _events(program, op.inputs[0]), program.reach(op.inputs[0])
    low = high = np.full_like(threshold, op.reset_value if op.reset == "value" and op.synapse is None else 0)
    reached = Range(0, 0)
    for _ in range(program.header.time):
        least, most = leak(low, how), leak(high, how)
        reached = Range(min(reached.low, int(least.min()) + events.low), max(reached.high, int(most.max()) + events.high))
        least, most = np.clip(least + whole.low, *ends), np.clip(most + whole.high, *ends)
        after = np.minimum(low, least), np.maximum(high, most if op.synapse is not None else _left(op, most, threshold))
        if np.array_equal(after, (low, high)):
            break
        low, high = after
    return reached


def _events(program: Program, name: str) -> Range:
    """What some of the events of a step can add up to."""
    op = next((op for op in program.header.operations if op.name == name), None)
    if isinstance(op, Add):
        parts = [_events(program, each) for each in op.inputs]
        return Range(sum(each.low for each in parts), sum(each.high for each in parts))
    reach = program.reach(INPUT) if op is None else program.proofs[name].widest
    return Range(min(reach.low, 0), max(reach.high, 0))


def _left(op: Lif, most: Integers, threshold: Integers) -> Integers:
    """The highest membrane after it fired, or did not."""
    silent = threshold - (op.compare == ">=")
    after = {"subtract": most - op.max_spikes * threshold, "value": np.full_like(most, op.reset_value), "none": most}[op.reset]
    return np.where(most > silent, np.maximum(silent, after), most)
