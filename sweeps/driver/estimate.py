"""Estimate the configurations and the cost of a sweep from timed train steps."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sweeps.core.task import Probe, TaskConfig
from sweeps.files.sweep import SweepSpec
from sweeps.search.draws import allowed_share
from sweeps.search.pausing import pausing_of_spec
from sweeps.search.proposers import proposer_of
from sweeps.search.warm_start import WARM_START, WarmStart
from sweeps.stopping.rule import StoppingRule

PREVIEW = 10
"""Number of first configurations to show. TPE draws as many at random before it uses results."""

MAX_LISTED = 1000
"""Largest number of combinations of a space to enumerate."""

PROBE_SECONDS = 20.0

START_SECONDS = 15.0
"""Seconds before the first trial trains: start Ray and torch, read the images, open the record."""
CONTENTION = 1.15
"""Slowdown factor of a slot while other slots work: they share memory and caches."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The estimated cost of a number of trials."""

    trials: int
    trial_epochs: float
    """Expected epochs of all trials with early stopping."""
    max_trial_epochs: int
    """Epochs of all trials without early stopping."""
    seconds: float
    """Seconds of the whole sweep on all slots."""
    full_run_seconds: float
    """Seconds of one complete run on one slot."""
    probed: int
    """Number of timed configurations."""


def preview(spec: SweepSpec, count: int = PREVIEW, *, warm_start: WarmStart | None = None) -> list[TaskConfig]:
    """Return the first configurations that the search will propose.

    Args:
        spec: The sweep.
        count: Largest number of configurations.
        warm_start: Configurations of other sweeps to try first.

    Raises:
        SweepError: the conditions of `where` allow no configuration.
    """
    import optuna

    if spec.space.conditions.known:
        allowed_share(spec.space, seed=spec.seed)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction=spec.metric.goal)
    if warm_start is not None:
        study.set_user_attr(WARM_START, warm_start.stored)
    proposer = proposer_of(spec)
    pausing = pausing_of_spec(spec, study)
    limit = min(filter(None, (count, spec.run_cap, pausing.first_points if pausing is not None else None)))
    configs: list[TaskConfig] = []
    seen: set[str] = set()
    for _ in range(3 * limit):
        chosen = None if pausing is None else pausing.first_point(len(configs))
        proposal = proposer.ask(study, repeats=0, chosen=chosen)
        if proposal is None or len(configs) == limit:
            break
        if proposal.config.config_id() not in seen:
            configs.append(proposal.config)
            seen.add(proposal.config.config_id())
    return configs


def is_listed(spec: SweepSpec) -> bool:
    """Return whether `some_combinations` returns all configurations of a search."""
    return spec.space.cardinality is not None and spec.space.cardinality <= MAX_LISTED


def some_combinations(spec: SweepSpec) -> list[TaskConfig]:
    """Return the configurations of a finite space, at most `MAX_LISTED`."""
    if spec.space.cardinality is None:
        return []
    listed = itertools.islice(spec.space.assignments(), MAX_LISTED)
    return [spec.space.config(assignment) for assignment in listed if spec.space.satisfies(assignment)]


def trial_count(spec: SweepSpec) -> int:
    """Return the number of trials of the sweep: `run_cap`, or the number of different runs if that is smaller.

    It is 0 if only the time budget limits it.
    """
    combinations = spec.space.cardinality
    if combinations is not None and combinations <= MAX_LISTED:
        # Combinations that only differ in unused fields are one run. Invalid ones are not run.
        combinations = len({(config.config_id(), config.seed) for config in some_combinations(spec)})
    bounds = [bound for bound in (spec.run_cap, combinations) if bound is not None]
    return min(bounds, default=0)


def expected_epochs(configs: Sequence[TaskConfig], *, trials: int, early: StoppingRule) -> tuple[float, int]:
    """Return the epochs of `trials` trials like `configs`: expected with early stopping, and without it.

    Both are 0 if a program decides on its number of epochs.
    """
    full = sum(config.epochs for config in configs)
    kept = sum(early.expected_epochs(config.epochs) for config in configs) if full else 0
    return kept / len(configs) * trials, round(full / len(configs) * trials)


def estimate_cost(
    configs: Sequence[TaskConfig],
    *,
    trials: int,
    early: StoppingRule,
    slots: int,
    probe: Probe,
) -> Estimate:
    """Return the cost of `trials` trials like `configs`, from train steps that the probe times."""
    deadline = time.monotonic() + PROBE_SECONDS
    seconds = [probe.seconds(config) for config in configs if probe.is_timed(config) or time.monotonic() < deadline]
    expected, most = expected_epochs(configs, trials=trials, early=early)
    share = sum(early.expected_epochs(each.epochs) for each in configs) / sum(each.epochs for each in configs)
    each = sum(seconds) / len(seconds)
    total = makespan([each * share] * trials, slots=slots) if trials <= MAX_LISTED else each * share * trials / slots
    return Estimate(
        trials=trials,
        trial_epochs=expected,
        max_trial_epochs=most,
        seconds=START_SECONDS + total * contention(slots),
        full_run_seconds=each * contention(slots),
        probed=probe.timed,
    )


RESERVED_SEEDS = 3
"""Seeds of each configuration of a race for which time is kept free at the end of a time budget."""


@dataclass(frozen=True, kw_only=True)
class BudgetEstimate:
    """How a time budget is expected to be spent, in seconds."""

    search: float
    """0 if the budget is too short for one complete trial and its replicates."""
    confirm: float
    """The rest of the best trial, and the replicates."""
    trials: int
    """Trials that the search begins."""


def estimate_budget(spec: SweepSpec, cost: Estimate, *, slots: int) -> BudgetEstimate:
    """Return how the time budget of a sweep is spent.

    Args:
        spec: A sweep with a budget.
        cost: The cost of at least one trial.
        slots: Number of slots.
    """
    assert spec.budget is not None
    again = 0 if spec.replicates is None else spec.replicates.top * spec.replicates.seeds
    if spec.confirm is not None:
        again = spec.confirm.top * RESERVED_SEEDS
    confirm = makespan([cost.full_run_seconds] * (1 + again), slots=slots)
    search = max(0.0, spec.budget - START_SECONDS - confirm)
    each = cost.full_run_seconds * cost.trial_epochs / cost.max_trial_epochs
    return BudgetEstimate(search=search, confirm=confirm, trials=max(1, int(search * slots / each)))


def makespan(seconds: Sequence[float], *, slots: int) -> float:
    """Return the total time of runs that start longest first, each on the first free slot."""
    ends = [0.0] * slots
    for each in sorted(seconds, reverse=True):
        heapq.heapreplace(ends, ends[0] + each)
    return max(ends)


def contention(slots: int) -> float:
    """Return the slowdown factor of each slot if `slots` slots work concurrently."""
    return CONTENTION if slots > 1 else 1.0


def total_seconds(runs: Sequence[float], *, slots: int) -> float:
    """Return the total time of a sweep, including its start.

    Args:
        runs: seconds of each run on a slot alone.
        slots: number of slots.
    """
    return START_SECONDS + makespan(runs, slots=slots) * contention(slots)
