"""The one step that receives the test images: measures a complete run on them, once.

A trial never gets them. The weights come from the trial's checkpoint, the images from the data folder, and only
the result goes to the ledger.
"""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from cifar_core.errors import CheckpointError
from cifar_core.results import TestResult
from sweeps.execution.trial import CHECKPOINT_FILE
from sweeps.study import Ledger
from sweeps.trial_record import Outcome, TrialRecord

if TYPE_CHECKING:
    from cifar_core.training import TrainingState

_log = logging.getLogger(__name__)


def measure_on_test(checkpoint: str, *, device: str = "auto") -> TestResult:
    """Return what the network in a checkpoint does on the 10,000 test images.

    Args:
        checkpoint: file of a complete run.
        device: where to compute.
    """
    from cifar_core.data import load_test_images
    from cifar_core.evaluation import evaluate

    state = _whole_state(Path(checkpoint), device=device)
    images = load_test_images(progress=False)
    measured = evaluate(state.model, images, config=state.config)
    return TestResult(
        loss=measured.loss, correct=np.packbits(measured.correct_N).tobytes(), count=len(measured.correct_N)
    )


def _whole_state(checkpoint: Path, *, device: str) -> TrainingState:
    """Return a complete run's state; where its file is damaged, from the one before, trained to its end again."""
    from cifar_core.checkpoint import load_checkpoint, usable_checkpoints
    from cifar_core.data import load_training_images, split_train_validation
    from cifar_core.training import train

    *files, last = usable_checkpoints(checkpoint)
    for file in files:
        with contextlib.suppress(CheckpointError):
            return load_checkpoint(file, device=device)
    state = load_checkpoint(last, device=device)
    if state.epoch < state.config.epochs:
        images, _ = load_training_images(progress=False)
        for _ in train(state.config, *split_train_validation(images, state.config.data), state=state):
            pass
    return state


class TestStep:
    """Hears of complete runs and has each measured on the test images, beside the trials."""

    __test__ = False  # a step of a run, not a class of tests

    def __init__(self, ledger: Ledger, *, checkpoints: Path) -> None:
        self._ledger = ledger
        self._checkpoints = checkpoints
        self._asked: set[int] = set()

    def __enter__(self) -> TestStep:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Measure what is complete and not measured, also what a crash before had left so."""
        if kind is None:
            for record in self._ledger.records:
                self.on_change(record)

    def on_change(self, record: TrialRecord) -> None:
        if record.outcome is not Outcome.COMPLETE or record.test is not None or record.number in self._asked:
            return
        checkpoint = self._checkpoints / record.key / CHECKPOINT_FILE
        if not checkpoint.exists():
            return
        self._asked.add(record.number)
        try:
            measured = measure_on_test(str(checkpoint))
        except CheckpointError as error:
            _log.warning("%s cannot be measured on the test images: %s", record.name, error)
            return
        self._ledger.note_test(record.number, measured)


class _NoTestStep(contextlib.nullcontext[None]):
    """A search measures nothing on the test images."""

    def on_change(self, record: TrialRecord) -> None:
        """Let it pass."""


no_test_step = _NoTestStep()
