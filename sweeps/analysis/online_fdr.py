"""The level of each of many questions, asked one after the other, such that few of their answers are wrong.

e-LOND: the level of a question grows with the number of answers before it, so that many answers leave room for more
questions. The expected share of wrong answers among all answers stays at most alpha, with any dependence between the
questions and with evidence that is looked at at any time, because the evidence is an e-value
(`sweeps.analysis.sequential`).

Source: Xu and Ramdas, Online multiple testing with e-values, AISTATS 2024 (PMLR 238), 3997-4005.
"""

from __future__ import annotations

import math

ALPHA = 0.05
"""Expected share of wrong answers among the answers of a runs folder."""
_DECAY = 1.6
_SUM = 2.2857656645
"""Sum of n ** -1.6 over all n >= 1 (Riemann's zeta function), so that the levels of all questions add up to alpha."""


def level_of_question(number: int, *, answers: int, alpha: float = ALPHA) -> float:
    """Return the level at which a question is decided: its e-value must reach 1 / level.

    Args:
        number: 1 for the first question that was asked.
        answers: Number of earlier questions that were answered.
        alpha: Expected share of wrong answers.
    """
    return min(alpha * (answers + 1) / (_SUM * math.pow(number, _DECAY)), alpha)
