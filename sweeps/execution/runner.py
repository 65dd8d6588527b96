"""Carries out a plan: opens the ledger and the record, lets a backend train, and leaves both true however it ends."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import optuna
from rich.console import Console

from cifar_core.config import TrainingConfig
from cifar_core.data import LabelledImages, load_training_images, split_train_validation, training_fingerprint
from cifar_core.errors import ModelError
from cifar_core.models import source_hash
from cifar_core.models.registry import is_import_path
from sweeps.errors import DiskFullError, SweepError
from sweeps.execution.backend import Backend
from sweeps.execution.checkpoints import CleanUp
from sweeps.execution.description import describe_run
from sweeps.execution.failure_watch import FailureWatch
from sweeps.execution.fault import guard_exit
from sweeps.execution.job import Job, Splits, split_name
from sweeps.execution.output import stage, terminal_copy
from sweeps.execution.place_checks import check_place, check_storage, require_folder
from sweeps.execution.plan import RESOURCES, RunPlan
from sweeps.execution.progress import headline, redraws, show_progress
from sweeps.execution.ray_environment import prepare_environment
from sweeps.execution.slot_watch import SlotWatch
from sweeps.execution.slots import Slots, require_custom
from sweeps.execution.start import RunOptions, RunSummary
from sweeps.execution.stopping import Stopping
from sweeps.execution.test_set import TestStep, bring_weights, no_test_step
from sweeps.formatting import duration, print_sentence, relative_to
from sweeps.git_state import GitState, git_state
from sweeps.identity import Identifier
from sweeps.machine import environment
from sweeps.notify import Notifier, parse_targets
from sweeps.storage import Place, asked_place, is_bucket
from sweeps.study import (
    Ledger,
    SweepCheckpoints,
    SweepFolder,
    SweepState,
    make_pruner,
    note_look,
    open_replicates,
    open_study,
)
from sweeps.tensorboard import require_tensorboard, trial_folder
from sweeps.tracking import Aim, CompleteResults, MlflowReader, Tracker
from sweeps.trial_record import Outcome, TrialRecord


def run(plan: RunPlan, options: RunOptions) -> RunSummary:
    """Train what is missing of a plan, and return how it stands.

    Running it again goes on where it stopped; what is recorded is not trained again.

    Raises:
        SweepError: nothing was started; the message says what to do.
        DataUnavailableError: CIFAR-10 cannot be had.
        RecordError: the record cannot be opened.
    """
    flag = Place(storage=options.storage, study_storage=options.study_storage)
    folder = SweepFolder(options.runs.resolve(), plan.name, asked=asked_place(flag=flag, file=plan.place))
    folder.require(asked_place(flag=flag, file=plan.place, environment=False))
    targets = parse_targets([*plan.notify, *options.notify])
    require_custom(plan.resources, address=None if options.backend == "inline" else options.ray_address)
    if plan.tensorboard or options.tensorboard:
        require_tensorboard()
        require_folder(folder, "TensorBoard's curves")
    sources = _sources(plan)
    fingerprint = training_fingerprint()
    identify = Identifier(data_fingerprint=fingerprint, sources=sources)
    with contextlib.ExitStack() as held:
        console = held.enter_context(terminal_copy())
        stopping = Stopping(limit=plan.limits.timeout, console=console)
        held.enter_context(stopping.on_signals())
        # First: a sweep that has begun keeps its place.
        check_storage(folder)
        held.enter_context(folder.locked(on_loss=lambda: _end_without_lease(console, plan.name)))
        reader = MlflowReader(folder.runs)
        study = _open(plan, folder, sources=sources, reader=reader, new=options.new)
        start = _Start(
            plan,
            options,
            sources=sources,
            folder=folder,
            study=study,
            identify=identify,
            recorded=CompleteResults(reader),
            stopping=stopping,
            console=console,
        )
        if start.is_done and reader.holds(start.records, study=study.study_name):
            # Told in a second: neither torch, nor Ray, nor MLflow is needed to do nothing.
            return replace(start.summary(), opened_record=False)
        notifier = held.enter_context(
            Notifier(targets, start.state(), part=plan.part, say=lambda line: print_sentence(console, line))
        )
        if options.backend == "inline":
            guard_exit()
        else:
            prepare_environment(address=options.ray_address)
        images, _ = load_training_images()
        with stage(console, "opening the record"):
            start.recorded.list_now()
            git = git_state()
            tracker = held.enter_context(
                Tracker(
                    runs=folder.runs,
                    sweep=plan.name,
                    study=study.study_name,
                    description=describe_run(plan, start.records),
                    environment=environment(git),
                    title=plan.title,
                    files=_files(plan, git),
                    dataset=fingerprint,
                    command=plan.command,
                    aim=None if plan.is_ladder else Aim(plan.metric.name, maximize=plan.metric.goal == "maximize"),
                )
            )
        summary = start.carry_out(images, tracker, notifier)
        notifier.ends(summary.stopped_by, summary.details)
        return summary


def _open(
    plan: RunPlan, folder: SweepFolder, *, sources: Mapping[str, str], reader: MlflowReader, new: bool
) -> optuna.Study:
    """Return the study that a plan's trials belong to."""
    for model, source in plan.trained_with.items():
        if source != sources.get(model):
            raise SweepError(
                f"{model} is not what the search trained any more: undo the change of its file, or search anew "
                "with --new"
            )
    if plan.replicates:
        return open_replicates(folder)
    study = open_study(
        folder,
        definition=plan.definition,
        metric=plan.metric,
        pruner=make_pruner(plan.early_terminate, epochs=plan.epochs),
        new=new,
        # A run on a list is known by its key: one whose network's file has changed is simply another.
        sources={} if plan.is_ladder or plan.trained_with else sources,
        recorded=lambda: reader.trials(sweep=plan.name),
    )
    check_place(study, folder)
    resources = plan.resources.model_dump(mode="json")
    if study.user_attrs.get(RESOURCES) != resources:
        study.set_user_attr(RESOURCES, resources)
    return study


