"""The Gaussian process over learning curves."""

from __future__ import annotations

import numpy as np
import pytest

from sweeps.search.curve_model import CurveModel, Inputs


def points(features: list[list[float]], times: list[float], trials: list[int]) -> Inputs:
    return Inputs(features_ND=np.array(features), times_N=np.array(times), trials_N=np.array(trials))


def test_the_gradient_of_the_fit_agrees_with_finite_differences() -> None:
    rng = np.random.default_rng(0)
    model = CurveModel([0, 1, 1, 2])
    inputs = Inputs(features_ND=rng.random((30, 4)), times_N=rng.random(30), trials_N=rng.integers(0, 8, 30))
    values, distances = rng.normal(size=30), model._distances(inputs, inputs)
    logs = model.hyperparameters + rng.normal(size=len(model.hyperparameters)) / 3

    _, gradient = model._loss(logs, inputs, values, distances)

    steps = 1e-5 * np.eye(len(logs))
    found = [
        (
            model._loss(logs + step, inputs, values, distances)[0]
            - model._loss(logs - step, inputs, values, distances)[0]
        )
        / 2e-5
        for step in steps
    ]
    assert gradient == pytest.approx(found, abs=1e-4)


def test_a_prediction_agrees_with_the_observation_and_is_uncertain_elsewhere() -> None:
    model = CurveModel([0])
    model.condition(points([[0.0], [0.1]], [0.0, 0.0], [0, 1]), np.array([1.0, 1.2]))

    means, deviations = model.predict(points([[0.0], [9.0]], [0.0, 1.0], [0, 5]))

    assert means[0] == pytest.approx(1.0, abs=0.1)
    assert abs(means[1]) < 0.3
    assert deviations[1] > 2 * deviations[0]


def test_the_luck_of_one_trial_is_not_expected_of_another() -> None:
    model = CurveModel([0])
    same = [[0.5]] * 5
    model.condition(points(same, [1.0] * 5, list(range(5))), np.array([0.0, 0.0, 0.0, 0.0, 2.0]))

    own, other = model.predict(points([[0.5], [0.5]], [1.0, 1.0], [4, 9]))[0]

    assert 0 < other < own < 2.0


def test_a_fit_finds_which_parameter_matters() -> None:
    rng = np.random.default_rng(1)
    features = rng.random((60, 2))
    model = CurveModel([0, 1])
    values = np.sin(6 * features[:, 0])
    inputs = Inputs(features_ND=features, times_N=np.ones(60), trials_N=np.arange(60))

    model.fit(inputs, (values - values.mean()) / values.std())

    matters, does_not = np.exp(model.hyperparameters[:2])
    assert does_not > 3 * matters
