"""Whether an accuracy is more than chance gives."""

from __future__ import annotations

import math

from sweeps.core.results import Confusion

CLASSES = 10
CHANCE = 0.01
"""A network that guesses is taken for one that learned at most this often."""
ONE_CLASS = 0.99
"""Share of the images from which on a network that takes them for one class answers no other."""


def has_learned(accuracy: float, *, images: int, confusion: Confusion | None = None) -> bool:
    """Return whether an accuracy is more than chance gives, and not by the answer of a single class.

    A guess is right as often as the largest class is: one-sided, the exact binomial test at the level `CHANCE`.

    Args:
        accuracy: share of right answers, 0 to 1.
        images: that it is of.
        confusion: of these images; None takes classes of one size.
    """
    if not images:
        return True
    share = 1 / CLASSES
    if confusion is not None and (total := sum(map(sum, confusion))):
        share = max(map(sum, confusion)) / total
        if max(map(sum, zip(*confusion, strict=True))) >= ONE_CLASS * total:
            return False
    right = round(accuracy * images)
    if right > images * share + 5 * math.sqrt(images * share * (1 - share)) + 5:
        return True  # far beyond chance: most are, and scipy takes a second to import
    from scipy.special import bdtrc

    return bool(right > 0 and bdtrc(right - 1, images, share) <= CHANCE)
