"""Conversion of a parameter to an Optuna distribution, and of what Optuna suggests to a value.

A distribution that Optuna does not have is suggested by another number, from which the value follows: a share of all
draws between 0 and 1 for normal, beta and weighted values, the number before rounding for a logarithmic range with
steps. Only public calls of Optuna.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sweeps.files.parameter import Parameter, Scalar, identity_of, label
from sweeps.files.quantiles import TAIL, multiple

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution


def distribution_of(parameter: Parameter, *, is_integer: bool) -> BaseDistribution:
    """Return Optuna's distribution of a parameter.

    Args:
        parameter: the parameter.
        is_integer: whether the field under its path takes integers only.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if parameter.probabilities is not None or parameter.continuous is not None:
        return FloatDistribution(TAIL, 1 - TAIL)
    if parameter.min is None or parameter.max is None:
        return CategoricalDistribution([label(value) for value in parameter.choices])
    if parameter.is_rounded:
        return FloatDistribution(float(parameter.min), float(parameter.max), log=True)
    log = parameter.distribution == "log_uniform_values"
    if is_integer:
        step = int(parameter.q) if parameter.q else 1
        return IntDistribution(int(parameter.min), int(parameter.max), log=log, step=step)
    return FloatDistribution(float(parameter.min), float(parameter.max), log=log, step=parameter.q)


def suggest(trial: optuna.Trial, path: str, distribution: BaseDistribution) -> Any:
    """Return the value that Optuna suggests for a parameter, as Optuna stores it."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    match distribution:
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(path, choices)
        case IntDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_int(path, low, high, step=step, log=log)
        case FloatDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_float(path, low, high, step=step, log=log)
    raise TypeError(f"unsupported distribution {type(distribution).__name__}")


def is_converted(parameter: Parameter) -> bool:
    """Return whether Optuna stores another number than the value."""
    return parameter.probabilities is not None or parameter.continuous is not None or parameter.is_rounded


def value_of(parameter: Parameter, stored: float) -> Any:
    """Return the value of a parameter from the number that Optuna stores, if it `is_converted`."""
    if parameter.probabilities is not None:
        ends = _ends(parameter.probabilities)
        last = max(index for index, share in enumerate(parameter.probabilities) if share)
        found = next((index for index, end in enumerate(ends) if stored < end), last)
        return parameter.choices[min(found, last)]
    number = stored if parameter.continuous is None else parameter.continuous.value(stored)
    return multiple(number, parameter.q) if parameter.is_rounded and parameter.q is not None else number


def value_at_share(parameter: Parameter, share: float) -> Any:
    """Return the value that a share of all draws, between 0 and 1, does not exceed.

    Args:
        parameter: with a continuous distribution, or one that is rounded to multiples of a step.
        share: of all draws.
    """
    if parameter.continuous is not None or parameter.min is None or parameter.max is None:
        return value_of(parameter, share)
    low, high = math.log(parameter.min), math.log(parameter.max)
    return value_of(parameter, math.exp(low + share * (high - low)))


def stored_of(parameter: Parameter, value: Any) -> Scalar:
    """Return the number that Optuna stores for a value of a parameter that `is_converted`.

    `value_of` returns the value from it, except for a normal or beta distribution without steps, where the last digits
    may differ.
    """
    if parameter.probabilities is not None:
        index = list(map(identity_of, parameter.choices)).index(identity_of(value))
        return _ends(parameter.probabilities)[index] - parameter.probabilities[index] / 2
    if parameter.continuous is not None:
        return parameter.continuous.share(value)
    assert parameter.min is not None
    assert parameter.max is not None
    return float(min(max(value, parameter.min), parameter.max))


def _ends(probabilities: Sequence[float]) -> list[float]:
    return list(itertools.accumulate(probabilities))
