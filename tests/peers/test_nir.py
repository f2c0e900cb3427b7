"""What snnTorch, SpikingJelly and Norse make of our NIR graphs: the spikes that we say they make."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from spikequant.deploy import Program
from spikequant.deploy.machine import encode
from spikequant.deploy.nir import READERS, write_nir
from spikequant.deploy.nir.measuring import shown
from spikequant.deploy.nir.view import viewed
from spikequant.deploy.operations import Conv2d, Dense, Flatten, Leak, Lif, SumPool, Synapse
from spikequant.deploy.program import Header, Source

nir = pytest.importorskip("nir")
STEPS, IMAGES = 10, 4


def made(synapse: Synapse | None = None) -> Program:
    """conv - lif - sum-pool - flatten - dense - lif with resets to zero, 10 steps; with a synapse, currents before both neurons."""
    leak = {"synapse": synapse, "state_bits": 8, "leak": Leak(kind="multiply_shift", multiplier=192, shift=8), "reset": "value"}
    operations = (
        Conv2d(name="conv", inputs=("input",), bits=4, channels=3, kernel=(3, 3), padding=(1, 1)),
        Lif(name="lif1", inputs=("conv",), **leak),
        SumPool(name="pool", inputs=("lif1",), size=(2, 2), stride=(2, 2)),
        Flatten(name="flat", inputs=("pool",)),
        Dense(name="dense", inputs=("flat",), bits=4, features=5),
        Lif(name="lif2", inputs=("dense",), **leak),
    )
    draw = np.random.default_rng(1)
    tensors = {
        "conv.weight": draw.integers(-7, 8, (3, 2, 3, 3)), "conv.bias": draw.integers(-3, 4, 3), "lif1.threshold": np.array([11, 17, 23]),
        "dense.weight": draw.integers(-7, 8, (5, 27)), "dense.bias": np.arange(5), "lif2.threshold": np.arange(21, 31, 2),
    }  # fmt: skip
    return Program(Header(name="peers", time=STEPS, source=Source(shape=(2, 6, 6), still=False), operations=operations), tensors)


def snntorch_reads(graph: Any) -> nn.Module:
    from snntorch.import_nir import import_from_nir

    return import_from_nir(graph)


def spikingjelly_reads(graph: Any) -> nn.Module:
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    return import_from_nir(graph)


def norse_reads(graph: Any) -> nn.Module:
    from norse.torch.utils.import_nir import from_nir

    with warnings.catch_warnings():  # of nirtorch, which Norse calls by an old name
        warnings.simplefilter("ignore")
        return from_nir(graph, dt=READERS["norse"].dt)


READS: dict[str, Callable[[Any], nn.Module]] = {"norse": norse_reads, "snntorch": snntorch_reads, "spikingjelly": spikingjelly_reads}


def heard(module: nn.Module, codes: Tensor, batched: bool) -> dict[str, list[Tensor]]:
    """The spikes of both layers, step by step, of one image ``[time, ...]``; flattening takes no batch but in SpikingJelly."""
    spikes: dict[str, list[Tensor]] = {"lif1": [], "lif2": []}
    for name, layer in module.named_modules():
        if name in spikes:
            layer.register_forward_hook(lambda _, __, out, name=name: spikes[name].append(out[0] if isinstance(out, tuple) else out))
    state = None
    with torch.no_grad():
        for x in codes:
            _, state = module(x.unsqueeze(0) if batched else x, state)
    return {
        name: torch.stack([each.reshape(each.shape[-3:] if name == "lif1" else -1) for each in found]) for name, found in spikes.items()
    }


SYNAPSE = Synapse(bits=12, leak=Leak(kind="multiply_shift", multiplier=96, shift=8))


@pytest.mark.parametrize(
    ("reader", "program"), [*((reader, made()) for reader in sorted(READERS)), ("norse", made(SYNAPSE)), ("snntorch", made(SYNAPSE))]
)
def test_the_reader_makes_the_spikes_that_the_view_says(reader: str, program: Program, tmp_path, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(reader)
    images = np.random.default_rng(2).integers(0, 2, (STEPS, IMAGES, 2, 6, 6))
    written = write_nir(program, tmp_path / "net.nir", images, reader)
    assert written.spikes - written.different > 0
    how = READERS[reader]
    expected = shown(program, viewed(program, how), how, images)
    codes = torch.from_numpy(encode(program, images)).float()
    for image in range(IMAGES):
        found = heard(READS[reader](nir.read(tmp_path / "net.nir")), codes[:, image], reader == "spikingjelly")
        for name, spikes in found.items():
            assert spikes.sum() > 0
            assert torch.equal(spikes, expected[name][:, image]), (name, image)


def test_spikes_that_each_reader_gets_wrong(tmp_path) -> None:
    program = made()
    images = np.random.default_rng(2).integers(0, 2, (STEPS, 64, 2, 6, 6))
    wrong = {reader: write_nir(program, tmp_path / reader, images, reader) for reader in READERS}
    assert {each.spikes for each in wrong.values()} == {STEPS * 64 * (3 * 36 + 5)}
    print({reader: each.different / each.spikes for reader, each in wrong.items()})
    assert all(0 < each.different < 0.1 * each.spikes for each in wrong.values())
