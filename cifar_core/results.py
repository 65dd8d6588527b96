"""What a training run says about itself. No torch, so that the record can be read without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Self

Confusion = tuple[tuple[int, ...], ...]
"""Images of each class (row) that were taken for each class (column)."""


def as_confusion(stored: Sequence[Sequence[int]] | None) -> Confusion | None:
    """Return what was stored as lists, as JSON does."""
    return None if stored is None else tuple(map(tuple, stored))


@dataclass(frozen=True, kw_only=True)
class EpochResult:
    """One epoch of one run. Losses are mean cross-entropy in nats, accuracies shares from 0 to 1.

    A field that is added has a default: epochs that were recorded before stay readable.
    """

    epoch: int
    """Counted from 1: the epochs trained so far."""
    train_loss: float
    """Mean over the epoch's batches while the weights move, with augmentation and dropout on."""
    train_accuracy: float
    """As `train_loss`: while training, not measured again at the end."""
    val_loss: float | None = None
    """None where no image is set aside for validation."""
    val_accuracy: float | None = None
    learning_rate: float
    """Of the epoch's last step."""
    seconds: float
    """Wall-clock seconds of the epoch, evaluation on the validation images included."""
    images_per_second: float
    """Training images over the seconds of the training part alone."""
    finished_at: float
    """Unix time in seconds. The record keeps it, so that writing an epoch twice changes nothing."""
    val_confusion: Confusion | None = None
    """Of the configuration's last epoch, where there is validation; None of the others."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return an epoch that was stored, by an older version or a newer one: what is unknown here is left out."""
        known = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        return cls(**(known | {"val_confusion": as_confusion(values.get("val_confusion"))}))

    @classmethod
    def required(cls) -> frozenset[str]:
        """Return the fields without which an epoch was not recorded whole."""
        return frozenset(field.name for field in fields(cls) if field.default is MISSING)
