"""Which checkpoints stay on the disk: those that somebody goes on from, and the weights that are worth keeping."""

from __future__ import annotations

from collections.abc import Iterable

from sweeps.core.trial import Outcome, TrialRecord
from sweeps.driver.plan import RunPlan
from sweeps.search.best import ConfigurationRanking, Group, configuration_of
from sweeps.store.checkpoints import SweepCheckpoints


class CheckpointCleanup:
    """Hears of every trial and deletes what nothing will go on from: all of it together would fill a disk."""

    def __init__(self, earlier: Iterable[TrialRecord], *, plan: RunPlan, checkpoints: SweepCheckpoints) -> None:
        """Delete nothing yet.

        Args:
            earlier: the trials of earlier starts.
            plan: what says how many weights stay.
            checkpoints: the sweep's.
        """
        self._plan, self._checkpoints = plan, checkpoints
        self._standings = ConfigurationRanking(metric=plan.metric.name, maximize=plan.metric.goal == "maximize")
        self._may_stay: dict[int, TrialRecord] = {}
        """Complete trials whose weights may be there: no more are looked at than these."""
        there = checkpoints.keys()
        for record in earlier:
            self._standings.enter(record)
            if record.outcome is Outcome.COMPLETE and record.key in there:
                self._may_stay[record.number] = record

    def on_change(self, record: TrialRecord) -> None:
        """Take note of a trial's change, and delete the checkpoints that nothing will resume from."""
        if record.outcome is Outcome.COMPLETE:
            if record.test is not None or not self._plan.tested:
                self._checkpoints.remove_previous(record.key)
            self._standings.enter(record)
            self._may_stay[record.number] = record
            for other in self._not_kept():
                self._checkpoints.remove(other.key)
                del self._may_stay[other.number]
        elif record.outcome.is_final:
            self._checkpoints.remove(record.key)

    def _not_kept(self) -> list[TrialRecord]:
        """Return the trials that are not of the best configurations whose weights are there."""
        best, standings = self._plan.keep_best, self._standings
        if best is None:
            return []
        seeds = {group: len(standings.trials(group)) for group in map(configuration_of, self._may_stay.values())}
        ranking = {group: standings.rank_key(group) for group in seeds if seeds[group]}

        def stays(group: Group) -> bool:
            # The mean of fewer seeds moves yet, and displaces no other.
            ahead = [other for other in ranking if ranking[other] < ranking[group] and seeds[other] >= seeds[group]]
            return len(ahead) < best

        kept = set(filter(stays, ranking))
        return [record for record in self._may_stay.values() if configuration_of(record) not in kept]
