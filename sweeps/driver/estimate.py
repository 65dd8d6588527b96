"""What a sweep would do and cost, from a measured probe, without starting it."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sweeps.core.task import Probe, TaskConfig
from sweeps.files.sweep import SweepSpec
from sweeps.search.proposers import proposer_of
from sweeps.stopping.rule import StoppingRule

PREVIEW = 10
"""First configurations shown. TPE draws as many at random before it looks at results, so these are what will run."""

LISTED = 1000
"""Combinations of a space that are looked at one by one."""

PROBE_SECONDS = 20.0

START_SECONDS = 15.0
"""Until the first trial trains: Ray and torch start, the images are read, the record is opened."""
CONTENTION = 1.15
"""Slowdown factor of a slot while other slots work: they share memory and caches."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a number of trials costs."""

    trials: int
    trial_epochs: float
    """Epochs over all trials, as the early stopping leaves them in the long run."""
    max_trial_epochs: int
    """The same if nothing is stopped early."""
    seconds: float
    """On all slots, from the start to the end."""
    full_run_seconds: float
    """Of one run that nothing stops, on one slot."""
    probed: int
    """Configurations that were timed."""


def preview(spec: SweepSpec, count: int = PREVIEW) -> list[TaskConfig]:
    """Return the first configurations that the search will propose, from a study in memory."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction=spec.metric.goal)
    proposer = proposer_of(spec)
    wanted = count if spec.run_cap is None else min(count, spec.run_cap)
    configs: list[TaskConfig] = []
    seen: set[str] = set()
    for _ in range(3 * wanted):
        proposal = proposer.ask(study, repeats=0)
        if proposal is None or len(configs) == wanted:
            break
        if proposal.config.config_id() not in seen:
            configs.append(proposal.config)
            seen.add(proposal.config.config_id())
    return configs


def is_listed(spec: SweepSpec) -> bool:
    """Return whether `some_combinations` are all that a search may propose."""
    return spec.space.cardinality is not None and spec.space.cardinality <= LISTED


def some_combinations(spec: SweepSpec) -> list[TaskConfig]:
    """Return the configurations of a finite space, a thousand at most: what could be proposed beyond the first few."""
    if spec.space.cardinality is None:
        return []
    listed = itertools.islice(spec.space.assignments(), LISTED)
    return [spec.space.config(assignment) for assignment in listed if spec.space.allows(assignment)]


def trial_count(spec: SweepSpec) -> int:
    """Return the trials the sweep ends with: `run_cap`, or fewer where the space has fewer different runs."""
    combinations = spec.space.cardinality
    if combinations is not None and combinations <= LISTED:
        # Of two combinations that differ in what is not used there, one is trained; an impossible one is not.
        combinations = len({(config.config_id(), config.seed) for config in some_combinations(spec)})
    bounds = [bound for bound in (spec.run_cap, combinations) if bound is not None]
    return min(bounds)


def estimate_cost(
    configs: Sequence[TaskConfig],
    *,
    trials: int,
    early: StoppingRule,
    slots: int,
    probe: Probe,
) -> Estimate:
    """Return what `trials` like these cost, from steps that the probe times, or has timed."""
    deadline = time.monotonic() + PROBE_SECONDS
    seconds = [probe.seconds(config) for config in configs if probe.is_timed(config) or time.monotonic() < deadline]
    full = [config.epochs for config in configs]
    kept = [early.expected_epochs(config.epochs) for config in configs]
    share = sum(kept) / sum(full)
    each = sum(seconds) / len(seconds)
    together = makespan([each * share] * trials, slots=slots) if trials <= LISTED else each * share * trials / slots
    return Estimate(
        trials=trials,
        trial_epochs=sum(kept) / len(kept) * trials,
        max_trial_epochs=round(sum(full) / len(full) * trials),
        seconds=START_SECONDS + together * contention(slots),
        full_run_seconds=each * contention(slots),
        probed=probe.timed,
    )


def makespan(seconds: Sequence[float], *, slots: int) -> float:
    """Return how long runs take together that begin longest first, each on the slot that is free first."""
    ends = [0.0] * slots
    for each in sorted(seconds, reverse=True):
        heapq.heapreplace(ends, ends[0] + each)
    return max(ends)


def contention(slots: int) -> float:
    """Return how many times longer work takes on each of so many slots than on one alone."""
    return CONTENTION if slots > 1 else 1.0


def total_seconds(runs: Sequence[float], *, slots: int) -> float:
    """Return how long runs take together from the start to the end, each given as what it takes on a slot alone."""
    return START_SECONDS + makespan(runs, slots=slots) * contention(slots)
