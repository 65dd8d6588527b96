"""The ledger of a sweep: an Optuna study that holds every trial, whoever proposed it and however it ended.

It hands out the next trial, hears every epoch, asks the pruner, and closes trials truthfully. Both backends (Ray
and inline) do nothing but call it, and what MLflow lacks after a crash is written from it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweeps.core.identity import Identity
from sweeps.core.results import EpochResult, TestResult
from sweeps.core.task import TaskConfig
from sweeps.core.trial import CompleteResult, ErrorClass, Outcome, TrialMessage, TrialRecord
from sweeps.files.distributions import suggest
from sweeps.search.proposers import Proposal, Proposer
from sweeps.search.reuse import RecordedResults
from sweeps.search.stored_trials import (
    DUPLICATE_OF,
    FINISHED,
    KEY,
    OUTCOME,
    RETRY_OF,
    SPENT,
    RecordsOf,
    close_lost_trials,
    entry_attributes,
    epoch_attribute,
    store_test,
)
from sweeps.search.truth import Truth
from sweeps.search.waiting import WaitingTrials
from sweeps.store.storage import together
from sweeps.system.compat import live_trial

Observer = Callable[[TrialRecord], None]
"""Is called with a trial's record at every change of it."""

_CODE_CHANGED = "its code has changed since it was begun"


class Exhausted:
    """There is no further trial: the budget is spent, or the space holds nothing new."""


EXHAUSTED = Exhausted()


