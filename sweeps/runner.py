"""Carries out a sweep: opens the ledger and the record, lets a backend train, and leaves both true however it ends."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Literal

from rich.console import Console

from cifar_core.config import TrainingConfig
from cifar_core.data import LabelledImages, load_training_images, split_train_validation
from cifar_core.errors import ModelError
from cifar_core.models import source_hash
from cifar_core.models.registry import is_import_path
from sweeps.backends import Backend, InlineBackend, RayBackend
from sweeps.errors import SweepError
from sweeps.facts import run_facts
from sweeps.journal import SweepFolder
from sweeps.ledger import Ledger
from sweeps.progress import Standing, duration, show_progress, terminal_copy
from sweeps.record import MlflowReader
from sweeps.records import Outcome, TrialRecord
from sweeps.study import make_pruner, open_study
from sweeps.testing import TestStep, no_test_step
from sweeps.tracking import Tracker
from sweeps.trial import Job, Splits, remove_checkpoint, split_name
from sweeps.undertaking import Undertaking

BackendName = Literal["ray", "inline"]


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How to carry it out, apart from what it is."""

    runs: Path
    backend: BackendName = "ray"
    address: str | None = None
    new: bool = False
    retry_failed: bool = False


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """How a start of a sweep went."""

    records: tuple[TrialRecord, ...]
    trained: int
    """Trials that this start trained at least an epoch of."""
    reused: int
    """Trials whose result this start took over from an earlier run."""
    seconds: float
    stopped_by: Literal["signal", "timeout"] | None = None
    unwritten: int = 0

    def count(self, outcome: Outcome) -> int:
        return sum(record.outcome is outcome for record in self.records)


@dataclass
class _Stopping:
    """Whether to stop, and why."""

    deadline: float | None
    reason: Literal["signal", "timeout"] | None = None
    console: Console | None = None
    _signals: int = field(default=0)

    def __call__(self) -> bool:
        if self.reason is None and self.deadline is not None and time.monotonic() > self.deadline:
            self.reason = "timeout"
        return self.reason is not None

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Leave the block at the second signal; what it did so far is kept."""
        try:
            yield
        except KeyboardInterrupt:
            self.reason = "signal"

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1
        self.reason = "signal"
        if self._signals > 1:
            raise KeyboardInterrupt
        if self.console is not None:
            self.console.print("stopping: every epoch so far is saved (once more to stop at once)")


def run(undertaking: Undertaking, options: RunOptions) -> RunSummary:
    """Train what is missing of an undertaking, and return how it stands.

    Running it again goes on where it stopped; what is recorded is not trained again.

    Raises:
        SweepError: nothing was started; the message says what to do.
        DataUnavailableError: CIFAR-10 cannot be had.
        RecordError: the record cannot be opened.
    """
    folder = SweepFolder(options.runs.resolve(), undertaking.name)
    sources = _sources(undertaking)
    images, fingerprint = load_training_images()

    def key_of(config: TrainingConfig) -> str:
        return config.key(data_fingerprint=fingerprint, source_hash=sources.get(config.model.name))

    with folder.locked(), terminal_copy() as console:
        study = open_study(
            folder,
            definition=undertaking.definition,
            metric=undertaking.metric,
            pruner=make_pruner(undertaking.early_terminate, epochs=undertaking.epochs),
            new=options.new,
        )
        tracker = Tracker(
            runs=folder.runs,
            sweep=undertaking.name,
            study=study.study_name,
            description=undertaking.description,
            facts=run_facts(),
        )
        changes = _Changes()
        limit = undertaking.limits.timeout
        stopping = _Stopping(None if limit is None else time.monotonic() + limit)
        with _signals_to(stopping, console), tracker:
            ledger = Ledger(
                study,
                sweep=undertaking.name,
                metric=undertaking.metric.name,
                proposer=undertaking.proposer(key_of),
                run_cap=undertaking.run_cap,
                key_of=key_of,
                protocol_of=_protocol,
                prunes=undertaking.early_terminate.type != "none",
                recorded=MlflowReader(folder.runs),
                on_change=changes,
                retry_failed=options.retry_failed,
                keeps_tests=undertaking.tested,
            )
            tracker.reconcile(ledger.records)
            began, known = time.time(), {r.number: r for r in ledger.records}
            untested = undertaking.tested and any(_lacks_test(record) for record in ledger.records)
            if not ledger.is_done or untested:
                with stopping.at_once():
                    _train(
                        ledger,
                        undertaking=undertaking,
                        options=options,
                        folder=folder,
                        images=images,
                        console=console,
                        changes=changes,
                        tracker=tracker,
                        stopping=stopping,
                    )
            ledger.interrupt()
            tracker.close("KILLED" if stopping.reason else "FINISHED")
        fresh = [r for r in ledger.records if r.number not in known or r != known[r.number]]
        return RunSummary(
            records=tuple(ledger.records),
            trained=sum(1 for r in fresh if r.reused_from is None and r.epochs),
            reused=sum(1 for r in fresh if r.reused_from is not None),
            seconds=time.time() - began,
            stopped_by=stopping.reason,
            unwritten=tracker.unwritten,
        )


class _Changes:
    """Passes each change of a trial on to whoever listens at the time."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[TrialRecord], None]] = []

    def __call__(self, record: TrialRecord) -> None:
        for listener in self.listeners:
            listener(record)


