"""Delete checkpoints that are not needed to resume trials or as weights of the best configurations."""

from __future__ import annotations

from collections.abc import Iterable

from sweeps.core.trial import Outcome, TrialRecord
from sweeps.driver.plan import RunPlan
from sweeps.search.best import ConfigurationRanking, Group, configuration_of
from sweeps.search.front import front_of
from sweeps.store.checkpoints import SweepCheckpoints


class CheckpointCleanup:
    """Observes all trials and deletes checkpoints that are not needed any more.

    Args:
        earlier: trials of earlier starts.
        plan: defines how many weights are kept.
        checkpoints: of the sweep.
    """

    def __init__(self, earlier: Iterable[TrialRecord], *, plan: RunPlan, checkpoints: SweepCheckpoints) -> None:
        self._plan, self._checkpoints = plan, checkpoints
        self._ranking = ConfigurationRanking(metric=plan.metric.name, maximize=plan.metric.goal == "maximize")
        self._with_weights: dict[int, TrialRecord] = {}
        """Complete trials whose weights may exist, by number."""
        existing = checkpoints.keys()
        for record in earlier:
            self._ranking.enter(record)
            if record.outcome is Outcome.COMPLETE and record.key in existing:
                self._with_weights[record.number] = record

    def on_change(self, record: TrialRecord) -> None:
        """Delete the checkpoints that are not needed after a trial's change."""
        if record.outcome is Outcome.COMPLETE:
            if record.test is not None or not self._plan.tested:
                self._checkpoints.remove_previous(record.key)
            self._ranking.enter(record)
            self._with_weights[record.number] = record
            for other in self._not_kept():
                self._checkpoints.remove(other.key)
                del self._with_weights[other.number]
        elif record.outcome.is_final:
            self._checkpoints.remove(record.key)

    def _not_kept(self) -> list[TrialRecord]:
        """Return the trials with weights that do not belong to the best configurations, or to the front."""
        best, ranking = self._plan.keep_best, self._ranking
        if best is None:
            return []
        seeds = {group: len(ranking.trials(group)) for group in map(configuration_of, self._with_weights.values())}
        ranks = {group: ranking.rank_key(group) for group in seeds if seeds[group]}

        def is_kept(group: Group) -> bool:
            # The mean of fewer seeds may still change, so it does not displace another configuration.
            ahead = [other for other in ranks if ranks[other] < ranks[group] and seeds[other] >= seeds[group]]
            return len(ahead) < best

        kept = set(filter(is_kept, ranks))
        on_front = front_of(
            self._with_weights.values(), metric=self._plan.metric.name, maximize=self._plan.metric.goal == "maximize"
        )
        kept |= {configuration_of(record) for record in on_front}
        return [record for record in self._with_weights.values() if configuration_of(record) not in kept]
