"""Whether the effects can be believed: many made-up sweeps, pruned and searched as real ones, whose truth is known.

Fewer sweeps than those of docs/explanation/effects.md (benchmarks/effects_power.py), so bounds leave room for chance.
"""

from __future__ import annotations

import pytest

from benchmarks.effects_power import Truth, score

SWEEPS = 20


@pytest.mark.parametrize(
    "truth",
    [Truth(), Truth(adaptive=True), Truth(collapse=0.1, adaptive=True)],
    ids=["random", "adaptive", "with collapses"],
)
def test_where_nothing_makes_a_difference_hardly_anything_is_called_sure(truth: Truth) -> None:
    found = score(truth, trials=24, sweeps=SWEEPS)

    assert found.wrong / found.idle < 0.03
    assert found.wrong_sweeps <= 3
    assert found.held / found.intervals > 0.93


def test_pruning_at_later_milestones_makes_no_effects() -> None:
    found = score(Truth(), trials=120, sweeps=SWEEPS // 2)

    assert found.wrong / found.idle < 0.03


def test_a_real_effect_is_found_and_its_intervals_hold_it() -> None:
    found = score(Truth(adds={"model.name": {"resnet": 10.0}}, adaptive=True), trials=50, sweeps=SWEEPS)

    assert found.found / SWEEPS > 0.8
    assert found.held_real / found.intervals_real > 0.88
    assert found.wrong / found.idle < 0.03


def test_a_conditional_parameter_takes_no_importance_from_the_one_it_depends_on() -> None:
    found = score(Truth(adds={"model.name": {"simple": -10.0}}), trials=50, sweeps=SWEEPS)

    assert found.importance["model.width"] / SWEEPS < 0.03
    assert found.importance["model.name"] / SWEEPS > 0.2


def test_nor_does_the_other_from_it() -> None:
    found = score(Truth(adds={"model.width": {8: -5.0, 16: 5.0}}), trials=50, sweeps=SWEEPS)

    assert found.importance["model.width"] / SWEEPS > 0.2
    assert found.importance["model.name"] / SWEEPS < 0.06
