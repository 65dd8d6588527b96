"""What a result says: whether a network learned at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from sweeps.core.chance import has_learned
from sweeps.core.results import Confusion


def one_answer(answer: int, *, classes: tuple[int, ...] = (100,) * 10, others: int = 0) -> Confusion:
    """Return the confusion matrix of a network with one answer, but for some images of each class that are right."""
    return tuple(
        tuple((count - others) * (k == answer) + others * (k == row) for k in range(10))
        for row, count in enumerate(classes)
    )


@given(st.integers(1, 20_000), st.floats(0, 1))
def test_it_is_the_exact_binomial_test_at_one_percent(images: int, share: float) -> None:
    right = round(share * images)
    assert has_learned(right / images, images=images) == (binom.sf(right - 1, images, 0.1) <= 0.01)


@pytest.mark.parametrize(
    ("right", "learned"), [(1000, False), (1053, False), (1070, False), (1071, True), (6000, True)]
)
def test_of_ten_thousand_test_images_chance_ends_between_10_and_11_percent(right: int, learned: bool) -> None:
    assert has_learned(right / 10_000, images=10_000) is learned


def test_chance_is_the_share_of_the_largest_class() -> None:
    # 30 of 200 images are of one class: 17 % is more than a tenth gives, and no more than naming that class.
    classes = (30, 20, 20, 20, 20, 18, 18, 18, 18, 18)
    spread = tuple(tuple(count // 10 + (k < count % 10) for k in range(10)) for count in classes)
    assert has_learned(0.17, images=200)
    assert not has_learned(0.17, images=200, confusion=spread)
    assert has_learned(0.30, images=200, confusion=spread)


@pytest.mark.parametrize("answer", [0, 8])
def test_a_network_of_one_answer_did_not_learn(answer: int) -> None:
    assert not has_learned(0.1, images=1000, confusion=one_answer(answer))
    assert not has_learned(0.5, images=1000, confusion=one_answer(answer))
    assert has_learned(0.55, images=1000, confusion=one_answer(answer, others=50))


def test_without_images_nothing_is_said() -> None:
    assert has_learned(0.0, images=0)