def _train(
    ledger: Ledger,
    *,
    undertaking: Undertaking,
    options: RunOptions,
    folder: SweepFolder,
    images: LabelledImages,
    console: Console,
    changes: _Changes,
    tracker: Tracker,
    stopping: _Stopping,
) -> None:
    splits = _splits_of(undertaking, images)
    with _backend(undertaking, options, folder) as backend:
        slots = backend.slots()

        def job_of(record: TrialRecord) -> Job:
            log = folder.logs / f"{record.number:04d}-{record.key}.log"
            ledger.note(record.number, log=str(log.relative_to(folder.runs)))
            return Job(
                number=record.number,
                config=record.config.model_dump_json(),
                checkpoint=str(folder.checkpoints / record.key),
                log=str(log),
                cpus=slots.cpus,
                device=slots.device,
                gpu_share=slots.gpus,
            )

        standing = Standing(
            metric=undertaking.metric.name,
            maximize=undertaking.metric.goal == "maximize",
            target=lambda: ledger.target,
            slots=slots.count,
        )
        standing.known(ledger.records)
        limit = undertaking.limits.timeout
        console.print(
            f"{undertaking.name}: {standing.headline()}, {slots.describe()}"
            + ("" if limit is None else f", at most {duration(limit)}"),
            soft_wrap=True,
        )
        test_step = TestStep(ledger, checkpoints=folder.checkpoints) if undertaking.tested else no_test_step
        with show_progress(console, standing) as progress, test_step:
            changes.listeners = [tracker.write, progress.update, test_step.hear, _clean_up(folder)]
            backend.run(ledger, splits=splits, job_of=job_of, stopping=stopping)


def _backend(
    undertaking: Undertaking, options: RunOptions, folder: SweepFolder
) -> contextlib.AbstractContextManager[Backend]:
    if options.backend == "inline":
        return contextlib.nullcontext(InlineBackend(undertaking.resources))
    return RayBackend(undertaking.resources, undertaking.limits, address=options.address, log=folder.path / "ray.log")


def _splits_of(undertaking: Undertaking, images: LabelledImages) -> Splits:
    splits = {}
    for data in undertaking.data:
        train, validation = split_train_validation(images, data)
        splits[split_name(data)] = (train, validation if len(validation) else None)
    return splits


def _clean_up(folder: SweepFolder) -> Callable[[TrialRecord], None]:
    """Delete the checkpoint of a trial that will not go on: all of them together would fill a disk."""

    def clean(record: TrialRecord) -> None:
        if record.outcome.is_final and record.outcome is not Outcome.COMPLETE:
            remove_checkpoint(folder.checkpoints / record.key)

    return clean


@contextlib.contextmanager
def _signals_to(stopping: _Stopping, console: Console) -> Iterator[None]:
    stopping.console = console
    handled = (signal.SIGINT, signal.SIGTERM)
    try:
        before = {number: signal.signal(number, stopping.on_signal) for number in handled}
    except ValueError:
        # Not the main thread, as in a test or a notebook: the caller's handlers stay.
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _sources(undertaking: Undertaking) -> dict[str, str]:
    """Return the source hash of each network of the user's own, which also shows that it can be imported."""
    hashes = {}
    for name in undertaking.models:
        if is_import_path(name):
            config = TrainingConfig.model_validate({"model": {"name": name}})
            try:
                found = source_hash(config.model)
            except ModelError as error:
                raise SweepError(f"model.name: {error}") from None
            assert found is not None
            hashes[name] = found
    return hashes


def _protocol(config: TrainingConfig) -> str:
    data = config.data
    size = "all" if data.train_size is None else str(data.train_size)
    validation = f"{data.validation_size} validation images of split {data.split_seed}"
    return f"{validation}, trained on {size} for {config.epochs} epochs"


def _lacks_test(record: TrialRecord) -> bool:
    return record.outcome is Outcome.COMPLETE and record.test is None
