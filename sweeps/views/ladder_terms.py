"""What the rows of a ladder's views are called: rungs, or, where each leaves one change out of a recipe, variants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sweeps.analysis.comparison import RungComparison
from sweeps.files.ablation import WHOLE


@dataclass(frozen=True, kw_only=True)
class LadderTerms:
    """The nouns of one kind of comparison."""

    row: str
    whole: str
    heading: str
    compared_with: str
    images: str = "test"
    """Which images the accuracies are of: `test` or `validation`."""

    @property
    def accuracy(self) -> str:
        """What is measured, such as `test accuracy`."""
        return f"{self.images} accuracy"

    @property
    def short_accuracy(self) -> str:
        """The same for a narrow column, such as `val acc %`."""
        return f"{SHORT[self.images]} acc %"


SHORT = {"test": "test", "validation": "val"}
"""Which images, as the names of columns have it."""

LADDER = LadderTerms(
    row="rung", whole="ladder", heading="What each step brought", compared_with="the rung it comes from"
)
ABLATION = LadderTerms(
    row="variant",
    whole="ablation",
    heading="What is lost, or won, without each change",
    compared_with="the whole recipe",
)


INTERVAL_NOTE = "The interval of a difference is adjusted as its p is: it excludes 0 where the difference is shown."
"""Why two intervals of one table may be of different levels, in one line."""


def terms_of(comparisons: Sequence[RungComparison]) -> LadderTerms:
    """Return the nouns for what was compared."""
    is_ablation = [rung.rung for rung in comparisons if rung.parent is None] == [WHOLE] and all(
        rung.parent in (None, WHOLE) for rung in comparisons
    )
    words = ABLATION if is_ablation else LADDER
    return replace(words, images=comparisons[0].measured_on.value) if comparisons else words
