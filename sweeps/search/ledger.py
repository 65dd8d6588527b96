"""The ledger of a sweep: an Optuna study that contains every trial, whatever its proposer and its outcome.

It returns the next trial, receives each epoch, asks the pruner, and reports the actual end of each trial to the
study. Both backends (Ray and inline) only call it. After a crash, missing runs in MLflow are written from it.
"""

from __future__ import annotations

import contextlib
import functools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Concatenate, ParamSpec, TypeVar

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweeps.core.formatting import is_accuracy
from sweeps.core.identity import Identity
from sweeps.core.results import ConfirmResult, EpochResult, TestResult
from sweeps.core.steering import PERSON, Added, Steering
from sweeps.core.task import TaskConfig
from sweeps.core.trial import TO_AVOID, CompleteResult, ErrorClass, Outcome, TrialMessage, TrialRecord
from sweeps.files.distributions import suggest
from sweeps.files.settings import StopWhen
from sweeps.files.where import SECONDS, Conditions
from sweeps.search.deadline import AlwaysOpen, Gate
from sweeps.search.front import leads
from sweeps.search.pausing import Pausing
from sweeps.search.proposers import REPEATS_BEFORE_LISTING, Proposal, Proposer, SearchProposer, note_known
from sweeps.search.reuse import RecordedResults
from sweeps.search.stored_trials import (
    ASKED,
    CONFIRM,
    CONTINUED,
    DUPLICATE_OF,
    ENDED_BECAUSE,
    EXPECTED,
    FINISHED,
    KEY,
    OUTCOME,
    PAUSED,
    RETRY_OF,
    SKIPPED,
    SPENT,
    StoredTrialReader,
    close_lost_trials,
    entry_attributes,
    epoch_attribute,
    name_in_record,
    store_test,
)
from sweeps.search.study_reporter import StudyReporter
from sweeps.search.waiting import PROCESS_RETRIES, WaitingTrials
from sweeps.store.storage import batched
from sweeps.system.compat import live_trial

Observer = Callable[[TrialRecord], None]
"""Called with a trial's record at each change."""

_CODE_CHANGED = "the code of this trial changed after it started"


@dataclass(frozen=True, kw_only=True)
class NoProgress:
    """Why a search ends without progress."""

    best: int
    """Number of the best complete trial."""
    trials: int
    """Number of trials that have ended or paused since."""
    expected_gain: float | None
    """Improvement that the model expects, in percentage points for an accuracy; None without a model."""


class Exhausted:
    """No trial is left: the budget is used up, or every combination of the space was tried."""


EXHAUSTED = Exhausted()


_Arguments = ParamSpec("_Arguments")
_Returned = TypeVar("_Returned")


def _in_one_write(
    method: Callable[Concatenate[Ledger, _Arguments], _Returned],
) -> Callable[Concatenate[Ledger, _Arguments], _Returned]:
    """Return a method in `Ledger.in_one_write`."""

    @functools.wraps(method)
    def wrapped(self: Ledger, /, *arguments: _Arguments.args, **options: _Arguments.kwargs) -> _Returned:
        with self.in_one_write():
            return method(self, *arguments, **options)

    return wrapped