class Ledger:
    """One sweep's trials. To be used by one driver, in one thread."""

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
    ) -> None:
        """Take over what earlier drivers left. Nobody is told of that: see `observe`.

        Args:
            study: that holds the trials; its pruner stops them.
            sweep: its name.
            metric: field of `EpochResult` that is looked at.
            proposer: of the configurations.
            run_cap: distinct trials at most; None for as many as there are.
            identify: gives a configuration's key.
            recorded: results that stand for a training; None for none.
            retry_failed: whether the trials that failed are tried again.
        """
        self._study = study
        self._records_of = RecordsOf(study, sweep=sweep)
        self._truth = Truth(study, metric=metric)
        self._proposer = proposer
        self._run_cap = run_cap
        self._identify = identify
        self._prunes = not isinstance(study.pruner, optuna.pruners.NopPruner)
        self._recorded = recorded
        self._observers: list[Observer] = []
        self._live: dict[int, optuna.Trial] = {}
        self._records: dict[int, TrialRecord] = {}
        self._by_key: dict[str, int] = {}
        self._waiting: dict[str, list[optuna.Trial]] = {}
        self._begun = WaitingTrials()
        self._to_retry: list[int] = []
        self._exhausted = False
        self._adopt(retry_failed=retry_failed)

    def _adopt(self, *, retry_failed: bool) -> None:
        """Take over what earlier drivers left: running trials go on, half-told ones are told."""
        close_lost_trials(self._study)
        for frozen in self._study.get_trials(deepcopy=False):
            attributes = frozen.user_attrs
            if KEY not in attributes or not self._proposer.concerns(attributes[KEY]):
                continue
            if DUPLICATE_OF in attributes:
                if not frozen.state.is_finished():
                    self._study.tell(frozen.number, state=TrialState.FAIL)
                continue
            self._hold(self._records_of.record(frozen.number, attributes), retry_of=attributes.get(RETRY_OF))
            if frozen.state == TrialState.RUNNING:
                self._take_up(frozen)
        failed = [record for record in self.records if record.outcome is Outcome.FAILED]
        asked = [r.number for r in failed if retry_failed or r.error_class == ErrorClass.CODE_CHANGED]
        self._to_retry = [number for number in asked if not self._is_replaced(number)]

    def _take_up(self, frozen: FrozenTrial) -> None:
        trial = live_trial(self._study, frozen)
        record = self._records[frozen.number]
        self._live[frozen.number] = trial
        if OUTCOME not in frozen.user_attrs and self._identify(record.config).key != record.key:
            # No run mixes two states of the code: it is entered anew under the key of the new one.
            self.finish(frozen.number, Outcome.FAILED, error=_CODE_CHANGED, error_class=ErrorClass.CODE_CHANGED)
            return
        for epoch in record.epochs:
            if epoch.epoch not in frozen.intermediate_values:
                self._truth.tell_epoch(trial, epoch)
        if OUTCOME in frozen.user_attrs:
            self._tell(frozen.number, Outcome(frozen.user_attrs[OUTCOME]))
        elif record.epochs and self._is_pruned(record, record.epochs[-1]):
            # Its driver may have died before it asked.
            self.finish(frozen.number, Outcome.PRUNED)
        else:
            self._begun.add(frozen.number, error_class=record.error_class)

    def _hold(self, record: TrialRecord, *, retry_of: int | None = None) -> None:
        """Keep a record in place of one that failed: of the same key, or of the key before its code was mended."""
        for before in {self._by_key.get(record.key), retry_of} - {None}:
            assert before is not None
            if (replaced := self._records.pop(before, None)) is not None:
                self._by_key.pop(replaced.key)
        self._records[record.number] = record
        self._by_key[record.key] = record.number

    def observe(self, *observers: Observer) -> None:
        """Tell them of every change from now on, each time in this order."""
        self._observers += observers

    def key_of(self, config: TaskConfig) -> str:
        """Return the key that a configuration has, or would have, as a trial."""
        return self._identify(config).key

    @property
    def records(self) -> list[TrialRecord]:
        """Every distinct trial in the order of proposal; a trial left by a dead driver is `interrupted`."""
        return [self._records[number] for number in sorted(self._records)]

    @property
    def is_done(self) -> bool:
        """Whether there is surely nothing to train."""
        target = self.target
        if self._live or self._to_retry or target is None:
            return False
        # A finite space that holds impossible combinations ends before its number of combinations.
        spent = self._study.user_attrs.get(SPENT)
        return len(self._records) >= target or (spent is not None and len(self._records) == spent)

    @property
    def gave_up(self) -> bool:
        """Whether nothing new was proposed in a space without end although the budget is not spent."""
        endless = self._proposer.total() is None
        return self._exhausted and endless and self._run_cap is not None and len(self._records) < self._run_cap

    @property
    def live(self) -> int:
        """Trials handed out and not finished."""
        return len(self._live) - len(self._begun)

    @property
    def target(self) -> int | None:
        """Distinct trials the sweep ends with, None where only its space decides."""
        total = self._proposer.total()
        bounds = [bound for bound in (self._run_cap, total) if bound is not None]
        return min(bounds) if bounds else None

    @property
    def to_come(self) -> int | None:
        """Trials that are still to be handed out, None where only the space decides."""
        if self.target is None:
            return None
        fresh = 0 if self._exhausted else max(0, self.target - len(self._records))
        return fresh + len(self._begun) + len(self._to_retry)

    def next_trial(self) -> TrialRecord | Exhausted | None:
        """Return the next trial to train, None while only a running one can tell more, or `EXHAUSTED`."""
        begun = self._begun.next(live=self.live)
        if begun is not None:
            return self._update(begun, outcome=Outcome.RUNNING)
        if self._begun.keeps_others_off:
            return None
        while self._to_retry:
            if not self._is_replaced(number := self._to_retry.pop(0)):
                return self._try_again(number)
        repeats = 0
        while not self._exhausted:
            if self._run_cap is not None and len(self._records) >= self._run_cap:
                break
            with together(self._study):
                proposal = self._proposer.ask(self._study, repeats=repeats)
            if proposal is None:
                self._exhausted = True
                if self._proposer.total() is not None and self._proposer.searches:
                    self._study.set_user_attr(SPENT, len(self._records))
                break
            identity = self._identify(proposal.config)
            if identity.key in self._by_key:
                repeats += 1
                self._repeat(proposal.trial, identity.key)
                continue
            record = self._enter(proposal, identity)
            recorded = self._recorded.complete_result(identity.key) if self._recorded is not None else None
            if recorded is None:
                return record
            self._take_over(record.number, recorded)
        return None if self.live else EXHAUSTED

    def receive(self, number: int, message: TrialMessage) -> bool:
        """Enter what a trial said: its only way in, from every backend. Return whether the trial is over."""
        known = {"parameters": message.parameters, "environment": message.environment}
        self.note(number, **{name: value for name, value in known.items() if value is not None})
        if message.warning is not None:
            self._update(number, warning=message.warning)
        if message.epoch is not None and (fault := self._truth.fault_of(message.epoch)) is not None:
            self.finish(number, Outcome.FAILED, error=fault, error_class="MissingMetric", traceback=None)
            return True
        if message.epoch is not None and self._enter_epoch(number, message.epoch):
            return True
        if message.outcome is None:
            return False
        error = {"error": message.error, "error_class": message.error_class, "traceback": message.traceback}
        if message.outcome is Outcome.INTERRUPTED:
            self._put_back(number, **error)
        else:
            self.finish(number, message.outcome, **error)
        return True

    def _put_back(self, number: int, **error: str | None) -> None:
        """Let a trial wait that its machine has stopped, or end it where that came too often."""
        if number not in self._live or self._records[number].outcome is not Outcome.RUNNING:
            return
        if self._begun.put_back(number, error_class=error["error_class"]):
            # In the study too: the next driver, if this one dies, must not repeat it blindly either.
            self.note(number, **error)
            self._update(number, outcome=Outcome.INTERRUPTED)
        else:
            again = (
                "again with nothing beside it" if error["error_class"] == ErrorClass.OUT_OF_MEMORY else "once too often"
            )
            self.finish(number, Outcome.FAILED, **error | {"error": f"{error['error']} ({again})"})

    def _enter_epoch(self, number: int, epoch: EpochResult) -> bool:
        """Enter an epoch; return whether the pruner stops the trial, which then is `pruned`.

        An epoch that is known already (a trial that went on from its checkpoint tells it again) changes nothing.
        """
        record = self._records[number]
        if number not in self._live:
            return record.outcome is Outcome.PRUNED
        if epoch.epoch <= len(record.epochs):
            return False
        trial = self._live[number]
        with together(self._study):
            trial.set_user_attr(epoch_attribute(epoch.epoch), epoch.as_dict())
            self._truth.tell_epoch(trial, epoch)
        self._update(number, epochs=(*record.epochs, epoch))
        if self._is_pruned(record, epoch):
            self.finish(number, Outcome.PRUNED)
            return True
        return False

    def _is_pruned(self, record: TrialRecord, epoch: EpochResult) -> bool:
        """Ask the pruner after an epoch. Those that halve answer each of their rungs once, also when asked again."""
        return self._prunes and epoch.epoch < record.config.epochs and self._live[record.number].should_prune()

    def finish(
        self,
        number: int,
        outcome: Outcome,
        *,
        error: str | None = None,
        error_class: str | None = None,
        traceback: str | None = None,
    ) -> None:
        """Close a trial. Closing it twice changes nothing."""
        if number not in self._live:
            return
        trial = self._live[number]
        self.note(number, error=error, error_class=error_class, traceback=traceback)
        finished = time.time()
        with together(self._study):
            trial.set_user_attr(FINISHED, finished)
            trial.set_user_attr(OUTCOME, outcome.value)
        self._update(number, finished=finished)
        self._begun.ended(number)
        self._tell(number, outcome)

    def note(self, number: int, **fields: Any) -> None:
        """Add what became known of a running trial: `parameters`, `log`, `error`, `reused_from` and such."""
        record = self._records[number]
        changed = {field: value for field, value in fields.items() if getattr(record, field) != value}
        if number in self._live and changed:
            with together(self._study):
                for field, value in changed.items():
                    self._live[number].set_user_attr(field, value)
            self._update(number, **changed)

    def note_test(self, number: int, test: TestResult) -> None:
        """Add a finished trial's result on the test images."""
        store_test(self._study, number, test)
        self._update(number, test=test)

    def interrupt(self) -> None:
        """Mark what is still running as interrupted in the record; the study keeps it open for the next start."""
        for number in list(self._live):
            if self._records[number].outcome is Outcome.RUNNING:
                self._update(number, outcome=Outcome.INTERRUPTED)

    def _is_replaced(self, number: int) -> bool:
        """Return whether another trial is already what a failed one would be now, with its code mended."""
        return self._by_key.get(self._identify(self._records[number].config).key, number) != number

    def _try_again(self, number: int) -> TrialRecord:
        """Enter a failed trial anew: its own Optuna trial is closed for good."""
        before = self._records[number]
        failed = self._study.get_trials(deepcopy=False)[number]
        if failed.params:
            self._study.enqueue_trial(failed.params)
        trial = self._study.ask()
        for path, distribution in failed.distributions.items():
            suggest(trial, path, distribution)
        proposal = Proposal(trial=trial, config=before.config, rung=before.rung, replicate_of=before.replicate_of)
        # What it is now: the code that failed may have been mended.
        return self._enter(proposal, self._identify(before.config), retry_of=number)

    def _enter(self, proposal: Proposal, identity: Identity, *, retry_of: int | None = None) -> TrialRecord:
        trial = proposal.trial
        attributes = entry_attributes(
            proposal.config,
            identity,
            proposal.rung,
            started=time.time(),
            replicate_of=proposal.replicate_of,
            retry_of=retry_of,
        )
        with together(self._study):
            for name, value in attributes.items():
                trial.set_user_attr(name, value)
        record = replace(self._records_of.record(trial.number, attributes), outcome=Outcome.RUNNING)
        self._hold(record, retry_of=retry_of)
        self._live[record.number] = trial
        return self._told(record)

    def _take_over(self, number: int, recorded: CompleteResult) -> None:
        trial = self._live[number]
        if recorded.study != self._study.study_name:
            self.note(number, reused_from=recorded.run_id)
        if recorded.parameters is not None:
            self.note(number, parameters=recorded.parameters)
        fault = next(filter(None, map(self._truth.fault_of, recorded.epochs)), None)
        if fault is not None:
            self.finish(number, Outcome.FAILED, error=fault, error_class="MissingMetric", traceback=None)
            return
        with together(self._study):
            for epoch in recorded.epochs:
                trial.set_user_attr(epoch_attribute(epoch.epoch), epoch.as_dict())
                self._truth.tell_epoch(trial, epoch)
        self._update(number, epochs=recorded.epochs)
        self.finish(number, Outcome.COMPLETE)
        if recorded.test is not None:
            self.note_test(number, recorded.test)

    def _repeat(self, trial: optuna.Trial, key: str) -> None:
        """A proposal that was made before: tell the study what is known, or wait until it is."""
        number = self._by_key[key]
        trial.set_user_attr(KEY, key)
        trial.set_user_attr(DUPLICATE_OF, number)
        if number in self._live:
            self._waiting.setdefault(key, []).append(trial)
        else:
            self._truth.tell_with_curve(trial, self._records[number])

    def _tell(self, number: int, outcome: Outcome) -> None:
        trial = self._live.pop(number)
        record = self._update(number, outcome=outcome)
        self._truth.tell(trial, record)
        for waiting in self._waiting.pop(record.key, []):
            self._truth.tell_with_curve(waiting, record)

    def _update(self, number: int, **changes: Any) -> TrialRecord:
        record = replace(self._records[number], **changes)
        self._records[number] = record
        return self._told(record)

    def _told(self, record: TrialRecord) -> TrialRecord:
        for observer in self._observers:
            observer(record)
        return record
