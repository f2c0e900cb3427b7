"""STDP on 28x28 images: ours against the same equations as a plain torch loop, which is how BindsNET runs them.

BindsNET itself is not timed. Images are drawn: 19 % of the pixels lit, as in MNIST.
"""

import torch
from timing import Bench
from torch import Tensor

from spikequant.numerics import Competition, Learned, Plasticity, Shown, Stream, present

RATE = 0.128


def plain(chances: Tensor, weight: Tensor, c: Competition, p: Plasticity, steps: int) -> Tensor:
    """Spikes ``[image, neuron]``: dense tensors, one operation after another."""
    w, theta, counts = weight.clone(), torch.zeros(weight.shape[1]), []
    for chance in chances:
        v, left, fired = torch.full_like(theta, c.rest), torch.zeros_like(theta), torch.zeros_like(theta)
        pre, post, count = torch.zeros_like(chance), torch.zeros_like(theta), torch.zeros_like(theta)
        for _ in range(steps):
            arrived = (torch.rand_like(chance) < chance).float()
            theta = theta * c.theta_decay
            x = arrived @ w - c.inhibition * (fired.sum() - fired)
            v = c.decay * (v - c.rest) + c.rest + (left <= 0) * x
            crossed = v >= c.threshold + theta
            left, v = torch.where(crossed, float(c.refractory), left - 1), torch.where(crossed, c.reset, v)
            theta = theta + c.theta_plus * crossed
            fired = torch.zeros_like(theta)
            if crossed.any():
                fired[torch.multinomial(crossed.float(), 1)] = 1.0
            pre, post = torch.where(arrived > 0, 1.0, pre * p.trace_decay), torch.where(fired > 0, 1.0, post * p.trace_decay)
            w = w - p.pre * torch.outer(arrived, post) * (w - p.low)
            w = (w + p.post * torch.outer(pre, fired) * (p.high - w)).clamp(p.low, p.high)
            count = count + fired
        w = w * (p.total / w.sum(0))
        counts.append(count)
    return torch.stack(counts)


def main() -> None:
    """Run it."""
    bench = Bench("stdp", __doc__, images=10, neurons=400, steps=250)
    sizes = bench.options
    chances = RATE * torch.rand(sizes.images, 784) * (torch.rand(sizes.images, 784) < 0.19)
    weight = torch.rand(784, sizes.neurons)
    weight = weight * (78.4 / weight.sum(0))
    learned, c, p = Learned(weight, torch.zeros(sizes.neurons)), Competition(), Plasticity()

    def ours() -> Shown:
        return present(chances, learned, c, p, stream=Stream(sizes.steps))

    timed = bench.race({"ours": ours, "plain torch loop": lambda: plain(chances, weight, c, p, sizes.steps)}, chances)
    seconds = sorted(timed["ours"].seconds)[len(timed["ours"].seconds) // 2]
    spikes = float(ours().counts.sum(1).float().mean())
    note = f"{sizes.images} images, ours {sizes.images / seconds:.0f} a second, {spikes:.0f} spikes an image"
    bench.compare(timed, (f"STDP, {sizes.neurons} neurons", "ours", "plain torch loop"), "100", note)
    bench.finish()


if __name__ == "__main__":
    main()
