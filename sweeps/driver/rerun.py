"""Train a recorded run again from its record, and compare the results."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import filelock

from cifar_core.common.checksum_file import checksum_fault
from cifar_core.common.files import READ_ONLY, atomic_write, move_stray_aside
from cifar_core.common.user_modules import NETWORK
from sweeps.core.errors import DiskFullError, SweepError
from sweeps.core.formatting import is_accuracy
from sweeps.core.identity import Identifier
from sweeps.core.job import Job
from sweeps.core.results import EpochResult
from sweeps.core.task import TaskConfig
from sweeps.core.trial import ErrorClass, Outcome
from sweeps.record.reader import MlflowReader
from sweeps.store.files import store_error
from sweeps.store.folder import CHECKPOINT_FILE
from sweeps.store.kept_code import require_same_code
from sweeps.system.git_state import git_state
from sweeps.system.machine import environment, local_gpus
from sweeps.tasks.registry import task_of
from sweeps.tasks.sources import TaskSources

SCRATCH = "reruns"
"""Folder under the runs folder for interrupted reruns."""

MACHINE_METRIC = "images_per_second"
"""The metric that depends on the machine and is not compared."""


class Agreement(StrEnum):
    """How closely a rerun agrees with the recorded run."""

    EXACT = "bit for bit"
    CLOSE = "within the tolerance"
    DIFFERENT = "different"


@dataclass(frozen=True, kw_only=True)
class Rerun:
    """The result of a rerun."""

    recorded: Sequence[EpochResult]
    again: Sequence[EpochResult]
    """As many epochs as recorded, fewer after an error."""
    environment: Mapping[str, tuple[str | None, str | None]]
    """Differences of the environment: name to recorded and current value, None if unknown."""
    error: str | None = None
    """Why it ended before the recorded run."""
    restored_weights: bool = False
    """Whether its weights replaced missing or damaged weights of the recorded run."""

    @property
    def largest_difference(self) -> float:
        """The largest difference between two accuracies of one epoch, as a share from 0 to 1."""
        pairs = zip(self.recorded, self.again, strict=False)
        found = [
            abs(value - now)
            for before, again in pairs
            for name, value in _values(before).items()
            if is_accuracy(name) and (now := again.value(name)) is not None
        ]
        return max(found, default=0.0)

    @property
    def has_accuracies(self) -> bool:
        """Whether the tolerance applies: it is one of accuracies."""
        return any(is_accuracy(name) for name in _values(self.recorded[-1]))

    @property
    def first_difference(self) -> str | None:
        """The first number that differs, in words; None if there is none."""
        for before, now in zip(self.recorded, self.again, strict=False):
            for name, value in _values(before).items():
                if now.value(name) != value:
                    return f"{name} of epoch {before.epoch} is {now.value(name)!r} and was {value!r}"
        return None

    def agreement(self, *, tolerance: float) -> Agreement:
        """Return how closely the results agree.

        Args:
            tolerance: the largest difference between two accuracies of one epoch that counts as close, 0 to 1.
        """
        if len(self.again) < len(self.recorded):
            return Agreement.DIFFERENT
        if all(_values(before) == _values(now) for before, now in zip(self.recorded, self.again, strict=True)):
            return Agreement.EXACT
        return Agreement.CLOSE if self.has_accuracies and self.largest_difference <= tolerance else Agreement.DIFFERENT


def _values(epoch: EpochResult) -> dict[str, float]:
    return {name: value for name, value in epoch.metrics.items() if name != MACHINE_METRIC}


def rerun(
    runs: Path,
    row: Mapping[str, object],
    *,
    on_epoch: Callable[[EpochResult, EpochResult], None] = lambda recorded, again: None,
) -> Rerun:
    """Train a recorded run again in this process, for as many epochs as recorded, and return the comparison.

    It uses the recorded number of threads, which affects rounding. After an interrupt the next call resumes it, if the
    software has not changed.

    Args:
        runs: the runs folder.
        row: of the run, from the reader's table.
        on_epoch: called after each epoch with the recorded and the new result.

        Raises:
            SweepError: no epoch is recorded, the network's code has changed, another process reruns it, or the machine
                cannot train it (full disk, out of memory).
        RecordError: the record cannot be read.
        DataUnavailableError: CIFAR-10 cannot be fetched.
    """
    reader = MlflowReader(runs)
    run_id, key = str(row["run_id"]), str(row["key"])
    config, recorded = reader.configuration(run_id), reader.curve(run_id)
    if not recorded:
        raise SweepError(f"no epoch of run {run_id} is recorded. There is nothing to compare with.")
    _check_identity(config, row, runs=runs)
    before = reader.environment(run_id)
    now = environment(git_state())
    with _scratch(runs, key, now) as scratch:
        job = _job(config, before, scratch)
        again, facts, error = _train(job, config, recorded, on_epoch)
        found = Rerun(recorded=recorded, again=again, environment=_differences(before, {**now, **facts}), error=error)
        weights = runs / "sweeps" / str(row["sweep"]) / "checkpoints" / key / CHECKPOINT_FILE
        complete = row["status"] == Outcome.COMPLETE and found.agreement(tolerance=0) is Agreement.EXACT
        if not complete or (weights.exists() and checksum_fault(weights) is None):
            return found
        try:
            move_stray_aside(weights)
            with atomic_write(weights) as file:
                file.write((scratch / CHECKPOINT_FILE).read_bytes())
        except OSError as error:
            if error.errno in READ_ONLY:
                return found
            raise store_error(weights, error) from None
        return Rerun(**{**vars(found), "restored_weights": True})


def _check_identity(config: TaskConfig, row: Mapping[str, object], *, runs: Path) -> None:
    task = task_of(config)
    source = None if row["source"] is None else str(row["source"])
    sweep = str(row["sweep"])
    require_same_code(config, source, run=f"{sweep}/{row['trial']}", sweep=runs / "sweeps" / sweep)
    if (
        Identifier(data_fingerprint=task.data_fingerprint(config), source_of=TaskSources(task).hash_of)(config).key
        != row["key"]
    ):
        if task.code_kind is not NETWORK:
            raise SweepError(f"{task.data_location()} differ from those of the recorded run. Restore them to rerun it.")
        raise SweepError(
            "the local training images differ from those of the recorded run. Run `sweeps data` to see which images "
            "are installed."
        )


@contextlib.contextmanager
def _scratch(runs: Path, key: str, now: Mapping[str, str]) -> Iterator[Path]:
    """Yield a folder to train in. It is deleted at the end of the block, unless an exception ends the block."""
    # Checkpoints of an interrupted rerun are only used by the same software.
    software = hashlib.sha256(json.dumps(dict(now), sort_keys=True).encode("utf-8")).hexdigest()[:8]
    folder = runs.resolve() / SCRATCH / f"{key}-{software}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno not in READ_ONLY:
            raise store_error(folder, error) from None
        # A read-only runs folder: an interrupt loses the epochs.
        with tempfile.TemporaryDirectory() as elsewhere:
            yield Path(elsewhere)
        return
    move_stray_aside(folder / "rerun.lock")
    lock = filelock.FileLock(folder / "rerun.lock")
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        raise SweepError("another process is rerunning this run. Wait for it.") from None
    try:
        yield folder
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        lock.release()


def _job(config: TaskConfig, recorded: Mapping[str, str], scratch: Path) -> Job:
    # The code was checked against the record before. The worker detects changes during the training.
    source = TaskSources(task_of(config)).of(config)
    on_gpu = recorded.get("device", "").startswith("cuda") and local_gpus() > 0
    return Job(
        number=0,
        task=task_of(config).name,
        config=config.model_dump_json(),
        checkpoint=str(scratch),
        log=str(scratch / "rerun.log"),
        cpus=int(recorded.get("threads", "1")),
        device="cuda" if on_gpu else "cpu",
        source=None if source is None else json.dumps(dict(source.files)),
        gpu_share=1.0 if on_gpu else 0.0,
    )


def _train(
    job: Job,
    config: TaskConfig,
    recorded: Sequence[EpochResult],
    on_epoch: Callable[[EpochResult, EpochResult], None],
) -> tuple[list[EpochResult], dict[str, str], str | None]:
    """Return the new epochs, the environment, and the error."""
    from sweeps.worker.session import TrialSession

    session = TrialSession(job, task_of(config).load_parts([config]), capture_output=False)
    again: list[EpochResult] = []
    facts: dict[str, str] = {}
    with contextlib.closing(session):
        for before in recorded:
            message = session.step()
            facts = message.environment or facts
            if message.outcome is Outcome.INTERRUPTED:
                # Caused by the machine, not by the run.
                if message.error_class == ErrorClass.DISK_FULL:
                    raise DiskFullError(job.checkpoint)
                raise SweepError(f"the rerun was interrupted ({message.error}). Run the same command again to resume.")
            if message.epoch is None:
                return again, facts, message.error or str(message.outcome)
            again.append(message.epoch)
            on_epoch(before, message.epoch)
    return again, facts, None


_ABOUT = ("git_sha", "git_diff", "host", "device", "threads")
"""Compared properties of the environment, in addition to versions."""


def _differences(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, tuple[str | None, str | None]]:
    names = [*_ABOUT, *sorted(name for name in {**before, **now} if name.startswith("version."))]
    return {name: (before.get(name), now.get(name)) for name in names if before.get(name) != now.get(name)}
