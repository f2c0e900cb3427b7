"""Whether values are sound, where they can be looked at."""

import torch
from torch import Tensor


def recording() -> bool:
    """Whether a CUDA graph records what is computed: then no value is there to be looked at, and whoever replays it looks afterwards."""
    return torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing()  # type: ignore[no-untyped-call]


def has_nan(x: Tensor) -> bool:
    """Whether a value is NaN.

    >>> has_nan(torch.tensor([0.0, float("nan")])), has_nan(torch.tensor([0.0]))
    (True, False)
    """
    if recording() or not x.detach().sum().isnan():  # one NaN makes the sum one, which is found ten times as fast
        return False
    return bool(torch.isnan(x).any())  # infinities of both signs have a sum that is NaN, too


def holds(condition: Tensor) -> bool:
    """Whether a condition is met everywhere, as far as it can be looked at.

    >>> holds(torch.tensor([True, False])), holds(torch.tensor(True))
    (False, True)
    """
    return recording() or bool(condition.all())
