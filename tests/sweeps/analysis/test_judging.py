"""An answer about two configurations is right in all but a share of cases, however often it is looked at."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeps.analysis.judging import Answer, Judgement, fewest_seeds, judge, seeds_for
from sweeps.core.measure import Measure

SCORE = Measure(name="score")
ACCURACY = Measure(name="val_accuracy")
LOSS = Measure(name="val_loss", maximize=False)


def drawn(difference: float, *, seeds: int, seed: int = 0, spread: float = 1.0) -> list[tuple[float, float]]:
    rng = random.Random(seed)
    return [(rng.gauss(difference, 1.0), rng.gauss(0.0, spread)) for _ in range(seeds)]


def asked(pairs: list[tuple[float, float]], *, level: float = 0.02, measure: Measure = SCORE) -> Judgement:
    return judge(pairs, level=level, margin=1.0, measure=measure)


def test_a_large_difference_is_found_and_its_direction_follows_the_goal() -> None:
    pairs = drawn(6.0, seeds=20)

    assert asked(pairs).answer is Answer.BETTER
    assert asked([(b, a) for a, b in pairs]).answer is Answer.WORSE
    assert asked(pairs, measure=LOSS).answer is Answer.WORSE


def test_the_first_seed_that_decides_ends_the_question() -> None:
    pairs = drawn(6.0, seeds=30)
    found = asked(pairs)

    assert found.seeds < 30
    assert found == asked(pairs[: found.seeds])
    assert asked(pairs[: found.seeds - 1]).answer is Answer.OPEN


def test_an_accuracy_is_judged_in_points() -> None:
    pairs = [(0.60 + a / 200, 0.60 + b / 200) for a, b in drawn(0.0, seeds=60)]
    found = asked(pairs, measure=ACCURACY)

    assert found.answer is Answer.NO_DIFFERENCE
    assert found.bound is not None
    assert 0.3 < found.bound <= 1.0
    assert found.mean_first == pytest.approx(0.60, abs=0.01)


def test_no_margin_leaves_equal_configurations_open() -> None:
    assert judge(drawn(0.0, seeds=200), level=0.02, margin=None, measure=SCORE).answer is Answer.OPEN


def test_two_equal_differences_are_no_certainty() -> None:
    """Accuracies are rounded, so that the differences under two seeds are often equal."""
    assert asked([(0.5, 0.4)] * 2).answer is Answer.OPEN
    assert asked([(0.5, 0.4)] * 20).answer is Answer.BETTER
    assert asked([(0.5, 0.5)] * 20).answer is Answer.NO_DIFFERENCE


def test_fewer_seeds_than_the_level_needs_decide_nothing() -> None:
    for level in (0.05, 0.02, 0.001):
        seeds = fewest_seeds(level)
        pairs = [(1000.0 + value, value) for value in (0.1, 0.2, 0.05, 0.3) * 10]
        assert asked(pairs[: seeds - 1], level=level).answer is Answer.OPEN
        assert asked(pairs[:seeds], level=level).answer is Answer.BETTER


@pytest.mark.parametrize("spread", [1.0, 4.0])
def test_looking_after_each_seed_is_wrong_as_rarely_as_the_level_says(spread: float) -> None:
    """A t-test at 5 % looked at as often finds a difference in a quarter of these."""
    wrong = sum(
        judge(drawn(0.0, seeds=40, seed=seed, spread=spread), level=0.05, margin=None, measure=SCORE).answer
        is not Answer.OPEN
        for seed in range(400)
    )
    assert wrong <= 0.05 * 400


def test_the_announced_number_of_seeds_finds_the_difference_in_four_of_five() -> None:
    seeds = seeds_for(2.0, deviation=1.0, level=0.02)
    assert seeds is not None
    found = sum(
        judge(drawn(2.0, seeds=seeds, seed=seed), level=0.02, margin=None, measure=SCORE).answer is Answer.BETTER
        for seed in range(300)
    )
    assert 0.72 <= found / 300 <= 0.97
    assert seeds_for(0.001, deviation=1.0, level=0.02) is None


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), max_size=15),
    st.floats(0.001, 0.2),
    st.sampled_from([SCORE, ACCURACY, LOSS]),
)
def test_exchanging_the_two_mirrors_the_answer(
    pairs: list[tuple[float, float]], level: float, measure: Measure
) -> None:
    found = judge(pairs, level=level, margin=0.5, measure=measure)
    other = judge([(b, a) for a, b in pairs], level=level, margin=0.5, measure=measure)

    assert other.answer is found.mirrored().answer
    assert other.seeds == found.seeds
    assert found.mirrored().mirrored() == found