def _end_without_lease(console: Console, sweep: str) -> NoReturn:
    """End this process: another driver goes on with the sweep, and whatever is written here would disturb it."""
    print_sentence(
        console,
        f"error: another driver has taken {sweep} over, since this one was not heard of for a while: it goes on there, "
        "and nothing of it is lost",
    )
    os._exit(2)


class _Start:
    """One start of a sweep, with everything it holds open."""

    def __init__(
        self,
        plan: RunPlan,
        options: RunOptions,
        *,
        sources: Mapping[str, str],
        folder: SweepFolder,
        study: optuna.Study,
        identify: Identifier,
        recorded: CompleteResults,
        stopping: Stopping,
        console: Console,
    ) -> None:
        self._plan = plan
        self._options = options
        self._sources = sources
        self._identify = identify
        self._folder = folder
        self._checkpoints = SweepCheckpoints(folder)
        self.recorded = recorded
        self._stopping = stopping
        self._console = console
        self._writes_curves = plan.tensorboard or options.tensorboard
        self._listeners: list[Callable[[TrialRecord], None]] = []
        self._ledger = Ledger(
            study,
            sweep=plan.name,
            metric=plan.metric.name,
            proposer=plan.proposer(lambda config: identify(config).key),
            run_cap=plan.run_cap,
            identify=identify,
            prunes=plan.early_terminate.type != "none",
            recorded=recorded,
            on_change=self._tell,
            retry_failed=options.retry_failed,
            keeps_tests=plan.tested,
            bring_weights=lambda key: bring_weights(key, runs=folder.runs, to=self._checkpoints),
            on_warning=self._warn,
        )
        self._has_warned = False
        self._began = time.time()
        self._known = {record.number: record for record in self.records}

    @property
    def records(self) -> list[TrialRecord]:
        return self._ledger.records

    @property
    def is_done(self) -> bool:
        """Whether there is nothing to train and nothing to measure."""
        return self._ledger.is_done and not (self._plan.tested and any(map(_lacks_test, self.records)))

    def state(self, *, slots: int = 1) -> SweepState:
        """Return how the sweep stands, for whoever keeps it up to date."""
        plan = self._plan
        return SweepState(
            sweep=plan.name,
            title=plan.title,
            metric=plan.metric.name,
            maximize=plan.metric.goal == "maximize",
            records=self.records,
            runs=self._folder.runs,
            target=self._ledger.target,
            slots=slots,
            began=self._began,
            limit=plan.limits.timeout,
        )

    def carry_out(self, images: LabelledImages, tracker: Tracker, notifier: Notifier) -> RunSummary:
        self._tracker, self._notifier = tracker, notifier
        tracker.reconcile(self.records)
        if not self.is_done and self._stopping.reason is None:
            try:
                with self._stopping.at_once():
                    self._train(self._ledger, images)
            except DiskFullError as error:
                self._stopping.because("disk full", str(error))
            finally:
                self._ledger.interrupt()
        tracker.describe(describe_run(self._plan, self.records))
        tracker.close("KILLED" if self._stopping.reason else "FINISHED")
        return self.summary(unwritten=tracker.unwritten)

    def summary(self, *, unwritten: int = 0) -> RunSummary:
        """Return how this start went."""
        fresh = [record for record in self.records if _has_gone_on(record, since=self._known.get(record.number))]
        return RunSummary(
            records=tuple(self.records),
            trained=sum(1 for record in fresh if record.reused_from is None and record.epochs),
            begun=sum(1 for record in fresh if record.reused_from is None and record.number not in self._known),
            reused=sum(1 for record in fresh if record.reused_from is not None),
            seconds=time.time() - self._began,
            stopped_by=self._stopping.reason,
            details=self._stopping.details,
            unwritten=unwritten,
            gave_up_at=len(self.records) if self._ledger.gave_up else None,
        )

    def _tell(self, record: TrialRecord) -> None:
        """Pass a change of a trial on to whoever listens at the time."""
        for listener in self._listeners:
            listener(record)

    def _warn(self, record: TrialRecord, warning: str) -> None:
        """Say what a trial warns of; of the others their logs say it."""
        if not self._has_warned:
            self._has_warned = True
            print_sentence(self._console, f"warning: {record.name}: {warning}")

    def _train(self, ledger: Ledger, images: LabelledImages) -> None:
        plan, folder = self._plan, self._folder
        splits = _splits_of(plan, images)
        with self._backend(on_loss=lambda: self._end_without_ray(ledger), image_bytes=_bytes_of(splits)) as backend:
            slots = backend.slots()
            state = self.state(slots=slots.count)
            told = {"target": state.target, "slots": slots.count, "limit": plan.limits.timeout, "began": state.began}
            folder.tell(**told, part=plan.part)
            limit = "" if plan.limits.timeout is None else f", at most {duration(plan.limits.timeout)}"
            if not redraws(self._console):  # which says so itself
                print_sentence(self._console, f"{plan.title}: {headline(state)}, {slots.describe()}{limit}")
            self._note_looks()
            test_step = (
                TestStep(ledger, checkpoints=self._checkpoints, measure=backend.measure, stopping=self._stopping)
                if plan.tested
                else no_test_step
            )
            inline = self._options.backend == "inline"
            with show_progress(self._console, state, prints_through=inline) as progress, test_step:
                watch = FailureWatch(
                    self._stopping,
                    models=plan.models,
                    sources=self._sources,
                    runs=folder.runs,
                    earlier=ledger.records,
                )
                cleaning = CleanUp(ledger.records, plan=plan, checkpoints=self._checkpoints)
                self._listeners = [
                    self._tracker.write,
                    progress.update,
                    test_step.on_change,
                    cleaning.on_change,
                    watch.on_change,
                    SlotWatch(backend, state=state, folder=folder, console=self._console).on_change,
                    self._notifier.on_change,
                ]
                backend.run(
                    ledger,
                    splits=splits,
                    job_of=lambda record: self._job(ledger, record, slots),
                    stopping=self._stopping,
                )

    def _note_looks(self) -> None:
        """Note that the test images will be opened, before a trial is begun whose network is measured on them."""
        tested = {record.key for record in self.records if record.test is not None}
        keys = [self._identify(config).key for config in self._plan.looks_at]
        if wanted := [key for key in keys if key not in tested]:
            note_look(self._folder.runs, sweep=self._plan.name, keys=wanted)

    def _end_without_ray(self, ledger: Ledger) -> NoReturn:
        """Save and say everything, and end this process: its main thread waits for a Ray that will not answer."""
        is_asked = self._stopping.reason == "signal"
        try:
            ledger.interrupt()
            self._tracker.close("KILLED" if self._stopping.reason else "FAILED")
            self._folder.forget_driver()
            said = "interrupted; all is saved: the same command goes on from here"
            if not is_asked:
                said = (
                    f"error: Ray itself has ended or cannot be reached any more (see {self._folder.path / 'ray.log'}); "
                    "every epoch so far is saved: the same command goes on from here"
                )
            print_sentence(self._console, said)
            self._notifier.ends("signal" if is_asked else "error", said)
            self._notifier.close()
        finally:
            # Whatever could not be written: nobody else ends this process, and the study holds every epoch.
            os._exit(130 if is_asked else 2)

    @contextlib.contextmanager
    def _backend(self, *, on_loss: Callable[[], None], image_bytes: int) -> Iterator[Backend]:
        plan, options = self._plan, self._options
        if options.backend == "inline":
            with stage(self._console, "loading PyTorch"):
                from sweeps.execution.inline_backend import InlineBackend
            yield InlineBackend(plan.resources)
            return
        address, folder = options.ray_address, self._folder
        log = folder.path / "ray.log"
        with contextlib.ExitStack() as held:
            with stage(self._console, f"connecting to Ray at {address}" if address else "starting Ray"):
                from sweeps.execution.ray_backend import RayBackend

                ray = RayBackend(
                    plan.resources,
                    plan.limits,
                    address=address,
                    runs=folder.runs,
                    log=log,
                    on_loss=on_loss,
                    image_bytes=image_bytes,
                    networks=tuple(self._sources),
                    storage=folder.place.storage,
                )
                held.enter_context(ray)
            yield ray

    def _job(self, ledger: Ledger, record: TrialRecord, slots: Slots) -> Job:
        folder = self._folder
        log = folder.log_address(f"{record.trial:04d}-{record.key}.log")
        ledger.note(record.number, log=log if is_bucket(log) else relative_to(Path(log), folder.runs))
        return Job(
            number=record.number,
            config=record.config.model_dump_json(),
            checkpoint=self._checkpoints.address(record.key),
            log=log,
            attempt=time.time_ns(),
            cpus=slots.cpus,
            device=slots.device,
            gpu_share=slots.gpus,
            curves=str(trial_folder(folder.runs, record)) if self._writes_curves else None,
        )


