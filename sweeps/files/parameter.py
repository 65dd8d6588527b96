"""One parameter of a search: its values or its range, and when it is active."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from cifar_core.common.validation import StrictModel
from sweeps.files.quantiles import ContinuousDistribution, multiple, rounded

Scalar = bool | int | float | str | None
Assignment = dict[str, Any]
"""Dotted path to value of the active parameters of a trial."""


Distribution = Literal[
    "categorical",
    "constant",
    "uniform",
    "int_uniform",
    "q_uniform",
    "log_uniform_values",
    "q_log_uniform_values",
    "normal",
    "q_normal",
    "log_normal",
    "q_log_normal",
    "beta",
    "q_beta",
    "log_uniform",
    "q_log_uniform",
    "inv_log_uniform_values",
    "inv_log_uniform",
    "categorical_w_probabilities",
]
Confidence = Literal["low", "medium", "high"]
DISTRIBUTIONS: Mapping[Distribution, str] = {
    "categorical": "One of `values`, with equal probability or by `probabilities`. Default if `values` is given.",
    "constant": "`value`. Default if `value` is given.",
    "uniform": "From a uniform distribution over `min` to `max`.",
    "int_uniform": "From a uniform distribution over the integers from `min` to `max`.",
    "q_uniform": "From a uniform distribution over `min`, `min` + `q`, `min` + 2 `q` and so on, up to `max`.",
    "log_uniform_values": "From `min` to `max`, with a uniform logarithm: for values that span powers of ten.",
    "q_log_uniform_values": "As `log_uniform_values`, rounded to a multiple of `q`.",
    "normal": "From a normal distribution with mean `mu` (default 0) and standard deviation `sigma` (default 1).",
    "q_normal": "As `normal`, rounded to a multiple of `q`.",
    "log_normal": "A value whose natural logarithm is normal with mean `mu` (0) and standard deviation `sigma` (1).",
    "q_log_normal": "As `log_normal`, rounded to a multiple of `q`.",
    "beta": "From a beta distribution over 0 to 1 with the shape parameters `a` (α, default 1) and `b` (β, default 1).",
    "q_beta": "As `beta`, rounded to a multiple of `q`.",
    "log_uniform": "As `log_uniform_values`, from e to the power of `min` to e to the power of `max`.",
    "q_log_uniform": "As `log_uniform`, rounded to a multiple of `q`.",
    "inv_log_uniform_values": "Same as `log_uniform_values`: the logarithm of 1/x is uniform too.",
    "inv_log_uniform": "As `log_uniform_values`, from e to the power of -`max` to e to the power of -`min`.",
    "categorical_w_probabilities": "Same as `categorical` with `probabilities`.",
}
"""Distribution to its description."""
_LOG_RANGES = ("log_uniform_values", "q_log_uniform_values")
EXPONENTS = ("log_uniform", "q_log_uniform", "inv_log_uniform")
"""Ranges whose ends are exponents of e."""
_SYNONYMS: Mapping[str, Distribution] = {
    "log_uniform": "log_uniform_values",
    "q_log_uniform": "q_log_uniform_values",
    "inv_log_uniform_values": "log_uniform_values",
    "inv_log_uniform": "log_uniform_values",
    "categorical_w_probabilities": "categorical",
}
"""Distribution to the one that it is stored as."""
_RANGES = ("uniform", "int_uniform", "q_uniform", *_LOG_RANGES, *EXPONENTS, "inv_log_uniform_values")
_LISTED = ("categorical", "constant", "categorical_w_probabilities")
_NORMALS = ("normal", "q_normal", "log_normal", "q_log_normal")
_BETAS = ("beta", "q_beta")
_WITH_STEP = ("q_uniform", "q_log_uniform_values", "q_log_uniform", "q_normal", "q_log_normal", "q_beta")
_NUMBERS = ("min", "max", "q", "mu", "sigma", "a", "b")
_KEYS: Mapping[str, tuple[str, ...]] = {
    "values": _LISTED,
    "probabilities": ("categorical", "categorical_w_probabilities"),
    "value": _LISTED,
    "min": _RANGES,
    "max": _RANGES,
    "mu": _NORMALS,
    "sigma": _NORMALS,
    "a": _BETAS,
    "b": _BETAS,
}
"""Key to the distributions that take it."""


def _drawn(*names: str) -> dict[str, Any]:
    return {"required": ["distribution"], "properties": {"distribution": {"enum": list(names)}}}


def _without(*keys: str) -> dict[str, Any]:
    return {"properties": dict.fromkeys(keys, False)}


_WAYS_TO_VARY: dict[str, Any] = {
    "oneOf": [
        {"required": ["values"]},
        {"required": ["value"]},
        {"required": ["min"]},
        _drawn(*_NORMALS, *_BETAS),
    ],
    "dependencies": {"min": ["max"], "max": ["min"], "probabilities": ["values"], "confidence": ["prior"]},
    "allOf": [
        {"properties": {"values": {"type": "array", "minItems": 1, "uniqueItems": True}}},
        {"properties": {"probabilities": {"type": "array", "minItems": 1, "items": {"type": "number", "minimum": 0}}}},
        {"properties": {name: {"type": "number"} for name in _NUMBERS}},
        {"if": _drawn(*_RANGES), "then": {"required": ["min"]}},
        {"if": _drawn(*_LISTED), "then": {"not": {"required": ["min"]}}},
        {"if": _drawn(*_NORMALS), "else": _without("mu", "sigma")},
        {"if": _drawn(*_BETAS), "else": _without("a", "b")},
        {"if": _drawn(*_WITH_STEP), "then": {"required": ["q"]}},
        {
            "if": {"anyOf": [_drawn(*_WITH_STEP, "int_uniform"), {"required": ["min"], **_without("distribution")}]},
            "else": _without("q"),
        },
        {
            "if": _drawn(*_LOG_RANGES, "inv_log_uniform_values"),
            "then": {"properties": {"min": {"exclusiveMinimum": 0}}},
        },
        {"properties": {name: {"exclusiveMinimum": 0} for name in ("sigma", "a", "b")}},
    ],
}
"""JSON Schema of a parameter: one kind of values, and a distribution that fits it."""


class Parameter(StrictModel):
    """A parameter: `values`, one `value`, a range from `min` to `max`, or a normal or beta distribution. The keys are
    those of W&B sweeps."""

    model_config = ConfigDict(json_schema_extra=_WAYS_TO_VARY)

    values: tuple[Any, ...] | None = None
    """List of values to choose from."""
    probabilities: tuple[Annotated[float, Field(ge=0)], ...] | None = None
    """Probability of each of `values`. Without it, all are equal."""
    value: Any = None
    """Single value that every trial takes."""
    min: int | float | None = None
    """Smallest value of a range."""
    max: int | float | None = None
    """Largest value of a range, inclusive."""
    distribution: Distribution | None = None
    """Distribution of a range. Without it, `uniform`; integers where the field takes only these, and for arguments of a
    program if `min` and `max` are integers."""
    q: int | float | None = Field(default=None, gt=0)
    """Step of a distribution whose name begins with `q_`."""
    mu: int | float | None = None
    """Mean of `normal`; of the logarithm for `log_normal`."""
    sigma: int | float | None = Field(default=None, gt=0)
    """Standard deviation of `normal`; of the logarithm for `log_normal`."""
    a: int | float | None = Field(default=None, gt=0)
    """First exponent of `beta`."""
    b: int | float | None = Field(default=None, gt=0)
    """Second exponent of `beta`."""
    prior: Any = None
    """Your best guess of a good value. Methods `bayes` and `random` try it first and draw some later values near it,
    fewer if the results are no better there."""
    confidence: Confidence = "medium"
    """How near to `prior`, and how often, values are drawn: `low`, `medium` or `high`."""
    when: dict[str, Any] = Field(default_factory=dict)
    """Conditions: the parameter is active only where each of these other parameters has one of the listed values."""

    @model_validator(mode="before")
    @classmethod
    def _resolve_synonym(cls, content: Any) -> Any:
        if isinstance(content, Mapping) and isinstance(content.get("distribution"), str):
            return _without_synonym(content)
        return content

    @model_validator(mode="after")
    def _check(self) -> Self:
        is_continuous = self.distribution in (*_NORMALS, *_BETAS)
        is_range = self.min is not None or self.max is not None
        ways = [self.values is not None, "value" in self.model_fields_set, is_range, is_continuous]
        if self.distribution is not None and (wrong := [key for key in self._given if not self._takes(key)]):
            raise ValueError(
                f"distribution {self.distribution!r} does not fit the other keys: it takes no {' and no '.join(wrong)}"
            )
        if sum(ways) != 1:
            raise ValueError("give one of `values: [...]`, `value: ...`, or `min: ...` with `max: ...`")
        if lost := [key for key in self._given if self.distribution is None and key in ("mu", "sigma", "a", "b")]:
            raise ValueError(f"{' and '.join(lost)} need a distribution: {', '.join(_KEYS[lost[0]])}")
        if self.values is not None:
            self._check_values(self.values)
        elif self.probabilities is not None:
            raise ValueError("probabilities are those of `values: [...]`. List them")
        if "confidence" in self.model_fields_set and not self.has_prior:
            raise ValueError(f"confidence {self.confidence} is that of a prior. Write prior: VALUE too")
        if is_range:
            self._check_range()
        elif self.distribution in _WITH_STEP and self.q is None:
            raise ValueError(f"{self.distribution} needs a step q")
        return self

    @property
    def _given(self) -> list[str]:
        return [
            key for key in _KEYS if key in self.model_fields_set and (key == "value" or getattr(self, key) is not None)
        ]

    def _takes(self, key: str) -> bool:
        return self.distribution in _KEYS[key]

    def _check_values(self, values: tuple[Any, ...]) -> None:
        if not values:
            raise ValueError("values is empty. List at least one")
        if twice := repeated(values):
            raise ValueError(f"values lists {', '.join(twice)} twice")
        if self.probabilities is None:
            return
        if len(self.probabilities) != len(values):
            raise ValueError(f"{len(self.probabilities)} probabilities for {len(values)} values. Give one for each")
        if not math.isclose(total := sum(self.probabilities), 1, abs_tol=_TOTAL_TOLERANCE):
            raise ValueError(f"the probabilities add up to {total:g}, not to 1")

    def _check_range(self) -> None:
        if self.min is None or self.max is None:
            raise ValueError("a range needs both min and max")
        if self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        if self.distribution in _LOG_RANGES and self.min <= 0:
            raise ValueError(f"a logarithmic range needs min above 0, not {self.min}")
        if self.distribution in _WITH_STEP and self.q is None:
            raise ValueError(f"{self.distribution} needs a step q")

    def step_errors(self) -> list[str]:
        """Return the errors of the step q."""
        if not self.is_range:
            return [] if self.q is None else ["q needs a range from min to max. Leave q out"]
        errors = []
        if self.distribution == "int_uniform" and not (is_integral(self.min or 0) and is_integral(self.max or 0)):
            errors.append(f"int_uniform needs integers for min and max, not {self.min} and {self.max}")
        if self.q is not None and self.distribution not in (None, "int_uniform", *_WITH_STEP):
            errors.append(
                f"{self.distribution} has no step q. Leave q out, or write distribution: q_{self.distribution}"
            )
        elif self.q is not None and self.min is not None and self.max is not None:
            low, high = self.bounds
            if self.min < self.max and (low == high or low + self.q > high):
                errors.append(f"the step q {self.q} exceeds the range: only min {low} would be drawn")
        return errors

    @property
    def continuous(self) -> ContinuousDistribution | None:
        """The normal, log-normal or beta distribution, before it is rounded to multiples of q; None for another one."""
        if self.distribution in _BETAS:
            return ContinuousDistribution(family="beta", first=_or(self.a, 1), second=_or(self.b, 1))
        if self.distribution in _NORMALS:
            family: Literal["normal", "log_normal"] = "log_normal" if "log" in self.distribution else "normal"
            return ContinuousDistribution(family=family, first=_or(self.mu, 0), second=_or(self.sigma, 1))
        return None

    @property
    def is_rounded(self) -> bool:
        """Whether a draw is rounded to a multiple of q; a step of `q_uniform` counts from min instead."""
        return self.q is not None and self.distribution in _WITH_STEP and self.distribution != "q_uniform"

    @property
    def bounds(self) -> tuple[Any, Any]:
        """The smallest and the largest value of a range, for a normal distribution at its cut-off ends."""
        continuous = self.continuous
        ends = (self.min, self.max) if continuous is None else (continuous.value(0), continuous.value(1))
        if not self.is_rounded or self.q is None:
            return ends
        low, high = (multiple(end or 0, self.q) for end in ends)
        return low, high

    @property
    def conditions(self) -> dict[str, tuple[Any, ...]]:
        """Dotted path to allowed values of each condition. A file may give a single value without brackets."""
        return {
            path: tuple(allowed) if isinstance(allowed, list | tuple) else (allowed,)
            for path, allowed in self.when.items()
        }

    @property
    def is_range(self) -> bool:
        """Whether it takes any number of a range, and not only listed values."""
        return self.min is not None or self.distribution in (*_NORMALS, *_BETAS)

    @property
    def has_prior(self) -> bool:
        """Whether it has a prior, which may be the listed value null."""
        return "prior" in self.model_fields_set

    @property
    def choices(self) -> tuple[Any, ...]:
        """The listed values; empty for a range."""
        if self.values is not None:
            return self.values
        return () if self.is_range else (self.value,)


_TOTAL_TOLERANCE = 1e-6


def _or(number: float | None, default: float) -> float:
    return float(default if number is None else number)


def _without_synonym(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a parameter's content with the distribution, and the ends of its range, as they are stored.

    Raises:
        ValueError: a power of e is too large for a number.
    """
    name, ends = content["distribution"], (content.get("min"), content.get("max"))
    numbers = [end for end in ends if isinstance(end, int | float) and not isinstance(end, bool)]
    if name not in _SYNONYMS or (name in EXPONENTS and len(numbers) < 2):
        return dict(content)
    changed = {**content, "distribution": _SYNONYMS[name]}
    if name in EXPONENTS:
        low, high = numbers
        if name == "inv_log_uniform":
            low, high = -high, -low
        try:
            changed |= {"min": rounded(math.exp(low)), "max": rounded(math.exp(high))}
        except OverflowError:
            raise ValueError(
                f"{name} takes exponents of e, and e to the power of {max(low, high):g} is too large: for a range of "
                "values write distribution: log_uniform_values"
            ) from None
    return changed


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
