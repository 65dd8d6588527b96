"""A Gaussian process over learning curves: the value of a metric of any configuration after any number of epochs.

The covariance is a sum of four parts, as in freeze-thaw Bayesian optimisation (Swersky et al. 2014,
https://arxiv.org/abs/1406.3896) with a product of kernels as in Rakotoarison et al. 2024
(https://arxiv.org/abs/2404.16795): a curve that all trials share; a part that depends on the configuration, constant or
changing along the curve; a part of each trial alone, so that luck is not taken for the configuration's quality; noise.
The kernels are Matérn 5/2, over the configuration with a length scale for each parameter, and over the logarithm of the
epoch. The hyperparameters maximise the posterior density under priors that were fitted to TaskSet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, solve_triangular
from scipy.optimize import fmin_l_bfgs_b

Floats = NDArray[np.float64]

LENGTH_SCALE = (1.5, 1.0)
"""Median of a parameter's length scale, as a multiple of its range, and deviation of its logarithm."""
SCALES = (
    (0.5, 0.4),  # length scale of the logarithm of the epoch, where 1 is the last epoch
    (0.3, 0.6),  # standard deviation of the shared curve
    (0.5, 0.6),  # of the configuration's part that is constant along the curve
    (0.6, 0.6),  # of its part that changes along the curve
    (0.35, 0.6),  # of the trial's own part that is constant
    (0.3, 0.6),  # of its own part that changes
    (0.15, 0.6),  # of the noise
)
"""Medians of the other hyperparameters, and deviations of their logarithms. Values have standard deviation 1."""
_ITERATIONS = 15
_REACH = 3.0
"""Largest distance of a hyperparameter from its median, in deviations."""
_JITTER = 1e-6


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Points of learning curves."""

    features_ND: Floats
    """Configurations; the columns of one parameter have the same entry in `CurveModel.groups`."""
    times_N: Floats
    """Logarithm of the epoch, from 0 at the first to 1 at the last."""
    trials_N: NDArray[np.int64]
    """Numbers of the trials."""


def _matern(squared: Floats) -> tuple[Floats, Floats]:
    """Return the Matérn 5/2 kernel of squared distances, and its derivative by them."""
    distance = np.sqrt(5.0 * squared)
    decay = np.exp(-distance)
    return (1 + distance + distance**2 / 3) * decay, -(5 / 6) * (1 + distance) * decay


class CurveModel:
    """The Gaussian process. Values are standardised by the caller."""

    def __init__(self, groups: Sequence[int]) -> None:
        """Create a model without observations.

        Args:
            groups: For each column of the features the index of its parameter, from 0 on.
        """
        self._groups = np.asarray(groups, dtype=np.int64)
        self._parameters = int(self._groups.max()) + 1 if len(self._groups) else 0
        medians = [LENGTH_SCALE[0]] * self._parameters + [median for median, _ in SCALES]
        deviations = [LENGTH_SCALE[1]] * self._parameters + [deviation for _, deviation in SCALES]
        self._centre, self._spread = np.log(medians), np.asarray(deviations)
        self.hyperparameters: Floats = self._centre.copy()
        """Logarithms: the length scale of each parameter, then those of `SCALES`."""

    def fit(self, inputs: Inputs, values_N: Floats) -> None:
        """Fit the hyperparameters, from the present ones on."""
        low, high = self._centre - _REACH * self._spread, self._centre + _REACH * self._spread
        distances = self._distances(inputs, inputs)
        self.hyperparameters, _, _ = fmin_l_bfgs_b(
            lambda logs: self._loss(logs, inputs, values_N, distances),
            self.hyperparameters,
            bounds=list(zip(low.tolist(), high.tolist(), strict=True)),
            maxiter=_ITERATIONS,
        )

    def condition(self, inputs: Inputs, values_N: Floats) -> None:
        """Set the observations on which predictions are conditioned."""
        self._inputs = inputs
        covariance = self._covariance(inputs, inputs)
        covariance[np.diag_indices_from(covariance)] += self._noise
        self._factor = np.linalg.cholesky(covariance)
        self._weights: Floats = cho_solve((self._factor, True), values_N)

    def predict(self, inputs: Inputs) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of the noiseless value at each of M points."""
        cross_NM = self._covariance(self._inputs, inputs)
        explained = solve_triangular(self._factor, cross_NM, lower=True, check_finite=False)
        variance = np.exp(2 * self.hyperparameters[self._parameters + 1 : -1]).sum() - (explained**2).sum(axis=0)
        return cross_NM.T @ self._weights, np.sqrt(np.maximum(variance, 1e-9))

    @property
    def _noise(self) -> float:
        return math.exp(2 * self.hyperparameters[-1]) + _JITTER

    def _distances(self, left: Inputs, right: Inputs) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """Return the squared distances of parameters (P×N×M) and of times (N×M), and whether trials are the same."""
        by_parameter = np.zeros((self._parameters, len(left.times_N), len(right.times_N)))
        for column, group in enumerate(self._groups):
            by_parameter[group] += np.subtract.outer(left.features_ND[:, column], right.features_ND[:, column]) ** 2
        times = np.subtract.outer(left.times_N, right.times_N) ** 2
        return by_parameter, times, np.equal.outer(left.trials_N, right.trials_N)

    def _covariance(self, left: Inputs, right: Inputs) -> Floats:
        by_parameter, times, same = self._distances(left, right)
        scales = np.exp(-2 * self.hyperparameters[: self._parameters + 1])
        variances = np.exp(2 * self.hyperparameters[self._parameters + 1 : -1])
        of_configuration, _ = _matern(np.tensordot(scales[:-1], by_parameter, axes=1))
        of_time, _ = _matern(times * scales[-1])
        return self._sum(variances, of_configuration, of_time, same)

    @staticmethod
    def _sum(variances: Floats, of_configuration: Floats, of_time: Floats, same: NDArray[np.bool_]) -> Floats:
        shared, constant, changing, own_constant, own_changing = variances
        total: Floats = (
            shared * of_time
            + of_configuration * (constant + changing * of_time)
            + same * (own_constant + own_changing * of_time)
        )
        return total

    def _loss(
        self, logs: Floats, inputs: Inputs, values_N: Floats, distances: tuple[Floats, Floats, NDArray[np.bool_]]
    ) -> tuple[float, Floats]:
        """Return the negative logarithm of the posterior density, and its gradient by the hyperparameters."""
        by_parameter, times, same = distances
        scales = np.exp(-2 * logs[: self._parameters + 1])
        variances = np.exp(2 * logs[self._parameters + 1 : -1])
        of_configuration, slope_of_configuration = _matern(np.tensordot(scales[:-1], by_parameter, axes=1))
        of_time, slope_of_time = _matern(times * scales[-1])
        covariance = self._sum(variances, of_configuration, of_time, same)
        noise = math.exp(2 * logs[-1])
        covariance[np.diag_indices_from(covariance)] += noise + _JITTER
        try:
            factor = np.linalg.cholesky(covariance)
        except np.linalg.LinAlgError:
            return 1e10, np.zeros_like(logs)
        inverse = cho_solve((factor, True), np.eye(len(values_N)))
        weights = inverse @ values_N
        outer = (inverse - np.outer(weights, weights)) / 2
        shared, constant, changing, _, own_changing = variances
        inner = outer * (constant + changing * of_time) * slope_of_configuration
        along = outer * (shared + changing * of_configuration + own_changing * same) * slope_of_time
        gradient = np.concatenate(
            [
                -2 * scales[:-1] * np.tensordot(by_parameter, inner, axes=2),
                [-2 * scales[-1] * (along * times).sum()],
                2
                * variances
                * [
                    (outer * of_time).sum(),
                    (outer * of_configuration).sum(),
                    (outer * of_configuration * of_time).sum(),
                    outer[same].sum(),
                    (outer * of_time)[same].sum(),
                ],
                [2 * noise * np.trace(outer)],
            ]
        )
        apart = (logs - self._centre) / self._spread
        loss = values_N @ weights / 2 + np.log(np.diag(factor)).sum() + apart @ apart / 2
        return float(loss), gradient + apart / self._spread
