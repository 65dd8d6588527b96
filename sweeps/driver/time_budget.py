"""The time budget of a sweep: what earlier starts have spent, what is left, and the replicates that it includes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import optuna

from sweeps.backends.contract import Backend
from sweeps.core.formatting import duration, plural
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.driver.estimate import RESERVED_SEEDS
from sweeps.driver.plan import RunPlan
from sweeps.driver.race import RacingReplicates
from sweeps.files.settings import Confirm, Replicates
from sweeps.record.writer import Tracker
from sweeps.search.confirming import SearchAndReplicates
from sweeps.search.deadline import Deadline, Gate
from sweeps.search.ledger import Ledger
from sweeps.search.replicates import candidates_to_confirm
from sweeps.search.state import SweepState, TimeLeft
from sweeps.store.folder import SweepFolder

SPENT, ENDED = "budget_spent", "budget_ended"
"""Attributes of a study: seconds that its starts have spent, and the largest budget that was used up."""
SAVE_SECONDS = 5.0
"""Interval between two writings of the seconds spent. A killed driver loses at most these."""
CLOSING_SECONDS = 4.0
"""Seconds from the end of the last trial to the end of the command: record, leaderboard, report."""
CLOSING_SHARE = 0.1
"""Largest share of a budget that is kept for this."""


class TimeBudget:
    """The time budget in one start of a sweep."""

    def __init__(self, plan: RunPlan, study: optuna.Study, *, began: float) -> None:
        """Read what earlier starts have spent.

        Args:
            plan: A plan with a budget.
            study: The study of the search, in which the time is stored.
            began: Value of `time.monotonic()` at the start.
        """
        assert plan.budget is not None
        self.seconds, self._study, self._began = plan.budget, study, began
        self._before = float(study.user_attrs.get(SPENT, 0.0))
        self._saved = began
        self._held_since: float | None = None
        self._held = 0.0
        """Seconds of all pauses of this start."""
        self.deadline = Deadline(
            self._end(),
            clock=self._clock,
            budget=plan.budget,
            slots=1,
            epochs=plan.epochs,
            metric=plan.metric,
            milestones=plan.early_terminate.milestones(epochs=plan.epochs),
            replicates=_reserved(plan.confirm),
        )
        self._find_over()

    def _clock(self) -> float:
        """Return the time, which does not advance while the sweep is paused."""
        return (time.monotonic() if self._held_since is None else self._held_since) - self._held

    def _end(self) -> float:
        return self._began + self.seconds - self._before - min(CLOSING_SECONDS, CLOSING_SHARE * self.seconds)

    def _find_over(self) -> None:
        self.deadline.is_over = float(self._study.user_attrs.get(ENDED, 0.0)) >= self.seconds

    def hold(self, held: bool) -> None:
        """Stop the time of the budget while the sweep is paused, or let it advance again."""
        if held and self._held_since is None:
            self._held_since = time.monotonic()
        elif not held and self._held_since is not None:
            self._held += time.monotonic() - self._held_since
            self._held_since = None

    def change(self, seconds: float) -> None:
        """Change the length of the budget."""
        self.seconds = seconds
        self.deadline.set_end(self._end(), budget=seconds)
        self._find_over()

    @property
    def spent(self) -> float:
        """Seconds of all starts until now, without pauses."""
        return self._before if self.deadline.is_over else self._before + self._clock() - self._began

    @property
    def sentence(self) -> str:
        """How much was spent, and how to continue after the end."""
        used = f"{duration(self.spent)} of the time budget of {duration(self.seconds)} spent."
        more = " To continue the search, raise budget and run the same command again."
        return used + (more if self.deadline.is_over else "")

    @property
    def left(self) -> TimeLeft:
        """What the views show."""
        end = time.time() + self.seconds - self.spent
        return TimeLeft(budget=self.seconds, ends=end, is_finishing=self.deadline.is_finishing)

    def is_past(self) -> bool:
        """Return whether the training must end now. The time is stored from time to time."""
        if time.monotonic() - self._saved > SAVE_SECONDS:
            self.save()
        return self.deadline.is_past

    def save(self) -> None:
        """Store the time that was spent."""
        self._saved = time.monotonic()
        self._study.set_user_attr(SPENT, self.spent)

    def end(self, *, is_used_up: bool) -> None:
        """Store the time that was spent, and whether nothing more fits into the budget."""
        self.save()
        if is_used_up:
            self._study.set_user_attr(ENDED, self.seconds)


def _reserved(confirm: Replicates | Confirm | None) -> Replicates | None:
    """Return the replicates for which time is kept free."""
    return Replicates(top=confirm.top, seeds=RESERVED_SEEDS) if isinstance(confirm, Confirm) else confirm


def confirmation_sentence(plan: RunPlan, search: Sequence[TrialRecord], replicates: Sequence[TrialRecord]) -> str:
    """Return which of the best configurations are confirmed; empty if the sweep has no replicates."""
    if not any(record.outcome is Outcome.COMPLETE for record in search):
        found = "No trial is complete" if search else "No trial began, because the start took this time"
        return f"{found}. Raise budget, or lower the epochs or the data."
    if not isinstance(plan.confirm, Replicates):
        return ""  # the sentences of a race say more
    seeds, parts = plan.confirm.seeds, []
    for record in candidates_to_confirm(search, metric=plan.metric, top=plan.confirm.top):
        done = sum(
            each.replicate_of == record.trial
            and each.outcome is Outcome.COMPLETE
            and each.config.seed != record.config.seed
            for each in replicates
        )
        parts.append(f"trial {record.trial} under {done} of {plural(seeds, 'new seed')}")
    return f"Confirmed: {'; '.join(parts)}."


@dataclass
class ReplicateRuns:
    """The replicates that a search with a time budget trains, in their own study."""

    plan: RunPlan
    ledger: Ledger
    gate: Gate
    """The gate of the ledger."""
    race: RacingReplicates | None
    """None if a fixed number of seeds is trained."""
    open_tracker: Callable[[Sequence[TrialRecord]], Tracker]
    """Opens the record of the replicates."""
    tracker: Tracker | None = None

    @property
    def are_left(self) -> bool:
        """Whether there are replicates to train, as after a driver that was stopped at the end of its search."""
        return any(record.outcome is Outcome.INTERRUPTED for record in self.ledger.records) or self.gate.may_begin()

    def write(self, record: TrialRecord) -> None:
        """Write the newest state of a replicate."""
        assert self.tracker is not None
        self.tracker.write(record)

    def with_search(self, search: Ledger, *, budget: TimeBudget) -> SearchAndReplicates:
        """Return both as one source of trials."""
        return SearchAndReplicates(search, self.ledger, deadline=budget.deadline)


class BudgetWatch:
    """Shows and publishes how a time budget is spent, and follows the number of slots."""

    def __init__(self, budget: TimeBudget, backend: Backend, *, state: SweepState, folder: SweepFolder) -> None:
        self._budget, self._backend, self._state, self._folder = budget, backend, state, folder
        self._publish(budget.left)

    def refresh(self) -> None:
        """Publish a changed budget."""
        self._publish(self._budget.left)

    def on_change(self, record: TrialRecord) -> None:
        """Update the number of slots, and the phase if it has changed."""
        self._budget.deadline.slots = self._backend.slots().count
        left = self._budget.left
        if self._state.time_left is None or left.is_finishing != self._state.time_left.is_finishing:
            self._publish(left)

    def _publish(self, left: TimeLeft) -> None:
        self._state.time_left = left
        self._folder.publish(budget=left.budget, budget_ends=left.ends, finishing=float(left.is_finishing))
