"""A trial's curves, images, graph and hyperparameters for TensorBoard, beside the record: no result comes from them.

What imports TensorBoard is imported where it is used: a node of a cluster that lacks it trains all the same.
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
"""Capital: the table of hyperparameters shows the first metric in this order, and the others when asked."""
EPOCH_TAGS = {
    "loss/train": "train_loss",
    "loss/validation": "val_loss",
    "accuracy/train": "train_accuracy",
    "accuracy/validation": "val_accuracy",
    "learning_rate": "learning_rate",
}
"""Tag to field of `EpochResult`."""

_FOREIGN = re.compile(r"[^A-Za-z0-9._-]+")


def trial_folder(runs: Path, record: TrialRecord) -> Path:
    """Return the folder of one trial's curves: `quick-003`, `quick-003-s1` of a replicate, `baseline-000` of a rung."""
    if record.rung is None:
        seed = None if record.replicate_of is None else record.config.seed
        name = trial_name(record.sweep, record.trial, replicate_seed=seed)
    else:
        # Runs of one rung differ in their seed or their budget: the number tells them apart.
        name = f"{_FOREIGN.sub('-', record.rung.name)}-{record.trial:03d}"
    return runs / "tensorboard" / record.sweep / name


def remove_curves(runs: Path, sweep: str) -> None:
    """Delete a sweep's curves; a link goes, what it leads to stays.

    Raises:
        SweepError: they cannot be deleted.
    """
    folder = runs / "tensorboard" / sweep
    try:
        if folder.is_symlink():
            folder.unlink()
        elif folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise SweepError(f"{folder} cannot be deleted ({error.strerror}): delete it by hand") from None


def require_tensorboard() -> None:
    """Check that what writes the curves is installed.

    Raises:
        SweepError: it is not; says how to install it.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise SweepError(
            "tensorboard is asked for and is not installed: "
            "pip install --constraint requirements.lock -e '.[tensorboard]', or leave out --tensorboard "
            "(in the file: tensorboard: true)"
        )


def _harmless(method: Callable[..., None]) -> Callable[..., None]:
    """Let no error of writing curves reach the training: it is printed once as `warning`."""

    @functools.wraps(method)
    def harmless(curves: TrialCurves, *arguments: Any) -> None:
        if curves.warning is None:
            try:
                method(curves, *arguments)
            except Exception as error:
                known = error.strerror if isinstance(error, OSError) else None
                words = known or f"{type(error).__name__}: {error}"
                curves.warning = f"its curves for TensorBoard are not written any more ({words}); it trains on"

    return harmless


class TrialCurves:
    """Writes a trial's curves under a folder: a batch of points at the end of each epoch; nothing after an error."""

    def __init__(self, folder: Path) -> None:
        """Write nothing yet."""
        self._folder = folder
        self._writer: Any = None
        self._losses: list[Tensor] = []
        self._times: list[float] = []
        self._steps_written = 0
        self._training: Training | None = None
        self.warning: str | None = None
        """Why there are no curves, or not all; None while all is well."""

    @_harmless
    def begin(self, training: Training, config: TaskConfig) -> None:
        """Write what is known at the start: hyperparameters, images, graph, and the epochs of its checkpoint.

        Points after the checkpoint go: they come again.
        """
        from torch.utils.tensorboard import SummaryWriter

        self._training = training
        self._steps_written = len(training.history) * training.steps_per_epoch
        before = list(self._folder.glob("events.out.tfevents.*"))
        kept = _step_losses(self._folder, last_step=self._steps_written) if before else []
        # A TensorBoard that is open forgets all points of an earlier start; those that count are written again.
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
            # Not deleted: a TensorBoard that reads it would stay with it for ever and not find the new one.
            os.truncate(path, 0)

    def on_step(self, loss: Tensor) -> None:
        """Take note of a step; its loss stays where it was computed until the epoch ends."""
        if self.warning is None:
            self._losses.append(loss)
            self._times.append(time.time())

    @_harmless
    def epoch_ended(self, result: EpochResult) -> None:
        """Write an epoch's points and the losses of its steps."""
        self._add_steps()
        self._add_epoch(result)
        self._writer.flush()

    @_harmless
    def ended(self, outcome: Outcome) -> None:
        """Write the steps of an epoch that was not finished, and how the trial ended."""
        if self._writer is None:
            return  # it ended before it began: its network cannot be built, or such
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
            # The one look at them all, after the epoch's own: a GPU has nothing left to wait for.
            for loss, when in zip(torch.stack(self._losses).tolist(), self._times, strict=True):
                self._steps_written += 1
                self._writer.add_scalar(STEP_LOSS, loss, self._steps_written, when)
            self._losses, self._times = [], []

    def _add_hparams(self, part: str, **info: Any) -> None:
        # Not `add_hparams` of torch: it writes a run of its own, at the end, and takes a bool for a number.
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
    """Return (loss, step, time) of the steps that a resumed trial does not take again."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    stored = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    if STEP_LOSS not in stored.Tags()["scalars"]:
        return []
    return [
        (point.value, point.step, point.wall_time) for point in stored.Scalars(STEP_LOSS) if point.step <= last_step
    ]


def _close(writer: Any) -> None:
    """End the writer's thread with the trial; what could not be written has been said."""
    with contextlib.suppress(Exception):
        writer.close()
