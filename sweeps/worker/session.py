"""One trial: drives `cifar_core.training`, keeps its checkpoint and its log, and says how it ended.

The same under Ray and inline.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import socket
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TextIO

from cifar_core.checkpoint import load_checkpoint, save_checkpoint, usable_checkpoints
from cifar_core.common.errors import CheckpointError, SourceChangedError
from cifar_core.common.files import make_way
from cifar_core.common.source import changed_files
from cifar_core.models.source import named_files, source_of
from cifar_core.results import EpochResult
from cifar_core.training import StepResult, TrainingState, start, train
from sweeps.core.formatting import accuracy, loss
from sweeps.core.job import Job, Splits, split_name
from sweeps.core.trial import Outcome, Report
from sweeps.system.compat import exits_are_errors
from sweeps.system.machine import processor
from sweeps.worker.fault import Fault, fault_of
from sweeps.worker.tensorboard import TrialCurves
from sweeps.worker.trial_files import files_of


class TrainingStopped(BaseException):
    """Training ended within an epoch, since the time is over; the next start trains that epoch again."""


class TrialSession:
    """A trial from its first epoch, or its last checkpoint, to its end; one `step` an epoch."""

    def __init__(
        self, job: Job, splits: Splits, *, takes_output: bool = True, is_late: Callable[[], bool] = lambda: False
    ) -> None:
        """Prepare nothing yet.

        Args:
            job: what to train.
            splits: the images, for each way of splitting.
            takes_output: send to the log what the training prints; not where a debugger talks to a person.
            is_late: whether to stop within the epoch, asked after each step, where no signal ends this process.
        """
        self._is_late = is_late
        self._job = job
        self._config = job.training_config()
        self._images, self._validation = splits[split_name(self._config.data)]
        self._files = files_of(job)
        self._checkpoint = self._files.checkpoint
        self._state: TrainingState | None = None
        self._epochs: Iterator[EpochResult] = iter(())
        self._takes_output = takes_output
        self._curves = None if job.curves is None else TrialCurves(Path(job.curves))
        self._warned = False
        self._storage_warning: str | None = None

    def step(self) -> Report:
        """Train one epoch and say how it went. Never raises what the training raised: it says it.

        Raises:
            TrainingStopped: it was to stop before the epoch's end.
        """
        try:
            with self._logging() as log:
                report = self._with_warning(self._step(log), log)
            self._files.keep_log()
            if report.outcome is not None:
                self._files.close()
            return report
        except OSError as error:
            # The log itself cannot be written.
            return self._fault(fault_of(error))

    def _step(self, log: TextIO) -> Report:
        try:
            with exits_are_errors():
                if self._state is None:
                    self._begin(log)
                return self._next_epoch(log)
        except (KeyboardInterrupt, TrainingStopped):
            raise
        except BaseException as error:  # sys.exit too: a model must not end a worker, or the sweep itself
            fault = fault_of(error)
            if fault.outcome is Outcome.FAILED:
                traceback.print_exc(file=log)
            print(f"{fault.outcome}: {fault.error}", file=log)
            return self._fault(fault)

    def _with_warning(self, report: Report, log: TextIO) -> Report:
        """Return a report with what went wrong beside the training, the first time."""
        if self._curves is not None and report.outcome is not None:
            self._curves.ended(report.outcome)
        found = self._storage_warning or (None if self._curves is None else self._curves.warning)
        if found is None or self._warned:
            return report
        self._warned = True
        print(f"warning: {found}", file=log)
        return replace(report, warning=found)

    def _begin(self, log: TextIO) -> None:
        import torch

        torch.set_num_threads(self._job.cpus)
        if self._job.device == "cuda" and self._job.gpu_share < 1:
            # Ray counts shares of a GPU but limits nothing: one trial could take the memory of the others.
            torch.cuda.set_per_process_memory_fraction(self._job.gpu_share)
        print(f"trial {self._job.number} on {socket.gethostname()}: {self._job.config}", file=log)
        self._files.fetch()
        state = self._load_or_start(log)
        self._require_source(state.source)
        self._state = state
        known = list(self._state.history)
        # What the checkpoint holds is told again: the driver may have died before it heard of the last epoch.
        self._epochs = iter(known)
        if self._curves is not None:
            self._curves.begin(self._state, self._images)
        self._training = train(self._config, self._images, self._validation, state=self._state, on_step=self._on_step)

    def _on_step(self, step: StepResult) -> None:
        if self._is_late():
            raise TrainingStopped
        if self._curves is not None:
            self._curves.on_step(step)

    def _require_source(self, found: Mapping[str, str] | None) -> None:
        """Refuse a network of other code than the sweep was started with, which the trial's key stands for.

        Code travels to this machine. A file that an option names does not: where it is needed, building tells.
        """
        expected, now = self._job.source_files, found or {}
        if expected is None:
            return
        stayed = set(named_files(self._config.model)) - now.keys()
        wanted = {name: digest for name, digest in expected.items() if name not in stayed}
        here = {name: digest for name, digest in now.items() if name in wanted}
        if changes := changed_files(wanted, here):
            raise SourceChangedError(
                f"the code of {self._config.model.name} is not that of the sweep as it was started: "
                f"{', '.join(changes)}. Undo the edit, or train the new code"
            )

    def _load_or_start(self, log: TextIO) -> TrainingState:
        source = source_of(self._config.model)
        self._require_source(None if source is None else source.files)
        for path in usable_checkpoints(self._checkpoint):
            try:
                state = load_checkpoint(path, config=self._config, device=self._job.device)
            except CheckpointError as error:
                print(f"not going on from {path.name}: {error}", file=log)
            else:
                if path != self._checkpoint:
                    # The next save would keep the damaged one in place of the one that was used.
                    self._checkpoint.unlink(missing_ok=True)
                which = "" if path == self._checkpoint else f", from the checkpoint before ({path.name})"
                print(f"going on after epoch {state.epoch}{which}", file=log)
                return state
        return start(self._config, train_size=len(self._images), device=self._job.device)

    def _next_epoch(self, log: TextIO) -> Report:
        assert self._state is not None
        result = next(self._epochs, None)
        if result is None:
            result = next(self._training)
            save_checkpoint(self._state, self._checkpoint)
            self._storage_warning = self._files.keep_checkpoint(last=result.epoch == self._config.epochs)
            print(_epoch_line(result, of=self._config.epochs), file=log)
            if self._curves is not None:
                self._curves.epoch_ended(result)
        done = result.epoch == self._config.epochs
        return self._report(epoch=result, outcome=Outcome.COMPLETE if done else None)

    def _fault(self, fault: Fault) -> Report:
        return replace(self._report(outcome=fault.outcome), **asdict(fault))

    def _report(self, *, epoch: EpochResult | None = None, outcome: Outcome | None = None) -> Report:
        state = self._state
        return Report(
            epoch=epoch,
            outcome=outcome,
            parameters=None if state is None else sum(p.numel() for p in state.model.parameters()),
            environment=None if state is None else _environment(state),
        )

    @contextlib.contextmanager
    def _logging(self) -> Iterator[TextIO]:
        path = self._files.log
        path.parent.mkdir(parents=True, exist_ok=True)
        make_way(path)
        with contextlib.ExitStack() as taken:
            # Unbuffered: the last words of a process that dies are in it.
            log = taken.enter_context(io.TextIOWrapper(path.open("ab", buffering=0), "utf-8", write_through=True))
            if self._takes_output:
                taken.enter_context(contextlib.redirect_stdout(log))
                taken.enter_context(contextlib.redirect_stderr(log))
                # Of a crash below Python, such as a segmentation fault, it writes which line led there.
                faulthandler.enable(log)
                taken.callback(faulthandler.disable)
            yield log


def _epoch_line(result: EpochResult, *, of: int) -> str:
    validation = (
        "" if result.val_accuracy is None else f", validation {loss(result.val_loss)} / {accuracy(result.val_accuracy)}"
    )
    return (
        f"{time.strftime('%H:%M:%S')} epoch {result.epoch}/{of}: train {loss(result.train_loss)} / "
        f"{accuracy(result.train_accuracy)}{validation}, {result.images_per_second:,.0f} images/s"
    )


def _environment(state: TrainingState) -> dict[str, str]:
    import torch

    device = state.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    return {
        "host": socket.gethostname(),
        "device": f"{device.type} ({name})",
        # The order in which threads add up decides the last bit of a result.
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
    }


def free_memory() -> None:
    """Give back what the last trial of this process held, on a GPU too."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
