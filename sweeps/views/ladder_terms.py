"""Terms in the views of a ladder: its rows are rungs, or variants if it is an ablation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sweeps.analysis.comparison import RungComparison
from sweeps.files.ablation import FULL_RUNG


@dataclass(frozen=True, kw_only=True)
class LadderTerms:
    """Terms of one kind of comparison."""

    row: str
    kind: str
    heading: str
    compared_with: str
    images: str = "test"
    """Kind of images that the accuracies are measured on: `test` or `validation`."""

    @property
    def accuracy(self) -> str:
        """Name of the accuracy, such as `test accuracy`."""
        return f"{self.images} accuracy"

    @property
    def short_accuracy(self) -> str:
        """Heading of a narrow column, such as `val acc %`."""
        return f"{SHORT[self.images]} acc %"


SHORT = {"test": "test", "validation": "val"}
"""Kind of images → its short form in column names."""

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
    return replace(terms, images=comparisons[0].measured_on.value) if comparisons else terms
