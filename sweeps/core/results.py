"""Results of a training: of each epoch, and of the complete run on the test set."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

Confusion = tuple[tuple[int, ...], ...]
"""Number of examples of each true class (row) and predicted class (column)."""

TEST_PREFIX = "test_"
"""Beginning of the recorded names of numbers on the test part."""

CONFIRM_PREFIX = "confirm_"
"""Beginning of the recorded names of numbers on the confirmation part."""

_COMMON_FIELDS = ("epoch", "seconds", "finished_at", "val_confusion")


def as_confusion(stored: Sequence[Sequence[int]] | None) -> Confusion | None:
    """Return a confusion matrix that was stored as JSON lists."""
    return None if stored is None else tuple(map(tuple, stored))


@dataclass(frozen=True, kw_only=True)
class EpochResult:
    """The result of one epoch of one trial."""

    epoch: int
    """Counted from 1."""
    seconds: float
    """Wall-clock seconds of the epoch, including validation."""
    finished_at: float
    """Unix time in seconds. It is recorded, so that writing an epoch twice changes nothing."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Name to value of each measured metric."""
    val_confusion: Confusion | None = None
    """Set for the last epoch of a classification with validation images; None otherwise."""

    def value(self, name: str) -> float | None:
        """Return a metric; None if it was not measured."""
        return self.metrics.get(name)

    def as_dict(self) -> dict[str, Any]:
        """Return the epoch as it is stored: metrics and fields in one flat mapping."""
        about = {name: getattr(self, name) for name in _COMMON_FIELDS}
        return {"epoch": self.epoch, **self.metrics, **about}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return a stored epoch. It may come from an older or a newer version."""
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
    """The result of a complete run on the test part: of images, or the numbers of a custom training."""

    __test__ = False  # a record, not a class of tests

    loss: float = math.nan
    """Mean cross-entropy in nats; NaN for a custom training."""
    correct: bytes = b""
    """One bit per image in the order of the file, 1 for a correct prediction (`numpy.packbits`)."""
    count: int = 0
    """Number of test images; 0 for a custom training."""
    confusion: Confusion | None = None
    """None if it is missing in the record."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """Recorded name, such as `test_rmse`, to value of each number of a custom training."""

    @property
    def accuracy(self) -> float | None:
        """Share of correct predictions, 0 to 1; None if a custom training returned none."""
        if not self.count:
            return self.numbers.get("test_accuracy")
        return int.from_bytes(self.correct, "big").bit_count() / self.count

    @property
    def recorded(self) -> Mapping[str, float]:
        """Recorded name to value of all its numbers."""
        if not self.count:
            return self.numbers
        assert self.accuracy is not None, "there are images"
        return {"test_accuracy": self.accuracy, "test_loss": self.loss}


@dataclass(frozen=True, kw_only=True)
class ConfirmResult:
    """The result of a complete replicate on a confirmation part (`Task.load_confirmation`)."""

    part: str
    """Which examples."""
    examples: int
    metrics: Mapping[str, float]
    """Name of a metric of the search → its value on them."""

    @property
    def recorded(self) -> Mapping[str, float]:
        """Recorded name to value of all its numbers."""
        return {confirm_name(name): value for name, value in self.metrics.items()}


def confirm_name(metric: str) -> str:
    """Return the recorded name of a metric on the confirmation part: `confirm_accuracy` of `val_accuracy`."""
    return CONFIRM_PREFIX + metric.removeprefix("val_")
