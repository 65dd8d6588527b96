"""Scales of a chart's axes: where a value lies, and which round values are written beside it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LOG_RATIO = 8.0
"""Positive values whose largest is so many times their smallest are drawn on a logarithmic scale."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """From values to places between 0 and 1."""

    low: float
    high: float
    log: bool = False
    ticks: tuple[tuple[float, str], ...] = ()
    """Value and what is written there."""

    def place(self, value: float) -> float:
        """Return where a value lies: 0 at the low end, 1 at the high one."""
        low, high, value = (math.log(max(x, 1e-300)) if self.log else x for x in (self.low, self.high, value))
        return 0.5 if high <= low else (value - low) / (high - low)


def linear(
    values: Iterable[float], *, zero: bool = False, whole: bool = False, count: int = 5, least: float = 0.0
) -> Scale:
    """Return a linear scale that holds all values, with room around them.

    Args:
        values: finite numbers; none give 0 to 1.
        zero: begin at 0.
        whole: ticks at whole numbers only, and no room around.
        count: ticks, about.
        least: it spans so much, so that a difference of no account does not look like one.
    """
    found = list(values) or [0.0, 1.0]
    low, high = min(found), max(found)
    if zero:
        low = min(low, 0.0)
    if low == high:
        reach = 1.0 if whole else abs(low) * 0.05 or 0.5
        low, high = (low if zero else low - reach), high + reach
    else:
        room = (0.03 if whole else 0.04) * (high - low)
        low, high = (low if zero else low - room), high + room
    if (missing := least - (high - low)) > 0:
        # Not below 0, where no value is.
        low = min(low, max(low - missing / 2, 0.0))
        high = low + least
    step = _step(high - low, count)
    if whole:
        step = max(1.0, step)
    first = math.ceil(low / step - 1e-9)
    ticks = tuple((k * step, tick_text(k * step, step)) for k in range(first, math.floor(high / step + 1e-9) + 1))
    return Scale(low=low, high=high, ticks=ticks)


def logarithmic(values: Iterable[float], *, count: int = 5) -> Scale:
    """Return a logarithmic scale that holds all values, which are positive."""
    found = list(values) or [1.0, 10.0]
    low, high = min(found), max(found)
    room = (high / low) ** 0.04 if high > low else 1.3
    low, high = low / room, high * room
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        ticks = [(digit * 10.0**power) for power in decades for digit in digits if low <= digit * 10.0**power <= high]
        if len(ticks) <= count + 1:
            break
    every = max(1, math.ceil(len(ticks) / (count + 1)))
    if len(ticks) < 2:
        ticks = [low * room, high / room] if high / low > room**2.1 else [low * room]
    return Scale(low=low, high=high, log=True, ticks=tuple((tick, plain(tick)) for tick in ticks[::every]))


def at_values(values: Sequence[float], *, log: bool) -> Scale:
    """Return a scale whose ticks are the values themselves, for a parameter with a few of them."""
    scale = logarithmic(values) if log else linear(values)
    low, high = min(values), max(values)
    ends = (
        (low * (low / high) ** 0.12, high * (high / low) ** 0.12)
        if log
        else (scale.low - 0.08 * (high - low), scale.high + 0.08 * (high - low))
    )
    return Scale(low=ends[0], high=ends[1], log=log, ticks=tuple((v, plain(v)) for v in sorted(set(values))))


def categories(names: Sequence[str]) -> Scale:
    """Return a scale of names: the first lies at 0, the next at 1, with half a step of room at both ends."""
    return Scale(low=-0.5, high=len(names) - 0.5, ticks=tuple((float(k), name) for k, name in enumerate(names)))


def is_logarithmic(values: Sequence[float]) -> bool:
    """Return whether values are so far apart that a linear scale would press most of them together."""
    return min(values, default=0.0) > 0 and max(values) / min(values) >= LOG_RATIO


def time_unit(seconds: float) -> tuple[float, str]:
    """Return the seconds of the unit that an axis of so many seconds is written in, and its name."""
    return next(
        ((s, name) for s, name in ((1.0, "seconds"), (60.0, "minutes")) if seconds < 180 * s), (3600.0, "hours")
    )


def plain(value: float) -> str:
    """Return a value in four digits, without an exponent where it is of a common size: `0.0129`, `45,000`."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.4g}"


def tick_text(value: float, step: float) -> str:
    """Return a tick's value with as many decimals as its step has."""
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value + 0.0:,.{decimals}f}" if abs(value) < 1e6 else f"{value:.3g}"


def _step(reach: float, count: int) -> float:
    rough = reach / max(count, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    return next((factor * power for factor in (1, 2, 5) if factor * power >= rough * 0.999), 10 * power)
