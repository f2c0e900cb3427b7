"""The nonlinearity of networks without membranes, with a place for its grid."""

from typing import Literal

from torch import Tensor, nn

from spikequant.errors import SpecError
from spikequant.quantizers import Quantizer


class Activation(nn.Module):
    """``relu``: ``max(x, 0)``; ``clip``: ``min(max(x, -1), 1)``. With a ``quantizer`` the answer is on its grid.

    Raises:
        SpecError: an unknown kind.

    >>> import torch
    >>> Activation("clip")(torch.tensor([-3.0, 0.5])).tolist()
    [-1.0, 0.5]
    """

    quantizer: Quantizer | None

    def __init__(self, shape: Literal["relu", "clip"] = "relu") -> None:
        super().__init__()
        if shape not in ("relu", "clip"):
            raise SpecError(f"an activation is 'relu' or 'clip', got {shape!r}")
        self.kind = shape
        self.quantizer = None

    def forward(self, x: Tensor) -> Tensor:
        """Element by element."""
        if self.quantizer is not None:
            # The quantizer clips by itself; a binary one must see what lies beyond, to cut its gradient there.
            answer: Tensor = self.quantizer(x if self.kind == "clip" else x.relu())
            return answer
        return x.clamp(-1, 1) if self.kind == "clip" else x.relu()

    def extra_repr(self) -> str:
        """Shown when a model is printed."""
        return self.kind


def activations(model: nn.Module) -> dict[str, Activation]:
    """The activations of a network, by name, in order.

    >>> list(activations(nn.Sequential(nn.Linear(1, 1), Activation())))
    ['1']
    """
    return {name: module for name, module in model.named_modules() if isinstance(module, Activation)}
