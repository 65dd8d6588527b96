"""Which checkpoints stay on the disk: those that somebody goes on from, and the weights that are worth keeping."""

from __future__ import annotations

from collections.abc import Sequence

from sweeps.execution.plan import RunPlan
from sweeps.study import SweepCheckpoints, best_first
from sweeps.trial_record import Outcome, TrialRecord


def clean_up(
    record: TrialRecord, *, records: Sequence[TrialRecord], plan: RunPlan, checkpoints: SweepCheckpoints
) -> None:
    """Delete what nothing will go on from, now that a trial has changed: all of it together would fill a disk.

    Args:
        record: the trial.
        records: all of its sweep, itself among them.
        plan: what says how many weights stay.
        checkpoints: the sweep's.
    """
    if record.outcome is Outcome.COMPLETE:
        if record.test is not None or not plan.tested:
            checkpoints.remove_previous(record.key)
        for other in _not_kept(records, plan=plan):
            checkpoints.remove(other.key)
    elif record.outcome.is_final:
        checkpoints.remove(record.key)


def _not_kept(records: Sequence[TrialRecord], *, plan: RunPlan) -> list[TrialRecord]:
    if plan.keep_best is None:
        return []
    complete = best_first(records, metric=plan.metric.name, maximize=plan.metric.goal == "maximize")
    # What the search looks at may be another metric than the accuracy that a leaderboard ranks by, within the largest
    # budget first; whoever asks for the best by either finds its weights.
    accurate = best_first(records, metric="val_accuracy", maximize=True)
    ranked = sorted(accurate, key=lambda record: -record.protocol.budget)
    kept = {record.key for record in (*complete[: plan.keep_best], *ranked[: plan.keep_best])}
    return [record for record in complete if record.key not in kept]
