"""The one step that receives the test images: measures a complete run on them, once.

A trial never gets them. The weights come from the trial's checkpoint, the images from the data folder, or from whoever
has them already, and only the result goes to the ledger.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cifar_core.common.errors import CheckpointError, SourceChangedError
from cifar_core.config import DataConfig
from cifar_core.data.images import LabelledImages
from cifar_core.results import TestResult
from sweeps.core.errors import StoreError
from sweeps.store.checkpoints import SweepCheckpoints, find_checkpoints
from sweeps.worker.trial_files import local_checkpoint

if TYPE_CHECKING:
    from cifar_core.training import TrainingState

_log = logging.getLogger(__name__)

Measurement = Callable[[], TestResult | None]
"""Gives the result, or None while there is none yet. Raises as measuring."""

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
