"""The configurations of a search that are worth confirming, and the runs that confirm them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sweeps.core.errors import SweepError
from sweeps.core.task import LAST_SEED
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.files.settings import Metric, Replicates
from sweeps.search.best import best_first, configuration_of
from sweeps.search.front import front_of
from sweeps.search.proposers import Candidate


def can_be_confirmed(record: TrialRecord) -> bool:
    """Return whether a trial has a result to compare: it is complete, or was stopped early."""
    return bool(record.epochs) and record.outcome in (Outcome.COMPLETE, Outcome.PRUNED)


def candidates_to_confirm(records: Iterable[TrialRecord], *, metric: Metric, top: int) -> list[TrialRecord]:
    """Return one trial of each configuration that may be the best, the most promising first.

    1. The best complete configuration: by its expected value if a model of learning curves knows it, else by its
       metric (see `sweeps.search.best`).
    2. Pruned ones that were at least as good at their last epoch as the best was at that epoch. A pruner compares
       only with earlier trials, so it may have stopped a better one.
    3. The other complete ones, in their order.
    4. The other pruned ones, the most epochs first.

    In a search with several objectives the front comes first, the best metric first, then the other complete ones.

    A configuration with several seeds appears once: as its first complete trial, else as its longest one.

    Args:
        records: Trials of the search.
        metric: Metric of the search.
        top: Maximum number of configurations.
    """
    sign = 1.0 if metric.goal == "maximize" else -1.0

    def value(record: TrialRecord, epoch: int) -> float:
        found: Any = record.epochs[epoch - 1].value(metric.name)
        return -float("inf") if found is None else sign * float(found)

    def last(record: TrialRecord) -> float:
        return value(record, len(record.epochs))

    records = list(records)
    usable = list(filter(can_be_confirmed, records))
    complete = best_first(usable, metric=metric.name, maximize=metric.goal == "maximize")
    if all(record.expected_value is not None for record in complete):
        complete.sort(key=lambda record: -sign * (record.expected_value or 0.0))
    known = set(map(configuration_of, complete))
    stopped = []
    pruned = (record for record in usable if record.outcome is Outcome.PRUNED)
    for record in sorted(pruned, key=lambda r: (len(r.epochs), last(r)), reverse=True):
        if configuration_of(record) not in known:
            known.add(configuration_of(record))
            stopped.append(record)
    if not complete:
        return stopped[:top]
    best = complete[0]

    def leads(record: TrialRecord) -> bool:
        return last(record) >= value(best, len(record.epochs))

    on_front = front_of(records, metric=metric.name, maximize=metric.goal == "maximize")
    if on_front:
        ahead = [configuration_of(record) for record in on_front]
        rest = [record for record in (*complete, *stopped) if configuration_of(record) not in ahead]
        return [*on_front, *rest][:top]
    promising = [record for record in stopped if leads(record)]
    others = [record for record in stopped if not leads(record)]
    return [best, *promising, *complete[1:], *others][:top]


def replicates_of(
    chosen: Sequence[TrialRecord], settings: Replicates, *, used_seeds: Iterable[int] = ()
) -> list[Candidate]:
    """Return the runs that confirm configurations: first full runs of the pruned ones, then new seeds of all.

    Args:
        chosen: Trials of a search, one per configuration.
        settings: Number of new seeds.
        used_seeds: Seeds that the search has used or may use. New seeds are larger than all of them.

    Raises:
        SweepError: The last new seed would be larger than the largest seed.
    """
    last_used = max((*used_seeds, *(record.config.seed for record in chosen)), default=0)
    last_new = last_used + settings.seeds
    if last_new > LAST_SEED:
        raise SweepError(
            f"the replicates need seeds up to {last_new}, and the largest seed is {LAST_SEED}. "
            "Use smaller seeds in the sweep file, or fewer replicates."
        )
    full = [_candidate(record, seed=record.config.seed) for record in chosen if record.outcome is not Outcome.COMPLETE]
    # Seed by seed, so that an unfinished set of replicates has equally many seeds of each configuration.
    new = [_candidate(record, seed=last_used + offset) for offset in range(1, settings.seeds + 1) for record in chosen]
    return full + new


def _candidate(record: TrialRecord, *, seed: int) -> Candidate:
    return Candidate(config=record.config.model_copy(update={"seed": seed}), replicate_of=record.trial)
