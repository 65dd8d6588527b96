"""The search space: parameters with conditions -> Optuna distributions -> a `TrainingConfig`.

Nothing else knows how a space is written.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import ConfigDict, Field, ValidationError, model_validator

from cifar_core.config import StrictModel, TrainingConfig, explain
from cifar_core.errors import closest
from sweeps.yaml_files import merge

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

Scalar = bool | int | float | str | None
Assignment = dict[str, Any]
"""Dotted paths into `TrainingConfig` with the values that a trial takes, active parameters only."""

MOST_COMBINATIONS = 100_000
"""A grid larger than this is surely a mistake, and listing it would take the memory."""


SPLIT_FIELDS = ("data.train_size", "data.validation_size", "data.split_seed")
"""What decides which images a trial sees."""

MOST_SPLITS = 20


class SpaceError(ValueError):
    """A space that makes no sense; lists every mistake."""

    def __init__(self, mistakes: list[str]) -> None:
        self.mistakes = mistakes
        super().__init__("\n".join(mistakes))


class Parameter(StrictModel):
    """One parameter: `values`, one `value`, or a range from `min` to `max`. Keys are W&B's."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    values: tuple[Any, ...] | None = None
    value: Any = None
    min: int | float | None = None
    max: int | float | None = None
    distribution: (
        Literal["categorical", "constant", "uniform", "int_uniform", "q_uniform", "log_uniform_values"] | None
    ) = None
    q: int | float | None = Field(default=None, gt=0)
    """Step of q_uniform."""
    when: dict[str, Any] = Field(default_factory=dict)
    """The parameter is active only where each of these others has one of the listed values."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        ways = [
            self.values is not None,
            "value" in self.model_fields_set,
            self.min is not None or self.max is not None,
        ]
        if sum(ways) != 1:
            raise ValueError("give one of `values: [...]`, `value: ...`, or `min: ...` with `max: ...`")
        if self.values is not None:
            if not self.values:
                raise ValueError("values is empty: list at least one")
            labels = [json.dumps(value, sort_keys=True) for value in self.values]
            twice = sorted({label for label in labels if labels.count(label) > 1})
            if twice:
                raise ValueError(f"values lists {', '.join(twice)} twice")
        if ways[2]:
            if self.min is None or self.max is None:
                raise ValueError("a range needs both min and max")
            if self.min > self.max:
                raise ValueError(f"impossible range: min {self.min} is above max {self.max}")
            if self.distribution == "log_uniform_values" and self.min <= 0:
                raise ValueError(f"a logarithmic range needs min above 0, not {self.min}")
            if self.distribution == "q_uniform" and self.q is None:
                raise ValueError("q_uniform needs its step q")
        ranged = self.distribution not in (None, "categorical", "constant")
        if self.distribution is not None and ranged != ways[2]:
            raise ValueError(f"distribution {self.distribution!r} does not go with the other keys given")
        return self

    @property
    def conditions(self) -> dict[str, tuple[Any, ...]]:
        """Allowed values of each other parameter; a single value may be written without brackets."""
        return {
            path: tuple(allowed) if isinstance(allowed, list | tuple) else (allowed,)
            for path, allowed in self.when.items()
        }

    @property
    def is_range(self) -> bool:
        return self.min is not None

    @property
    def choices(self) -> tuple[Any, ...]:
        """The listed values; empty for a range."""
        if self.values is not None:
            return self.values
        return () if self.is_range else (self.value,)


class SearchSpace:
    """Parameters in the order in which they can be suggested: conditions before what depends on them."""

    def __init__(self, *, parameters: Mapping[str, Parameter], base: Mapping[str, Any]) -> None:
        self.base = dict(base)
        self.parameters = _in_dependency_order(parameters)
        mistakes = [m for path in self.parameters for m in self._mistakes(path)]
        if mistakes:
            raise SpaceError(mistakes)

    def suggest(self, trial: optuna.Trial) -> Assignment:
        """Ask Optuna for every parameter that is active in this trial."""
        assignment: Assignment = {}
        for path, parameter in self.parameters.items():
            if self._is_active(parameter, assignment):
                suggested = trial._suggest(path, self.distributions[path])
                assignment[path] = self.decode(path, suggested)
        return assignment

    def config(self, assignment: Assignment) -> TrainingConfig:
        """Return the configuration that an assignment stands for.

        Raises:
            ValidationError: the combination is not a possible configuration.
        """
        return TrainingConfig.model_validate(self._merged(assignment))

    def allows(self, assignment: Assignment) -> bool:
        """Return whether the values, each possible, are possible together."""
        try:
            self.config(assignment)
        except ValidationError:
            return False
        return True

    def _merged(self, assignment: Assignment) -> dict[str, Any]:
        # A searched model or schedule does not reset its block: base holds what all of them share.
        tree = merge({}, self.base)
        for path, value in assignment.items():
            *parents, last = path.split(".")
            block = tree
            for parent in parents:
                block = block.setdefault(parent, {})
            block[last] = value
        return tree

    @cached_property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Optuna's distribution of each parameter."""
        return {path: self._distribution(path) for path in self.parameters}

    def _distribution(self, path: str) -> BaseDistribution:
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        parameter = self.parameters[path]
        if not parameter.is_range:
            return CategoricalDistribution([_label(value) for value in parameter.choices])
        assert parameter.min is not None
        assert parameter.max is not None
        log = parameter.distribution == "log_uniform_values"
        if self._is_integer(path):
            step = int(parameter.q) if parameter.q else 1
            return IntDistribution(int(parameter.min), int(parameter.max), log=log, step=step)
        return FloatDistribution(float(parameter.min), float(parameter.max), log=log, step=parameter.q)

    def encode(self, assignment: Assignment) -> dict[str, Scalar]:
        """Return an assignment as Optuna stores it."""
        return {path: value if self.parameters[path].is_range else _label(value) for path, value in assignment.items()}

    def decode(self, path: str, stored: Any) -> Any:
        """Return a value as `TrainingConfig` takes it from how Optuna stores it."""
        for value in self.parameters[path].choices:
            if _label(value) == stored and type(_label(value)) is type(stored):
                return value
        return stored

    def assignments(self) -> Iterator[Assignment]:
        """Enumerate the active combinations in the file's order, the last parameter fastest; each once.

        Raises:
            SpaceError: a parameter has no finite list of values.
        """
        mistakes = self.not_enumerable()
        if mistakes:
            raise SpaceError(mistakes)
        yield from self._extend({}, list(self.parameters))

    def _extend(self, assignment: Assignment, remaining: list[str]) -> Iterator[Assignment]:
        if not remaining:
            yield dict(assignment)
            return
        path, *rest = remaining
        if not self._is_active(self.parameters[path], assignment):
            yield from self._extend(assignment, rest)
            return
        for value in self._finite_values(path):
            yield from self._extend({**assignment, path: value}, rest)

    def cardinality(self) -> int | None:
        """Return the number of combinations, None where it is infinite or too large to list."""
        if self.not_enumerable():
            return None
        count = sum(1 for _ in itertools.islice(self.assignments(), MOST_COMBINATIONS + 1))
        return None if count > MOST_COMBINATIONS else count

    def not_enumerable(self) -> list[str]:
        """Return a mistake for each parameter that a grid cannot walk through."""
        return [
            f"parameters.{path}: a grid needs `values`, a range of integers, or q_uniform with a step q"
            for path in self.parameters
            if self._finite_values(path) is None
        ]

    def _finite_values(self, path: str) -> Any:
        parameter = self.parameters[path]
        if not parameter.is_range:
            return parameter.choices
        assert parameter.min is not None
        assert parameter.max is not None
        if parameter.distribution == "log_uniform_values":
            return None
        if self._is_integer(path):
            return range(int(parameter.min), int(parameter.max) + 1, int(parameter.q or 1))
        if parameter.q:
            count = math.floor((parameter.max - parameter.min) / parameter.q + 1e-9) + 1
            return [round(parameter.min + step * parameter.q, 12) for step in range(count)]
        return None

    def mistakes_of(self, assignment: Mapping[str, Any]) -> list[str]:
        """Return what keeps an assignment written by hand from being a point of this space."""
        mistakes = []
        for path, value in assignment.items():
            if path not in self.parameters:
                mistakes.append(f"{path}: is not a parameter of this sweep. {closest(path, self.parameters)}")
                continue
            parameter = self.parameters[path]
            if parameter.is_range:
                low, high = parameter.min, parameter.max
                assert low is not None
                assert high is not None
                if not isinstance(value, int | float) or not low <= value <= high:
                    mistakes.append(f"{path}: {value!r} is not between {low} and {high}")
            elif _label(value) not in [_label(choice) for choice in parameter.choices]:
                mistakes.append(f"{path}: {value!r} is not one of {list(parameter.choices)}")
        return mistakes

    def least(self, path: str) -> Any:
        """Return the smallest value that a field takes anywhere in the space."""
        if path in self.parameters:
            parameter = self.parameters[path]
            return parameter.min if parameter.is_range else min(parameter.choices)
        return _at(TrainingConfig.model_validate(self.base), path)

    def values_of(self, path: str) -> list[Any]:
        """Return every value that a field can take; only for fields that are no range of numbers."""
        if path not in self.parameters:
            return [_at(TrainingConfig.model_validate(self.base), path)]
        values = self._finite_values(path)
        assert values is not None, f"{path} is a continuous range"
        return list(values)

    def unlisted_splits(self) -> list[str]:
        """Return a mistake for each parameter by which the images would be split in more ways than memory holds."""
        return [
            f"parameters.{path}: list at most {MOST_SPLITS} `values`, because each is another copy of the images"
            for path in SPLIT_FIELDS
            if path in self.parameters and ((values := self._finite_values(path)) is None or len(values) > MOST_SPLITS)
        ]

    def warnings(self) -> list[str]:
        """Return what is allowed and yet probably not meant."""
        found = []
        epochs = (
            self.parameters["epochs"].max or max(self.parameters["epochs"].choices, default=0)
            if ("epochs" in self.parameters)
            else TrainingConfig.model_validate(self.base).epochs
        )
        schedules = self._choices_or_base("schedule.name")
        if "step" in schedules:
            if "schedule.step_size" in self.parameters:
                parameter = self.parameters["schedule.step_size"]
                largest = parameter.max if parameter.is_range else max(parameter.choices)
                place = "parameters.schedule.step_size"
            else:
                largest = TrainingConfig.model_validate(self.base).schedule.step_size
                place = "base.schedule.step_size"
            if largest is not None and largest >= epochs:
                found.append(f"{place}: {largest} with epochs {epochs}: the step schedule never fires")
        for path in ("schedule.step_size", "schedule.gamma"):
            if path in self.parameters and "step" not in schedules:
                found.append(
                    f"parameters.{path}: changes nothing, because schedule.name is never `step` "
                    f"(it is {', '.join(schedules)})"
                )
        return found

    def _choices_or_base(self, path: str) -> list[Any]:
        if path in self.parameters:
            return list(self.parameters[path].choices)
        return [_at(TrainingConfig.model_validate(self.base), path)]

    def describe(self) -> list[tuple[str, str, str]]:
        """Return (path, what it may be, when it is active) for each parameter, in the order of suggestion."""
        rows = []
        for path, parameter in self.parameters.items():
            if parameter.is_range:
                scale = ", log" if parameter.distribution == "log_uniform_values" else ""
                kind = "integers" if self._is_integer(path) else "numbers"
                step = f", step {parameter.q}" if parameter.q else ""
                text = f"{parameter.min} to {parameter.max} ({kind}{scale}{step})"
            else:
                text = " | ".join(map(str, parameter.choices))
            when = " and ".join(
                f"{other} is {' or '.join(map(str, allowed))}" for other, allowed in parameter.conditions.items()
            )
            rows.append((path, text, when))
        return rows

    def _is_active(self, parameter: Parameter, assignment: Assignment) -> bool:
        return all(path in assignment and assignment[path] in allowed for path, allowed in parameter.conditions.items())

    def _is_integer(self, path: str) -> bool:
        parameter = self.parameters[path]
        whole = all(isinstance(bound, int) for bound in (parameter.min, parameter.max))
        if parameter.distribution == "int_uniform":
            return True
        if not whole or isinstance(parameter.q, float):
            return False
        # The field decides: 0 to 1 is a range of numbers for dropout, 1 to 4 one of integers for step_size.
        probe = self._merged({path: (parameter.min or 0) + 0.5})
        try:
            TrainingConfig.model_validate(probe)
        except ValidationError as error:
            return any(mistake["type"] == "int_from_float" for mistake in error.errors())
        return False

    def _mistakes(self, path: str) -> list[str]:
        parameter = self.parameters[path]
        mistakes = self._condition_mistakes(path)
        if mistakes:
            return mistakes
        surroundings = {other: allowed[0] for other, allowed in parameter.conditions.items()}
        if parameter.is_range:
            values = {"min": parameter.min, "max": parameter.max}
        elif parameter.values is None:
            values = {"value": parameter.value}
        else:
            values = {f"values[{place}]": value for place, value in enumerate(parameter.values)}
        for key, value in values.items():
            try:
                self.config({**surroundings, path: value})
            except ValidationError as error:
                lines = explain(error)
            except (TypeError, AttributeError):
                lines = [f"{path}: no such field of a training configuration"]
            else:
                continue
            mistakes += [f"parameters.{path}.{key}: {_without_place(line, path)}" for line in lines]
        if any("unknown key" in mistake for mistake in mistakes):
            return mistakes[:1]
        return mistakes

    def _condition_mistakes(self, path: str) -> list[str]:
        mistakes = []
        for other, allowed in self.parameters[path].conditions.items():
            if other not in self.parameters:
                hint = closest(other, self.parameters)
                mistakes.append(f"parameters.{path}.when: {other!r} is not a parameter of this sweep. {hint}")
                continue
            known = self.parameters[other].choices
            if not allowed:
                mistakes.append(f"parameters.{path}.when.{other}: lists no value, of {list(known)} give at least one")
            if not known:
                mistakes.append(f"parameters.{path}.when: {other!r} is a range, a condition needs `values`")
            mistakes += [
                f"parameters.{path}.when.{other}: {value!r} is not among its values {list(known)}"
                for value in allowed
                if known and value not in known
            ]
        return mistakes


def _without_place(line: str, path: str) -> str:
    """Return a mistake of a configuration without its place, which the parameter's own place already says."""
    place, _, rest = line.partition(": ")
    return rest if rest and (place == path or path.startswith(f"{place}.")) else line


def _label(value: Any) -> Scalar:
    # Optuna's categories are scalars; a list such as a head's widths is stored as its JSON.
    return value if isinstance(value, Scalar) else json.dumps(value, sort_keys=True)


def _at(config: TrainingConfig, path: str) -> Any:
    value: Any = config
    for part in path.split("."):
        value = getattr(value, part)
    return value


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
            raise SpaceError([f"parameters: the conditions of {', '.join(waiting)} depend on each other"])
        ordered[ready] = waiting.pop(ready)
    return ordered
