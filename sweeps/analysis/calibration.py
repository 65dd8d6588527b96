"""Predicted probabilities: their calibration, the accuracy of each class, and ensembles of networks. Pure numpy.

Sources: the expected calibration error in equal bins and temperature scaling: Guo, Pleiss, Sun and Weinberger, On
calibration of modern neural networks, ICML 2017. Greedy selection with replacement: Caruana, Niculescu-Mizil, Crew and
Ksikes, Ensemble selection from libraries of models, ICML 2004.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sweeps.analysis.statistics import CONFIDENCE, wilson_interval

BINS = 15
_MAX_MEMBERS = 20
_TEMPERATURES = (0.05, 20.0)
_TINY = 1e-12

Probabilities = npt.NDArray[np.floating]
"""N×K, of each image for each class."""
Labels = npt.NDArray[np.integer]


@dataclass(frozen=True, kw_only=True)
class Bin:
    """The predictions with a confidence in one interval."""

    low: float
    high: float
    images: int
    confidence: float
    """Mean probability of the predicted class."""
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How well the probability of the predicted class agrees with the accuracy."""

    error: float
    """Expected calibration error: mean of the distance between confidence and accuracy over the bins, by images."""
    bins: tuple[Bin, ...]
    """Without empty ones."""


def calibration(probabilities_NK: Probabilities, labels_N: Labels, *, bins: int = BINS) -> Calibration:
    """Return the calibration over bins of equal width."""
    confidence_N = probabilities_NK.max(axis=1)
    correct_N = probabilities_NK.argmax(axis=1) == labels_N
    # The upper end belongs to a bin.
    bin_N = np.clip(np.ceil(confidence_N * bins).astype(int) - 1, 0, bins - 1)
    found = []
    for index in np.unique(bin_N):
        members_N = bin_N == index
        found.append(
            Bin(
                low=int(index) / bins,
                high=(int(index) + 1) / bins,
                images=int(members_N.sum()),
                confidence=float(confidence_N[members_N].mean()),
                accuracy=float(correct_N[members_N].mean()),
            )
        )
    distance = math.fsum(each.images * abs(each.confidence - each.accuracy) for each in found)
    return Calibration(error=distance / len(labels_N), bins=tuple(found))


def log_loss(probabilities_NK: Probabilities, labels_N: Labels) -> float:
    """Return the mean cross-entropy in nats."""
    chosen_N = probabilities_NK[np.arange(len(labels_N)), labels_N]
    return float(-np.log(np.maximum(chosen_N, _TINY)).mean())


def with_temperature(probabilities_NK: Probabilities, temperature: float) -> Probabilities:
    """Return the probabilities with their logits divided by a temperature: above 1 they become less confident."""
    logits_NK = np.log(np.maximum(probabilities_NK, _TINY)) / temperature
    scaled_NK = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
    result: Probabilities = scaled_NK / scaled_NK.sum(axis=1, keepdims=True)
    return result


def fitted_temperature(probabilities_NK: Probabilities, labels_N: Labels) -> float:
    """Return the temperature with the least cross-entropy, within 0.05 to 20."""
    from scipy.optimize import minimize_scalar

    low, high = map(math.log, _TEMPERATURES)
    found = minimize_scalar(
        lambda log: log_loss(with_temperature(probabilities_NK, math.exp(log)), labels_N),
        bounds=(low, high),
        method="bounded",
    )
    return math.exp(float(found.x))


