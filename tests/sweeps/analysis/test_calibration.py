"""Calibration, temperature, accuracies of classes, ensembles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.analysis.calibration import (
    calibration,
    class_accuracies,
    error_after_scaling,
    fitted_temperature,
    greedy_ensemble,
    greedy_members,
    log_loss,
    with_temperature,
)


def drawn(seed: int, *, images: int = 4000, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Return calibrated probabilities and labels that were drawn from them."""
    generator = np.random.default_rng(seed)
    probabilities_NK = with_temperature(generator.dirichlet(np.full(classes, 0.7), size=images), 1.0)
    labels_N = (generator.random(images)[:, None] > probabilities_NK.cumsum(axis=1)).sum(axis=1)
    return probabilities_NK, np.minimum(labels_N, classes - 1)


def test_the_error_of_two_bins_is_that_of_a_hand_calculation() -> None:
    probabilities_NK = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.45, 0.55]])
    found = calibration(probabilities_NK, np.array([0, 1, 1, 1]), bins=4)
    assert [(each.low, each.high, each.images) for each in found.bins] == [(0.5, 0.75, 2), (0.75, 1.0, 2)]
    assert found.error == pytest.approx((2 * abs(0.575 - 1.0) + 2 * abs(0.85 - 0.5)) / 4)


def test_probabilities_that_drew_the_labels_are_calibrated() -> None:
    assert calibration(*drawn(0, images=40_000)).error < 0.01


@pytest.mark.parametrize("temperature", [0.4, 2.5])
def test_the_fitted_temperature_undoes_the_one_that_was_applied(temperature: float) -> None:
    probabilities_NK, labels_N = drawn(1)
    distorted_NK = with_temperature(probabilities_NK, temperature)
    assert fitted_temperature(distorted_NK, labels_N) == pytest.approx(1 / temperature, rel=0.1)
    assert error_after_scaling(distorted_NK, labels_N) < calibration(distorted_NK, labels_N).error / 2


@given(st.floats(0.1, 10.0))
def test_a_temperature_keeps_the_predicted_class(temperature: float) -> None:
    probabilities_NK, _ = drawn(2, images=50)
    scaled_NK = with_temperature(probabilities_NK, temperature)
    assert np.array_equal(scaled_NK.argmax(axis=1), probabilities_NK.argmax(axis=1))
    assert np.allclose(scaled_NK.sum(axis=1), 1.0)


def test_the_gap_of_a_class_is_its_distance_to_the_others() -> None:
    labels_N = np.repeat([0, 1, 2], 100)
    predicted_N = labels_N.copy()
    predicted_N[:50] = 1
    worst, other, _, missing = class_accuracies(predicted_N, labels_N, classes=4)
    assert missing is None
    assert worst is not None
    assert other is not None
    assert (worst.accuracy, worst.gap) == (0.5, -0.5)
    assert worst.gap_high < 0
    assert other.gap == pytest.approx(0.25)


def test_the_interval_of_a_gap_covers_zero_for_equal_classes() -> None:
    generator = np.random.default_rng(3)
    labels_N = np.repeat(np.arange(4), 100)
    covered = []
    for _ in range(200):
        predicted_N = np.where(generator.random(400) < 0.8, labels_N, (labels_N + 1) % 4)
        first = class_accuracies(predicted_N, labels_N, classes=4)[0]
        assert first is not None
        covered.append(first.gap_low <= 0 <= first.gap_high)
    assert 0.9 <= np.mean(covered) <= 0.99


def test_networks_with_independent_errors_predict_better_together() -> None:
    probabilities_NK, labels_N = drawn(4)
    generator = np.random.default_rng(4)
    noisy = [
        with_temperature(probabilities_NK * np.exp(generator.normal(size=probabilities_NK.shape)), 1.0)
        for _ in range(3)
    ]
    found = greedy_ensemble(noisy, labels_N)
    assert set(found.members) == {0, 1, 2}
    assert found.log_loss < min(log_loss(each_NK, labels_N) for each_NK in noisy)


def test_a_bad_network_is_no_member() -> None:
    probabilities_NK, labels_N = drawn(5)
    wrong_NK = np.roll(probabilities_NK, 1, axis=1)
    assert set(greedy_members([wrong_NK, probabilities_NK], labels_N)) == {1}


def test_choosing_among_random_networks_raises_no_accuracy() -> None:
    generator = np.random.default_rng(6)
    labels_N = generator.integers(0, 10, size=60)
    random = [generator.dirichlet(np.full(10, 0.3), size=60) for _ in range(800)]
    # On the images that chose them, such ensembles have an accuracy of 0.48.
    assert greedy_ensemble(random, labels_N).accuracy < 0.25
