"""The search space: parameters with conditions, their Optuna distributions, and the resulting configurations."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from sweeps.core.task import AnyTask, TaskConfig
from sweeps.files.distributions import distribution_of, is_converted, stored_of, suggest, value_of
from sweeps.files.parameter import Assignment, Parameter, Scalar, identity_of, label
from sweeps.files.parameter_text import prior_text, range_text, value_texts
from sweeps.files.quantiles import multiple, rounded
from sweeps.files.space_check import (
    SpaceError,
    cast_value,
    checked,
    combination_errors,
    grid_errors,
    value_at,
    value_errors,
)
from sweeps.files.where import Conditions
from sweeps.files.yaml_file import merge
from sweeps.tasks.registry import IMAGES

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

MAX_COMBINATIONS = 100_000
"""A larger grid is considered a mistake, and would not fit into memory."""

MAX_COUNTED = 1_000
"""Largest number of combinations whose conditions are all evaluated to count them."""

_CONTINUOUS_LOG = ("log_uniform_values",)
_FINITE_IF_ROUNDED = ("q_log_uniform_values", "q_beta")
"""Rounded distributions between two ends, unlike a normal one."""

_MAX_LISTED = 20
"""Largest number of listed values in a description."""


class SearchSpace:
    """The parameters of a search, in an order in which conditions come before the parameters that depend on them."""

    def __init__(
        self,
        *,
        parameters: Mapping[str, Parameter],
        base: Mapping[str, Any],
        task: AnyTask = IMAGES,
        where: Sequence[str] = (),
    ) -> None:
        """Validate the parameters and convert each value to the type of its field: `'1000'` images becomes 1000.

        Args:
            parameters: dotted path to values or range.
            base: values that all configurations share.
            task: the trained task.
            where: conditions that a configuration satisfies (`sweeps.files.where`).

        Raises:
            SpaceError: with every error.
        """
        self.task = task
        self.base = dict(base)
        self._tree = merge({}, self.base)
        self.parameters = _in_dependency_order(parameters)
        errors = []
        for path in self.parameters:
            self.parameters[path], found = checked(self, path)
            errors += found
        errors = errors or self._check_priors()
        if errors:
            raise SpaceError(errors)
        self.conditions = Conditions(where, space=self)
        if self.conditions.errors:
            raise SpaceError(self.conditions.errors)

    @property
    def tree(self) -> Mapping[str, Any]:
        """The base, nested."""
        return self._tree

    def _check_priors(self) -> list[str]:
        """Convert the priors to the types of their fields; return the errors of those outside the space."""
        errors = []
        for path, parameter in self.parameters.items():
            if parameter.has_prior:
                errors += [f"parameters.{path}.prior: {error}" for error in value_errors(self, path, parameter.prior)]
                prior = cast_value(self, path, parameter.prior)
                self.parameters[path] = parameter.model_copy(update={"prior": prior})
        return errors or [
            f"parameters: the priors together: {error}" for error in combination_errors(self, self.priors)
        ]

    @property
    def priors(self) -> Assignment:
        """The parameters' priors, without those that are inactive under the others."""
        found: Assignment = {}
        for path, parameter in self.parameters.items():
            conditions = parameter.conditions.items()
            if parameter.has_prior and all(found.get(other, allowed[0]) in allowed for other, allowed in conditions):
                found[path] = parameter.prior
        return found

    def suggest(self, trial: optuna.Trial) -> Assignment:
        """Return Optuna's suggestions for all parameters that are active in the trial."""
        assignment: Assignment = {}
        for path in self.parameters:
            if self.is_active(path, assignment):
                assignment[path] = self.decode(path, suggest(trial, path, self.distributions[path]))
        return assignment

    def config(self, assignment: Assignment) -> TaskConfig:
        """Return the configuration of an assignment.

        Raises:
            ValidationError: the combination is invalid.
        """
        config: TaskConfig = self.task.config_type.model_validate(self._merged(assignment))
        return config

    def allows(self, assignment: Assignment) -> bool:
        """Return whether a combination of valid values is valid."""
        try:
            self.config(assignment)
        except ValidationError:
            return False
        return True

    def satisfies(self, assignment: Assignment) -> bool:
        """Return whether a combination is valid and violates no condition that is known before its training."""
        try:
            return not self.conditions.refusals(self.config(assignment))
        except ValidationError:
            return False

    def number(self, name: str, config: TaskConfig) -> float | None:
        """Return a quantity of the task or a numeric field of a configuration; None if it has none."""
        value = self.task.quantity(name, config) if name in self.task.quantities else config.dotted().get(name)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def typed(self, values: Mapping[str, Any]) -> Assignment:
        """Return valid values with the types that a configuration has: 1 for `1.0`, a listed value for its label."""
        found: Assignment = {}
        for path in self.parameters:
            if path not in values:
                continue
            value = cast_value(self, path, values[path])
            known = self._choices[path] if not self.parameters[path].is_range else {}
            found[path] = known.get(identity_of(label(value)), value)
        return found

    def unset(self, assignment: Assignment) -> list[str]:
        """Return the parameters that are active in an assignment and not set in it."""
        return [path for path in self.parameters if path not in assignment and self.is_active(path, assignment)]

    def point_of(self, config: TaskConfig) -> Assignment | None:
        """Return the assignment of the active parameters for a configuration; None if a value is not in the space."""
        assignment: Assignment = {}
        for path in self.parameters:
            if not self.is_active(path, assignment):
                continue
            values = self.values_like(path, config, assignment)
            if not values:
                return None
            assignment[path] = values[0]
        return assignment

    def values_like(self, path: str, config: TaskConfig, assignment: Assignment) -> list[Any]:
        """Return the values of a parameter that equal that of a configuration; empty if it has none in the space.

        Args:
            path: Of the parameter.
            config: The configuration.
            assignment: The values of the parameters before it.
        """
        parameter = self.parameters[path]
        try:
            field = value_at(config, path)
        except (AttributeError, KeyError):
            return []
        if not parameter.is_range:
            return [choice for choice in parameter.choices if self._matches(path, choice, field, assignment)]
        low, high = parameter.bounds
        is_inside = isinstance(field, int | float) and low <= field <= high and self.nearest(path, field) == field
        return [field] if is_inside else []

    def _matches(self, path: str, choice: Any, field: Any, assignment: Assignment) -> bool:
        """Return whether a listed value equals the value of a field."""
        if isinstance(choice, Scalar):
            return identity_of(choice) == identity_of(field) if isinstance(field, Scalar) else False
        try:
            return bool(value_at(self.config({**assignment, path: choice}), path) == field)
        except ValidationError:
            return False

    def _merged(self, assignment: Assignment) -> dict[str, Any]:
        # A searched model or schedule does not reset its block: base contains the fields that all of them share.
        tree, own = {**self._tree, **self._blocks}, set[str]()
        for path, value in assignment.items():
            block, written, prefix = tree, self._tree, ""
            *parents, last = path.split(".")
            for parent in parents:
                prefix, written = f"{prefix}{parent}.", written.get(parent) or {}
                if prefix not in own:
                    # Only the changed blocks are copied: a large space builds many trees.
                    block[parent] = dict(written)
                    own.add(prefix)
                block = block[parent]
            block[last] = value
        return tree

    @cached_property
    def _blocks(self) -> dict[str, Any]:
        """The blocks of the base as models, so that they are not validated again for each assignment."""
        config = self.task.config_type.model_validate(self._tree)
        return {name: getattr(config, name) for name, block in self._tree.items() if isinstance(block, dict)}

    @cached_property
    def distributions(self) -> dict[str, BaseDistribution]:
        """The Optuna distribution of each parameter."""
        return {
            path: distribution_of(parameter, is_integer=path in self._integers)
            for path, parameter in self.parameters.items()
        }

    def encode(self, assignment: Assignment) -> dict[str, Scalar]:
        """Return an assignment as Optuna stores it."""
        return {path: self._encoded(self.parameters[path], value) for path, value in assignment.items()}

    def _encoded(self, parameter: Parameter, value: Any) -> Scalar:
        if is_converted(parameter):
            return stored_of(parameter, value)
        return value if parameter.is_range else label(value)

    def decode(self, path: str, stored: Any) -> Any:
        """Return the value for a configuration from Optuna's representation."""
        parameter = self.parameters[path]
        if is_converted(parameter):
            return value_of(parameter, stored)
        if not parameter.is_range:
            return self._choices[path].get(identity_of(stored), stored)
        if parameter.q is not None and isinstance(stored, float):
            return rounded(stored)
        return stored

    def is_inexact(self, path: str) -> bool:
        """Return whether `decode` returns an encoded value with other last digits."""
        parameter = self.parameters[path]
        return parameter.continuous is not None and not parameter.is_rounded

    def identity(self, params: Mapping[str, Any]) -> str:
        """Return a text for a trial's parameters, as Optuna stores them; equal for trials with equal values."""
        converted = {path for path in params if path in self.parameters and is_converted(self.parameters[path])}
        normalized = {
            path: label(self.decode(path, stored)) if path in converted else stored for path, stored in params.items()
        }
        return json.dumps(normalized, sort_keys=True)

    @cached_property
    def _choices(self) -> dict[str, dict[tuple[bool, Scalar], Any]]:
        """Parameter to stored value to listed value."""
        return {
            path: {identity_of(value): value for value in parameter.choices}
            for path, parameter in self.parameters.items()
        }

    def assignments(self) -> Iterator[Assignment]:
        """Yield each active combination once, in the order of the file, the last parameter fastest.

        Raises:
            SpaceError: a parameter has infinitely many values.
        """
        errors = grid_errors(self)
        if errors:
            raise SpaceError(errors)
        yield from self._extend({}, list(self.parameters))

    def _extend(self, assignment: Assignment, remaining: list[str]) -> Iterator[Assignment]:
        if not remaining:
            yield dict(assignment)
            return
        path, *rest = remaining
        if not self.is_active(path, assignment):
            yield from self._extend(assignment, rest)
            return
        for value in self.finite_values(path) or ():
            yield from self._extend({**assignment, path: value}, rest)

    @cached_property
    def cardinality(self) -> int | None:
        """Number of combinations; None if it is infinite or larger than `MAX_COMBINATIONS`."""
        if grid_errors(self):
            return None
        count = sum(1 for _ in itertools.islice(self.assignments(), MAX_COMBINATIONS + 1))
        return None if count > MAX_COMBINATIONS else count

    @cached_property
    def proposals(self) -> int | None:
        """Number of combinations that a search may propose; None if it is infinite or too large.

        The conditions are counted in a space of up to `MAX_COUNTED` combinations.
        """
        if self.cardinality is None or not self.conditions.known or self.cardinality > MAX_COUNTED:
            return self.cardinality
        return sum(map(self.satisfies, self.assignments()))

    def finite_values(self, path: str) -> Sequence[Any] | None:
        """Return all values of a parameter; None for a continuous range."""
        parameter = self.parameters[path]
        if parameter.probabilities is not None:
            weighted = zip(parameter.choices, parameter.probabilities, strict=True)
            return [value for value, probability in weighted if probability]
        if not parameter.is_range:
            return parameter.choices
        if parameter.is_rounded and parameter.q and parameter.distribution in _FINITE_IF_ROUNDED:
            low, high = (round(end / parameter.q) for end in parameter.bounds)
            return [
                multiple(step * parameter.q, parameter.q) for step in range(low, min(high, low + MAX_COMBINATIONS) + 1)
            ]
        if parameter.min is None or parameter.max is None or parameter.distribution in _CONTINUOUS_LOG:
            return None
        if path in self._integers:
            return range(int(parameter.min), int(parameter.max) + 1, int(parameter.q or 1))
        if parameter.q:
            count = math.floor((parameter.max - parameter.min) / parameter.q + 1e-9) + 1
            # Above the limit only the count matters.
            listed = min(count, MAX_COMBINATIONS + 1)
            return [rounded(parameter.min + step * parameter.q) for step in range(listed)]
        return None

    def nearest(self, path: str, value: float) -> float:
        """Return the value of a range that is nearest to a number: the number itself if it is on a step."""
        parameter = self.parameters[path]
        if parameter.is_rounded and parameter.q:
            near = min(max(multiple(value, parameter.q), parameter.bounds[0]), parameter.bounds[1])
            return value if math.isclose(near, value, rel_tol=1e-9) else near
        step = parameter.q or (1 if path in self._integers else None)
        if parameter.min is None or parameter.max is None or step is None:
            return value
        count = min(round((value - parameter.min) / step), math.floor((parameter.max - parameter.min) / step + 1e-9))
        near = parameter.min + count * step
        return value if math.isclose(near, value, rel_tol=1e-9) else near if isinstance(near, int) else rounded(near)

    def is_constant(self, path: str) -> bool:
        """Return whether a field has the same value in all trials."""
        if path not in self.parameters:
            return True
        values = self.finite_values(path)
        return values is not None and len(values) == 1 and not self.parameters[path].when

    def min_value(self, path: str) -> Any:
        """Return the smallest value of a field in the space."""
        if path in self.parameters:
            parameter = self.parameters[path]
            return parameter.bounds[0] if parameter.is_range else min(parameter.choices)
        return value_at(self.task.config_type.model_validate(self.base), path)

    def max_value(self, path: str) -> Any:
        """Return the largest value of a field in the space."""
        if path in self.parameters:
            parameter = self.parameters[path]
            return parameter.bounds[1] if parameter.is_range else max(parameter.choices)
        return value_at(self.task.config_type.model_validate(self.base), path)

    def listed_values(self, path: str) -> list[Any]:
        """Return all values of a field, which must not be a continuous range."""
        if path not in self.parameters:
            return [value_at(self.task.config_type.model_validate(self.base), path)]
        values = self.finite_values(path)
        assert values is not None, f"{path} is a continuous range"
        return list(values)

    def describe(self) -> list[tuple[str, str, str]]:
        """Return (path, values, conditions) as texts for each parameter, in the order of suggestion."""
        rows = []
        for path, parameter in self.parameters.items():
            if parameter.is_range:
                text = range_text(parameter, is_integer=path in self._integers)
            else:
                text = " | ".join(value_texts(parameter)[:_MAX_LISTED])
                if len(parameter.choices) > _MAX_LISTED:
                    text += f" | … ({len(parameter.choices):,} values)"
            when = " and ".join(
                f"{other} is {' or '.join(map(str, allowed))}" for other, allowed in parameter.conditions.items()
            )
            rows.append((path, text + prior_text(parameter), when))
        return rows

    def is_active(self, path: str, assignment: Assignment) -> bool:
        """Return whether a parameter is active, from the values of the parameters before it."""
        conditions = self.parameters[path].conditions
        return all(other in assignment and assignment[other] in allowed for other, allowed in conditions.items())

    @cached_property
    def _integers(self) -> set[str]:
        """Paths of the integer ranges."""
        return {path for path, parameter in self.parameters.items() if parameter.is_range and self.is_integer(path)}

    def is_integer(self, path: str) -> bool:
        """Return whether a range only contains integers."""
        parameter = self.parameters[path]
        if parameter.distribution == "int_uniform":
            return True
        if parameter.is_rounded and (path.startswith("model.options.") or path in self.task.untyped_fields):
            return isinstance(parameter.q, int)
        if path.startswith("model.options.") or path in self.task.untyped_fields:
            # The field has no type: the written numbers decide.
            return all(isinstance(number, int) for number in (parameter.min, parameter.max, parameter.q or 1))
        # The field decides: 0 to 1 is a range of floats for dropout, 1 to 4 one of integers for step_size.
        probe = self._merged({path: (parameter.min or 0) + 0.5})
        try:
            self.task.config_type.model_validate(probe)
        except ValidationError as error:
            return any(detail["type"] == "int_from_float" for detail in error.errors())
        return False


def _in_dependency_order(parameters: Mapping[str, Parameter]) -> dict[str, Parameter]:
    ordered: dict[str, Parameter] = {}
    waiting = dict(parameters)
    while waiting:
        ready = next(
            (
                path
                for path, parameter in waiting.items()
                if all(other in ordered or other not in parameters for other in parameter.conditions)
            ),
            None,
        )
        if ready is None:
            raise SpaceError([f"parameters: the conditions of {', '.join(waiting)} are circular"])
        ordered[ready] = waiting.pop(ready)
    return ordered