def halves(count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the indices of two halves: what is fitted on one half is measured on the other."""
    indices = np.arange(count)
    return indices[::2], indices[1::2]


def error_after_scaling(probabilities_NK: Probabilities, labels_N: Labels) -> float:
    """Return the calibration error with a temperature that was fitted on the other half of the images."""
    scaled_NK = np.empty_like(probabilities_NK, dtype=np.float64)
    one, other = halves(len(labels_N))
    for fitted_on, measured_on in ((one, other), (other, one)):
        temperature = fitted_temperature(probabilities_NK[fitted_on], labels_N[fitted_on])
        scaled_NK[measured_on] = with_temperature(probabilities_NK[measured_on], temperature)
    return calibration(scaled_NK, labels_N).error


@dataclass(frozen=True, kw_only=True)
class ClassAccuracy:
    """The accuracy of one class, and its gap to the mean of the others."""

    images: int
    accuracy: float
    low: float
    """End of Wilson's 95 % interval."""
    high: float
    gap: float
    """Accuracy minus the mean accuracy of the other classes."""
    gap_low: float
    """End of its 95 % interval, by the normal approximation."""
    gap_high: float


def class_accuracies(predicted_N: Labels, labels_N: Labels, *, classes: int) -> list[ClassAccuracy | None]:
    """Return the accuracy of each class; None for a class without images."""
    counts_K = np.bincount(labels_N, minlength=classes)
    correct_K = np.bincount(labels_N[predicted_N == labels_N], minlength=classes)
    present = [index for index in range(classes) if counts_K[index]]
    accuracy = {index: correct_K[index] / counts_K[index] for index in present}
    # Agresti and Coull's shift keeps the variance of an accuracy of 0 or 1 above 0.
    shifted = {index: (correct_K[index] + 2) / (counts_K[index] + 4) for index in present}
    variance = {index: shifted[index] * (1 - shifted[index]) / (counts_K[index] + 4) for index in present}
    z = statistics.NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    found: list[ClassAccuracy | None] = [None] * classes
    for index in present:
        others = [other for other in present if other != index]
        mean = math.fsum(accuracy[other] for other in others) / len(others) if others else accuracy[index]
        spread = variance[index] + math.fsum(variance[other] for other in others) / max(len(others), 1) ** 2
        low, high = wilson_interval(float(accuracy[index]), images=int(counts_K[index]))
        gap = float(accuracy[index] - mean)
        found[index] = ClassAccuracy(
            images=int(counts_K[index]),
            accuracy=float(accuracy[index]),
            low=low,
            high=high,
            gap=gap,
            gap_low=gap - z * math.sqrt(spread),
            gap_high=gap + z * math.sqrt(spread),
        )
    return found


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """Networks whose mean probabilities predict better than one of them."""

    members: tuple[int, ...]
    """Indices of the networks, with repetitions: the number of its repetitions is the weight of a network."""
    accuracy: float
    """Of ensembles that were each chosen on the other half of the images."""
    log_loss: float
    """As `accuracy`."""


def greedy_members(probabilities_MNK: Sequence[Probabilities], labels_N: Labels) -> tuple[int, ...]:
    """Return the members of an ensemble: each step adds the network that lowers the cross-entropy most, if any does."""
    members: list[int] = []
    summed_NK = np.zeros_like(probabilities_MNK[0], dtype=np.float64)
    best = math.inf
    while len(members) < _MAX_MEMBERS:
        losses = [log_loss((summed_NK + each_NK) / (len(members) + 1), labels_N) for each_NK in probabilities_MNK]
        chosen = int(np.argmin(losses))
        if losses[chosen] >= best:
            break
        best = losses[chosen]
        members.append(chosen)
        summed_NK = summed_NK + probabilities_MNK[chosen]
    return tuple(members)


def greedy_ensemble(probabilities_MNK: Sequence[Probabilities], labels_N: Labels) -> Ensemble:
    """Return the ensemble chosen on all images; its accuracy is measured on images that did not choose it.

    Args:
        probabilities_MNK: Of each network.
        labels_N: True classes.
    """
    mean_NK = np.empty_like(probabilities_MNK[0], dtype=np.float64)
    one, other = halves(len(labels_N))
    for chosen_on, measured_on in ((one, other), (other, one)):
        members = greedy_members([each_NK[chosen_on] for each_NK in probabilities_MNK], labels_N[chosen_on])
        mean_NK[measured_on] = np.mean([probabilities_MNK[index][measured_on] for index in members], axis=0)
    return Ensemble(
        members=greedy_members(probabilities_MNK, labels_N),
        accuracy=float((mean_NK.argmax(axis=1) == labels_N).mean()),
        log_loss=log_loss(mean_NK, labels_N),
    )
