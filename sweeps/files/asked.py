"""Values that are typed for a search: `lr=0.05 model=resnet`, checked against its space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from cifar_core.common.errors import closest
from cifar_core.common.validation import explain
from sweeps.core.errors import SweepError
from sweeps.core.formatting import short_names
from sweeps.core.steering import LIMITS
from sweeps.core.task import TaskConfig
from sweeps.files.parameter import Assignment
from sweeps.files.settings import Limits, parse_duration
from sweeps.files.space import SearchSpace
from sweeps.files.space_check import assignment_errors, combination_errors, refusal_errors
from sweeps.files.yaml_file import parse_override


def typed_values(settings: Sequence[str], *, example: str) -> dict[str, Any]:
    """Return name to value of `NAME=VALUE`, the values in YAML.

    Args:
        settings: as typed.
        example: a valid setting, for errors.

    Raises:
        SweepError: one is invalid, or a name occurs twice.
    """
    found: dict[str, Any] = {}
    for setting in settings:
        name, equals, _ = setting.partition("=")
        if not equals or not name.strip():
            raise SweepError(f"{setting!r} is invalid. Write NAME=VALUE, such as {example}")
        name, value = parse_override(setting)
        if name in found:
            raise SweepError(f"{name} is given twice: {found[name]} and {value}. Give it once")
        found[name] = value
    return found


def named_parameters(values: Mapping[str, Any], space: SearchSpace) -> Assignment:
    """Return values by the full names of their parameters: `optimizer.lr` for `lr`.

    Raises:
        SweepError: a name is unknown or ambiguous, or two names are of one parameter.
    """
    paths = list(space.parameters)
    found: Assignment = {}
    for name, value in values.items():
        short = zip(short_names(paths), paths, strict=True)
        matches = [name] if name in paths else [path for known, path in short if known == name]
        matches = matches or [path for path in paths if path.endswith(f".{name}")]
        if len(matches) > 1:
            raise SweepError(f"{name} is ambiguous: {' or '.join(matches)}. Name one of them")
        if not matches:
            raise SweepError(f"{name} is not a parameter of this sweep: {closest(name, paths)}")
        if matches[0] in found:
            raise SweepError(f"{matches[0]} is given twice. Give it once")
        found[matches[0]] = value
    return found


@dataclass(frozen=True, kw_only=True)
class AskedPoint:
    """A point of a space to try."""

    values: Assignment
    """The values to try: those that were named, and those that were taken from another configuration."""
    taken: Assignment
    """Those that were taken from the other configuration."""
    config: TaskConfig | None
    """The configuration; None if the sampler proposes some of its values."""


def asked_point(named: Assignment, space: SearchSpace, *, rest: TaskConfig | None, of: str = "") -> AskedPoint:
    """Return the point with the named values, and the others of a configuration where they are active.

    Args:
        named: full name of a parameter to value.
        space: the space.
        rest: configuration with the other values; None leaves them to the sampler.
        of: name of the run with this configuration, for errors.

    Raises:
        SweepError: a value is not in the space, is inactive, or their combination is not allowed.
    """
    errors = assignment_errors(space, named)
    if errors:
        errors = assignment_errors(space, {**_point_of(rest, space), **named})
        errors = [error for error in errors if error.partition(": ")[0] in named]
    if errors:
        raise SweepError("; ".join(errors))
    values: Assignment = space.typed(named)
    like, taken = _point_of(rest, space), {}
    for path in space.parameters:
        if path not in values and path in like and space.is_active(path, values):
            values[path] = taken[path] = like[path]
    inactive = [path for path in named if not space.is_active(path, values)]
    if inactive:
        errors = assignment_errors(space, values)
        raise SweepError("; ".join(errors) or f"{inactive[0]} is inactive under the other values")
    errors = combination_errors(space, values) or refusal_errors(space, values)
    if errors:
        also = f" (the other values are those of {of}: name more of them, or use --rest sampler)" if taken else ""
        raise SweepError("; ".join(errors) + also)
    return AskedPoint(values=values, taken=taken, config=None if space.unset(values) else space.config(values))


def _point_of(config: TaskConfig | None, space: SearchSpace) -> Assignment:
    return {} if config is None else space.point_of(config) or {}


def asked_limits(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return limits as they are stored: times in seconds, None for no limit.

    Raises:
        SweepError: a name or a value is invalid.
    """
    found: dict[str, Any] = {}
    for written, value in values.items():
        name = written.removeprefix("limits.")
        if name not in LIMITS:
            raise SweepError(f"{written} cannot be set while a sweep runs: {closest(name, LIMITS)}")
        found[name] = None if value in (None, "none") else value
        if name in ("run_cap", "budget"):
            found[name] = _positive(name, value)
    of_block = {name: found[name] for name in ("max_concurrent_trials", "timeout") if name in found}
    try:
        checked = Limits.model_validate(of_block)
    except ValidationError as error:
        raise SweepError("; ".join(explain(error))) from None
    return found | {name: getattr(checked, name) for name in of_block}


def _positive(name: str, value: Any) -> int | float:
    """Return a number of trials, or the seconds of a budget."""
    try:
        number = parse_duration(value) if name == "budget" else value
    except ValueError as error:
        raise SweepError(f"{name}: {error}") from None
    kinds = int | float if name == "budget" else int
    if isinstance(number, bool) or not isinstance(number, kinds) or number <= 0:
        needed = "a duration such as 40m" if name == "budget" else "a number of trials, at least 1"
        raise SweepError(f"{name}: {value!r} is not {needed}")
    return number
