"""The number that runs are compared by, and how its values and differences are written."""

from __future__ import annotations

from dataclasses import dataclass

from sweeps.core.formatting import is_accuracy, metric_number, metric_text, points


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A metric after the last epoch, or on the test part."""

    name: str
    """`val_accuracy`, `test_accuracy`, or any metric of a custom training."""
    maximize: bool = True
    """Whether larger values are better."""

    @property
    def is_share(self) -> bool:
        """Whether its values are shares from 0 to 1, whose differences are written in points."""
        return is_accuracy(self.name)

    @property
    def factor(self) -> float:
        """Factor of a difference of two values: 100 for shares, so that it is in points."""
        return 100.0 if self.is_share else 1.0

    @property
    def unit(self) -> str:
        """Unit of a difference: `points`, or the name of the metric."""
        return "points" if self.is_share else self.name

    def value(self, value: float) -> str:
        """Return a value for a sentence: `64.65 %`, `0.1234`."""
        return metric_text(self.name, value)

    def interval(self, low: float, high: float) -> str:
        """Return an interval of values for a sentence: `64.65 to 65.10 %`, `0.1234 to 0.1301`."""
        ends = self.value(low).removesuffix(" %"), self.value(high)
        return " to ".join(ends)

    def signed(self, difference: float) -> str:
        """Return a difference in `unit` with its sign: `+2.20`, `-0.0123`."""
        return points(difference) if self.is_share else metric_number(difference, sign="+")

    def difference(self, difference: float) -> str:
        """Return a difference with its unit: `+2.20 points`, `-0.0123 val_loss`."""
        return f"{self.signed(difference)} {self.unit}"

    def is_better(self, difference: float) -> bool:
        """Return whether a value that differs by so much is better."""
        return difference > 0 if self.maximize else difference < 0


TEST_ACCURACY = Measure(name="test_accuracy")
