"""Which checkpoints stay on the disk: those that somebody goes on from, and the weights that are worth keeping."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sweeps.execution.plan import RunPlan
from sweeps.study import SweepCheckpoints, best_first
from sweeps.trial_record import Outcome, TrialRecord


class CleanUp:
    """Hears of every trial and deletes what nothing will go on from: all of it together would fill a disk."""

    def __init__(self, earlier: Iterable[TrialRecord], *, plan: RunPlan, checkpoints: SweepCheckpoints) -> None:
        """Delete nothing yet.

        Args:
            earlier: the trials of earlier starts.
            plan: what says how many weights stay.
            checkpoints: the sweep's.
        """
        self._plan, self._checkpoints = plan, checkpoints
        self._may_stay: dict[int, TrialRecord] = {}
        """Complete trials whose weights may be there. One that is not among the best now never will be again."""
        there = checkpoints.keys()
        for record in earlier:
            if record.key in there:
                self._enter(record)

    def on_change(self, record: TrialRecord) -> None:
        """Take note of a trial's change."""
        self._enter(record)
        may_stay = list(self._may_stay.values())
        for other in clean_up(record, records=may_stay, plan=self._plan, checkpoints=self._checkpoints):
            del self._may_stay[other.number]

    def _enter(self, record: TrialRecord) -> None:
        if record.outcome is Outcome.COMPLETE and self._plan.keep_best is not None:
            self._may_stay[record.number] = record


def clean_up(
    record: TrialRecord, *, records: Sequence[TrialRecord], plan: RunPlan, checkpoints: SweepCheckpoints
) -> Sequence[TrialRecord]:
    """Delete what nothing will go on from, now that a trial has changed; return the complete ones that do not stay.

    Args:
        record: the trial.
        records: those of its sweep whose weights may be there, itself among them.
        plan: what says how many weights stay.
        checkpoints: the sweep's.
    """
    gone: Sequence[TrialRecord] = ()
    if record.outcome is Outcome.COMPLETE:
        if record.test is not None or not plan.tested:
            checkpoints.remove_previous(record.key)
        gone = _not_kept(records, plan=plan)
        for other in gone:
            checkpoints.remove(other.key)
    elif record.outcome.is_final:
        checkpoints.remove(record.key)
    return gone


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
