"""A stand-in for training networks that takes no time and no torch, for tests of what is around it.

It takes the place of the methods of `ImageClassification` that train, save and measure: the sweep's files, the
configurations and the data stay those of images. What an epoch says, and what is measured on the test images, follows
from the configuration alone, and a checkpoint holds no weights; `give_weights` puts some there. A network of the user's
own is really trained: what it does is then what the test is about. So is one that goes on from a real checkpoint.
"""

from __future__ import annotations

import json
import math
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cifar_core.common.checksum_file import verified_payload, write_with_checksum
from cifar_core.common.errors import CheckpointError, DivergedError
from cifar_core.common.files import existing_versions, read_file
from cifar_core.config import TrainingConfig
from cifar_core.data.images import LabelledImages
from cifar_core.data.split import require_split
from sweeps.core.results import Confusion, EpochResult, TestResult
from sweeps.core.task import OnStep, Training
from sweeps.tasks.image_classification import ImageClassification, Split
from sweeps.use import winner

if TYPE_CHECKING:
    import pytest

    from sweeps.use.weights import Weights

DIVERGES_FROM = 1e3
"""The learning rate."""
LEARNS_FROM_IMAGES = 3_000
"""In all epochs together; a network of width 16 or more learns from any number."""
_BEGINS = b'{"instant": '
"""A checkpoint's file: JSON, so that it is told from torch's."""

really_start, really_load = ImageClassification.start, ImageClassification.load
really_measure, really_is_complete = ImageClassification.measure, ImageClassification.is_complete
really_store = winner._store


class InstantTraining(Training):
    """A network between two epochs, without the network."""

    parameters = 1_000

    def __init__(self, config: TrainingConfig, split: Split, history: Sequence[EpochResult] = ()) -> None:
        self._config = config
        self._images, self._validation = split
        self._history = list(history)

    @property
    def history(self) -> Sequence[EpochResult]:
        return self._history

    @property
    def environment(self) -> Mapping[str, str]:
        return {"device": "cpu (none)", "threads": "1"}

    def epochs(self, *, on_step: OnStep) -> Iterator[EpochResult]:
        require_split(self._config.data, train=self._images, validation=self._validation)
        validation = 0 if self._validation is None else len(self._validation)
        for epoch in range(len(self._history) + 1, self._config.epochs + 1):
            self._history.append(instant_epoch(self._config, epoch, images=len(self._images), validation=validation))
            yield self._history[-1]

    def save(self, path: Path) -> None:
        history = [result.as_dict() for result in self.history]
        write_with_checksum(path, _BEGINS + json.dumps([self._config.model_dump_json(), history]).encode() + b"}")

    def confirm(self, part: Split) -> Mapping[str, float]:
        """Return a little less than the last epoch says, as a share of the images."""
        loss, accuracy = _quality(self._config, self._config.epochs, images=len(self._images))
        images = len(part[0])
        return {"val_accuracy": round(images * (accuracy - 0.01)) / images, "val_loss": loss + 0.01}


def instant_epoch(config: TrainingConfig, epoch: int, *, images: int, validation: int) -> EpochResult:
    """Return what an epoch says: the better, the nearer the learning rate is to 0.1, and the later the epoch."""
    if config.optimizer.lr >= DIVERGES_FROM:
        raise DivergedError(epoch=epoch, loss=math.nan)
    loss, accuracy = _quality(config, epoch, images=images)
    right = round(validation * accuracy)
    return EpochResult(
        epoch=epoch,
        seconds=0.001,
        finished_at=time.time(),
        metrics={
            **({"val_accuracy": right / validation, "val_loss": loss} if validation else {}),
            "train_accuracy": accuracy,
            "train_loss": loss,
            "learning_rate": config.optimizer.lr,
            "images_per_second": images / 0.001,
        },
        val_confusion=_confusion(right, validation) if validation and epoch == config.epochs else None,
    )


def _quality(config: TrainingConfig, epoch: int, *, images: int) -> tuple[float, float]:
    """Return loss and accuracy; those of no two configurations, or seeds, are equal."""
    learns = config.epochs * images >= LEARNS_FROM_IMAGES or (config.model.width or 64) >= 16
    quality = 1 / (1 + abs(math.log10(config.optimizer.lr / 0.1))) * (1 - 0.5**epoch)
    own = zlib.crc32(config.model_dump_json().encode()) % 1000 / 1000
    return 2.3 - quality - own / 1000, (0.3 + 0.4 * quality + 0.03 * own) if learns else (0.08 + 0.05 * own)


