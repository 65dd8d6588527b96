"""Errors and warnings of a search space and of assignments in `start_with`, each with key, value and remedy."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from cifar_core.common.errors import closest
from cifar_core.common.validation import explain
from sweeps.core.errors import SweepError
from sweeps.core.task import AnyTask, TaskConfig
from sweeps.files.distributions import value_at_share
from sweeps.files.parameter import Parameter, Scalar, identity_of, is_integral
from sweeps.files.settings import paths_of
from sweeps.files.yaml_file import flow_text

if TYPE_CHECKING:
    from sweeps.files.space import SearchSpace

MAX_SPLITS = 20

_LISTED = 20
"""Largest number of reported errors of one parameter, and of listed values in an error."""


class SpaceError(ValueError):
    """An invalid search space; lists every error."""

    def __init__(self, errors: list[str]) -> None:
        self.errors = errors
        super().__init__("\n".join(errors))


def shape_error(path: str, content: Any, *, task: AnyTask) -> str | None:
    """Return an error with the correct notation for a parameter that is not a mapping with the keys of `Parameter`."""
    if path in task.constant_fields:
        return f"must be the same for all trials: write it in base, as base.{path}"
    if isinstance(content, list | tuple):
        return f"must be a mapping, not a list. Write {path}: {flow_text({'values': list(content)})}"
    if content is None:
        return f"is empty. Write {path}: {{values: [...]}} or {path}: {{min: ..., max: ...}}"
    if isinstance(content, Parameter):
        return None
    if not isinstance(content, Mapping):
        return f"must be a mapping, not a single value. Write {path}: {flow_text({'value': content})}"
    if not content or content.keys() & Parameter.model_fields.keys():
        return None
    block = {"options": "model.options"}.get(path, path)
    field = task.config_type.model_fields.get(block)
    known = getattr(field.annotation if field else None, "model_fields", {})
    if block != "model.options" and not content.keys() & set(known):
        return None
    parts = (f"{block}.{name}: {flow_text(_as_parameter(each))}" for name, each in content.items())
    return f"parameters must be dotted paths. Write {'; '.join(parts)}"


def _as_parameter(content: Any) -> Any:
    if isinstance(content, Mapping):
        return content
    return {"values": content} if isinstance(content, list) else {"value": content}


def checked(space: SearchSpace, path: str) -> tuple[Parameter, list[str]]:
    """Return a parameter with its values converted to the type of its field, and its errors.

    Args:
        space: the space; parameters that this one depends on were checked before.
        path: of the parameter.
    """
    parameter = space.parameters[path]
    when, errors = _conditions(space, path)
    if errors:
        return parameter, errors
    surroundings = {other: allowed[0] for other, allowed in when.items()}
    cast: dict[str, Any] = {}
    configs: list[TaskConfig] = []
    written = _written(parameter) or {"distribution": _typical_value(space, path, surroundings)}
    for key, value in written.items():
        try:
            config = space.config({**surroundings, path: value})
            field = value_at(config, path)
        except ValidationError as error:
            errors += [f"parameters.{path}.{key}: {_without_key(line, path)}" for line in explain(error)]
        except (TypeError, AttributeError, KeyError, ValueError):
            return parameter, [f"parameters.{path}: a training configuration has no such field"]
        else:
            cast[key] = field if isinstance(field, Scalar) and isinstance(value, Scalar) else value
            configs.append(config)
        if any("unknown key" in error for error in errors):
            if near := paths_of(path, task=space.task):
                return parameter, [f"parameters.{path}: unknown field, did you mean {' or '.join(map(repr, near))}?"]
            return parameter, [f"parameters.{path}: {errors[0].partition(': ')[2]}"]
        if len(errors) >= _LISTED:
            return parameter, [*errors, f"parameters.{path}: further errors are not listed"]
    errors += [f"parameters.{path}: {error}" for error in parameter.step_errors()]
    if parameter.is_range:
        return _checked_range(space, path, errors)
    errors += _repeated(space, path, tuple(written.values()), configs)
    values = {"value": cast["value"]} if "value" in cast else {"values": tuple(cast.values())}
    return parameter.model_copy(update=values | ({"when": when} if when else {})), errors


def _written(parameter: Parameter) -> dict[str, Any]:
    """Return the values in the file by their keys; none if a draw is another number than the file has."""
    if parameter.continuous is not None or parameter.is_rounded:
        return {}
    if parameter.is_range:
        return {"min": parameter.min, "max": parameter.max}
    if parameter.values is None:
        return {"value": parameter.value}
    return {f"values[{index}]": value for index, value in enumerate(parameter.values)}


_SHARES = (0.5, *(percent / 100 for percent in range(1, 100)))
"""Shares of all draws, the median first."""


def _draws(space: SearchSpace, path: str) -> list[int | float]:
    """Return draws of a continuous or rounded distribution, the median first."""
    parameter = space.parameters[path]
    try:
        is_integer = space.is_integer(path)
    except (TypeError, AttributeError, KeyError, ValueError):
        is_integer = False  # an unknown field, which is reported later
    numbers = [value_at_share(parameter, share) for share in _SHARES]
    return [round(number) for number in numbers] if is_integer else numbers


def _typical_value(space: SearchSpace, path: str, surroundings: Mapping[str, Any]) -> int | float:
    """Return a valid draw of such a distribution, or the median if all are invalid."""
    draws = _draws(space, path)
    valid = (draw for draw in draws if _is_valid(space, {**surroundings, path: draw}))
    return next(valid, draws[0])


def _is_valid(space: SearchSpace, assignment: Mapping[str, Any]) -> bool:
    try:
        return space.allows(dict(assignment))
    except (TypeError, AttributeError, KeyError, ValueError):
        return False


def _checked_range(space: SearchSpace, path: str, errors: list[str]) -> tuple[Parameter, list[str]]:
    parameter = space.parameters[path]
    if errors or not space.is_integer(path):
        return parameter, errors
    if parameter.q is not None and not is_integral(parameter.q):
        return parameter, [
            f"parameters.{path}.q: {parameter.q} is not an integer, as the range needs. Write an integer, such as 2"
        ]
    if parameter.continuous is not None and not parameter.is_rounded:
        return parameter.model_copy(update={"distribution": f"q_{parameter.distribution}", "q": 1}), []
    ends = {} if parameter.is_rounded else {"min": parameter.min, "max": parameter.max}
    numbers = {**ends, "q": parameter.q}
    return parameter.model_copy(update={key: int(n) for key, n in numbers.items() if n is not None}), []


def _repeated(space: SearchSpace, path: str, values: Sequence[Any], configs: Sequence[TaskConfig]) -> list[str]:
    """Return an error for each group of values that are equal for their field, such as `'1000'` and 1000 images."""
    if len(values) != len(configs):
        return []
    same: dict[Hashable, list[Any]] = {}
    for value, config in zip(values, configs, strict=True):
        same.setdefault(_meaning(value_at(config, path)), []).append(value)
    return [
        f"parameters.{path}.values: {' and '.join(map(repr, group))} are equal for this field. Keep one of them"
        for group in same.values()
        if len(group) > 1
    ]


def _meaning(field: Any) -> Hashable:
    if isinstance(field, BaseModel):
        return field.model_dump_json()
    if isinstance(field, Mapping | list):
        return json.dumps(field, sort_keys=True)
    return (isinstance(field, bool), field)


def _conditions(space: SearchSpace, path: str) -> tuple[dict[str, tuple[Any, ...]], list[str]]:
    """Return the conditions of a parameter with converted values, and their errors."""
    errors: list[str] = []
    when: dict[str, tuple[Any, ...]] = {}
    for other, allowed in space.parameters[path].conditions.items():
        if other not in space.parameters:
            hint = closest(other, space.parameters)
            errors.append(f"parameters.{path}.when: {other!r} is not a parameter of this sweep: {hint}")
            continue
        known = space.parameters[other].choices
        if not allowed:
            errors.append(f"parameters.{path}.when.{other}: the list is empty. Give at least one of {_shown(known)}")
        if not known:
            errors.append(f"parameters.{path}.when: {other!r} is a range. A condition needs a parameter with `values`")
        when[other] = tuple(cast_value(space, other, value) for value in allowed)
        errors += [
            f"parameters.{path}.when.{other}: {value!r} is not among its values {_shown(known)}"
            for value in when[other]
            if known and value not in known
        ]
    return when, errors


def cast_value(space: SearchSpace, path: str, value: Any) -> Any:
    """Return a value converted to the type of the field under a path; unchanged if it is invalid for the field."""
    surroundings = {other: allowed[0] for other, allowed in space.parameters[path].conditions.items()}
    try:
        field = value_at(space.config({**surroundings, path: value}), path)
    except (ValidationError, TypeError, AttributeError, KeyError, ValueError):
        return value
    return field if isinstance(field, Scalar) and isinstance(value, Scalar) else value


def value_at(config: TaskConfig, path: str) -> Any:
    """Return the value under a dotted path."""
    value: Any = config
    for part in path.split("."):
        extra = getattr(value, "__pydantic_extra__", None) or {}  # first: its names may be those of methods
        value = value[part] if isinstance(value, Mapping) else extra[part] if part in extra else getattr(value, part)
    return value


def _without_key(line: str, path: str) -> str:
    """Return an error of a configuration without its key if that is the key of the parameter."""
    key, _, rest = line.partition(": ")
    return rest if rest and (key == path or path.startswith(f"{key}.")) else line


def grid_errors(space: SearchSpace) -> list[str]:
    """Return an error for each parameter with infinitely many values."""
    return [
        f"parameters.{path}: a grid needs `values`, a range of integers, or q_uniform with a step q"
        for path in space.parameters
        if space.finite_values(path) is None
    ]


def split_errors(space: SearchSpace) -> list[str]:
    """Return an error for each data parameter with more values than copies of the images fit into memory."""
    return [
        f"parameters.{path}: list at most {MAX_SPLITS} `values`, because each needs a copy of the images"
        for path in space.task.part_fields
        if path in space.parameters and ((values := space.finite_values(path)) is None or len(values) > MAX_SPLITS)
    ]


def assignment_errors(space: SearchSpace, assignment: Mapping[str, Any]) -> list[str]:
    """Return the errors of an assignment in `start_with`."""
    errors = []
    for path, value in assignment.items():
        if path not in space.parameters:
            errors.append(f"{path}: is not a parameter of this sweep: {closest(path, space.parameters)}")
            continue
        errors += [f"{path}: {error}" for error in value_errors(space, path, value)]
        errors += _inactive(space, path, assignment)
    return errors


def value_errors(space: SearchSpace, path: str, value: Any) -> list[str]:
    """Return the errors of a value that a parameter cannot take."""
    parameter = space.parameters[path]
    number = cast_value(space, path, value)
    if not parameter.is_range:
        is_listed = identity_of(number) in map(identity_of, parameter.choices)
        return [] if is_listed else [f"{value!r} is not one of {_shown(parameter.choices)}"]
    low, high = parameter.bounds
    if isinstance(number, bool) or not isinstance(number, int | float) or not low <= number <= high:
        return [f"{value!r} is not between {low} and {high}"]
    near = space.nearest(path, number)
    return [] if near == number else [f"{value!r} is not on a step of its range. The nearest value is {near}"]


def _inactive(space: SearchSpace, path: str, assignment: Mapping[str, Any]) -> list[str]:
    """Return an error for each condition under which a parameter of an assignment is inactive."""
    errors = []
    for other, allowed in space.parameters[path].conditions.items():
        possible = (assignment[other],) if other in assignment else space.parameters[other].choices
        if any(identity_of(cast_value(space, other, value)) not in map(identity_of, allowed) for value in possible):
            required = " or ".join(map(str, allowed))
            actual = f"and here it is {assignment[other]}" if other in assignment else "which is not given here"
            errors.append(
                f"{path}: is active only if {other} is {required}, {actual}. Write {other}: {allowed[0]}, or leave "
                f"{path} out"
            )
    return errors


def _shown(values: Sequence[Any]) -> str:
    listed = ", ".join(map(repr, values[:_LISTED]))
    return f"[{listed}]" if len(values) <= _LISTED else f"[{listed}, … ({len(values):,} values)]"


def combination_errors(space: SearchSpace, assignment: Mapping[str, Any]) -> list[str]:
    """Return the errors of a combination of valid values."""
    try:
        space.config(dict(assignment))
    except ValidationError as error:
        return explain(error)
    return []


def refusal_errors(space: SearchSpace, assignment: Mapping[str, Any]) -> list[str]:
    """Return the conditions of `where` that a valid combination violates whatever its other parameters are."""
    unset = space.unset(dict(assignment))
    conditions = space.conditions
    try:
        refused = conditions.refusals(space.config(dict(assignment)))
    except SweepError as error:
        return [str(error)]
    return [
        f"violates {key}, {conditions.known[key].text!r}. Change the entry or the condition"
        for key in refused
        if not conditions.undecided(key, unset)
    ]


def warnings(space: SearchSpace) -> list[str]:
    """Return warnings about probable mistakes: fields that no kind uses, steps longer than a run."""
    found = []
    for path in space.parameters:
        block, _, field = path.partition(".")
        if field == "name" or block not in space.task.fields_of_kind:
            continue
        kinds = [str(kind) for kind in space.listed_values(f"{block}.name")]
        if not any(field.partition(".")[0] in space.task.used_fields(block, kind) for kind in kinds):
            users = [f"`{kind}`" for kind, fields in space.task.fields_of_kind[block].items() if field in fields]
            found.append(
                f"parameters.{path}: has no effect, because {block}.name is never {' or '.join(users)} "
                f"(it is {', '.join(kinds)})"
            )
    found += _rarely_possible(space)
    epochs = space.max_value("epochs")
    for path in space.task.epoch_fields:
        block, _, field = path.partition(".")
        kinds = [kind for kind in space.listed_values(f"{block}.name") if field in space.task.used_fields(block, kind)]
        largest = space.max_value(path)
        if kinds and largest >= epochs:
            where = "parameters" if path in space.parameters else "base"
            found.append(f"{where}.{path}: {largest} with epochs {epochs}: the {kinds[0]} {block} never takes effect")
    return found + space.task.space_warnings(space)


def _rarely_possible(space: SearchSpace) -> list[str]:
    """Return a warning for each parameter of which some draws are invalid, and for each value that is never drawn."""
    found = []
    for path, parameter in space.parameters.items():
        never = [v for v, p in zip(parameter.choices, parameter.probabilities or (), strict=False) if not p]
        if never:
            found.append(f"parameters.{path}.probabilities: {_shown(never)} has probability 0 and is never drawn")
        if parameter.continuous is None and not parameter.is_rounded:
            continue
        surroundings = {other: allowed[0] for other, allowed in parameter.conditions.items()}
        draws = _draws(space, path)[1:]
        invalid = [draw for draw in draws if not _is_valid(space, {**surroundings, path: draw})]
        if invalid:
            found.append(
                f"parameters.{path}: about {100 * len(invalid) / len(draws):.0f} % of the draws are invalid, such as "
                f"{invalid[0]:g}. They are drawn again"
            )
    return found
