"""Which configurations of a search are worth confirming, and the runs that confirm them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sweeps.core.errors import SweepError
from sweeps.core.task import LAST_SEED
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.files.settings import Metric, Replicates
from sweeps.search.best import best_first, configuration_of
from sweeps.search.proposers import Candidate


def can_be_confirmed(record: TrialRecord) -> bool:
    """Return whether a trial says anything of its configuration's worth: it is complete, or was stopped early."""
    return bool(record.epochs) and record.outcome in (Outcome.COMPLETE, Outcome.PRUNED)


def candidates_to_confirm(records: Iterable[TrialRecord], *, metric: Metric, top: int) -> list[TrialRecord]:
    """Return a trial of each configuration of a search that may be the best, the most promising first.

    The best complete configuration leads (see `sweeps.search.best`). Stopped ones follow that were, at their last
    epoch, at least as good as it was at the same one: a pruner compares with the trials that came first. Then come
    the other complete ones in their order, and at last the other stopped ones, the furthest first. A configuration
    that was tried under several seeds is one: its first complete trial stands for it, else the one that came furthest.

    Args:
        records: of the search.
        metric: what it looked at.
        top: how many configurations to return at most.
    """
    sign = 1.0 if metric.goal == "maximize" else -1.0

    def value(record: TrialRecord, epoch: int) -> float:
        found: Any = record.epochs[epoch - 1].value(metric.name)
        return -float("inf") if found is None else sign * float(found)

    def last(record: TrialRecord) -> float:
        return value(record, len(record.epochs))

    usable = list(filter(can_be_confirmed, records))
    complete = best_first(usable, metric=metric.name, maximize=metric.goal == "maximize")
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

    promising = [record for record in stopped if leads(record)]
    others = [record for record in stopped if not leads(record)]
    return [best, *promising, *complete[1:], *others][:top]


def replicates_of(
    chosen: Sequence[TrialRecord], wanted: Replicates, *, looked_at: Iterable[int] = ()
) -> list[Candidate]:
    """Return the runs that confirm configurations: the same new seeds of each, after full runs of those stopped early.

    Args:
        chosen: trials of a search, one a configuration.
        wanted: how many seeds.
        looked_at: seeds that the search has trained with, or may yet: a new one is above them all.

    Raises:
        SweepError: the last one is larger than a seed can be.
    """
    last_known = max((*looked_at, *(record.config.seed for record in chosen)), default=0)
    if last_known + wanted.seeds > LAST_SEED:
        raise SweepError(f"seed {last_known + wanted.seeds} would be the last one: the largest there is is {LAST_SEED}")
    whole = [_candidate(record, seed=record.config.seed) for record in chosen if record.outcome is not Outcome.COMPLETE]
    # Seed by seed: what is there when somebody looks, or stops it, compares all configurations alike.
    new = [_candidate(record, seed=last_known + offset) for offset in range(1, wanted.seeds + 1) for record in chosen]
    return whole + new


def _candidate(record: TrialRecord, *, seed: int) -> Candidate:
    return Candidate(config=record.config.model_copy(update={"seed": seed}), replicate_of=record.trial)