def _confusion(right: int, images: int) -> Confusion:
    """Return counts of ten classes of about one size, of which as many are right as shall be."""
    rows = []
    for k in range(10):
        size = images // 10 + (k < images % 10)
        hits = right // 10 + (k < right % 10)
        rows.append(tuple(hits if j == k else size - hits if j == (k + 1) % 10 else 0 for j in range(10)))
    return tuple(rows)


def _read(path: Path) -> tuple[TrainingConfig, list[EpochResult]]:
    """Return what a checkpoint of the stand-in holds.

    Raises:
        CheckpointError: it is damaged.
    """
    try:
        config, history = json.loads(verified_payload(read_file(path)))["instant"]
    except ValueError as error:
        raise CheckpointError(f"{path} cannot be read ({error}). Delete it to train the run again") from error
    return TrainingConfig.model_validate_json(config), [EpochResult.from_dict(each) for each in history]


def _is_instant(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_BEGINS)) == _BEGINS


def _enter(task: ImageClassification, *, cpus: int, device: str, gpu_share: float) -> None:
    """Give a network of the user's own its threads; nothing else computes."""
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(cpus)


def _free_memory(task: ImageClassification) -> None:
    """Nothing is held."""


def _start(task: ImageClassification, config: TrainingConfig, part: Split, *, device: str) -> Training:
    if task.code_of(config) is not None:
        return really_start(task, config, part, device=device)
    return InstantTraining(config, part)


def _load(task: ImageClassification, path: Path, config: TrainingConfig, part: Split, *, device: str) -> Training:
    if not _is_instant(path):
        return really_load(task, path, config, part, device=device)
    stored, history = _read(path)
    if not stored.is_same_run(config):
        raise CheckpointError(f"{path} is of another configuration. Delete it, or use another sweep name")
    return InstantTraining(config, part, history)


def _measure(
    task: ImageClassification,
    checkpoint: Path,
    test: LabelledImages,
    *,
    device: str,
    part_of: Callable[[TrainingConfig], Split],
) -> TestResult:
    """Measure what the configuration would give: the epochs that a damaged checkpoint lacks need no training."""
    *_, oldest = existing_versions(checkpoint)
    if not _is_instant(oldest):
        return really_measure(task, checkpoint, test, device=device, part_of=part_of)
    config, _ = _read(oldest)
    loss, accuracy = _quality(config, config.epochs, images=config.train_images())
    correct_N = np.arange(len(test)) % 1000 < 1000 * accuracy
    predicted_N = np.where(correct_N, test.labels_N, (test.labels_N + 1) % 10)
    counts = np.zeros((10, 10), dtype=int)
    np.add.at(counts, (test.labels_N, predicted_N), 1)
    return TestResult(
        loss=loss,
        correct=np.packbits(correct_N).tobytes(),
        count=len(test),
        confusion=tuple(map(tuple, counts.tolist())),
    )


def _is_complete(task: ImageClassification, checkpoint: Path) -> bool:
    if not _is_instant(checkpoint):
        return really_is_complete(task, checkpoint)
    config, history = _read(checkpoint)
    return len(history) == config.epochs


def _store(sweep: str, weights: Weights, *told: Any, **options: Any) -> str | None:
    return None if _is_instant(weights.path) else really_store(sweep, weights, *told, **options)


INSTANT: dict[str, Callable[..., Any]] = {
    "enter": _enter,
    "free_memory": _free_memory,
    "start": _start,
    "load": _load,
    "measure": _measure,
    "is_complete": _is_complete,
}
"""The methods of the task that import torch."""
REAL: dict[str, Callable[..., Any]] = {name: getattr(ImageClassification, name) for name in INSTANT}


def train_instantly(patch: pytest.MonkeyPatch) -> None:
    """Put the stand-in in the place of training; a winner without weights is no model in MLflow."""
    for name, method in INSTANT.items():
        patch.setattr(ImageClassification, name, method)
    patch.setattr(winner, "_store", _store)


def train_really(patch: pytest.MonkeyPatch) -> None:
    """Take the stand-in away again."""
    for name, method in REAL.items():
        patch.setattr(ImageClassification, name, method)


def give_weights(runs: Path) -> None:
    """Put networks as they are drawn at the start into the checkpoints: for tests of what is done with weights."""
    from cifar_core.checkpoint import save_checkpoint
    from cifar_core.results import EpochResult as ImageEpoch
    from cifar_core.training import start

    for path in filter(_is_instant, runs.glob("sweeps/*/checkpoints/*/state.pt")):
        config, history = _read(path)
        state = start(config, train_size=config.train_images(), device="cpu")
        state.history += [ImageEpoch.from_dict(result.as_dict()) for result in history]
        path.unlink()
        save_checkpoint(state, path)
