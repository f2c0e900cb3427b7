"""Doubles of foreign neurons, known by their module's name as the real ones are: what the rooms' tests need where no peer is installed."""

from types import SimpleNamespace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn


def belongs(package: str) -> Any:
    """A class decorator: as if this package had defined it."""

    def move(kind: type) -> type:
        kind.__module__ = package
        return kind

    return move


@belongs("snntorch._neurons.neurons")
class SpikingNeuron(nn.Module):
    instances: ClassVar[list[nn.Module]] = []


@belongs("snntorch._neurons.leaky")
class Leaky(SpikingNeuron):
    """Steps with the state inside, as with init_hidden."""

    def __init__(self, beta: float = 0.5, threshold: Any = 1.0, **options: Any) -> None:
        super().__init__()
        SpikingNeuron.instances.append(self)
        self.register_buffer("beta", torch.tensor(beta))
        self.register_buffer("threshold", torch.as_tensor(threshold))
        self.reset_mechanism, self.reset_delay, self.inhibition, self.graded_spikes_factor = "subtract", True, False, torch.tensor(1.0)
        self.state_quant, self.mem = options.pop("state_quant", False), torch.zeros(0)
        alpha = options.pop("alpha", 2.0)

        def atan(x: Tensor) -> Tensor:
            return (x > 0).float() * (alpha / alpha)

        self.spike_grad = atan
        self.spike_grad.__qualname__ = "atan.<locals>.inner"
        for name, value in options.items():
            setattr(self, name, value)

    def reset_mem(self) -> Tensor:
        self.mem = torch.zeros_like(self.mem)
        return self.mem

    def forward(self, x: Tensor) -> Tensor:
        mem = self.mem if self.mem.shape == x.shape else torch.zeros_like(x)
        mem = self.beta * mem + x - (mem > self.threshold) * self.threshold
        self.mem = self.state_quant(mem) if self.state_quant else mem
        return self.spike_grad(self.mem - self.threshold)


@belongs("spikingjelly.activation_based.base")
class MemoryModule(nn.Module):
    pass


@belongs("spikingjelly.activation_based.layer.misc")
class SynapseFilter(MemoryModule):
    """No neuron, but it too keeps what came before."""

    def __init__(self) -> None:
        super().__init__()
        self.current: Any = 0.0

    def reset(self) -> None:
        self.current = 0.0

    def forward(self, x: Tensor) -> Tensor:
        self.current = 0.5 * self.current + x
        return self.current  # type: ignore[no-any-return]


@belongs("spikingjelly.activation_based.neuron.base_node")
class BaseNode(MemoryModule):
    pass


@belongs("spikingjelly.activation_based.neuron.integrate_and_fire")
class IFNode(BaseNode):
    """Subtracts its threshold, in either step mode."""

    def __init__(self, v_threshold: float = 1.0, step_mode: str = "s", **options: Any) -> None:
        super().__init__()
        self.v_threshold, self.v_reset, self.v, self.step_mode, self.detach_reset = v_threshold, None, 0.0, step_mode, False
        self.surrogate_function = type("ATan", (), {"alpha": 2.0})()
        for name, value in options.items():
            setattr(self, name, value)

    def reset(self) -> None:
        self.v = 0.0

    def forward(self, x: Tensor) -> Tensor:
        spikes = []
        for step in x if self.step_mode == "m" else [x]:
            v = self.v + step
            spikes.append((v >= self.v_threshold).float())
            self.v = v - spikes[-1] * self.v_threshold
        return torch.stack(spikes) if self.step_mode == "m" else spikes[0]


@belongs("spikingjelly.activation_based.neuron.psn")
class PSN(nn.Module):
    """A neuron of no base that is known, with weights of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2, 2))

    def forward(self, x: Tensor) -> Tensor:
        return (x > 1).float()


@belongs("spikingjelly.activation_based.neuron.base_node")
class NonSpikingBaseNode(nn.Module):
    """A readout beside the neurons: it integrates and does not fire."""


@belongs("norse.torch.module.snn")
class SNNCell(nn.Module):
    def __init__(self, p: Any, dt: float = 0.001) -> None:
        super().__init__()
        self.p, self.dt = p, dt
        self.activation = lambda x, state, p, dt: (x, state)

    def forward(self, x: Tensor, state: Any = None) -> Any:
        return self.activation(x, state, self.p, self.dt)


@belongs("norse.torch.module.lif")
class LIFCell(SNNCell):
    """Of an LIF it has the parameters alone; its step is what a test hosts."""

    def __init__(self, **parameters: Any) -> None:
        held = {"tau_syn_inv": 200.0, "tau_mem_inv": 250.0, "v_leak": 0.0, "v_th": 1.0, "v_reset": 0.0, "method": "super", **parameters}
        super().__init__(
            SimpleNamespace(**{name: value if isinstance(value, str) else torch.tensor(value) for name, value in held.items()})
        )


@belongs("norse.torch.module.leaky_integrator")
class LICell(SNNCell):
    """It has no threshold: no spiking neuron."""

    def __init__(self) -> None:
        super().__init__(SimpleNamespace(tau_mem_inv=torch.tensor(100.0)))
