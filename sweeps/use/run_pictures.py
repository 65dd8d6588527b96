"""Pictures of a sweep's complete runs, stored as MLflow artifacts once, at the end of the sweep."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from cifar_core.data.images import class_names_of
from sweeps.core.errors import SweepError
from sweeps.core.identity import trial_name
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.record.files import RunFiles
from sweeps.record.reader import MlflowReader
from sweeps.search.state import read_state
from sweeps.tasks.registry import describe, task_of
from sweeps.use.mistakes import find_mistakes

if TYPE_CHECKING:
    from cifar_core import TrainingConfig
    from sweeps.use.mistakes import Mistake, Mistakes

LEAST_SECONDS = 20.0
"""Training time from which a run gets pictures, which take one to two seconds."""

PICTURED = "pictured"
"""The tag of a run that has pictures; its value is their number."""

_MISTAKES = 18
_INPUTS = 10

_log = logging.getLogger(__name__)


def log_pictures(sweep: str, *, runs: Path) -> int:
    """Store the pictures of each complete run that has none yet; return the number of these runs.

    They are the learning curve, the confusion matrix of the validation (or test) images, augmented training images and,
    where the weights are kept, the most confident mistakes on validation images. An error is logged once and not
    raised.

    Args:
        sweep: name of a sweep or a ladder.
        runs: the runs folder.
    """
    done = 0
    try:
        files = RunFiles(runs, sweep=sweep)
        for record in read_state(runs, sweep).records_and_replicates:
            run_id = files.run_without(record.key, tag=PICTURED)
            if not task_of(record.config).class_names(record.config):
                continue  # the pictures are of images
            if run_id is None or record.outcome is not Outcome.COMPLETE or record.train_seconds < LEAST_SECONDS:
                continue
            pictures = pictures_of(record, run_id, runs=runs)
            files.store(run_id, pictures, tag=PICTURED)
            done += 1
    except Exception as error:  # of an artifact store, or of a font: the metrics are recorded
        _log.warning("could not store pictures of the runs of %s in MLflow: %s", sweep, error)
    return done


def pictures_of(record: TrialRecord, run_id: str, *, runs: Path) -> dict[str, bytes]:
    """Return a complete run's pictures: file name to PNG."""
    from sweeps.pictures.charts import confusion_matrix, learning_curve

    about, epochs = describe(record.config), record.epochs
    seed = None if record.replicate_of is None else record.config.seed
    name = record.rung.name if record.rung else trial_name(record.sweep, record.trial, replicate_seed=seed)
    pictures = {
        "learning-curve.png": learning_curve(
            [epoch.epoch for epoch in epochs],
            train_loss=[epoch.value("train_loss") for epoch in epochs],
            train_accuracy=[epoch.value("train_accuracy") for epoch in epochs],
            val_loss=_known([epoch.value("val_loss") for epoch in epochs]),
            val_accuracy=_known([epoch.value("val_accuracy") for epoch in epochs]),
            title=f"Learning curve of {name}",
            subtitle=about,
        ),
        "inputs.png": _inputs(cast("TrainingConfig", record.config), name=name),
    }
    confusion, images = epochs[-1].val_confusion, "validation"
    if record.test is not None and record.test.confusion is not None:
        confusion, images = record.test.confusion, "test"
    if confusion is not None:
        pictures["confusion.png"] = confusion_matrix(
            confusion,
            class_names_of(cast("TrainingConfig", record.config)),
            title=f"Confusion matrix of {name}",
            subtitle=f"{images} images; {about}",
        )
    mistakes = _mistakes(run_id, runs=runs)
    return pictures if mistakes is None else pictures | {"mistakes.png": mistakes}


def _known(values: list[float | None]) -> list[float | None]:
    """Return the values, or an empty list if none was measured."""
    return values if any(value is not None for value in values) else []


def _inputs(config: TrainingConfig, *, name: str) -> bytes:
    """Return a picture of original and augmented training images."""
    import torch

    from cifar_core.augment import augment, denormalize
    from cifar_core.data.of_config import load_part
    from sweeps.pictures.grids import image_grid

    stored = load_part(config.data, "train").images_NHWC[:_INPUTS]
    generator = torch.Generator().manual_seed(config.seed)
    rows: list[Any] = [list(stored)]
    for _ in range(3):
        inputs = augment(
            torch.from_numpy(np.array(stored)),
            operations=config.data.operations,
            normalization=config.data.constants,
            generator=generator,
        )
        pixels = denormalize(inputs, normalization=config.data.constants).permute(0, 2, 3, 1).numpy()
        rows.append(list((255 * pixels).round().astype(np.uint8)))
    return image_grid(
        rows,
        labels=["original", "draw 1", "draw 2", "draw 3"],
        title=f"Training images of {name} after augmentation",
        subtitle="three draws for the same images, normalisation undone",
    )


def _mistakes(run_id: str, *, runs: Path) -> bytes | None:
    """Return a picture of the most confident mistakes on validation images; None if the weights are gone."""
    try:
        found = find_mistakes(MlflowReader(runs), run_id, runs=runs, of="validation")
    except SweepError:  # no validation images, or weights that `keep` did not keep
        return None
    about = f"{len(found.found):,} of {found.images:,} validation images misclassified"
    return mistakes_picture(found, found.found[:_MISTAKES], about=about) if found.found else None


def mistakes_picture(of: Mistakes, shown: Sequence[Mistake], *, about: str) -> bytes:
    """Return a picture of some of a run's mistakes as PNG; `about` states their number."""
    from sweeps.pictures.grids import mistakes_grid

    return mistakes_grid(
        [each.image_HWC for each in shown],
        truths=[each.truth for each in shown],
        predictions=[each.predicted for each in shown],
        probabilities=np.stack([each.probabilities_K for each in shown]),
        class_names=of.class_names,
        title=f"Most confident mistakes of {of.run}",
        subtitle=f"{about}\norange: predicted class and its probability; black: true class; grey: index of the image",
        numbers=[each.number for each in shown],
    )
