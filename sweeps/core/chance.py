"""Test whether an accuracy is better than chance."""

from __future__ import annotations

import math

from sweeps.core.results import Confusion

CLASSES = 10
SIGNIFICANCE_LEVEL = 0.01
"""A network that guesses passes `has_learned` with at most this probability."""
SINGLE_CLASS_SHARE = 0.99
"""Share of the images above which a network is said to predict a single class."""


def has_learned(accuracy: float, *, images: int, confusion: Confusion | None = None, classes: int = CLASSES) -> bool:
    """Return whether an accuracy is better than chance, and not by predicting a single class.

    A one-sided exact binomial test at `SIGNIFICANCE_LEVEL` against always guessing the largest class.

    Args:
        accuracy: share of correct predictions, 0 to 1.
        images: number of images behind the accuracy.
        confusion: of these images; None assumes classes of equal size.
        classes: number of classes, for where there is no confusion; 0 for unknown.
    """
    if not images:
        return True
    share = 1 / (classes or CLASSES)
    if confusion is not None and (total := sum(map(sum, confusion))):
        share = max(map(sum, confusion)) / total
        if max(map(sum, zip(*confusion, strict=True))) >= SINGLE_CLASS_SHARE * total:
            return False
    right = round(accuracy * images)
    if right > images * share + 5 * math.sqrt(images * share * (1 - share)) + 5:
        return True  # far beyond chance, as most accuracies are: importing scipy takes a second
    from scipy.special import bdtrc

    return bool(right > 0 and bdtrc(right - 1, images, share) <= SIGNIFICANCE_LEVEL)
