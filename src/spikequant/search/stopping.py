"""When a candidate is hopeless: a test that may be read after every batch."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikequant.errors import SpecError

STAKES = np.linspace(0.05, 0.5, 10)


class DropTest(NamedTuple):
    """Bets against "the drop over all ``samples`` is at most ``tolerance``"; read at any time, it errs with probability ``error``.

    Sample by sample the paired difference is ``d = float right - candidate right``, -1, 0 or 1, drawn without replacement. Were
    the claim true, the mean of what is left would be at most ``m = (samples * tolerance - sum of d so far) / what is left``; each
    stake's wealth is multiplied by ``1 + stake * (d - m) / 2``. The mean wealth is a supermartingale from 1, so by Ville's
    inequality it ever reaches ``1 / error`` with at most that probability.

    Source: Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting", section 5.
    """

    samples: int
    tolerance: float
    error: float
    seen: int = 0
    dropped: int = 0
    log_wealth: tuple[float, ...] = (0.0,) * len(STAKES)
    hopeless: bool = False

    @classmethod
    def of(cls, samples: int, tolerance: float, error: float = 0.01) -> "DropTest":
        """A test that has seen nothing.

        Raises:
            SpecError: no samples, a tolerance outside [-1, 1], or an error probability outside (0, 1).

        >>> DropTest.of(1000, 0.01).told([1] * 40).hopeless, DropTest.of(1000, 0.01).told([0] * 900).hopeless
        (True, False)
        """
        if samples < 1 or not -1 <= tolerance <= 1 or not 0 < error < 1:
            raise SpecError(
                f"a test of the drop takes 1 or more samples (got {samples}), -1 <= tolerance <= 1 ({tolerance}), 0 < error < 1 ({error})"
            )
        return cls(samples, tolerance, error)

    def told(self, differences: NDArray[np.int64] | list[int]) -> "DropTest":
        """The test after further paired differences.

        Raises:
            SpecError: more differences than samples are left.
        """
        if len(differences) > self.samples - self.seen:
            raise SpecError(f"{len(differences)} differences, but {self.samples - self.seen} of {self.samples} samples are left")
        wealth, seen, dropped, hopeless = np.array(self.log_wealth), self.seen, self.dropped, self.hopeless
        for difference in map(int, differences):
            mean = (self.samples * self.tolerance - dropped) / (self.samples - seen)
            # Below -1 the claim is impossible, whatever comes; above 1 nothing can be learned from this sample.
            hopeless = hopeless or mean < -1
            wealth += np.log1p(STAKES * (difference - float(np.clip(mean, -1, 1))) / 2)
            seen, dropped = seen + 1, dropped + difference
            average = float(np.logaddexp.reduce(wealth)) - math.log(len(STAKES))
            hopeless = hopeless or average >= -math.log(self.error)
        return self._replace(seen=seen, dropped=dropped, log_wealth=tuple(wealth.tolist()), hopeless=hopeless)
