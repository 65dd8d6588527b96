"""What records add up to: ranks with their intervals, the rungs of a ladder, and what each step of it brought.

Numbers and words, no tables and no pictures: execution and report both stand on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cifar_core.lazy import lazy_face

if TYPE_CHECKING:
    from sweeps.results.comparison import Finding, RungComparison, alike_to_first, by_protocol, compare_rungs
    from sweeps.results.effects import Effects, Level, ParameterEffect, effects_of, read_effects
    from sweeps.results.pairs import (
        ALPHA,
        DID_NOT_LEARN,
        MODERATED_FROM,
        RECIPE_SEEDS,
        compare_answers,
        compare_recipes,
    )
    from sweeps.results.ranking import confirming_keys, rank_configurations, rank_runs
    from sweeps.results.rungs import Recipe, RungRun, RungRuns, read_rungs, recorded_elsewhere
    from sweeps.results.statistics import mean_and_interval

__all__ = [
    "ALPHA",
    "DID_NOT_LEARN",
    "MODERATED_FROM",
    "RECIPE_SEEDS",
    "Effects",
    "Finding",
    "Level",
    "ParameterEffect",
    "Recipe",
    "RungComparison",
    "RungRun",
    "RungRuns",
    "alike_to_first",
    "by_protocol",
    "compare_answers",
    "compare_recipes",
    "compare_rungs",
    "confirming_keys",
    "effects_of",
    "mean_and_interval",
    "rank_configurations",
    "rank_runs",
    "read_effects",
    "read_rungs",
    "recorded_elsewhere",
]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "ALPHA": "pairs",
        "MODERATED_FROM": "pairs",
        "RECIPE_SEEDS": "pairs",
        "Effects": "effects",
        "Finding": "comparison",
        "Level": "effects",
        "ParameterEffect": "effects",
        "RungComparison": "comparison",
        "Recipe": "rungs",
        "RungRun": "rungs",
        "RungRuns": "rungs",
        "alike_to_first": "comparison",
        "by_protocol": "comparison",
        "compare_answers": "pairs",
        "compare_recipes": "pairs",
        "DID_NOT_LEARN": "pairs",
        "compare_rungs": "comparison",
        "confirming_keys": "ranking",
        "effects_of": "effects",
        "rank_configurations": "ranking",
        "rank_runs": "ranking",
        "mean_and_interval": "statistics",
        "read_effects": "effects",
        "read_rungs": "rungs",
        "recorded_elsewhere": "rungs",
    },
)
