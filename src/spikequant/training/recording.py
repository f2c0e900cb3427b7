"""The forward and backward of a step as one CUDA graph: recorded once an epoch, replayed for every whole batch after."""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from spikequant.models import Network
from spikequant.training import parallel

Compute = Callable[[Tensor, Tensor], Tensor]
"""From a batch ``(x, y)`` to its loss, without looking at a value."""

WARM = 3  # steps that run as they are before the first recording: libraries choose their kernels in them


class Recording:
    """Replays the step of one network, where it can be recorded; else it runs as it is, with the same result.

    What is recorded reads weights, masks and buffers from where they lie, so it holds for as long as they are changed in place.
    A step that looks at a value, as one with stochastic rounding does, cannot be recorded: that shows at the first attempt.
    """

    def __init__(self, model: nn.Module, wanted: bool) -> None:
        """``wanted``: nothing outside the network takes part in its steps."""
        device = next(model.parameters()).device
        self.possible = wanted and isinstance(model, Network) and device.type == "cuda" and parallel.size() == 1
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.steps = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.x = self.y = self.loss = torch.empty(0)
        self.gradients: list[Tensor | None] = []

    def forget(self) -> None:
        """Record anew at the next step: what follows a schedule may have moved."""
        self.graph = None

    def loss_of(self, x: Tensor, y: Tensor, compute: Compute) -> Tensor:
        """The loss of a batch; the gradients lie with the parameters afterwards."""
        self.steps += 1
        if self.possible and self.steps > WARM and self.graph is None:
            self._record(x, y, compute)
        if self.graph is None or x.shape != self.x.shape:
            for parameter in self.parameters:
                parameter.grad = None
            loss = compute(x, y)
            if loss.requires_grad:  # not where all that could learn is frozen
                loss.backward()  # type: ignore[no-untyped-call]
            return loss.detach()
        self.x.copy_(x)
        self.y.copy_(y)
        self.graph.replay()
        for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
            parameter.grad = gradient
        return self.loss

    def _record(self, x: Tensor, y: Tensor, compute: Compute) -> None:
        self.x, self.y, graph = x.clone(), y.clone(), torch.cuda.CUDAGraph()
        for parameter in self.parameters:
            parameter.grad = None
        generator = torch.cuda.default_generators[x.device.index]
        untouched = generator.clone_state()
        try:
            with torch.cuda.graph(graph):
                loss = compute(self.x, self.y)
                if loss.requires_grad:
                    loss.backward()  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            generator.graphsafe_set_state(untouched)  # its own state still believes that a graph records, and would refuse every draw
            self.possible = False
            warnings.warn(f"steps are not recorded as a CUDA graph, and take longer: {error}", stacklevel=2)
            return
        self.graph, self.loss = graph, loss.detach()
        self.gradients = [parameter.grad for parameter in self.parameters]
