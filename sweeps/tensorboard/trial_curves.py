"""What one trial tells TensorBoard, an epoch at a time; nothing that goes wrong here reaches the training."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweeps.trial_record import Outcome

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event
    from torch import Tensor

    from cifar_core.data import LabelledImages
    from cifar_core.results import EpochResult
    from cifar_core.training import StepResult, TrainingState
    from sweeps.tensorboard.event_file import EventFile


class TrialCurves:
    """Writes a trial's curves under a folder: a batch of points at the end of each epoch.

    After the first error nothing more is written, and `warning` says why. What imports TensorBoard is imported within:
    a node of a cluster that lacks it trains all the same.
    """

    def __init__(self, folder: Path) -> None:
        """Write nothing yet."""
        self._folder = folder
        self._file: EventFile | None = None
        self._losses: list[Tensor] = []
        self._times: list[float] = []
        self._steps_written = 0
        self._history: Sequence[EpochResult] = ()
        self.warning: str | None = None
        """Why there are no curves, or not all; None while all is well."""

    def begin(self, state: TrainingState, images: LabelledImages) -> None:
        """Write what is known at the start: images, graph, hyperparameters, and the epochs of its checkpoint.

        Points after the checkpoint go: they come again.
        """
        self._unless_broken(lambda: self._begin(state, images))

    def on_step(self, step: StepResult) -> None:
        """Take note of a step; its loss stays where it was computed until the epoch ends."""
        self._losses.append(step.loss)
        self._times.append(time.time())

    def epoch_ended(self, result: EpochResult) -> None:
        """Write an epoch's points and the losses of its steps."""

        def write() -> None:
            from sweeps.tensorboard.summaries import epoch_events

            self._append(epoch_events(result))

        self._unless_broken(write)

    def ended(self, outcome: Outcome) -> None:
        """Write the steps of an epoch that was not finished, and how the trial ended."""

        def write() -> None:
            from sweeps.tensorboard.summaries import closing_events

            self._append(closing_events(outcome, self._history) if outcome.is_final else [])

        self._unless_broken(write)

    def _begin(self, state: TrainingState, images: LabelledImages) -> None:
        from sweeps.tensorboard import event_file, summaries

        self._history = state.history
        self._steps_written = state.epoch * -(-state.train_size // state.config.data.batch_size)
        events = summaries.opening_events(state, images)
        if self._steps_written:
            stored = event_file.stored_events(self._folder)
            events += summaries.kept_steps(stored, last_step=self._steps_written)
        file = event_file.EventFile(self._folder)
        file.begin(events)
        self._file = file

    def _append(self, events: list[Event]) -> None:
        if self._file is None:
            return  # it ended before it began: its network cannot be built, or such
        import torch

        from sweeps.tensorboard.summaries import step_events

        if self._losses:
            # The one look at them all, after the epoch's own: a GPU has nothing left to wait for.
            losses = torch.stack(self._losses).tolist()
            events = [*step_events(losses, self._times, first_step=self._steps_written + 1), *events]
            self._steps_written += len(losses)
            self._losses, self._times = [], []
        self._file.append(events)

    def _unless_broken(self, write: Callable[[], None]) -> None:
        if self.warning is not None:
            # Of a trial of many epochs they would fill the memory.
            self._losses, self._times = [], []
            return
        try:
            write()
        except Exception as error:
            self.warning = f"its curves for TensorBoard are not written any more ({_words(error)}); it trains on"


def _words(error: Exception) -> str:
    known = error.strerror if isinstance(error, OSError) else None
    return known or f"{type(error).__name__}: {error}"
