"""Replays of variants of a search under many seeds, and what each variant found at what cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sweeps.simulation.curves import Curves
from sweeps.simulation.replayed import Incumbent, Replayed, replay_search
from sweeps.stopping.rule import StoppingRule

RESAMPLES = 2_000
"""Bootstrap samples of an interval."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """The settings of a replayed search."""

    method: str
    rule: StoppingRule
    run_cap: int
    slots: int
    budget: float | None = None
    """Simulated seconds after which the best configuration is complete; None for no limit."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The mean difference of the true value to another variant under the same seeds."""

    mean: float
    low: float
    """End of the 95 % interval (paired bootstrap over the seeds)."""
    high: float


@dataclass(frozen=True, kw_only=True)
class VariantResult:
    """The replays of one variant, one per seed."""

    variant: Variant
    replays: tuple[Replayed, ...]
    best: float
    """The best true value of all recorded configurations."""

    @cached_property
    def true_values(self) -> list[float]:
        """True value of the configuration handed over under each seed; NaN if no trial was complete."""
        return [math.nan if each is None else each.true_value for each in self._handed_over]

    @property
    def _handed_over(self) -> list[Incumbent | None]:
        return [replay.handed_over for replay in self.replays]

    @property
    def value(self) -> float:
        """Interquartile mean of the true values; NaN if no replay had a complete trial."""
        return interquartile_mean(self.true_values)

    @property
    def quartiles(self) -> tuple[float, float]:
        """First and third quartile of the true values."""
        found = [value for value in self.true_values if math.isfinite(value)]
        if not found:
            return math.nan, math.nan
        low, high = np.quantile(found, (0.25, 0.75))
        return float(low), float(high)

    @property
    def optimism(self) -> float:
        """Mean of observed minus true value of what was handed over."""
        found = [each.observed - each.true_value for each in self._handed_over if each is not None]
        return math.fsum(found) / len(found) if found else math.nan

    @property
    def found_best(self) -> float:
        """Share of the seeds that handed over the best recorded configuration."""
        return sum(value == self.best for value in self.true_values) / len(self.replays)

    @property
    def trials(self) -> float:
        """Mean number of trials."""
        return math.fsum(each.trials for each in self.replays) / len(self.replays)

    @property
    def epochs(self) -> float:
        """Mean number of epochs trained in all trials of a search."""
        return math.fsum(each.epochs for each in self.replays) / len(self.replays)

    @property
    def seconds(self) -> float:
        """Mean simulated seconds of a search."""
        return math.fsum(each.seconds for each in self.replays) / len(self.replays)

    @property
    def busy(self) -> float:
        """Mean share of the slots' time in which they trained."""
        return math.fsum(each.busy for each in self.replays) / len(self.replays)

    @property
    def hypervolume(self) -> float | None:
        """Mean share of the front's hypervolume that a search found; None for a search with one objective."""
        found = [each.hypervolume for each in self.replays if each.hypervolume is not None]
        return math.fsum(found) / len(found) if found else None

    def minus(self, other: VariantResult) -> Difference | None:
        """Return the difference of the true values to another variant; None without two common seeds."""
        pairs = zip(self.true_values, other.true_values, strict=True)
        found = np.array([ours - theirs for ours, theirs in pairs if math.isfinite(ours - theirs)])
        if len(found) < 2:
            return None
        draws = np.random.default_rng(0).integers(len(found), size=(RESAMPLES, len(found)))
        low, high = np.quantile(found[draws].mean(axis=1), (0.025, 0.975))
        return Difference(mean=float(found.mean()), low=float(low), high=float(high))


def interquartile_mean(values: Sequence[float]) -> float:
    """Return the mean of the middle half of the finite values, the ends weighted by their share; NaN without any."""
    found = np.sort([value for value in values if math.isfinite(value)])
    if not len(found):
        return math.nan
    ranks = np.arange(len(found))
    first, last = len(found) / 4, 3 * len(found) / 4
    weights = np.clip(np.minimum(ranks + 1, last) - np.maximum(ranks, first), 0, 1)
    return float(np.average(found, weights=weights))


def replay_variants(
    curves: Curves,
    variants: Sequence[Variant],
    *,
    seeds: int,
    on_replay: Callable[[], None] = lambda: None,
) -> list[VariantResult]:
    """Replay each variant under the seeds 0, 1, 2, …

    Args:
        curves: The recorded curves.
        variants: Settings to replay.
        seeds: Number of seeds.
        on_replay: Called after each replay.
    """
    epochs = max(len(curves[index].epochs) for index in range(len(curves)))
    results = []
    for variant in variants:
        replays = []
        for seed in range(seeds):
            replays.append(
                replay_search(
                    curves,
                    method=variant.method,
                    rule=variant.rule,
                    epochs=epochs,
                    run_cap=variant.run_cap,
                    slots=variant.slots,
                    budget=variant.budget,
                    seed=seed,
                )
            )
            on_replay()
        results.append(VariantResult(variant=variant, replays=tuple(replays), best=curves.best))
    return results
