"""One trial: runs the training of its task, writes its checkpoint and its log, and reports its outcome.

Used by both backends.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import socket
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TextIO

from cifar_core.common.errors import CheckpointError, ModelError, SourceChangedError
from cifar_core.common.files import existing_versions, move_stray_aside
from cifar_core.common.source import changed_files
from sweeps.core.errors import ProgramError
from sweeps.core.job import Job
from sweeps.core.results import ConfirmResult, EpochResult
from sweeps.core.task import Parts, Training, confirmation_key
from sweeps.core.trial import Outcome, TrialMessage
from sweeps.system.compat import exits_are_errors
from sweeps.tasks.registry import read_config, task_named
from sweeps.tasks.sources import TaskSources
from sweeps.worker.fault import Fault, fault_of
from sweeps.worker.tensorboard import TrialCurves
from sweeps.worker.time_limit import TimeLimit, limited, next_limit
from sweeps.worker.trial_files import files_of


class TrainingStopped(BaseException):
    """Training was stopped within an epoch by the time limit. The next start trains that epoch again."""


class TrialSession:
    """A trial from its first epoch, or its last checkpoint, to its end; one `step` per epoch."""

    def __init__(
        self, job: Job, parts: Parts, *, capture_output: bool = True, is_late: Callable[[], bool] = lambda: False
    ) -> None:
        """Create a session. The training starts at the first `step`.

        Args:
            job: The trial.
            parts: Part name of the task → data.
            capture_output: Write output of the training to the log; False for use with a debugger.
            is_late: Called after each training step; True stops the training within the epoch.
        """
        self._is_late = is_late
        self._job = job
        self._task = task_named(job.task)
        self._config = read_config(job.config)
        self._parts = parts
        self._part = parts[self._task.part_name(self._config)]
        self._files = files_of(job)
        self._checkpoint = self._files.checkpoint
        self._training: Training | None = None
        self._loaded_epochs: Iterator[EpochResult] = iter(())
        self._epochs: Iterator[EpochResult] = iter(())
        self._capture_output = capture_output
        self._curves = None if job.curves is None else TrialCurves(Path(job.curves))
        self._warned = False
        self._storage_warning: str | None = None
        self._limit: TimeLimit | None = None
        """Limit of the epoch that is trained."""

    def step(self) -> TrialMessage:
        """Train one epoch and return its result. Exceptions of the training are returned in the message.

        Raises:
            TrainingStopped: `is_late` returned True before the epoch's end.
        """
        try:
            with self._logging() as log:
                message = self._with_warning(self._step(log), log)
            self._files.store_log()
            if message.outcome is not None:
                self.close()
                self._files.close()
            return message
        except OSError as error:
            # The log itself cannot be written.
            return self._fault(fault_of(error))

    @property
    def memory_bytes(self) -> int | None:
        """Largest memory of the processes that the training started; None if it started none."""
        return None if self._training is None else self._training.memory_bytes

    def close(self) -> None:
        """End what the training has running, such as a program, if no further step follows."""
        if isinstance(self._epochs, Generator):
            self._epochs.close()

    def _step(self, log: TextIO) -> TrialMessage:
        try:
            with exits_are_errors():
                if self._training is None:
                    self._begin(log)
                return self._next_epoch(log)
        except (KeyboardInterrupt, TrainingStopped):
            raise
        except BaseException as error:  # sys.exit too: a model must not end the worker or the driver
            fault = fault_of(error)
            if fault.outcome is Outcome.FAILED and not isinstance(error, ProgramError):
                traceback.print_exc(file=log)
            print(f"{fault.outcome}: {fault.error}", file=log)
            return self._fault(fault)

    def _with_warning(self, message: TrialMessage, log: TextIO) -> TrialMessage:
        """Return a message with the first warning about checkpoint storage or curves."""
        if self._curves is not None and message.outcome is not None:
            self._curves.ended(message.outcome)
        found = self._storage_warning or (None if self._curves is None else self._curves.warning)
        if found is None or self._warned:
            return message
        self._warned = True
        print(f"warning: {found}", file=log)
        return replace(message, warning=found)

    def _begin(self, log: TextIO) -> None:
        self._task.enter(cpus=self._job.cpus, device=self._job.device, gpu_share=self._job.gpu_share)
        print(f"trial {self._job.number} on {socket.gethostname()}: {self._job.config}", file=log)
        self._files.fetch()
        with self._limited("the start of the training", log):
            training = self._load_or_start(log)
        self._check_source(training.source)
        training.use_folders(self._files.folder, self._files.artifacts)
        training.use_log(self._files.log)
        self._training = training
        # The last known epoch too: the driver may have failed before it stored its decision.
        loaded = list(training.history)[max(0, self._job.epochs_known - 1) :]
        if self._curves is not None:
            self._curves.begin(training, self._config)
        # The driver may have failed before it received the last epochs of the checkpoint.
        self._loaded_epochs = iter(loaded)
        self._epochs = training.epochs(on_step=self._on_step)

    @contextlib.contextmanager
    def _limited(self, doing: str, log: TextIO) -> Iterator[None]:
        """Limit the time of the block by the limits of the trial."""
        history = () if self._training is None else self._training.history
        self._limit = next_limit(self._job, spent=sum(result.seconds for result in history), doing=doing)
        with limited(self._limit, log=log, may_exit=self._capture_output):
            yield

    def _on_step(self, loss: Any) -> None:
        if self._is_late():
            raise TrainingStopped
        if self._limit is not None and time.monotonic() > self._limit.ends:
            raise self._limit.error  # only outside the main thread, which an alarm interrupts
        if self._curves is not None and loss is not None:
            self._curves.on_step(loss)

    def _check_source(self, found: Mapping[str, str] | None) -> None:
        """Check that the code is the same as at the start of the sweep, since the trial's key contains its hash.

        Code is uploaded to this node. Files named by options are not: if one is missing, building the model fails.
        """
        expected, now = self._job.source_files, found or {}
        if expected is None:
            return
        missing = set(self._task.named_files(self._config)) - now.keys()
        compared = {name: digest for name, digest in expected.items() if name not in missing}
        here = {name: digest for name, digest in now.items() if name in compared}
        if changes := changed_files(compared, here):
            raise SourceChangedError(
                f"the code of {self._task.label(self._config)} has changed since the sweep was started: "
                f"{', '.join(changes)}"
            )

    def _load_or_start(self, log: TextIO) -> Training:
        source = TaskSources(self._task).of(self._config)
        self._check_source(None if source is None else source.files)
        for path in existing_versions(self._checkpoint):
            try:
                training = self._task.load(path, self._config, self._part, device=self._job.device)
            except CheckpointError as error:
                print(f"cannot resume from {path.name}: {error}", file=log)
            else:
                if path != self._checkpoint:
                    # The next save would replace this checkpoint by the damaged one.
                    self._checkpoint.unlink(missing_ok=True)
                which = "" if path == self._checkpoint else f", from the previous checkpoint ({path.name})"
                print(f"resuming after epoch {len(training.history)}{which}", file=log)
                return training
        return self._task.start(self._config, self._part, device=self._job.device)

    def _next_epoch(self, log: TextIO) -> TrialMessage:
        assert self._training is not None
        result = next(self._loaded_epochs, None)
        if result is None:
            with self._limited(f"epoch {len(self._training.history) + 1}", log):
                result = next(self._epochs, None)
            if result is None and not self._training.has_ended:
                raise ModelError(f"the training ended before epoch {self._config.epochs}")
            self._training.save(self._checkpoint)
            self._storage_warning = self._files.store_checkpoint(last=self._is_last(result))
            if result is not None:
                print(_epoch_line(result, of=self._config.epochs), file=log)
                if self._curves is not None:
                    self._curves.epoch_ended(result)
        if not self._is_last(result):
            return self._message(epoch=result)
        return replace(self._message(epoch=result, outcome=Outcome.COMPLETE), confirm=self._confirmed())

    def _confirmed(self) -> ConfirmResult | None:
        """Measure the complete training on the confirmation part, if there is one."""
        examples = self._job.confirm_examples
        if not examples:
            return None
        assert self._training is not None
        name = self._task.confirmation_name(self._config, examples)
        metrics = self._training.confirm(self._parts[confirmation_key(name)])
        return ConfirmResult(part=name, examples=examples, metrics=metrics)

    def _is_last(self, result: EpochResult | None) -> bool:
        """Return whether no result follows; None stands for the end of a training that ends by itself."""
        assert self._training is not None
        if result is None or self._training.has_ended is None:
            return result is None or result.epoch == self._config.epochs
        return self._training.has_ended and result.epoch == len(self._training.history)

    def _fault(self, fault: Fault) -> TrialMessage:
        return replace(self._message(outcome=fault.outcome), **asdict(fault))

    def _message(self, *, epoch: EpochResult | None = None, outcome: Outcome | None = None) -> TrialMessage:
        training = self._training
        return TrialMessage(
            epoch=epoch,
            outcome=outcome,
            parameters=None if training is None else training.parameters,
            environment=None if training is None else {"host": socket.gethostname(), **training.environment},
        )

    @contextlib.contextmanager
    def _logging(self) -> Iterator[TextIO]:
        path = self._files.log
        path.parent.mkdir(parents=True, exist_ok=True)
        move_stray_aside(path)
        with contextlib.ExitStack() as taken:
            # Unbuffered, so that it contains the last output of a process that crashes.
            log = taken.enter_context(io.TextIOWrapper(path.open("ab", buffering=0), "utf-8", write_through=True))
            if self._capture_output:
                taken.enter_context(contextlib.redirect_stdout(log))
                taken.enter_context(contextlib.redirect_stderr(log))
                # It writes the Python traceback of a crash such as a segmentation fault.
                faulthandler.enable(log)
                taken.callback(faulthandler.disable)
            yield log


def _epoch_line(result: EpochResult, *, of: int) -> str:
    measured = ", ".join(f"{name} {value:.6g}" for name, value in result.metrics.items())
    number = f"{result.epoch}/{of}" if of else str(result.epoch)
    return f"{time.strftime('%H:%M:%S')} epoch {number}: {measured}, {result.seconds:.1f} s"
