"""Convert parameters to Optuna distributions, and draw values from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sweeps.files.parameter import Parameter, label

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution


def distribution_of(parameter: Parameter, *, is_integer: bool) -> BaseDistribution:
    """Return the Optuna distribution of a parameter.

    Args:
        parameter: from the file.
        is_integer: whether its field only takes integers.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if parameter.min is None or parameter.max is None:
        return CategoricalDistribution([label(value) for value in parameter.choices])
    log = parameter.distribution == "log_uniform_values"
    if is_integer:
        step = int(parameter.q) if parameter.q else 1
        return IntDistribution(int(parameter.min), int(parameter.max), log=log, step=step)
    return FloatDistribution(float(parameter.min), float(parameter.max), log=log, step=parameter.q)


def suggest(trial: optuna.Trial, path: str, distribution: BaseDistribution) -> Any:
    """Return Optuna's suggestion for a parameter, in Optuna's representation."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    match distribution:
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(path, choices)
        case IntDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_int(path, low, high, step=step, log=log)
        case FloatDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_float(path, low, high, step=step, log=log)
    raise TypeError(f"unknown distribution {type(distribution).__name__}")
