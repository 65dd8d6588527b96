"""Accuracy of the estimated effects on simulated sweeps with a known ground truth.

Fewer sweeps than in docs/explanation/effects.md (benchmarks/effects_power.py), so the bounds allow for chance.
"""

from __future__ import annotations

import pytest

from benchmarks.effects_power import GroundTruth, score

SWEEPS = 20


@pytest.mark.parametrize(
    "truth",
    [GroundTruth(), GroundTruth(adaptive=True), GroundTruth(collapse=0.1, adaptive=True)],
    ids=["random", "adaptive", "with collapses"],
)
def test_without_effects_false_verdicts_are_rare(truth: GroundTruth) -> None:
    found = score(truth, trials=24, sweeps=SWEEPS)

    assert found.wrong / found.idle < 0.03
    assert found.wrong_sweeps <= 3
    assert found.held / found.intervals > 0.93


def test_pruning_at_later_milestones_causes_no_false_verdicts() -> None:
    found = score(GroundTruth(), trials=120, sweeps=SWEEPS // 2)

    assert found.wrong / found.idle < 0.03


def test_a_real_effect_is_found_and_covered_by_its_intervals() -> None:
    found = score(GroundTruth(adds={"model.name": {"resnet": 10.0}}, adaptive=True), trials=50, sweeps=SWEEPS)

    assert found.found / SWEEPS > 0.8
    assert found.held_real / found.intervals_real > 0.88
    assert found.wrong / found.idle < 0.03


def test_a_conditional_parameter_takes_no_importance_from_the_one_it_depends_on() -> None:
    found = score(GroundTruth(adds={"model.name": {"simple": -10.0}}), trials=50, sweeps=SWEEPS)

    assert found.importance["model.width"] / SWEEPS < 0.03
    assert found.importance["model.name"] / SWEEPS > 0.2


def test_a_parameter_takes_no_importance_from_a_conditional_one() -> None:
    found = score(GroundTruth(adds={"model.width": {8: -5.0, 16: 5.0}}), trials=50, sweeps=SWEEPS)

    assert found.importance["model.width"] / SWEEPS > 0.2
    assert found.importance["model.name"] / SWEEPS < 0.06