def _files(plan: RunPlan, git: GitState) -> dict[str, str]:
    """Return what the sweep's own run holds: what was asked for, and the code that differs from the commit."""
    files = {f"{plan.name}.yaml": plan.file, f"git-{git.diff_id}.diff": git.diff}
    return {name: text for name, text in files.items() if text}


def _sources(plan: RunPlan) -> dict[str, str]:
    """Return the source hash of each network of the user's own, which also shows that it can be imported."""
    hashes = {}
    for name in plan.models:
        if is_import_path(name):
            config = TrainingConfig.model_validate({"model": {"name": name}})
            try:
                found = source_hash(config.model)
            except ModelError as error:
                raise SweepError(f"model.name: {error}") from None
            assert found is not None
            hashes[name] = found
    return hashes


def _splits_of(plan: RunPlan, images: LabelledImages) -> Splits:
    return {split_name(data): split_train_validation(images, data) for data in plan.data}


def _bytes_of(splits: Splits) -> int:
    parts = [part for split in splits.values() for part in split if part is not None]
    return sum(part.images_NHWC.nbytes + part.labels_N.nbytes for part in parts)


def _has_gone_on(record: TrialRecord, *, since: TrialRecord | None) -> bool:
    """Return whether a trial is another than it was; to be measured on the test images is no training."""
    return since is None or replace(record, test=since.test) != since


def _lacks_test(record: TrialRecord) -> bool:
    return record.outcome is Outcome.COMPLETE and record.test is None
