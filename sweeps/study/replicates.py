"""Which configurations of a search are worth confirming, and the runs that confirm them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from cifar_core.config import LAST_SEED
from sweeps.errors import SweepError
from sweeps.spec import Metric, Replicates
from sweeps.study.best import best_first
from sweeps.study.proposers import Candidate
from sweeps.trial_record import Outcome, TrialRecord


def can_be_confirmed(record: TrialRecord) -> bool:
    """Return whether a trial says anything of its configuration's worth: it is complete, or was stopped early."""
    return bool(record.epochs) and record.outcome in (Outcome.COMPLETE, Outcome.PRUNED)


def candidates_to_confirm(records: Iterable[TrialRecord], *, metric: Metric, top: int) -> list[TrialRecord]:
    """Return the trials of a search whose configurations may be the best, the most promising first.

    The best complete trial leads. Stopped ones follow that were, at their last epoch, at least as good as it was at
    the same one: a pruner compares with whoever happened to be there first. Then come the other complete trials by
    their value, and at last the other stopped ones, the furthest first.

    Args:
        records: of the search.
        metric: what it looked at.
        top: how many to return at most.
    """
    sign = 1.0 if metric.goal == "maximize" else -1.0

    def value(record: TrialRecord, epoch: int) -> float:
        found: Any = getattr(record.epochs[epoch - 1], metric.name)
        return -float("inf") if found is None else sign * float(found)

    def last(record: TrialRecord) -> float:
        return value(record, len(record.epochs))

    usable = list(filter(can_be_confirmed, records))
    complete = best_first(usable, metric=metric.name, maximize=metric.goal == "maximize")
    stopped = sorted(
        (r for r in usable if r.outcome is Outcome.PRUNED), key=lambda r: (len(r.epochs), last(r)), reverse=True
    )
    if not complete:
        return stopped[:top]
    best = complete[0]

    def leads(record: TrialRecord) -> bool:
        return last(record) >= value(best, len(record.epochs))

    promising = [record for record in stopped if leads(record)]
    others = [record for record in stopped if not leads(record)]
    return [best, *promising, *complete[1:], *others][:top]


def replicates_of(chosen: Sequence[TrialRecord], wanted: Replicates) -> list[Candidate]:
    """Return the runs that confirm configurations: of each the same new seeds, and what was stopped early whole first.

    Args:
        chosen: trials of a search.
        wanted: how many seeds.

    Raises:
        SweepError: the last one is larger than a seed can be.
    """
    last_seed = max((record.config.seed for record in chosen), default=0) + wanted.seeds
    if last_seed > LAST_SEED:
        raise SweepError(f"seed {last_seed} would be the last one: the largest there is is {LAST_SEED}")
    whole = [_candidate(record, seed=record.config.seed) for record in chosen if record.outcome is not Outcome.COMPLETE]
    # Seed by seed: what is there when somebody looks, or stops it, compares all configurations alike.
    new = [
        _candidate(record, seed=record.config.seed + offset)
        for offset in range(1, wanted.seeds + 1)
        for record in chosen
    ]
    return whole + new


def _candidate(record: TrialRecord, *, seed: int) -> Candidate:
    return Candidate(config=record.config.model_copy(update={"seed": seed}), replicate_of=record.trial)
