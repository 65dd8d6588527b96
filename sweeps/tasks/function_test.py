"""Evaluation of a complete run of a training function on the test part: `def test(trial, **config)` in its module."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable, Mapping
from typing import Any

from cifar_core.common.errors import ModelError
from sweeps.core.results import TEST_PREFIX, TestResult
from sweeps.tasks.function_predict import taken_arguments
from sweeps.tasks.function_trial import Trial
from sweeps.tasks.metric_names import METRIC_NAME

TEST_FUNCTION = "test"
_TRIAL = "trial"
"""Name of the first parameter, by which the function is distinguished from a test of another kind."""
_SHARE = "test_accuracy"


def test_function(module: str) -> Callable[..., Any] | None:
    """Return the function of an imported module that evaluates a complete run; None if it has none."""
    found = getattr(sys.modules.get(module), TEST_FUNCTION, None)
    if not inspect.isfunction(found):
        return None
    first = next(iter(inspect.signature(found).parameters), None)
    return found if first == _TRIAL else None


def call_test(
    function: Callable[..., Any], trial: Trial, arguments: Mapping[str, Any], *, trained: Mapping[str, float], name: str
) -> TestResult:
    """Call the function for a complete run, and return its numbers.

    Args:
        function: from `test_function`.
        trial: with the state that the run saved last, and the test part.
        arguments: the keyword arguments of the training. The function receives those that it takes.
        trained: the metrics of the last epoch, whose names it must not use.
        name: of the function in errors.

    Raises:
        ModelError: it did not return finite numbers by name.
    """
    returned = function(trial, **taken_arguments(function, arguments))
    if not isinstance(returned, Mapping) or not returned:
        raise ModelError(f"{name} returned {returned!r}. Return a dictionary of numbers such as {{'accuracy': 0.9}}")
    numbers: dict[str, float] = {}
    for key, value in returned.items():
        recorded = str(key) if str(key).startswith(TEST_PREFIX) else f"{TEST_PREFIX}{key}"
        if recorded in trained or not METRIC_NAME.fullmatch(recorded):
            raise ModelError(f"{name} returned a number called {key!r}. Give it another name, of letters and digits")
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise ModelError(f"{name} returned {key}={value!r}, which is not a number") from None
        if not math.isfinite(number) or (recorded == _SHARE and not 0 <= number <= 1):
            expected = "a share from 0 to 1" if recorded == _SHARE else "a finite number"
            raise ModelError(f"{name} returned {key}={value!r}. Return {expected}")
        numbers[recorded] = number
    return TestResult(numbers=numbers)
