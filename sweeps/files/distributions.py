"""From a parameter to Optuna's distribution of it, and a value drawn from one. Public calls of Optuna only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sweeps.files.parameter import Parameter, label

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution


def distribution_of(parameter: Parameter, *, is_integer: bool) -> BaseDistribution:
    """Return Optuna's distribution of a parameter.

    Args:
        parameter: as the file has it.
        is_integer: whether the field under its path takes whole numbers only.
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
    """Return what Optuna suggests for a parameter, as Optuna stores it."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    match distribution:
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(path, choices)
        case IntDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_int(path, low, high, step=step, log=log)
        case FloatDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_float(path, low, high, step=step, log=log)
    raise TypeError(f"no way to suggest from a {type(distribution).__name__}")
