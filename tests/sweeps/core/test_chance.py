"""Whether an accuracy is better than chance."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from sweeps.core.chance import has_learned
from sweeps.core.results import Confusion


def one_answer(answer: int, *, classes: tuple[int, ...] = (100,) * 10, others: int = 0) -> Confusion:
    """Return the confusion matrix of a network that predicts one class, except for some correct images per class."""
    return tuple(
        tuple((count - others) * (k == answer) + others * (k == row) for k in range(10))
        for row, count in enumerate(classes)
    )


@given(st.integers(1, 20_000), st.floats(0, 1))
def test_has_learned_is_an_exact_binomial_test_at_one_percent(images: int, share: float) -> None:
    right = round(share * images)
    assert has_learned(right / images, images=images) == (binom.sf(right - 1, images, 0.1) <= 0.01)


@pytest.mark.parametrize(
    ("right", "learned"), [(1000, False), (1053, False), (1070, False), (1071, True), (6000, True)]
)
def test_on_ten_thousand_images_the_threshold_is_between_10_and_11_percent(right: int, learned: bool) -> None:
    assert has_learned(right / 10_000, images=10_000) is learned


def test_chance_is_the_share_of_the_largest_class() -> None:
    # 30 of 200 images have one class: 17 % is above a tenth, but not above always guessing that class.
    classes = (30, 20, 20, 20, 20, 18, 18, 18, 18, 18)
    spread = tuple(tuple(count // 10 + (k < count % 10) for k in range(10)) for count in classes)
    assert has_learned(0.17, images=200)
    assert not has_learned(0.17, images=200, confusion=spread)
    assert has_learned(0.30, images=200, confusion=spread)


@pytest.mark.parametrize("answer", [0, 8])
def test_a_network_that_predicts_one_class_did_not_learn(answer: int) -> None:
    assert not has_learned(0.1, images=1000, confusion=one_answer(answer))
    assert not has_learned(0.5, images=1000, confusion=one_answer(answer))
    assert has_learned(0.55, images=1000, confusion=one_answer(answer, others=50))


def test_without_images_a_network_counts_as_learned() -> None:
    assert has_learned(0.0, images=0)
