"""Comparisons that are looked at after each seed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import zeta

from sweeps.analysis import online_fdr
from sweeps.analysis.online_fdr import level_of_question
from sweeps.analysis.sequential import (
    Standing,
    detectable_difference,
    e_value,
    next_to_train,
    pooled_spread,
    reach,
    standing,
)
from sweeps.analysis.statistics import Spread

SEEDS = st.integers(1, 40)


def race(means: list[float], generator: np.random.Generator, *, most: int) -> tuple[Standing[int] | None, int]:
    """Train seeds until the race is decided or `most` are trained."""
    values: dict[int, list[float]] = {index: [] for index in range(len(means))}
    for trained in range(most + 1):
        found = standing(values)
        if trained == most or (found is not None and found.is_decided):
            return found, trained
        chosen = next_to_train(values, running={}, seconds=dict.fromkeys(values, 1.0))
        values[chosen].append(generator.normal(means[chosen], 1.0))
    raise AssertionError


@pytest.mark.parametrize("configurations", [2, 3])
def test_equal_configurations_are_rarely_told_apart_although_each_seed_is_looked_at(configurations: int) -> None:
    generator = np.random.default_rng(configurations)
    outcomes = [race([0.0] * configurations, generator, most=30)[0] for _ in range(200)]
    declared = sum(found is not None and found.is_decided for found in outcomes)
    assert declared <= 200 * 0.05 + 3 * math.sqrt(200 * 0.05 * 0.95)


def test_a_race_ends_with_the_best_configuration_after_few_seeds() -> None:
    generator = np.random.default_rng(0)
    outcomes = [race([0.0, 3.0, -1.0], generator, most=60) for _ in range(30)]
    assert all(found is not None and found.is_decided and found.best == 1 for found, _ in outcomes)
    assert np.mean([trained for _, trained in outcomes]) < 20


def test_a_smaller_value_is_better_where_the_metric_is_minimised() -> None:
    values = {"low": [0.1, 0.11, 0.09, 0.1, 0.1], "high": [0.9, 0.91, 0.89, 0.9, 0.9]}
    for maximize, best in ((True, "high"), (False, "low")):
        found = standing(values, maximize=maximize)
        assert found is not None
        assert found.is_decided
        assert found.best == best


@given(difference=st.floats(0, 10), variance=st.floats(0.01, 10), degrees=st.floats(1, 60), first=SEEDS, second=SEEDS)
def test_the_interval_excludes_zero_exactly_where_the_evidence_suffices(
    difference: float, variance: float, degrees: float, first: int, second: int
) -> None:
    spread, seeds = Spread(variance, degrees), (first, second)
    evidence = e_value(difference, spread=spread, seeds=seeds)
    half = reach(spread=spread, seeds=seeds, alpha=0.05)
    if abs(evidence - 20) > 1e-6:
        assert (difference > half) == (evidence > 20)


def test_no_race_is_decided_before_each_configuration_has_two_seeds() -> None:
    assert standing({"a": [0.9] * 9 + [0.91], "b": [0.1]}) is None


def test_equal_values_of_all_seeds_decide_nothing() -> None:
    found = standing({"a": [0.5, 0.5], "b": [0.5, 0.5]})
    assert found is not None
    assert found.undecided == ["b"]


def test_the_pair_that_is_closest_gets_the_next_seed() -> None:
    values = {"best": [5.0, 5.2], "close": [4.9, 4.8], "far": [0.0, 0.1]}
    seconds = dict.fromkeys(values, 1.0)
    assert next_to_train(values, running={}, seconds=seconds) in ("best", "close")
    assert next_to_train(values, running={"best": 3}, seconds=seconds) == "close"
    assert next_to_train(values, running={}, seconds=seconds | {"best": 10.0}) == "close"
    assert next_to_train(values, running={"best": 2000, "close": 2000}, seconds=seconds) == "far"


def test_the_first_seeds_follow_the_expectation_of_the_search() -> None:
    values: dict[str, list[float]] = {"a": [], "b": []}
    seconds = dict.fromkeys(values, 1.0)
    assert next_to_train(values, running={}, seconds=seconds, expected={"a": 0.1, "b": 0.2}) == "b"
    assert next_to_train(values, running={}, seconds=seconds, expected={"a": 0.1, "b": 0.2}, maximize=False) == "a"
    assert next_to_train(values, running={"b": 1}, seconds=seconds, expected={"a": 0.1, "b": 0.2}) == "a"


def test_the_spread_is_pooled_over_the_configurations_with_two_values() -> None:
    assert pooled_spread([[0.5], [0.6]]) is None
    assert pooled_spread([[1.0, 3.0], [0.6]]) == Spread(2.0, 1)
    assert pooled_spread([[1.0, 3.0], [2.0, 2.0]]) == Spread(1.0, 2)


def test_the_detectable_difference_is_found_in_four_of_five_simulations() -> None:
    from scipy.stats import ttest_ind

    generator = np.random.default_rng(0)
    shift = detectable_difference(Spread(1.0, 0), seeds=4)
    samples = generator.normal(size=(2, 4, 4000))
    found = ttest_ind(samples[0] + shift, samples[1], axis=0).pvalue <= 0.05
    assert np.mean(found) == pytest.approx(0.8, abs=0.03)


def test_the_levels_of_all_questions_without_an_answer_add_up_to_alpha() -> None:
    assert pytest.approx(float(zeta(1.6)), rel=1e-9) == online_fdr._SUM
    assert level_of_question(1, answers=0) == pytest.approx(0.05 / zeta(1.6))
    assert level_of_question(9, answers=8) > level_of_question(9, answers=0)
    assert level_of_question(2, answers=50) == 0.05
