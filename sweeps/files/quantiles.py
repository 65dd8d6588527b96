"""Quantiles of the distributions that Optuna does not have: normal, log-normal and beta."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

TAIL = 1e-9
"""Share of draws that is cut off at each end: a normal distribution ends at 6 standard deviations from its mean."""
_DIGITS = 12
"""Significant digits of a drawn value, so that a value and its quantile convert back and forth."""


@dataclass(frozen=True, kw_only=True)
class ContinuousDistribution:
    """A continuous distribution with two numbers: mean and standard deviation, or both exponents of a beta."""

    family: Literal["normal", "log_normal", "beta"]
    first: float
    second: float

    def value(self, share: float) -> float:
        """Return the value that a share of all draws, between 0 and 1, does not exceed.

        Raises:
            OverflowError: the value is too large for a number.
        """
        share = min(max(share, TAIL), 1 - TAIL)
        if self.family == "beta":
            from scipy.special import betaincinv

            return rounded(float(betaincinv(self.first, self.second, share)))
        normal = NormalDist(self.first, self.second).inv_cdf(share)
        return rounded(math.exp(normal) if self.family == "log_normal" else normal)

    def share(self, value: float) -> float:
        """Return the share of all draws below a value."""
        if self.family == "beta":
            from scipy.special import betainc

            found = float(betainc(self.first, self.second, min(max(value, 0.0), 1.0)))
        elif self.family == "log_normal":
            found = NormalDist(self.first, self.second).cdf(math.log(value)) if value > 0 else 0.0
        else:
            found = NormalDist(self.first, self.second).cdf(value)
        return min(max(found, TAIL), 1 - TAIL)


def rounded(number: float) -> float:
    """Return a number to 12 significant digits: 0.1 + 2 × 0.1 is 0.3."""
    return float(f"{number:.{_DIGITS}g}")


def multiple(number: float, step: float) -> int | float:
    """Return the multiple of a step that is nearest to a number, an integer if the step is one."""
    count = round(number / step)
    return count * step if isinstance(step, int) else rounded(count * step)
