"""Results of a training run. Does not import torch, so that the record can be read without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Self

Confusion = tuple[tuple[int, ...], ...]
"""Number of images of each class (row) that were predicted as each class (column)."""


def as_confusion(stored: Sequence[Sequence[int]] | None) -> Confusion | None:
    """Return a confusion matrix that was stored as lists in JSON."""
    return None if stored is None else tuple(map(tuple, stored))


@dataclass(frozen=True, kw_only=True)
class EpochResult:
    """One epoch of one run. Losses are mean cross-entropy in nats, accuracies shares from 0 to 1.

    A new field needs a default, so that recorded epochs stay readable.
    """

    epoch: int
    """Counted from 1."""
    train_loss: float
    """Mean over the epoch's batches during training, with augmentation and dropout."""
    train_accuracy: float
    """As `train_loss`, during training."""
    val_loss: float | None = None
    """None without validation images."""
    val_accuracy: float | None = None
    learning_rate: float
    """Of the epoch's last step."""
    seconds: float
    """Wall-clock seconds of the epoch, evaluation on the validation images included."""
    images_per_second: float
    """Training images per second, evaluation excluded."""
    finished_at: float
    """Unix time in seconds. It is recorded, so that writing an epoch twice changes nothing."""
    val_confusion: Confusion | None = None
    """Of the configuration's last epoch, if there are validation images; None for the others."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return a stored epoch, of an older or a newer version: unknown fields are ignored."""
        known = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        return cls(**(known | {"val_confusion": as_confusion(values.get("val_confusion"))}))

    @classmethod
    def required(cls) -> frozenset[str]:
        """Return the fields that a completely recorded epoch has."""
        return frozenset(field.name for field in fields(cls) if field.default is MISSING)
