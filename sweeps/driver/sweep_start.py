"""One start of a sweep: train the missing trials on a backend, and keep study and record consistent."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, NoReturn

from rich.console import Console

from cifar_core.common.user_modules import NETWORK, is_user_code
from sweeps.backends.contract import Backend
from sweeps.backends.slots import Slots
from sweeps.core.address import is_bucket
from sweeps.core.errors import DiskFullError
from sweeps.core.exit_codes import ExitCode
from sweeps.core.formatting import duration, is_accuracy, metric_text, plural, print_sentence, relative_to
from sweeps.core.job import Job
from sweeps.core.task import Parts, confirmation_key
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.driver.commands import SweepCommands
from sweeps.driver.description import describe_run
from sweeps.driver.dry_runs import DryRuns
from sweeps.driver.failure_watch import FailureWatch
from sweeps.driver.final_evaluation import TestStep
from sweeps.driver.kept_checkpoints import CheckpointCleanup
from sweeps.driver.keyboard import KeyboardCommands
from sweeps.driver.notifier import Notifier
from sweeps.driver.options import RunOptions, RunSummary
from sweeps.driver.plan import RunPlan
from sweeps.driver.progress import FirstWarning, ViewKeys, headline, redraws, show_progress
from sweeps.driver.race import RacingReplicates
from sweeps.driver.slot_watch import SlotWatch
from sweeps.driver.stopping import Stopping
from sweeps.driver.time_budget import BudgetWatch, ReplicateRuns, TimeBudget, confirmation_sentence
from sweeps.record.writer import Tracker
from sweeps.search.confirming import TrialSource
from sweeps.search.ledger import Ledger
from sweeps.search.state import DriverState, SweepState, TimeLeft
from sweeps.store.access_log import record_access
from sweeps.store.checkpoints import SweepCheckpoints
from sweeps.store.folder import SweepFolder
from sweeps.store.kept_code import keep_code
from sweeps.system.output import stage
from sweeps.tasks.sources import TaskSources
from sweeps.worker.tensorboard import trial_folder


class SweepStart:
    """One start of a sweep, with its open resources."""

    def __init__(
        self,
        plan: RunPlan,
        options: RunOptions,
        *,
        sources: TaskSources,
        folder: SweepFolder,
        ledger: Ledger,
        stopping: Stopping,
        commands: SweepCommands,
        budget: TimeBudget | None = None,
        replicates: ReplicateRuns | None = None,
        race: RacingReplicates | None = None,
        console: Console,
    ) -> None:
        self._plan = plan
        self._options = options
        self._sources = sources
        self._folder = folder
        self._checkpoints = SweepCheckpoints(folder)
        self._stopping = stopping
        self._console = console
        self._writes_curves = plan.tensorboard or options.tensorboard
        self._ledger, self._commands = ledger, commands
        self._budget, self._replicates, self._race = budget, replicates, race
        self._known_replicates = {} if replicates is None else {each.number: each for each in replicates.ledger.records}
        if budget is not None:
            stopping.is_past = commands.alone(budget.is_past)
        self._began = time.time()
        self._known = {record.number: record for record in self.records}

    @property
    def records(self) -> list[TrialRecord]:
        return self._ledger.records

    @property
    def is_done(self) -> bool:
        """Whether there is nothing to train or measure."""
        has_time = self._budget is not None and not self._budget.deadline.is_over
        if has_time and self._replicates is not None and self._replicates.are_left:
            return False
        return self._ledger.is_done and not (self._plan.tested and any(map(_lacks_test, self.records)))

    def state(self, *, slots: int = 1) -> SweepState:
        """Return the current state of the sweep, which the caller may update."""
        plan = self._plan
        return SweepState(
            sweep=plan.name,
            metric=plan.metric.name,
            maximize=plan.metric.goal == "maximize",
            records=self.records,
            replicates=[] if self._replicates is None else self._replicates.ledger.records,
            runs=self._folder.runs,
            steering=self._commands.sentences(),
            driver=DriverState(
                title=plan.title,
                part=plan.part,
                time_left=self._time_left,
                target=self._ledger.target,
                slots=slots,
                began=self._began,
                limit=self._commands.limits.timeout,
                is_paused=self._commands.is_paused,
            ),
        )

    @property
    def _time_left(self) -> TimeLeft | None:
        if self._budget is not None:
            return self._budget.left
        return None if self._race is None else self._race.time.time_left

    def carry_out(self, tracker: Tracker, notifier: Notifier, *, dry_runs: DryRuns) -> RunSummary:
        tracker.reconcile(self.records)
        if (replicates := self._replicates) is not None:
            # Now, since it takes seconds that the end of the budget does not have.
            replicates.tracker = replicates.open_tracker(replicates.ledger.records)
        if not self.is_done and self._stopping.reason is None:
            is_used_up = False  # also after an error
            try:
                with self._stopping.at_once():
                    self._train(tracker, notifier, dry_runs=dry_runs)
                is_used_up = self._is_used_up()
                if self._plan.part == "search":
                    self._ledger.note_end(self.ended_because() if self._stopping.reason is None else None)
            except DiskFullError as error:
                self._stopping.request("disk full", str(error))
            finally:
                self._ledger.interrupt()
                if replicates is not None:
                    replicates.ledger.interrupt()
                if self._budget is not None:
                    self._budget.end(is_used_up=is_used_up)
                if self._race is not None:
                    self._race.time.end(is_used_up=is_used_up and not self._race.race().is_decided)
        status: Literal["KILLED", "FINISHED"] = "KILLED" if self._stopping.reason else "FINISHED"
        race = self._race_result(self._plan)
        description = describe_run(self._plan, self.records, race=race, ended_because=self.ended_because())
        tracker.close(status, description=description)
        if replicates is not None and replicates.tracker is not None:
            again = replicates.ledger.records
            description = describe_run(replicates.plan, again, race=self._race_result(replicates.plan))
            replicates.tracker.close(status, description=description)
        return self.summary(unwritten=tracker.unwritten)

    def _race_result(self, plan: RunPlan) -> str | None:
        """Return what the race of a plan of replicates has shown; None without a race."""
        return self._race.race().sentences() if self._race is not None and plan.replicates else None

    def _is_used_up(self) -> bool:
        """Return whether the training ended because nothing more fits into the time budget."""
        if self._budget is None or self._stopping.reason is not None:
            is_race_over = self._race is not None and self._stopping.reason is None
            return is_race_over or self._stopping.reason == "budget"
        return self._ledger.remaining != 0 or not self._budget.deadline.may_begin()

    def summary(self, *, unwritten: int = 0) -> RunSummary:
        """Return the summary of this start."""
        summary = self._summary_of(self._ledger, known=self._known)
        confirmed = None
        if self._replicates is not None and self._replicates.ledger.records:
            tracker = self._replicates.tracker
            lost = 0 if tracker is None else tracker.unwritten
            confirmed = self._summary_of(self._replicates.ledger, known=self._known_replicates, unwritten=lost)
            confirmed = replace(confirmed, race=self._race_result(self._replicates.plan))
        return replace(
            summary,
            unwritten=unwritten,
            gave_up_at=len(self.records) if self._ledger.gave_up else None,
            ended_because=self.ended_because(),
            confirmed=confirmed,
            race=self._race_result(self._plan),
            budget=None if self._budget is None else self._budget_sentences(),
        )

    def _budget_sentences(self) -> str:
        assert self._budget is not None
        replicates = [] if self._replicates is None else self._replicates.ledger.records
        confirmed = confirmation_sentence(self._plan, self.records, replicates)
        return f"{self._budget.sentence} {confirmed}".strip()

    def _summary_of(self, ledger: Ledger, *, known: Mapping[int, TrialRecord], unwritten: int = 0) -> RunSummary:
        fresh = [record for record in ledger.records if _has_progressed(record, since=known.get(record.number))]
        return RunSummary(
            records=tuple(ledger.records),
            trained=sum(1 for record in fresh if record.reused_from is None and record.epochs),
            begun=sum(1 for record in fresh if record.reused_from is None and record.number not in known),
            reused=sum(1 for record in fresh if record.reused_from is not None),
            seconds=time.time() - self._began,
            stopped_by=self._stopping.reason,
            details=self._stopping.details,
            unwritten=unwritten,
        )

    def ended_because(self) -> str | None:
        """Return why the search ended before its number of trials, and how to continue it; None if it did not."""
        metric, records = self._plan.metric.name, {record.number: record for record in self.records}
        if self._ledger.reached is not None:
            number, epoch = self._ledger.reached
            value = metric_text(metric, epoch.value(metric))
            return (
                f"The search ended: {records[number].name} reached {metric} {value} after epoch {epoch.epoch} "
                "(metric.target). To continue it, set a better metric.target or remove it, then run the same command "
                "again."
            )
        if (found := self._ledger.no_progress) is None:
            return None
        best = records[found.best]
        value = metric_text(metric, best.epochs[-1].value(metric))
        gain = ""
        if found.expected_gain is not None:
            unit = "points" if is_accuracy(metric) else f"of {metric}"
            gain = f", and the model expects {found.expected_gain:.2g} {unit} more (stop_when.expected_gain)"
        return (
            f"The search ended: nothing better than {metric} {value} of {best.name} in the last "
            f"{plural(found.trials, 'trial')} (stop_when.patience){gain}. To continue it, raise or remove "
            "stop_when.patience, then run the same command again."
        )

    def _train(self, tracker: Tracker, notifier: Notifier, *, dry_runs: DryRuns) -> None:
        plan, folder, ledger = self._plan, self._folder, self._ledger
        parts = {**plan.task.load_parts(plan.data), **self._confirmation_parts()}
        with self._backend(
            on_loss=lambda: self._end_without_ray(tracker, notifier), data_bytes=plan.task.size_of(parts)
        ) as backend:
            slots = backend.slots()
            state = self.state(slots=slots.count)
            timeout = self._commands.limits.timeout
            status = {"target": state.target, "slots": slots.count, "limit": timeout, "began": state.began}
            folder.publish(**status, part=plan.part)
            limit = "" if timeout is None else f", at most {duration(timeout)}"
            if self._budget is not None:
                self._budget.deadline.slots = slots.count
            elif self._race is not None:
                self._race.time.save()
                left = self._race.time.time_left
                folder.publish(budget=left.budget, budget_ends=left.ends, finishing=1.0)
            if not redraws(self._console):  # the live view shows them
                print_sentence(self._console, f"{plan.title}: {headline(state)}, {slots.describe()}{limit}")
            for sentence in self._commands.sentences():
                print_sentence(self._console, f"{plan.title}: {sentence}")
            self._record_access()
            inline = self._options.backend == "inline"
            with contextlib.ExitStack() as held:
                keys = ViewKeys(commands=KeyboardCommands(self._commands.give), leave=self._leave)
                shown = show_progress(self._console, state, prints_through=inline, keys=keys)
                progress = held.enter_context(shown)
                failures = FailureWatch(
                    self._stopping,
                    models=plan.models,
                    source_of=self._sources.hash_of,
                    runs=folder.runs,
                    earlier=ledger.records,
                    is_explained=dry_runs.explains,
                )
                cleaning = CheckpointCleanup(ledger.records, plan=plan, checkpoints=self._checkpoints)
                ledger.observe(tracker.write, progress.on_change)
                if plan.tested:
                    step = TestStep(
                        ledger, checkpoints=self._checkpoints, measure=backend.measure, stopping=self._stopping
                    )
                    ledger.observe(held.enter_context(step).on_change)
                ledger.observe(
                    cleaning.on_change,
                    failures.on_change,
                    SlotWatch(backend, state=state, folder=folder, console=self._console).on_change,
                    notifier.on_change,
                    FirstWarning(self._console).on_change,
                )
                self._commands.on_change.append(lambda: self._apply_limits(state, backend))
                trials: TrialSource = ledger
                if self._budget is not None:
                    watch = BudgetWatch(self._budget, backend, state=state, folder=folder)
                    ledger.observe(watch.on_change)
                    self._commands.on_change.append(watch.refresh)
                if self._budget is not None and (replicates := self._replicates) is not None:
                    trials = replicates.with_search(ledger, budget=self._budget)
                    clean = CheckpointCleanup(
                        replicates.ledger.records, plan=replicates.plan, checkpoints=self._checkpoints
                    )
                    replicates.ledger.observe(replicates.write, progress.on_change, clean.on_change, watch.on_change)
                if inline:
                    held.enter_context(self._commands.on_thread())
                backend.train(
                    trials,
                    parts=parts,
                    job_of=lambda record: self._job(record, slots),
                    stopping=self._stops,
                )

    def _confirmation_parts(self) -> Parts:
        """Return the confirmation parts of the replicates, by their names among the parts."""
        task, examples = self._plan.task, self._confirm_examples
        if not examples:
            return {}
        named = {task.confirmation_name(config, examples): config for config in self._plan.data}
        return {confirmation_key(name): task.load_confirmation(config, examples) for name, config in named.items()}

    @property
    def _confirm_examples(self) -> int:
        return 0 if self._plan.confirmation is None else self._plan.confirmation.examples

    def _leave(self) -> str:
        """Let the sweep continue when its terminal is closed; return what the key says then."""
        self._stopping.outlive_terminal()
        return (
            f"{self._plan.name} continues when this terminal is closed. `sweeps watch {self._plan.name}` shows it; "
            f"`sweeps stop {self._plan.name}` stops it."
        )

    def _stops(self) -> bool:
        """Apply new commands, and return whether to stop."""
        self._commands.poll()
        return self._stopping()

    def _apply_limits(self, state: SweepState, backend: Backend) -> None:
        """Apply the limits that a command has changed."""
        limits = self._commands.limits
        backend.limit(limits)
        state.target, state.limit, state.is_paused = self._ledger.target, limits.timeout, self._commands.is_paused
        state.steering = self._commands.sentences()
        self._folder.publish(target=state.target, limit=state.limit)

    def _record_access(self) -> None:
        """Log the test-set access before the first trial that will be measured on the test images is started."""
        tested = {record.key for record in self.records if record.test is not None}
        keys = [self._ledger.key_of(config) for config in self._plan.final_configs]
        if untested := [key for key in keys if key not in tested]:
            record_access(self._folder.runs, sweep=self._plan.name, keys=untested)

    def _end_without_ray(self, tracker: Tracker, notifier: Notifier) -> NoReturn:
        """Save everything, print the reason and end this process, whose main thread waits for the lost Ray."""
        is_requested = self._stopping.reason == "signal"
        try:
            self._ledger.interrupt()
            tracker.close("KILLED" if self._stopping.reason else "FAILED")
            self._folder.remove_driver_note()
            text = "Interrupted. All finished epochs are saved. Run the same command again to resume."
            if not is_requested:
                text = (
                    f"error: Ray has ended or cannot be reached any more (see {self._folder.path / 'ray.log'}). All "
                    "finished epochs are saved. Run the same command again to resume."
                )
            print_sentence(self._console, text)
            notifier.ends("signal" if is_requested else "error", text)
            notifier.close()
        finally:
            # Nothing else ends this process, and the study contains every epoch.
            os._exit(ExitCode.INTERRUPTED if is_requested else ExitCode.REFUSED)

    @contextlib.contextmanager
    def _backend(self, *, on_loss: Callable[[], None], data_bytes: int) -> Iterator[Backend]:
        plan, options = self._plan, self._options
        if options.backend == "inline":
            is_network = plan.task.code_kind is NETWORK
            with stage(self._console, "loading PyTorch") if is_network else contextlib.nullcontext():
                from sweeps.backends.inline import InlineBackend
            yield InlineBackend(
                plan.task,
                plan.resources,
                is_late=self._stopping.is_late,
                while_training=self._commands.while_training,
            )
            return
        address, folder = options.ray_address, self._folder
        networks = tuple(filter(is_user_code, plan.models))
        with contextlib.ExitStack() as held:
            with stage(self._console, f"connecting to Ray at {address}" if address else "starting Ray"):
                from sweeps.backends.ray.backend import Cluster, ray_backend

                storage = folder.storages.storage
                ray = held.enter_context(
                    ray_backend(
                        plan.task,
                        plan.resources,
                        self._commands.limits,
                        cluster=Cluster(address=address, networks=networks, storage=storage) if address else None,
                        runs=folder.runs,
                        log=folder.path / "ray.log",
                        on_loss=on_loss,
                        data_bytes=data_bytes,
                    )
                )
            yield ray

    def _job(self, record: TrialRecord, slots: Slots) -> Job:
        folder = self._folder
        source = self._sources.of(record.config)
        if source is not None:
            keep_code(folder.path, source)
        log = folder.log_address(f"{record.trial:04d}-{record.key}.log")
        ledger, number, is_replicate = self._ledger, record.number, self._plan.replicates
        if number < 0:  # see `SearchAndReplicates`
            assert self._replicates is not None
            ledger, number, is_replicate = self._replicates.ledger, -1 - number, True
        ledger.note(number, log=log if is_bucket(log) else relative_to(Path(log), folder.runs))
        return Job(
            number=record.number,
            task=self._plan.task.name,
            config=record.config.model_dump_json(),
            checkpoint=self._checkpoints.address(record.key),
            log=log,
            attempt=time.time_ns(),
            cpus=slots.cpus,
            device=slots.device,
            gpu_share=slots.gpus,
            source=None if source is None else json.dumps(dict(source.files)),
            epochs_known=len(record.epochs),
            confirm_examples=self._confirm_examples if is_replicate or self._plan.judged else 0,
            trial_timeout=self._plan.limits.trial_timeout,
            epoch_timeout=self._plan.limits.epoch_timeout,
            curves=str(trial_folder(folder.runs, record)) if self._writes_curves else None,
        )


def _has_progressed(record: TrialRecord, *, since: TrialRecord | None) -> bool:
    """Return whether a trial has changed, apart from its test result."""
    return since is None or replace(record, test=since.test) != since


def _lacks_test(record: TrialRecord) -> bool:
    return record.outcome is Outcome.COMPLETE and record.test is None
