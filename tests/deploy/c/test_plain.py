from spikequant.deploy import Program
from spikequant.deploy.c.layout import plan
from spikequant.deploy.c.plain import PLAIN, loops


def test_loops_are_channels_last() -> None:
    assert loops(4, 2) == "for (int32_t p = 0; p < 4; p++) for (int32_t c = 0; c < 2; c++)"


def test_every_operation_without_synapses_and_neurons_is_there() -> None:
    assert set(PLAIN) == {"sum_pool", "or_pool", "add", "concat", "flatten", "delay", "inhibit", "winner"}


def test_windows_of_a_pool(residual: Program) -> None:
    op = next(op for op in residual.header.operations if op.name == "sums")
    text = PLAIN[op.kind](residual, op, plan(residual).buffers[op.name])
    assert "y < 4" in text
    assert "x0[((y * 2 + i) * 8 + s * 2 + j) * 2 + c]" in text
