"""How often the neurons of a layer fired in one pass of the model, with the gradient."""

from collections.abc import Callable

from torch import Tensor


class Heard:
    """A listener for ``tap`` that keeps a rate of every layer: ``rate_of`` the spikes ``[time, batch, channel, *space]`` of each call.

    >>> import torch
    >>> heard = Heard(lambda spikes: spikes.mean())
    >>> heard("lif", torch.ones(1, 2, 3)), heard("lif", torch.zeros(3, 2, 3)), heard.rates
    (None, None, {'lif': tensor(0.2500)})
    """

    def __init__(self, rate_of: Callable[[Tensor], Tensor]) -> None:
        self.rate_of = rate_of
        self._calls: dict[str, list[tuple[Tensor, int]]] = {}

    def __call__(self, name: str, spikes: Tensor) -> None:
        """Hear one call of a layer."""
        self._calls.setdefault(name, []).append((self.rate_of(spikes.float()), len(spikes)))

    @property
    def rates(self) -> dict[str, Tensor]:
        """By layer, over all steps: a loop over time may call a neuron once a step."""
        return {name: _mean(calls) for name, calls in self._calls.items()}


def _mean(calls: list[tuple[Tensor, int]]) -> Tensor:
    if len(calls) == 1:
        return calls[0][0]
    total: Tensor = sum(rate * steps for rate, steps in calls) / sum(steps for _, steps in calls)  # type: ignore[assignment]
    return total