class Ledger:
    """The trials of one sweep. Used by one driver, in one thread."""

    def __init__(
        self,
        study: optuna.Study,
        *,
        sweep: str,
        metric: str,
        proposer: Proposer,
        run_cap: int | None,
        identify: Callable[[TaskConfig], Identity],
        recorded: RecordedResults | None = None,
        retry_failed: bool = False,
        target_value: float | None = None,
        stop_when: StopWhen | None = None,
        pausing: Pausing | None = None,
        conditions: Conditions | None = None,
        gate: Gate | None = None,
        steering: Steering | None = None,
    ) -> None:
        """Load the trials of earlier drivers. Observers are not called for them.

        Args:
            study: Study that stores the trials; its pruner stops them.
            sweep: Name of the sweep.
            metric: Metric of the search, a field of `EpochResult`.
            proposer: Proposes the configurations.
            run_cap: Maximum number of distinct trials; None for no limit.
            identify: Returns the identity of a configuration.
            recorded: Recorded results that replace a training run; None for none.
            retry_failed: Whether failed trials are tried again.
            target_value: Value of the metric after which no new trial is proposed; None for no such value.
            stop_when: When the search ends without progress; None for never.
            pausing: Pauses trials at milestones, and chooses which continue; None if the pruner of the study decides.
            conditions: Conditions on what a training measures; None for no condition.
            gate: Decides which trials may start; all of them if None.
            steering: What commands to the sweep ask for, which may change; None for no commands.
        """
        self._study = study
        self._trial_reader = StoredTrialReader(study, sweep=sweep)
        self._reporter = StudyReporter(study, metric=metric)
        self._proposer = proposer
        self._run_cap = run_cap
        self._identify = identify
        self._prunes = not isinstance(study.pruner, optuna.pruners.NopPruner)
        self._recorded = recorded
        self._observers: list[Observer] = []
        self._unobserved: list[TrialRecord] | None = None
        """Changes that observers receive after the write of the current block; None outside of blocks."""
        self._pausing = pausing
        self._gate = gate or AlwaysOpen()
        self._steering = steering or Steering()
        self._to_add: list[Added] = []
        """Configurations of `sweeps add` that were not proposed yet."""
        self._live: dict[int, optuna.Trial] = {}
        self._paused: dict[int, optuna.Trial] = {}
        self._records: dict[int, TrialRecord] = {}
        self._by_key: dict[str, int] = {}
        self._by_person: set[int] = set()
        """Numbers of the trials of `sweeps add`."""
        self._waiting: dict[str, list[optuna.Trial]] = {}
        self._pending = WaitingTrials()
        self._to_retry: list[int] = []
        self._exhausted = False
        self._target_value = target_value
        self._stop_when = stop_when or StopWhen()
        self._progress: tuple[int, NoProgress | None] = (-1, None)
        """Number of changes at the last evaluation of `no_progress`, and its result."""
        self._changes = 0
        """Number of changes of records."""
        self._conditions = conditions
        self.reached: tuple[int, EpochResult] | None = None
        """The first trial that reached the target value, by its number, and the epoch; None before."""
        self._load_trials(retry_failed=retry_failed)
        self._resize()
        for record in self.records:
            # Also those that an ended search shows as pruned.
            is_paused = record.number in self._paused and not record.skipped
            self._gate.enter(replace(record, outcome=Outcome.PAUSED) if is_paused else record)

    def _load_trials(self, *, retry_failed: bool) -> None:
        """Load the trials of earlier drivers: queue the running ones, and complete unfinished reports to the study."""
        close_lost_trials(self._study)
        trials = self._study.get_trials(deepcopy=False)
        asked = {trial.user_attrs.get(ASKED) for trial in trials}
        self._to_add = [each for each in self._steering.added if each.id not in asked]
        for frozen in trials:
            attributes = frozen.user_attrs
            if KEY not in attributes or not self._proposer.concerns(attributes[KEY]):
                continue
            if DUPLICATE_OF in attributes:
                if not frozen.state.is_finished():
                    self._study.tell(frozen.number, state=TrialState.FAIL)
                continue
            self._add_record(self._trial_reader.record(frozen.number, attributes), retry_of=attributes.get(RETRY_OF))
            record = self._records[frozen.number]
            self._enter(record, frozen.params)
            if frozen.state == TrialState.RUNNING:
                self._resume(frozen)
            elif self._pausing is not None:
                is_bad = record.outcome is Outcome.FAILED and record.error_class in TO_AVOID
                self._pausing.end(record.number, Outcome.DIVERGED if is_bad else record.outcome)
        failed = [record for record in self.records if record.outcome is Outcome.FAILED]
        candidates = [r.number for r in failed if retry_failed or r.error_class == ErrorClass.CODE_CHANGED]
        self._to_retry = [number for number in candidates if not self._is_replaced(number)]
        if self._records and self.is_done:
            # The last driver may have failed between its last trial and this.
            self._end_paused()
            self._note_expected()

    def _resume(self, frozen: FrozenTrial) -> None:
        trial = live_trial(self._study, frozen)
        record = self._records[frozen.number]
        self._live[frozen.number] = trial
        ended = Outcome(frozen.user_attrs.get(OUTCOME, Outcome.INTERRUPTED))
        is_paused = bool(frozen.user_attrs.get(PAUSED))
        has_changed = self._identify(record.config).key != record.key
        if is_paused and (has_changed or (self._pausing is None and not record.skipped)):
            # Its code, or the rule in the file, has changed since: it cannot be continued.
            self.finish(frozen.number, Outcome.PRUNED)
            return
        if not ended.is_final and has_changed:
            # No run mixes two versions of the code: the trial is added again under the key of the new version.
            self.finish(frozen.number, Outcome.FAILED, error=_CODE_CHANGED, error_class=ErrorClass.CODE_CHANGED)
            return
        for epoch in record.epochs:
            if epoch.epoch not in frozen.intermediate_values:
                self._reporter.report_epoch(trial, epoch)
        if is_paused:
            self._load_paused(frozen.number, ended)
        elif ended.is_final:
            self._close(frozen.number, ended)
        elif self._must_end(frozen.number, len(record.epochs)):
            # Its driver may have failed before it ended it.
            self._set_aside(frozen.number)
        elif (
            self._pausing is not None
            and self._pausing.is_milestone(len(record.epochs))
            and frozen.user_attrs.get(CONTINUED) != len(record.epochs)
        ):
            # Its driver may have failed before it paused it. If it was continued instead, it is continued again.
            self._load_paused(frozen.number, Outcome.PAUSED)
            self._set(trial, {PAUSED: True, OUTCOME: Outcome.PAUSED.value})
        elif record.epochs and self._is_pruned(record, record.epochs[-1]):
            # Its driver may have failed before it asked the pruner.
            self.finish(frozen.number, Outcome.PRUNED)
        else:
            self._pending.add(frozen.number, error_class=record.error_class)

    def _enter(self, record: TrialRecord, point: Mapping[str, Any]) -> None:
        """Add a trial and its epochs to those that may pause."""
        if self._pausing is not None:
            self._pausing.begin(record.number, point)
            for epoch in record.epochs:
                self._pausing.enter(record.number, epoch=epoch.epoch, value=self._value(epoch))

    def _load_paused(self, number: int, ended: Outcome) -> None:
        """Load a trial that an earlier driver paused; it is pruned if its search had ended."""
        record = self._records[number]
        self._paused[number] = self._live.pop(number)
        if self._pausing is not None and record.skipped:
            self._pausing.set_aside(number)
        elif self._pausing is not None:
            self._pausing.pause(number, epoch=len(record.epochs), value=self._value(record.epochs[-1]))
        self._records[number] = replace(record, outcome=ended)

    def _value(self, epoch: EpochResult) -> float:
        value = epoch.value(self._reporter.metric)
        return math.nan if value is None else value

    def _add_record(self, record: TrialRecord, *, retry_of: int | None = None) -> None:
        """Add a record; it replaces a failed one with the same key, or with the key before its code was fixed."""
        for before in {self._by_key.get(record.key), retry_of} - {None}:
            assert before is not None
            self._by_person.discard(before)
            if (replaced := self._records.pop(before, None)) is not None:
                self._by_key.pop(replaced.key)
        self._changes += 1
        self._records[record.number] = record
        if record.proposed_by == PERSON:
            self._by_person.add(record.number)
        self._by_key[record.key] = record.number
        for epoch in record.epochs:
            self._note_target(record.number, epoch)

    def observe(self, *observers: Observer) -> None:
        """Call these observers at each change from now on, in this order."""
        self._observers += observers

    def key_of(self, config: TaskConfig) -> str:
        """Return the key of a configuration."""
        return self._identify(config).key

    @property
    def records(self) -> list[TrialRecord]:
        """All distinct trials in the order of proposal; trials left by an earlier driver are `interrupted`."""
        return [self._records[number] for number in sorted(self._records)]

    @property
    def is_done(self) -> bool:
        """Whether it is certain that nothing is left to train."""
        if self._gate.is_over:
            return True
        target = self.target
        if self._live or self._to_add or (self._to_retry and not self._is_stopped) or target is None:
            return False
        if self._next_paused(is_closing=True) is not None:
            return False
        # A finite space with invalid combinations has fewer trials than combinations.
        is_full = len(self._records) >= target or len(self._records) == self._study.user_attrs.get(SPENT)
        return is_full and self._first_paused(self._gate.finishing(is_closing=True)) is None

    @property
    def gave_up(self) -> bool:
        """Whether the proposer found no new point of an infinite space before the budget was used up."""
        endless, cap = self._proposer.total() is None, self._cap
        return self._exhausted and endless and cap is not None and len(self._records) < cap

    @property
    def live(self) -> int:
        """Number of running trials."""
        return len(self._live) - len(self._pending)

    @property
    def target(self) -> int | None:
        """Number of distinct trials at the end of the sweep; None if only its space decides."""
        if self._is_stopped or (self._pausing is not None and self._pausing.has_ended):
            return len(self._records) + len(self._to_add)
        total = self._proposer.total()
        bounds = [bound for bound in (self._cap, total) if bound is not None]
        return min(bounds) if bounds else None

    @property
    def _cap(self) -> int | None:
        """Maximum number of distinct trials: `run_cap`, and in addition to it the trials of `sweeps add`."""
        if self._run_cap is None:
            return None
        return self._run_cap + len(self._to_add) + len(self._by_person)

    @property
    def is_on_hold(self) -> bool:
        """Whether no epoch may begin, because the sweep is paused."""
        return self._steering.is_paused

    @property
    def remaining(self) -> int | None:
        """Number of trials still to be started; None if only the space decides."""
        if self.target is None:
            return None
        new = 0 if self._exhausted else max(0, self.target - len(self._records))
        return new + len(self._pending) + (0 if self._is_stopped else len(self._to_retry))

    @property
    def _is_stopped(self) -> bool:
        """Whether the search has reached its target value, or has ended without progress."""
        return self.reached is not None or self.no_progress is not None

    @property
    def no_progress(self) -> NoProgress | None:
        """Why the search ends without progress; None if it continues. A running trial may still improve on the best."""
        if self._stop_when.patience is None:
            return None
        if self._progress[0] != self._changes:
            self._progress = self._changes, self._without_progress(self._stop_when.patience)
        return self._progress[1]

    def _without_progress(self, patience: int) -> NoProgress | None:
        sign = -1.0 if self._study.direction is optuna.study.StudyDirection.MAXIMIZE else 1.0
        ended, complete = [], []
        for record in self._records.values():
            if record.outcome in (Outcome.RUNNING, Outcome.INTERRUPTED, Outcome.FAILED) or not record.epochs:
                continue
            end = (record.epochs[-1].finished_at, record.number)
            ended.append(end)
            value = self._value(record.epochs[-1])
            if record.outcome is Outcome.COMPLETE and not record.violated and math.isfinite(value):
                complete.append((sign * value, end))
        if not complete:
            return None
        _, at = min(complete)
        if (count := sum(end > at for end in ended)) < patience:
            return None
        wanted = self._stop_when.expected_gain
        gain = None if wanted is None or self._pausing is None else self._pausing.expected_gain()
        if gain is not None and wanted is not None:
            gain *= 100 if is_accuracy(self._reporter.metric) else 1
            if gain >= wanted:
                return None
        return NoProgress(best=at[1], trials=count, expected_gain=gain)

    @contextlib.contextmanager
    def in_one_write(self) -> Iterator[None]:
        """Write all changes of the block at once at its end, since each write waits for the disk; then call observers.

        Raises:
            StoreError: The study cannot be written. No observer has received the changes.
        """
        if self._unobserved is not None:
            yield
            return
        changed = self._unobserved = []
        try:
            with batched(self._study):
                yield
        finally:
            self._unobserved = None
        for record in changed:
            self._call_observers(record)

    @_in_one_write
    def next_trial(self) -> TrialRecord | Exhausted | None:
        """Return the next trial to train, `EXHAUSTED`, or None: a running trial must end first, or it `is_on_hold`."""
        if self.is_on_hold:
            return None
        pending = self._pending.next(live=self.live, may_start=self._may_continue)
        if pending is not None:
            return self._update(pending, outcome=Outcome.RUNNING)
        if self._pending.blocks_new_trials:
            return None
        if (added := self._next_added()) is not None:
            return added
        while self._to_retry and not self._is_stopped and self._gate.may_begin():
            if not self._is_replaced(number := self._to_retry.pop(0)):
                return self._retry(number)
        repeats = 0
        while True:
            if (paused := self._next_paused(is_closing=False)) is not None:
                return self._continue(paused)
            may_begin = self._may_add and (self._pausing is None or self._pausing.may_start_new())
            if not may_begin or not self._gate.may_begin():
                break
            chosen = None if self._pausing is None else self._pausing.proposal()
            proposal = self._proposer.ask(self._study, repeats=repeats, chosen=chosen)
            if proposal is None:
                self._exhausted = True
                if self._proposer.total() is not None and self._proposer.searches:
                    self._study.set_user_attr(SPENT, len(self._records))
                continue
            identity = self._identify(proposal.config)
            if identity.key in self._by_key:
                repeats += 1
                self._mark_duplicate(proposal.trial, identity.key)
                continue
            record = self._add_trial(proposal, identity)
            if (recorded := self._complete_result(identity.key)) is None:
                return record
            self._reuse_result(record.number, recorded)
        if (paused := self._first_paused(self._gate.finishing())) is not None:
            return self._continue(paused)
        if self.live:
            return None
        if (paused := self._next_paused(is_closing=True)) is not None:
            return self._continue(paused)
        finishing = self._gate.finishing(is_closing=True)
        if (pending := self._pending.next(live=0, may_start=finishing.__contains__)) is not None:
            return self._update(pending, outcome=Outcome.RUNNING)
        if (paused := self._first_paused(finishing)) is not None:
            return self._continue(paused)
        self._end_paused()
        self._note_expected()
        return EXHAUSTED

    def _next_added(self) -> TrialRecord | None:
        """Return the next trial of `sweeps add`; None if there is none, or no time for it."""
        proposer, repeats = self._proposer, 0
        while self._to_add and isinstance(proposer, SearchProposer) and self._gate.may_begin():
            added = self._to_add[0]
            proposal = proposer.ask_for(self._study, added.values, repeats=repeats)
            if proposal is None:  # the study has changed since the command was given
                self._to_add.pop(0)
                continue
            identity = self._identify(proposal.config)
            if identity.key in self._by_key:
                repeats += 1
                if proposer.is_whole(added.values) or repeats > REPEATS_BEFORE_LISTING:
                    proposal.trial.set_user_attr(ASKED, added.id)
                    self._to_add.pop(0)
                    repeats = 0
                self._mark_duplicate(proposal.trial, identity.key)
                continue
            self._to_add.pop(0)
            record = self._add_trial(proposal, identity, asked=added.id)
            if (recorded := self._complete_result(identity.key)) is None:
                return record
            self._reuse_result(record.number, recorded)
        return None

    def _complete_result(self, key: str) -> CompleteResult | None:
        return None if self._recorded is None else self._recorded.complete_result(key)

    def _next_paused(self, *, is_closing: bool) -> int | None:
        """Return the paused trial to continue now; None if there is none."""
        if self._pausing is None or self._is_stopped:
            return None
        may_start = self._may_add and not is_closing and self._gate.may_begin()
        number = self._pausing.next(may_start=may_start, is_closing=is_closing)
        return number if number is not None and self._may_continue(number) else None

    def _first_paused(self, numbers: Iterable[int]) -> int | None:
        return next((n for n in numbers if n in self._paused and not self._records[n].skipped), None)

    def _may_continue(self, number: int) -> bool:
        return self._gate.may_continue(self._records[number])

    @property
    def _may_add(self) -> bool:
        """Whether the search may add a trial."""
        is_full = (cap := self._cap) is not None and len(self._records) + len(self._to_add) >= cap
        return not (self._exhausted or is_full or self._is_stopped)

    def _continue(self, number: int) -> TrialRecord:
        """Continue a paused trial."""
        assert self._pausing is not None
        self._pausing.resume(number)
        trial = self._live[number] = self._paused.pop(number)
        self._set(trial, {PAUSED: False, OUTCOME: Outcome.INTERRUPTED.value, FINISHED: None})
        return self._update(number, outcome=Outcome.RUNNING, finished=None)

    def _pause(self, number: int) -> None:
        trial = self._paused[number] = self._live.pop(number)
        self._set(trial, {PAUSED: True, OUTCOME: Outcome.PAUSED.value})
        record = self._update(number, outcome=Outcome.PAUSED)
        for waiting in self._waiting.pop(record.key, []):
            self._reporter.report_run(waiting, record)

    def _end_paused(self) -> None:
        """Show paused trials as pruned. In the study they stay open, since a larger `run_cap` may continue them."""
        for number, trial in self._paused.items():
            if self._records[number].outcome is Outcome.PAUSED:
                record = self._records[number]
                finished = record.epochs[-1].finished_at if record.epochs else record.started
                self._set(trial, {OUTCOME: Outcome.PRUNED.value, FINISHED: finished})
                self._update(number, outcome=Outcome.PRUNED, finished=finished)

    def _note_expected(self) -> None:
        """Note the expected values of complete trials."""
        expected = {} if self._pausing is None else self._pausing.expected()
        if any(self._records[number].expected_value != value for number, value in expected.items()):
            self._study.set_user_attr(EXPECTED, {str(number): value for number, value in expected.items()})
            for number, value in expected.items():
                self._update(number, expected_value=value)

    def _set(self, trial: optuna.Trial, attributes: Mapping[str, Any]) -> None:
        with batched(self._study):
            for name, value in attributes.items():
                trial.set_user_attr(name, value)

    @_in_one_write
    def receive(self, number: int, message: TrialMessage) -> bool:
        """Process a message of a trial, from any backend. Return whether the trial has ended."""
        fields = {"parameters": message.parameters, "environment": message.environment}
        self.note(number, **{name: value for name, value in fields.items() if value is not None})
        if message.warning is not None:
            self._update(number, warning=message.warning)
        if message.epoch is not None and (fault := self._missing(message.epoch)) is not None:
            self.finish(number, Outcome.FAILED, error=fault, error_class="MissingMetric", traceback=None)
            return True
        if message.confirm is not None:
            self._note_confirm(number, message.confirm)
        is_last = message.outcome is Outcome.COMPLETE
        if message.epoch is not None and self._add_epoch(number, message.epoch, is_last=is_last):
            return True
        if message.outcome is None:
            return False
        error = {"error": message.error, "error_class": message.error_class, "traceback": message.traceback}
        if message.outcome is Outcome.INTERRUPTED:
            self._requeue(number, **error)
        else:
            self.finish(number, message.outcome, **error)
        return True

    def _missing(self, epoch: EpochResult) -> str | None:
        """Return an error message if an epoch lacks a number that the search needs; None if it has all."""
        of_conditions = None if self._conditions is None else self._conditions.missing(epoch.metrics)
        return self._reporter.missing_metric(epoch) or of_conditions

    def _requeue(self, number: int, **error: str | None) -> None:
        """Queue a trial again whose process or node failed, or end it if that happened too often."""
        if number not in self._live or self._records[number].outcome is not Outcome.RUNNING:
            return
        if self._pending.requeue(number, error_class=error["error_class"]):
            # Also in the study: the next driver needs the reason if this one fails.
            self.note(number, **error)
            self._update(number, outcome=Outcome.INTERRUPTED)
        else:
            is_memory = error["error_class"] == ErrorClass.OUT_OF_MEMORY
            reason = "also when it ran alone" if is_memory else f"after {PROCESS_RETRIES} retries"
            self.finish(number, Outcome.FAILED, **error | {"error": f"{error['error']} ({reason})"})

    def _add_epoch(self, number: int, epoch: EpochResult, *, is_last: bool) -> bool:
        """Add an epoch; return whether the trial is pruned.

        An epoch that was added before changes nothing: a resumed trial reports the epochs after its checkpoint again.
        """
        record = self._records[number]
        if number not in self._live:
            return record.outcome is Outcome.PRUNED
        if epoch.epoch <= len(record.epochs):
            return False
        trial = self._live[number]
        with batched(self._study):
            trial.set_user_attr(epoch_attribute(epoch.epoch), epoch.as_dict())
            self._reporter.report_epoch(trial, epoch)
        self._update(number, epochs=(*record.epochs, epoch))
        self._note_target(number, epoch)
        if self._pausing is not None:
            self._pausing.enter(number, epoch=epoch.epoch, value=self._value(epoch))
        if is_last:
            return False
        if self._must_end(number, epoch.epoch):
            self._set_aside(number)
            return True
        if self._pausing is not None and self._pausing.is_milestone(epoch.epoch):
            return self._pauses(number, epoch)
        if self._is_pruned(record, epoch):
            self.finish(number, Outcome.PRUNED)
            return True
        if self._frees_slot or self._gate.must_yield(self._records[number]):
            self._requeue(number, error=None, error_class=None, traceback=None)
            return True
        return False

    def _pauses(self, number: int, epoch: EpochResult) -> bool:
        """Pause a trial at a milestone, unless it is the one to continue. Return whether it is paused."""
        assert self._pausing is not None
        self._pausing.pause(number, epoch=epoch.epoch, value=self._value(epoch))
        is_next = self._next_paused(is_closing=self._is_alone(number)) == number
        is_next = is_next or (self._leads(number, epoch) and self._may_continue(number))
        if not self._frees_slot and (is_next or number in self._gate.finishing()):
            self._pausing.resume(number)
            return False
        self._pause(number)
        return True

    @property
    def _frees_slot(self) -> bool:
        """Whether a trial frees its slot after its epoch: the sweep is paused, or has more trials than slots."""
        most = self._steering.most_live
        return self.is_on_hold or (most is not None and self.live > most)

    # Commands

    def add(self, added: Added) -> None:
        """Propose a configuration next."""
        self._to_add.append(added)
        self._resize()

    def set_run_cap(self, run_cap: int | None) -> None:
        """Change the maximum number of trials."""
        self._run_cap = run_cap
        self._resize()

    def _resize(self) -> None:
        if self._pausing is None:
            return
        bounds = [bound for bound in (self._cap, self._proposer.total()) if bound is not None]
        if bounds:
            self._pausing.resize(min(bounds))

    @property
    def next_trial_number(self) -> int:
        """Number in the sweep of the next trial, without configurations that are waiting to be added."""
        return self._trial_reader.first_number + len(self._study.get_trials(deepcopy=False))

    @property
    def to_add(self) -> int:
        """Number of configurations of `sweeps add` that were not proposed yet."""
        return len(self._to_add)

    @_in_one_write
    def skip(self, number: int) -> None:
        """End a trial after the epoch in `Steering.until`, so that it can continue later."""
        record = self._records[number]
        if number in self._paused:
            if self._pausing is not None:
                self._pausing.set_aside(number)
            self._set(self._paused[number], {SKIPPED: Outcome.PAUSED.value})
            self._update(number, skipped=True)
        elif record.outcome is not Outcome.RUNNING:
            self._pending.discard(number)
            self._set_aside(number)

    @_in_one_write
    def undo_skip(self, number: int) -> None:
        """Continue a trial that was skipped, or return it to those that early stopping has paused."""
        record = self._records[number]
        if not record.skipped:
            return  # it still runs
        trial = self._paused[number]
        was_paused = self._study.get_trials(deepcopy=False)[number].user_attrs.get(SKIPPED) == Outcome.PAUSED.value
        if self._pausing is not None:
            self._pausing.take_back(number)
        if was_paused and self._pausing is not None:
            self._pausing.pause(number, epoch=len(record.epochs), value=self._value(record.epochs[-1]))
            self._set(trial, {SKIPPED: None, OUTCOME: Outcome.PAUSED.value, FINISHED: None})
            self._update(number, skipped=False, outcome=Outcome.PAUSED, finished=None)
            return
        self._live[number] = self._paused.pop(number)
        self._pending.add(number, error_class=None)
        interrupted = {PAUSED: False, OUTCOME: Outcome.INTERRUPTED.value, FINISHED: None, SKIPPED: None}
        self._set(trial, {**interrupted, CONTINUED: len(record.epochs)})
        self._update(number, skipped=False, outcome=Outcome.INTERRUPTED, finished=None)

    def _must_end(self, number: int, epoch: int) -> bool:
        """Return whether a trial that is skipped ends after an epoch."""
        return number in self._steering.until and epoch >= self._steering.until[number]

    def _set_aside(self, number: int) -> None:
        """End a trial that is skipped. The sampler takes it for pruned, and it can be continued."""
        if self._pausing is not None:
            self._pausing.set_aside(number)
        trial = self._paused[number] = self._live.pop(number)
        self._set(trial, {PAUSED: True, OUTCOME: Outcome.PAUSED.value, SKIPPED: Outcome.RUNNING.value})
        record = self._update(number, outcome=Outcome.PAUSED, skipped=True)
        for waiting in self._waiting.pop(record.key, []):
            self._reporter.report_run(waiting, record)

    def _is_alone(self, number: int) -> bool:
        """Return whether no other trial runs, waits or can be started."""
        if len(self._live) > 1 or self._to_retry:
            return False
        return self._exhausted or (self.target is not None and len(self._records) >= self.target)

    def _note_target(self, number: int, epoch: EpochResult) -> None:
        """Note the first epoch that reaches the target value. Running trials continue, and no new one is proposed."""
        value = epoch.value(self._reporter.metric)
        if self._target_value is None or self.reached is not None or value is None:
            return
        is_better = self._study.direction is optuna.study.StudyDirection.MAXIMIZE
        if self._conditions is not None and self._violations(self._records[number], epoch):
            return
        if value >= self._target_value if is_better else value <= self._target_value:
            self.reached = (number, epoch)

    def _is_pruned(self, record: TrialRecord, epoch: EpochResult) -> bool:
        """Ask the pruner after an epoch. Halving pruners decide once at each rung, also if asked again."""
        may_follow = epoch.epoch < record.config.epochs or not record.config.epochs
        return (
            self._prunes
            and may_follow
            and self._live[record.number].should_prune()
            and not self._leads(record.number, epoch)
        )

    def _leads(self, number: int, epoch: EpochResult) -> bool:
        """Return whether a trial of a search with several objectives is on the front after an epoch."""
        return leads(
            self._records[number],
            epoch=epoch.epoch,
            among=self._records.values(),
            metric=self._reporter.metric,
            maximize=self._study.direction is optuna.study.StudyDirection.MAXIMIZE,
        )

    def finish(
        self,
        number: int,
        outcome: Outcome,
        *,
        error: str | None = None,
        error_class: str | None = None,
        traceback: str | None = None,
    ) -> None:
        """End a trial. Calling it twice changes nothing."""
        if number not in self._live:
            return
        trial = self._live[number]
        self.note(number, error=error, error_class=error_class, traceback=traceback)
        finished = time.time()
        with batched(self._study):
            trial.set_user_attr(FINISHED, finished)
            trial.set_user_attr(OUTCOME, outcome.value)
        self._update(number, finished=finished)
        self._pending.remove(number)
        self._close(number, outcome)

    def note(self, number: int, **fields: Any) -> None:
        """Set fields of a running trial, such as `parameters`, `log`, `error` and `reused_from`."""
        record = self._records[number]
        changed = {field: value for field, value in fields.items() if getattr(record, field) != value}
        if number in self._live and changed:
            with batched(self._study):
                for field, value in changed.items():
                    self._live[number].set_user_attr(field, value)
            self._update(number, **changed)

    def _note_confirm(self, number: int, result: ConfirmResult) -> None:
        """Add the result of a running replicate on the confirmation part."""
        if number in self._live:
            self._set(self._live[number], {CONFIRM: asdict(result) | {"metrics": dict(result.metrics)}})
            self._update(number, confirm=result)

    def note_end(self, reason: str | None) -> None:
        """Store why the search has ended before its number of trials; None if it has not."""
        if self._study.user_attrs.get(ENDED_BECAUSE) != reason:
            self._study.set_user_attr(ENDED_BECAUSE, reason)

    def note_test(self, number: int, test: TestResult) -> None:
        """Add a finished trial's result on the test images."""
        store_test(self._study, number, test)
        self._update(number, test=test)

    def interrupt(self) -> None:
        """Mark running trials as interrupted in the record. In the study they stay open for the next start."""
        for number in list(self._live):
            if self._records[number].outcome is Outcome.RUNNING:
                self._update(number, outcome=Outcome.INTERRUPTED)

    def _is_replaced(self, number: int) -> bool:
        """Return whether another trial has the key that a failed one would have with the current code."""
        return self._by_key.get(self._identify(self._records[number].config).key, number) != number

    def _retry(self, number: int) -> TrialRecord:
        """Add a failed trial again as a new Optuna trial, since an ended one cannot be reopened."""
        before = self._records[number]
        failed = self._study.get_trials(deepcopy=False)[number]
        if failed.params:
            self._study.enqueue_trial(failed.params)
        trial = self._study.ask()
        for path, distribution in failed.distributions.items():
            suggest(trial, path, distribution)
        note_known(trial, before.known)
        proposal = Proposal(
            trial=trial,
            config=before.config,
            rung=before.rung,
            replicate_of=before.replicate_of,
            confirm_until=before.confirm_until,
        )
        # The current key: the code that failed may have been fixed.
        return self._add_trial(proposal, self._identify(before.config), retry_of=number)

    def _add_trial(
        self, proposal: Proposal, identity: Identity, *, retry_of: int | None = None, asked: str | None = None
    ) -> TrialRecord:
        trial = proposal.trial
        attributes = entry_attributes(
            proposal.config,
            identity,
            proposal.rung,
            started=time.time(),
            replicate_of=proposal.replicate_of,
            confirm_until=proposal.confirm_until,
            retry_of=retry_of,
            asked=asked,
        )
        with batched(self._study):
            for name, value in attributes.items():
                trial.set_user_attr(name, value)
        record = self._trial_reader.record(trial.number, trial.user_attrs | attributes)
        record = replace(record, outcome=Outcome.RUNNING)
        self._add_record(record, retry_of=retry_of)
        self._live[record.number] = trial
        self._enter(record, trial.params)
        return self._notify(record)

    def _reuse_result(self, number: int, recorded: CompleteResult) -> None:
        trial = self._live[number]
        if recorded.study != name_in_record(self._study):
            self.note(number, reused_from=recorded.run_id)
        if recorded.parameters is not None:
            self.note(number, parameters=recorded.parameters)
        if recorded.confirm is not None:
            self._note_confirm(number, recorded.confirm)
        fault = next(filter(None, map(self._missing, recorded.epochs)), None)
        if fault is not None:
            self.finish(number, Outcome.FAILED, error=fault, error_class="MissingMetric", traceback=None)
            return
        with batched(self._study):
            for epoch in recorded.epochs:
                trial.set_user_attr(epoch_attribute(epoch.epoch), epoch.as_dict())
                self._reporter.report_epoch(trial, epoch)
        self._update(number, epochs=recorded.epochs)
        for epoch in recorded.epochs:
            self._note_target(number, epoch)
            if self._pausing is not None:
                self._pausing.enter(number, epoch=epoch.epoch, value=self._value(epoch))
        self.finish(number, Outcome.COMPLETE)
        if recorded.test is not None:
            self.note_test(number, recorded.test)

    def _mark_duplicate(self, trial: optuna.Trial, key: str) -> None:
        """Report the result of the first proposal for a duplicate, now or at the end of the first."""
        number = self._by_key[key]
        trial.set_user_attr(KEY, key)
        trial.set_user_attr(DUPLICATE_OF, number)
        if number in self._live:
            self._waiting.setdefault(key, []).append(trial)
        else:
            self._reporter.report_run(trial, self._records[number])

    def _close(self, number: int, outcome: Outcome) -> None:
        """Report the end of a trial, and of its duplicates, to the study."""
        self._note_violations(number, outcome)
        if self._pausing is not None:
            is_bad = outcome is Outcome.FAILED and self._records[number].error_class in TO_AVOID
            self._pausing.end(number, Outcome.DIVERGED if is_bad else outcome)
        trial = self._live.pop(number)
        record = self._update(number, outcome=outcome)
        self._reporter.report_end(trial, record)
        for waiting in self._waiting.pop(record.key, []):
            self._reporter.report_run(waiting, record)

    def _note_violations(self, number: int, outcome: Outcome) -> None:
        """Note the conditions that a complete trial violates. Of a shorter one it is unknown."""
        record = self._records[number]
        if self._conditions is not None and outcome is Outcome.COMPLETE:
            self.note(number, violated=self._violations(record, record.epochs[-1]))

    def _violations(self, record: TrialRecord, epoch: EpochResult) -> dict[str, float]:
        assert self._conditions is not None
        seconds = sum(each.seconds for each in record.epochs if each.epoch <= epoch.epoch)
        return self._conditions.violations(record.config, {**epoch.metrics, SECONDS: seconds})

    def _update(self, number: int, **changes: Any) -> TrialRecord:
        record = replace(self._records[number], **changes)
        self._changes += 1
        self._records[number] = record
        return self._notify(record)

    def _notify(self, record: TrialRecord) -> TrialRecord:
        # A trial that is skipped is not completed at the end of a time budget.
        self._gate.enter(replace(record, outcome=Outcome.PRUNED) if record.skipped else record)
        if self._unobserved is not None:
            self._unobserved.append(record)
        else:
            self._call_observers(record)
        return record

    def _call_observers(self, record: TrialRecord) -> None:
        for observer in self._observers:
            observer(record)
