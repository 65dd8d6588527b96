"""One parameter of a search: its values or its range, and when it is active."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from cifar_core.common.validation import StrictModel

Scalar = bool | int | float | str | None
Assignment = dict[str, Any]
"""Dotted path to value of the active parameters of a trial."""


Distribution = Literal["categorical", "constant", "uniform", "int_uniform", "q_uniform", "log_uniform_values"]
DISTRIBUTIONS: Mapping[Distribution, str] = {
    "categorical": "One of `values`. It need not be written.",
    "constant": "`value`. It need not be written.",
    "uniform": "Uniformly from `min` to `max`.",
    "int_uniform": "Uniformly among the whole numbers from `min` to `max`.",
    "q_uniform": "Uniformly among `min`, `min` + `q`, `min` + 2 `q` and so on, up to `max`.",
    "log_uniform_values": "Uniformly in the logarithm, from `min` to `max`: for values that span powers of ten.",
}
"""Distribution to its description."""
_RANGES = ["uniform", "int_uniform", "q_uniform", "log_uniform_values"]


def _drawn(*names: str) -> dict[str, Any]:
    return {"required": ["distribution"], "properties": {"distribution": {"enum": list(names)}}}


_WAYS_TO_VARY: dict[str, Any] = {
    "oneOf": [{"required": ["values"]}, {"required": ["value"]}, {"required": ["min"]}],
    "dependencies": {"min": ["max"], "max": ["min"], "q": ["min"]},
    "allOf": [
        {"properties": {"values": {"type": "array", "minItems": 1, "uniqueItems": True}}},
        {"properties": {name: {"type": "number"} for name in ("min", "max", "q")}},
        {"if": _drawn(*_RANGES), "then": {"required": ["min"]}},
        {"if": _drawn("categorical", "constant"), "then": {"not": {"required": ["min"]}}},
        {"if": _drawn("q_uniform"), "then": {"required": ["q"]}},
        {"if": _drawn("uniform", "log_uniform_values"), "then": {"properties": {"q": False}}},
        {"if": _drawn("log_uniform_values"), "then": {"properties": {"min": {"exclusiveMinimum": 0}}}},
    ],
}
"""JSON Schema of the rules for a parameter: one way to give its values, and a matching distribution."""


class Parameter(StrictModel):
    """A parameter: `values`, one `value`, or a range from `min` to `max`. The keys are those of W&B sweeps."""

    model_config = ConfigDict(json_schema_extra=_WAYS_TO_VARY)

    values: tuple[Any, ...] | None = None
    """List of values to choose from."""
    value: Any = None
    """Single value that every trial takes."""
    min: int | float | None = None
    """Smallest value of a range."""
    max: int | float | None = None
    """Largest value of a range, inclusive."""
    distribution: Distribution | None = None
    """Distribution of a range. Without it, `uniform`; whole numbers where the field takes only these."""
    q: int | float | None = Field(default=None, gt=0)
    """Step of `q_uniform`."""
    when: dict[str, Any] = Field(default_factory=dict)
    """Conditions: the parameter is active only where each of these other parameters has one of the listed values."""

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
                raise ValueError("values is empty. List at least one")
            if twice := repeated(self.values):
                raise ValueError(f"values lists {', '.join(twice)} twice")
        if ways[2]:
            if self.min is None or self.max is None:
                raise ValueError("a range needs both min and max")
            if self.min > self.max:
                raise ValueError(f"min {self.min} is above max {self.max}")
            if self.distribution == "log_uniform_values" and self.min <= 0:
                raise ValueError(f"a logarithmic range needs min above 0, not {self.min}")
            if self.distribution == "q_uniform" and self.q is None:
                raise ValueError("q_uniform needs a step q")
        ranged = self.distribution not in (None, "categorical", "constant")
        if self.distribution is not None and ranged != ways[2]:
            raise ValueError(f"distribution {self.distribution!r} does not fit the other keys")
        return self

    def step_errors(self) -> list[str]:
        """Return the errors of the step q."""
        if self.min is None or self.max is None:
            return [] if self.q is None else ["q needs a range from min to max. Leave q out"]
        errors = []
        if self.distribution == "int_uniform" and not (is_integral(self.min) and is_integral(self.max)):
            errors.append(f"int_uniform needs integers for min and max, not {self.min} and {self.max}")
        if self.q is not None and self.distribution in ("uniform", "log_uniform_values"):
            errors.append(f"{self.distribution} has no step q. Leave q out, or write distribution: q_uniform")
        elif self.q is not None and self.min < self.max < self.min + self.q:
            errors.append(f"the step q {self.q} exceeds the range: only min {self.min} would be drawn")
        return errors

    @property
    def conditions(self) -> dict[str, tuple[Any, ...]]:
        """Dotted path to allowed values of each condition. A file may give a single value without brackets."""
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


def is_integral(number: float) -> bool:
    """Return whether a number has no fraction, such as 1000 and 1e3."""
    return isinstance(number, int) or number.is_integer()


def label(value: Any) -> Scalar:
    """Return a value as Optuna stores it. Categories must be scalars, so lists and mappings are stored as JSON."""
    return value if isinstance(value, Scalar) else json.dumps(value, sort_keys=True)


def identity_of(value: Any) -> tuple[bool, Scalar]:
    """Return a key for comparing values: 1 and 1.0 are equal, 1 and true are not."""
    return isinstance(value, bool), label(value)


def repeated(values: Iterable[Any]) -> list[str]:
    """Return the values that occur more than once, as JSON."""
    seen: set[tuple[bool, Scalar]] = set()
    twice: dict[str, None] = {}
    for value in values:
        if identity_of(value) in seen:
            twice[json.dumps(value, sort_keys=True)] = None
        seen.add(identity_of(value))
    return list(twice)
