"""Terms in the views of a ladder: its rows are rungs, or variants if it is an ablation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sweeps.analysis.comparison import RungComparison
from sweeps.core.measure import TEST_ACCURACY, Measure
from sweeps.files.ablation import FULL_RUNG


@dataclass(frozen=True, kw_only=True)
class LadderTerms:
    """Terms of one kind of comparison."""

    row: str
    kind: str
    heading: str
    compared_with: str
    measure: Measure = TEST_ACCURACY
    """The number that rungs are compared by."""

    @property
    def value(self) -> str:
        """Name of that number, such as `test accuracy`, or `val_loss` for a custom training."""
        return _NAMES.get(self.measure.name, self.measure.name)

    @property
    def short_value(self) -> str:
        """Heading of a narrow column, such as `val acc %`."""
        return _HEADINGS.get(self.measure.name, self.measure.name)

    @property
    def difference(self) -> str:
        """Name of a difference with its unit, such as `difference, points`."""
        return "difference, points" if self.measure.is_share else "difference"


_NAMES = {"test_accuracy": "test accuracy", "val_accuracy": "validation accuracy"}
_HEADINGS = {"test_accuracy": "test acc %", "val_accuracy": "val acc %"}

LADDER = LadderTerms(row="rung", kind="ladder", heading="Gain of each step", compared_with="its parent")
ABLATION = LadderTerms(
    row="variant", kind="ablation", heading="Effect of leaving out each change", compared_with="the full recipe"
)


INTERVAL_NOTE = (
    "The interval of a difference is adjusted like its p: it excludes 0 if and only if the difference is significant."
)
"""Why intervals in one table may have different levels."""


def terms_of(comparisons: Sequence[RungComparison]) -> LadderTerms:
    """Return the terms for a ladder or an ablation."""
    is_ablation = [rung.rung for rung in comparisons if rung.parent is None] == [FULL_RUNG] and all(
        rung.parent in (None, FULL_RUNG) for rung in comparisons
    )
    terms = ABLATION if is_ablation else LADDER
    return replace(terms, measure=comparisons[0].measure) if comparisons else terms
