"""What a training says of each epoch, and what its complete run does on the sealed part of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

Confusion = tuple[tuple[int, ...], ...]
"""Examples of each class (row) that were taken for each class (column)."""

_COMMON_FIELDS = ("epoch", "seconds", "finished_at", "val_confusion")


def as_confusion(stored: Sequence[Sequence[int]] | None) -> Confusion | None:
    """Return what was stored as lists, as JSON does."""
    return None if stored is None else tuple(map(tuple, stored))


@dataclass(frozen=True, kw_only=True)
class EpochResult:
    """One epoch of one trial: named numbers, and when it ended."""

    epoch: int
    """Counted from 1: the epochs trained so far."""
    seconds: float
    """Wall-clock seconds of the epoch, its validation included."""
    finished_at: float
    """Unix time in seconds. The record keeps it, so that writing an epoch twice changes nothing."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """What was measured, by name; nothing that was not measured is among it."""
    val_confusion: Confusion | None = None
    """Of the last epoch of a classification, where there is validation; None of the others."""

    def value(self, name: str) -> float | None:
        """Return a metric; None where it was not measured."""
        return self.metrics.get(name)

    def as_dict(self) -> dict[str, Any]:
        """Return the epoch as it is stored, its metrics beside the other fields."""
        about = {name: getattr(self, name) for name in _COMMON_FIELDS}
        return {"epoch": self.epoch, **self.metrics, **about}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return an epoch as it was stored, by an older version or a newer one."""
        metrics = {
            name: float(value)
            for name, value in values.items()
            if name not in _COMMON_FIELDS and isinstance(value, int | float) and not isinstance(value, bool)
        }
        return cls(
            epoch=values["epoch"],
            seconds=values["seconds"],
            finished_at=values["finished_at"],
            metrics=metrics,
            val_confusion=as_confusion(values.get("val_confusion")),
        )


@dataclass(frozen=True, kw_only=True)
class TestResult:
    """What a finished run did on the test images, taken once."""

    __test__ = False  # a record, not a class of tests

    loss: float
    """Mean cross-entropy in nats."""
    correct: bytes
    """One bit an image in the file's order, 1 for a right answer (`numpy.packbits`)."""
    count: int
    """Images that were tested."""
    confusion: Confusion | None = None
    """None where the record has lost it."""

    @property
    def accuracy(self) -> float:
        """Share of right answers, 0 to 1."""
        return int.from_bytes(self.correct, "big").bit_count() / self.count
