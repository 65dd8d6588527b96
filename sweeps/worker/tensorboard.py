"""A trial's curves, images, graph and hyperparameters for TensorBoard. No result is computed from them.

TensorBoard is imported where it is used, so that a cluster node without it can train.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import re
import shutil
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeps.core.errors import SweepError
from sweeps.core.identity import trial_name
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.tasks.values import value_text

if TYPE_CHECKING:
    from torch import Tensor

    from sweeps.core.results import EpochResult
    from sweeps.core.task import TaskConfig, Training

STEP_LOSS = "loss/step"
FINAL = "Final/val_accuracy"
"""Capitalized, since the table of hyperparameters initially shows only the first metric in alphabetical order."""
EPOCH_TAGS = {
    "loss/train": "train_loss",
    "loss/validation": "val_loss",
    "accuracy/train": "train_accuracy",
    "accuracy/validation": "val_accuracy",
    "learning_rate": "learning_rate",
}
"""Tag → field of `EpochResult`."""

_FOREIGN = re.compile(r"[^A-Za-z0-9._-]+")


def trial_folder(runs: Path, record: TrialRecord) -> Path:
    """Return the folder of a trial's curves: `quick-003`, `quick-003-s1` for a replicate, `baseline-000` for a rung."""
    if record.rung is None:
        seed = None if record.replicate_of is None else record.config.seed
        name = trial_name(record.sweep, record.trial, replicate_seed=seed)
    else:
        # With the number, since runs of one rung differ in seed or budget.
        name = f"{_FOREIGN.sub('-', record.rung.name)}-{record.trial:03d}"
    return runs / "tensorboard" / record.sweep / name


def remove_curves(runs: Path, sweep: str) -> None:
    """Delete a sweep's curves; of a link only the link.

    Raises:
        SweepError: They cannot be deleted.
    """
    folder = runs / "tensorboard" / sweep
    try:
        if folder.is_symlink():
            folder.unlink()
        elif folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise SweepError(f"{folder} cannot be deleted ({error.strerror}). Delete it manually.") from None


def require_tensorboard() -> None:
    """Check that TensorBoard is installed.

    Raises:
        SweepError: It is not.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise SweepError(
            "tensorboard is not installed. Run `pip install 'cifar-sweeps[tensorboard]'`, or "
            "leave out --tensorboard (in the file: tensorboard: true)."
        )


def _suppress_errors(method: Callable[..., None]) -> Callable[..., None]:
    """Catch exceptions of a method and store the first one in `warning`, so that training continues."""

    @functools.wraps(method)
    def wrapped(curves: TrialCurves, *arguments: Any) -> None:
        if curves.warning is None:
            try:
                method(curves, *arguments)
            except Exception as error:
                reason = error.strerror if isinstance(error, OSError) else None
                text = reason or f"{type(error).__name__}: {error}"
                curves.warning = f"writing curves for TensorBoard failed ({text}). Training continues without them"

    return wrapped


class TrialCurves:
    """Writes a trial's curves to a folder: a batch of points after each epoch; nothing after an error."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None
        self._losses: list[Tensor] = []
        self._times: list[float] = []
        self._steps_written = 0
        self._training: Training | None = None
        self.warning: str | None = None
        """Message if writing failed; None otherwise."""

    @_suppress_errors
    def begin(self, training: Training, config: TaskConfig) -> None:
        """Write hyperparameters, images, graph, and the epochs of the checkpoint; discard points after it."""
        from torch.utils.tensorboard import SummaryWriter

        self._training = training
        self._steps_written = len(training.history) * training.steps_per_epoch
        before = list(self._folder.glob("events.out.tfevents.*"))
        kept = _step_losses(self._folder, last_step=self._steps_written) if before else []
        # A running TensorBoard drops all points of an earlier start; the valid ones are written again.
        self._writer = SummaryWriter(str(self._folder), purge_step=1)
        weakref.finalize(self, _close, self._writer)
        values = {name: value for name, value in config.dotted().items() if value is not None}
        self._add_hparams("session_start_info", hparams={name: _hparam(value) for name, value in values.items()})
        training.draw(self._writer)
        for loss, step, when in kept:
            self._writer.add_scalar(STEP_LOSS, loss, step, when)
        for result in training.history:
            self._add_epoch(result)
        self._writer.flush()
        for path in before:
            # Not deleted: a TensorBoard that reads the file would not switch to the new one.
            os.truncate(path, 0)

    def on_step(self, loss: Tensor) -> None:
        """Store the loss of a step. It stays on its device until the epoch ends."""
        if self.warning is None:
            self._losses.append(loss)
            self._times.append(time.time())

    @_suppress_errors
    def epoch_ended(self, result: EpochResult) -> None:
        """Write an epoch's points and the losses of its steps."""
        self._add_steps()
        self._add_epoch(result)
        self._writer.flush()

    @_suppress_errors
    def ended(self, outcome: Outcome) -> None:
        """Write the steps of an unfinished epoch, and the outcome of the trial."""
        if self._writer is None:
            return  # it failed before the training started
        self._add_steps()
        if outcome.is_final:
            status = "STATUS_SUCCESS" if outcome is Outcome.COMPLETE else "STATUS_FAILURE"
            self._add_hparams("session_end_info", status=status, end_time_secs=time.time())
        history = [] if self._training is None else self._training.history
        last = history[-1] if history else None
        if outcome is Outcome.COMPLETE and last is not None and last.value("val_accuracy") is not None:
            self._writer.add_scalar(FINAL, last.value("val_accuracy"), last.epoch, last.finished_at)
        self._writer.flush()

    def _add_epoch(self, result: EpochResult) -> None:
        for tag, field in EPOCH_TAGS.items():
            value = result.value(field)
            if value is not None:
                self._writer.add_scalar(tag, value, result.epoch, result.finished_at)

    def _add_steps(self) -> None:
        import torch

        if self._losses:
            # One transfer per epoch, after the GPU has finished.
            for loss, when in zip(torch.stack(self._losses).tolist(), self._times, strict=True):
                self._steps_written += 1
                self._writer.add_scalar(STEP_LOSS, loss, self._steps_written, when)
            self._losses, self._times = [], []

    def _add_hparams(self, part: str, **info: Any) -> None:
        # `add_hparams` of torch writes a separate run at the end, and stores a bool as a number.
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.plugins.hparams.metadata import create_summary_metadata
        from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

        metadata = create_summary_metadata(HParamsPluginData(**{part: info}))
        self._writer.file_writer.add_summary(
            Summary(value=[Summary.Value(tag=f"_hparams_/{part}", metadata=metadata)]), 0
        )


def _hparam(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"bool_value": value}
    return {"number_value": value} if isinstance(value, int | float) else {"string_value": value_text(value)}


def _step_losses(folder: Path, *, last_step: int) -> list[tuple[float, int, float]]:
    """Return (loss, step, time) of the steps up to `last_step`."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    stored = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    if STEP_LOSS not in stored.Tags()["scalars"]:
        return []
    return [
        (point.value, point.step, point.wall_time) for point in stored.Scalars(STEP_LOSS) if point.step <= last_step
    ]


def _close(writer: Any) -> None:
    """End the writer's thread. Errors were reported before."""
    with contextlib.suppress(Exception):
        writer.close()
