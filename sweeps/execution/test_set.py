"""The one step that receives the test images: measures a complete run on them, once.

A trial never gets them. The weights come from the trial's checkpoint, the images from the data folder, or from whoever
has them already, and only the result goes to the ledger.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from cifar_core.config import DataConfig
from cifar_core.data.images import LabelledImages
from cifar_core.errors import CheckpointError, SourceChangedError
from cifar_core.results import TestResult
from sweeps.errors import StoreError
from sweeps.execution.trial_files import local_checkpoint
from sweeps.study.checkpoints import SweepCheckpoints, find_checkpoints
from sweeps.study.ledger import Ledger
from sweeps.trial_record import Outcome, TrialRecord

if TYPE_CHECKING:
    from cifar_core.training import TrainingState

_log = logging.getLogger(__name__)

Measurement = Callable[[], TestResult | None]
"""Gives the result, or None while there is none yet. Raises as measuring."""

LOOK_SECONDS = 0.1
"""Between two looks at measurements that are under way."""

SplitOf = Callable[[DataConfig], tuple[LabelledImages, LabelledImages | None]]
"""Gives the training and validation images that a configuration means."""


def load_split(data: DataConfig) -> tuple[LabelledImages, LabelledImages | None]:
    """Return the training and validation images that a configuration means, from the data folder."""
    from cifar_core.data.load import load_training_images
    from cifar_core.data.split import split_train_validation

    images, _ = load_training_images(progress=False)
    return split_train_validation(images, data)


def measure_on_test(
    checkpoint: str,
    *,
    device: str = "auto",
    test_images: LabelledImages | None = None,
    split_of: SplitOf = load_split,
) -> TestResult:
    """Return what the network in a checkpoint does on the 10,000 test images.

    Args:
        checkpoint: path, or URL, of a complete run's file.
        device: where to compute.
        test_images: where they are at hand; None opens those in the data folder.
        split_of: is asked for training images only where the checkpoint is damaged.
    """
    from cifar_core.data.load import load_test_images
    from cifar_core.evaluation import confusion, evaluate

    with tempfile.TemporaryDirectory(prefix="sweeps-test-") as scratch:
        state = _whole_state(local_checkpoint(checkpoint, to=Path(scratch)), device=device, split_of=split_of)
    images = load_test_images(progress=False) if test_images is None else test_images
    measured = evaluate(state.model, images, config=state.config)
    return TestResult(
        loss=measured.loss,
        correct=np.packbits(measured.correct_N).tobytes(),
        count=len(measured.correct_N),
        confusion=confusion(images.labels_N, measured.predicted_N),
    )


def _whole_state(checkpoint: Path, *, device: str, split_of: SplitOf) -> TrainingState:
    """Return a complete run's state; where its file is damaged, from the one before, trained to its end again."""
    from cifar_core.checkpoint import load_checkpoint, usable_checkpoints
    from cifar_core.training import train

    *files, last = usable_checkpoints(checkpoint)
    for file in files:
        with contextlib.suppress(CheckpointError):
            return load_checkpoint(file, device=device)
    state = load_checkpoint(last, device=device)
    if state.epoch < state.config.epochs:
        for _ in train(state.config, *split_of(state.config.data), state=state):
            pass
    return state


def bring_weights(key: str, *, runs: Path, to: SweepCheckpoints) -> bool:
    """Copy the checkpoint of a complete run, of whichever sweep, and return whether there is one.

    A search's results are recorded without a test: with its weights a ladder tests them, and trains nothing again.

    Args:
        key: of the run.
        runs: the runs folder.
        to: the checkpoints of the sweep that needs it.
    """
    from cifar_core.checkpoint import load_checkpoint

    # Weights that cannot be had now are as those that are gone: the run is trained again.
    with contextlib.suppress(StoreError):
        for found in find_checkpoints(runs, key):
            with contextlib.suppress(CheckpointError, SourceChangedError):
                state = load_checkpoint(found, device="cpu")
                if state.epoch < state.config.epochs:
                    continue
                if not to.is_own(found, key):
                    to.put(key, found.read_bytes())
                return True
    return False


class TestStep:
    """Hears of complete runs and has each measured on the test images, on a slot like a trial's."""

    __test__ = False  # a step of a run, not a class of tests

    def __init__(
        self,
        ledger: Ledger,
        *,
        checkpoints: SweepCheckpoints,
        measure: Callable[[str], Measurement],
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """Measure nothing yet.

        Args:
            ledger: of the runs.
            checkpoints: their weights.
            measure: begins to measure the network in a checkpoint's file.
            stopping: whether the whole is to stop: nothing is waited for then, and the next start measures it.
        """
        self._ledger = ledger
        self._checkpoints = checkpoints
        self._measure = measure
        self._stopping = stopping
        self._asked: set[int] = set()
        self._begun: dict[int, Measurement] = {}

    def __enter__(self) -> TestStep:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Measure what is complete and not measured, also what a crash before had left so; not where all stops."""
        if kind is None and not self._stopping():
            for record in self._ledger.records:
                self.on_change(record)
            while self._begun and not self._stopping():
                self._collect()
                time.sleep(LOOK_SECONDS if self._begun else 0.0)

    def on_change(self, record: TrialRecord) -> None:
        self._collect()
        if self._stopping():
            return
        if record.outcome is not Outcome.COMPLETE or record.test is not None or record.number in self._asked:
            return
        try:
            checkpoint = self._checkpoints.file(record.key)
        except StoreError:  # away just now: it is asked for again at the end, and at the next start
            return
        if checkpoint is not None:
            self._asked.add(record.number)
            self._begun[record.number] = self._measure(checkpoint)

    def _collect(self) -> None:
        """Enter what is measured by now. One that cannot be costs its own result, and no other's."""
        for number in list(self._begun):
            if number not in self._begun:  # taken meanwhile: each entry is a change, which comes here again
                continue
            measurement = self._begun.pop(number)
            try:
                measured = measurement()
            except Exception as error:
                _log.warning(
                    "trial %d could not be measured on the test images (%s): the same command tries it again",
                    number,
                    _first_line(error),
                )
                continue
            if measured is None:
                self._begun[number] = measurement
            else:
                self._ledger.note_test(number, measured)


def _first_line(error: Exception) -> str:
    lines = str(getattr(error, "cause", None) or error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


class _NoTestStep(contextlib.nullcontext[None]):
    """A search measures nothing on the test images."""

    def on_change(self, record: TrialRecord) -> None:
        """Let it pass."""


no_test_step = _NoTestStep()
