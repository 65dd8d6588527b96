"""Predictions of a complete run of a training function: `def predict(trial, inputs, **config)` in its module."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cifar_core.common.errors import ModelError
from sweeps.tasks.function_trial import Trial

PREDICT_FUNCTION = "predict"
_PARAMETERS = ["trial", "inputs"]
"""Names of its first parameters, by which the function is distinguished from another one of this name."""
_SINGLE = "prediction"
"""Name of a prediction that is a single value."""


def predict_function(module: str) -> Callable[..., Any] | None:
    """Return the function of an imported module that predicts with a complete run; None if it has none."""
    found = getattr(sys.modules.get(module), PREDICT_FUNCTION, None)
    if not inspect.isfunction(found):
        return None
    return found if list(inspect.signature(found).parameters)[:2] == _PARAMETERS else None


def call_predict(
    function: Callable[..., Any], trial: Trial, inputs: Sequence[str], arguments: Mapping[str, Any], *, name: str
) -> list[dict[str, Any]]:
    """Call the function for a complete run, and return the named values of each input's prediction.

    Args:
        function: from `predict_function`.
        trial: with the state that the run saved last.
        inputs: as they were typed.
        arguments: the keyword arguments of the training. The function receives those that it takes.
        name: of the function in errors.

    Raises:
        ModelError: it did not return one prediction for each input.
    """
    returned = function(trial, list(inputs), **taken_arguments(function, arguments))
    if isinstance(returned, str | bytes | Mapping) or not hasattr(returned, "__iter__"):
        raise ModelError(f"{name} returned {returned!r}. Return a list with one prediction for each of `inputs`")
    predictions = list(returned)
    if len(predictions) != len(inputs):
        raise ModelError(
            f"{name} returned {len(predictions)} predictions for {len(inputs)} inputs. Return one for each"
        )
    return [_named(each) for each in predictions]


def taken_arguments(function: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that a function takes by name."""
    parameters = inspect.signature(function).parameters
    takes_all = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    return {key: value for key, value in arguments.items() if takes_all or key in parameters}


def _named(prediction: Any) -> dict[str, Any]:
    if not isinstance(prediction, Mapping):
        return {_SINGLE: _plain(prediction)}
    return {str(name): _plain(value) for name, value in prediction.items()}


def _plain(value: Any) -> Any:
    """Return a value that JSON can contain: those of arrays as numbers and lists, others as text."""
    if isinstance(value, str | int | float | None):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return _plain(value.tolist()) if hasattr(value, "tolist") else str(value)
