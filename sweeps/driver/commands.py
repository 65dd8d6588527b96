"""Applies the commands of `sweeps add`, `skip`, `set`, `pause` and `resume` to a sweep while its driver runs.

A command is applied in one write: the study then contains it and what follows from it, and a driver that resumes the
sweep finds the same state. See `sweeps.store.command_queue` for the way of a command to the driver.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from threading import Event, RLock, Thread
from typing import Any

import optuna
from rich.console import Console

from sweeps.core.errors import StoreError
from sweeps.core.formatting import plural, print_sentence, time_of_day
from sweeps.core.identity import trial_name
from sweeps.core.steering import PREFIX, Added, Command, Steering, Verb, limit_text
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.driver.plan import RunPlan
from sweeps.driver.stopping import Stopping
from sweeps.driver.time_budget import TimeBudget
from sweeps.files.settings import Limits
from sweeps.files.sweep import SweepSpec
from sweeps.search.ledger import Ledger
from sweeps.search.stored_trials import name_in_record
from sweeps.store.command_queue import CommandQueue, command_queue
from sweeps.store.folder import SweepFolder

POLL_SECONDS = 0.25
"""Interval between two readings of new commands from a file."""
POLL_SECONDS_OF_DATABASE = 1.0
MAX_REPLIES = 20
"""Number of the newest replies that a driver publishes."""


class RefusedCommandError(Exception):
    """The state of the sweep does not allow a command. The message is the reply."""


def limits_of_file(of: RunPlan | SweepSpec) -> dict[str, Any]:
    """Return the limits of a file that `sweeps set` can change, as they are stored."""
    return {
        "run_cap": of.run_cap,
        "max_concurrent_trials": of.limits.max_concurrent_trials,
        "timeout": of.limits.timeout,
        "budget": of.budget,
    }


def with_set_limits(plan: RunPlan, steering: Steering) -> RunPlan:
    """Return a plan with the limits that `sweeps set` has changed."""
    changed = steering.limits
    limits: dict[str, Any] = {name: changed[name] for name in ("max_concurrent_trials", "timeout") if name in changed}
    return replace(
        plan,
        run_cap=changed.get("run_cap", plan.run_cap),
        budget=changed.get("budget", plan.budget),
        limits=plan.limits.model_copy(update=limits),
    )


def store_command(
    study: optuna.Study, steering: Steering, command: Command, *, of_file: Mapping[str, Any] | None = None
) -> None:
    """Add a command to a study, in one line of its journal."""
    stored = {**asdict(command), "taken": time.time()} | ({"of_file": dict(of_file)} if of_file else {})
    study.set_user_attr(f"{PREFIX}{steering.count + 1:06d}", stored)
    steering.enter(command, of_file=of_file or {})


def read_steering(study: optuna.Study, plan: RunPlan, console: Console) -> Steering:
    """Return what the commands of earlier starts ask for, without limits that were changed in the file since then."""
    steering = Steering(study.user_attrs)
    changed = steering.changed_in_file(limits_of_file(plan))
    if changed:
        for name, value in changed.items():
            print_sentence(
                console,
                f"{name} {limit_text(name, value)} of the file holds, because it was changed after `sweeps set` "
                f"{name}={limit_text(name, steering.limits[name])}.",
            )
        command = Command(
            id=f"file-{steering.count}", verb="file", study=study.study_name, given=time.time(), values=changed
        )
        store_command(study, steering, command)
    return steering


class SweepCommands:
    """Applies new commands to the ledger of a running driver, which has the study of the sweep."""

    def __init__(
        self,
        study: optuna.Study,
        *,
        plan: RunPlan,
        of_file: Mapping[str, Any],
        steering: Steering,
        ledger: Ledger,
        stopping: Stopping,
        folder: SweepFolder,
        console: Console,
        budget: TimeBudget | None = None,
        queue: CommandQueue | None = None,
    ) -> None:
        """Create it. The plan has the limits that earlier commands have set, and `of_file` those of the file."""
        self._study, self._plan, self._of_file = study, plan, of_file
        self._steering, self._ledger, self._stopping, self._budget = steering, ledger, stopping, budget
        self._folder, self._console = folder, console
        self._queue = queue or command_queue(folder)
        self._seconds = POLL_SECONDS if folder.database is None else POLL_SECONDS_OF_DATABASE
        self._polled = -self._seconds
        self._replies: dict[str, tuple[bool, str]] = {}
        """Id of a command to whether it was refused, and the reply."""
        self._turn = RLock()
        """Held by the thread that uses the ledger."""
        self.limits: Limits = plan.limits
        """The current limits."""
        self.on_change: list[Callable[[], None]] = []
        """Called after a command was applied."""

    @property
    def is_paused(self) -> bool:
        return self._steering.is_paused

    def sentences(self) -> list[str]:
        """Return in words what the commands ask for."""
        return self._steering.sentences(pending=self._ledger.to_add, clock=time_of_day)

    def give(self, verb: Verb, values: Mapping[str, Any]) -> None:
        """Store a command of this process's own terminal. It is applied like those of other processes.

        Raises:
            StoreError: It cannot be stored.
        """
        given = {"id": secrets.token_hex(8), "verb": verb, "study": name_in_record(self._study), "given": time.time()}
        self._queue.append({**given, "values": dict(values)})

    def poll(self) -> None:
        """Apply the new commands, unless another thread uses the ledger or the last call was just before."""
        if time.monotonic() - self._polled < self._seconds or not self._turn.acquire(blocking=False):
            return
        try:
            self._polled = time.monotonic()
            if self._budget is not None:
                self._budget.hold(self.is_paused and not self._ledger.live)
            try:
                found = self._queue.new()
            except StoreError:
                return  # it is read again
            for stored in found:
                self._take(stored)
        finally:
            self._turn.release()

    def alone(self, call: Callable[[], bool]) -> Callable[[], bool]:
        """Return a function that uses the study, for a thread that may be within `while_training`."""

        def called() -> bool:
            with self._turn:
                return call()

        return called

    @contextmanager
    def while_training(self) -> Iterator[None]:
        """Let another thread apply commands within the block, in which this one does not use the ledger."""
        self._turn.release()
        try:
            yield
        finally:
            self._turn.acquire()

    @contextmanager
    def on_thread(self) -> Iterator[None]:
        """Poll also on another thread, within the blocks of `while_training`. The ledger is this thread's otherwise."""
        ended = Event()

        def watch() -> None:
            while not ended.wait(self._seconds):
                self.poll()

        thread = Thread(target=watch, name="commands to the sweep", daemon=True)
        with self._turn:
            thread.start()
            try:
                yield
            finally:
                ended.set()

    def _take(self, stored: Mapping[str, Any]) -> None:
        try:
            command = Command.read(stored)
        except TypeError:
            return  # of a later version
        if self._steering.knows(command) or command.study != name_in_record(self._study):
            return
        with self._ledger.in_one_write():
            is_refused, reply = self._apply(command)
        print_sentence(self._console, f"{reply} (sweeps {command.verb})")
        self._replies[command.id] = is_refused, reply
        newest = dict(list(self._replies.items())[-MAX_REPLIES:])
        self._folder.publish(replies=json.dumps(newest), paused=float(self.is_paused), target=self._ledger.target)
        for call in self.on_change:
            call()

    def _apply(self, command: Command) -> tuple[bool, str]:
        """Store a command and change the state of the driver; return whether it is refused, and the reply."""
        try:
            values, of_file, reply, then = self._effect_of(command)
        except RefusedCommandError as refusal:
            store_command(self._study, self._steering, replace(command, reply=str(refusal), is_refused=True))
            return True, str(refusal)
        stored = replace(command, values=values, reply=reply)
        store_command(self._study, self._steering, stored, of_file=of_file)
        then()
        return False, reply

    def _effect_of(self, command: Command) -> tuple[Mapping[str, Any], Mapping[str, Any], str, Callable[[], None]]:
        """Return the values to store, the limits of the file to store, the reply, and what applies the command."""
        values = dict(command.values)
        if command.verb == "add":
            return values, {}, self._reply_to_add(), lambda: self._ledger.add(Added(id=command.id, values=values))
        if command.verb == "skip":
            record = self._record(int(values["trial"]))
            values |= {"number": record.number}
            if values["undo"]:
                return values, {}, self._reply_to_undo(record), lambda: self._ledger.undo_skip(record.number)
            reply, values["until"] = self._reply_to_skip(record)
            return values, {}, reply, lambda: self._ledger.skip(record.number)
        if command.verb == "set":
            self._check_limits(values)
            of_file = {name: self._of_file[name] for name in values}
            return values, of_file, self._reply_to_set(values), lambda: self._set(values)
        if (command.verb == "pause") == self.is_paused:
            state = "paused already" if self.is_paused else "not paused"
            raise RefusedCommandError(f"{self._plan.title} is {state}.")
        return values, {}, self._reply_to_pause(pauses=command.verb == "pause"), lambda: None

    def _reply_to_add(self) -> str:
        number = self._ledger.next_trial_number + self._ledger.to_add
        name = trial_name(self._plan.name, number)
        if self._plan.part != "search":
            raise RefusedCommandError(f"{self._plan.title} has no search space.")
        if self._ledger.to_add:
            return f"{name} will be tried after {plural(self._ledger.to_add, 'other added configuration')}."
        hold = " once the sweep is resumed" if self.is_paused else ""
        fits = ", if it fits into the time budget" if self._budget is not None else ""
        return f"{name} will be the next trial{hold}{fits}."

    def _record(self, trial: int) -> TrialRecord:
        found = [record for record in self._ledger.records if record.trial == trial]
        if not found or self._plan.part != "search":
            raise RefusedCommandError(f"{self._plan.title} has no trial {trial}.")
        return found[0]

    def _reply_to_skip(self, record: TrialRecord) -> tuple[str, int]:
        """Return the reply, and the epoch after which the trial ends."""
        name, epochs = trial_name(self._plan.name, record.trial), len(record.epochs)
        if record.skipped or record.number in self._steering.until:
            raise RefusedCommandError(f"{name} is skipped already.")
        if record.outcome is Outcome.RUNNING:
            if epochs + 1 == record.config.epochs:
                raise RefusedCommandError(f"{name} is in its last epoch, and will be complete after it.")
            return f"{name} will end after epoch {epochs + 1}.", epochs + 1
        if record.outcome is Outcome.PAUSED:
            return f"{name} is paused after epoch {epochs} and will not continue.", epochs
        if record.outcome is Outcome.INTERRUPTED:
            return f"{name} will not be resumed after epoch {epochs}.", epochs
        raise RefusedCommandError(f"{name} is {record.outcome} and has nothing to skip.")

    def _reply_to_undo(self, record: TrialRecord) -> str:
        name = trial_name(self._plan.name, record.trial)
        if not record.skipped and record.number not in self._steering.until:
            raise RefusedCommandError(f"{name} was not skipped: it is {record.outcome}.")
        if not record.skipped:
            return f"{name} continues."
        return f"{name} can continue after epoch {len(record.epochs)}."

    def _check_limits(self, values: Mapping[str, Any]) -> None:
        part = self._plan.part
        if part != "search" and (wrong := [name for name in values if name in ("run_cap", "budget")]):
            raise RefusedCommandError(f"{self._plan.title} is a list of runs, which has no {wrong[0]}.")
        if "budget" in values and self._budget is None:
            raise RefusedCommandError(
                f"{self._plan.title} was started without a time budget. Write budget in its file, then start it again."
            )

    def _reply_to_set(self, values: Mapping[str, Any]) -> str:
        texts = [f"{name} is {limit_text(name, value)}" for name, value in values.items()]
        most = values.get("max_concurrent_trials")
        live = self._ledger.live
        if isinstance(most, int) and live > most:
            texts[-1] += f" ({plural(live - most, 'running trial')} will wait after the current epoch)"
        if (cap := values.get("run_cap")) is not None and cap <= len(self._ledger.records):
            texts[-1] += f" (no new trial begins: there are {len(self._ledger.records)})"
        return f"{self._plan.title}: {', '.join(texts)}."

    def _set(self, values: Mapping[str, Any]) -> None:
        update = {name: values[name] for name in ("max_concurrent_trials", "timeout") if name in values}
        self.limits = self.limits.model_copy(update=update)
        if "timeout" in values:
            self._stopping.set_limit(values["timeout"])
        if "run_cap" in values:
            self._ledger.set_run_cap(values["run_cap"])
        if "budget" in values and self._budget is not None:
            self._budget.change(values["budget"])

    def _reply_to_pause(self, *, pauses: bool) -> str:
        if not pauses:
            return f"{self._plan.title} continues."
        live = self._ledger.live
        running = f" {plural(live, 'running trial')} will wait after the current epoch." if live else ""
        timeout = "" if self.limits.timeout is None else " limits.timeout keeps counting."
        budget = "" if self._budget is None else " The time budget does not count the pause."
        return f"{self._plan.title} is paused: no new epoch begins.{running}{timeout}{budget}"
