"""What is wrong with a search space, or with a point of it written by hand, in lines that name key, value and cure."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from cifar_core.common.errors import closest
from cifar_core.common.validation import explain
from sweeps.core.task import AnyTask, TaskConfig
from sweeps.files.parameter import Parameter, Scalar, identity_of, is_integral
from sweeps.files.settings import paths_of
from sweeps.files.yaml_file import flow_text

if TYPE_CHECKING:
    from sweeps.files.space import SearchSpace

MAX_SPLITS = 20

_LISTED = 20
"""Wrong values of one parameter that are named."""


class SpaceError(ValueError):
    """A space that makes no sense; lists every error."""

    def __init__(self, errors: list[str]) -> None:
        self.errors = errors
        super().__init__("\n".join(errors))


def shape_error(path: str, content: Any, *, task: AnyTask) -> str | None:
    """Return how a parameter should be written that is no mapping of a parameter's keys; None where it is one."""
    if isinstance(content, list | tuple):
        return f"is a list alone: write {path}: {flow_text({'values': list(content)})}"
    if content is None:
        return f"is empty: write {path}: {{values: [...]}} or {path}: {{min: ..., max: ...}}"
    if isinstance(content, Parameter):
        return None
    if not isinstance(content, Mapping):
        return f"is one value alone: write {path}: {flow_text({'value': content})}"
    if not content or content.keys() & Parameter.model_fields.keys():
        return None
    block = {"options": "model.options"}.get(path, path)
    field = task.config_type.model_fields.get(block)
    known = getattr(field.annotation if field else None, "model_fields", {})
    if block != "model.options" and not content.keys() & set(known):
        return None
    parts = (f"{block}.{name}: {flow_text(_as_parameter(each))}" for name, each in content.items())
    return f"parameters are dotted paths: write {'; '.join(parts)}"


def _as_parameter(content: Any) -> Any:
    if isinstance(content, Mapping):
        return content
    return {"values": content} if isinstance(content, list) else {"value": content}


def checked(space: SearchSpace, path: str) -> tuple[Parameter, list[str]]:
    """Return a parameter with each value as its field has it, and what is wrong with it.

    Args:
        space: whose parameters that this one depends on are checked already.
        path: of the parameter.
    """
    parameter = space.parameters[path]
    when, errors = _conditions(space, path)
    if errors:
        return parameter, errors
    surroundings = {other: allowed[0] for other, allowed in when.items()}
    cast: dict[str, Any] = {}
    configs: list[TaskConfig] = []
    for key, value in _written(parameter).items():
        try:
            config = space.config({**surroundings, path: value})
            field = value_at(config, path)
        except ValidationError as error:
            errors += [f"parameters.{path}.{key}: {_without_key(line, path)}" for line in explain(error)]
        except (TypeError, AttributeError, KeyError, ValueError):
            return parameter, [f"parameters.{path}: no such field of a training configuration"]
        else:
            cast[key] = field if isinstance(field, Scalar) and isinstance(value, Scalar) else value
            configs.append(config)
        if any("unknown key" in error for error in errors):
            if near := paths_of(path, task=space.task):
                return parameter, [f"parameters.{path}: no such field: did you mean {' or '.join(map(repr, near))}?"]
            return parameter, errors[:1]
        if len(errors) >= _LISTED:
            return parameter, [*errors, f"parameters.{path}: and more like these"]
    errors += [f"parameters.{path}: {error}" for error in parameter.step_errors()]
    if parameter.is_range:
        return _checked_range(space, path, errors)
    errors += _repeated(space, path, tuple(_written(parameter).values()), configs)
    values = {"value": cast["value"]} if "value" in cast else {"values": tuple(cast.values())}
    return parameter.model_copy(update=values | ({"when": when} if when else {})), errors


def _written(parameter: Parameter) -> dict[str, Any]:
    """Return the values that stand in a file, under their keys."""
    if parameter.is_range:
        return {"min": parameter.min, "max": parameter.max}
    if parameter.values is None:
        return {"value": parameter.value}
    return {f"values[{index}]": value for index, value in enumerate(parameter.values)}


def _checked_range(space: SearchSpace, path: str, errors: list[str]) -> tuple[Parameter, list[str]]:
    parameter = space.parameters[path]
    if errors or not space.is_integer(path):
        return parameter, errors
    if parameter.q is not None and not is_integral(parameter.q):
        return parameter, [
            f"parameters.{path}.q: {parameter.q} leads past whole numbers: write a whole step, such as 2"
        ]
    numbers = {"min": parameter.min, "max": parameter.max, "q": parameter.q}
    return parameter.model_copy(update={key: int(n) for key, n in numbers.items() if n is not None}), []


def _repeated(space: SearchSpace, path: str, values: Sequence[Any], configs: Sequence[TaskConfig]) -> list[str]:
    """Return which values are one for their field, as `'1000'` and 1000 of a number of images."""
    if len(values) != len(configs):
        return []
    same: dict[Hashable, list[Any]] = {}
    for value, config in zip(values, configs, strict=True):
        same.setdefault(_meaning(value_at(config, path)), []).append(value)
    return [
        f"parameters.{path}.values: {' and '.join(map(repr, group))} are one value for this field: leave one of them"
        for group in same.values()
        if len(group) > 1
    ]


def _meaning(field: Any) -> Hashable:
    if isinstance(field, BaseModel):
        return field.model_dump_json()
    if isinstance(field, Mapping):
        return json.dumps(field, sort_keys=True)
    return (isinstance(field, bool), field)


def _conditions(space: SearchSpace, path: str) -> tuple[dict[str, tuple[Any, ...]], list[str]]:
    """Return the conditions of a parameter, each value as its field has it, and what is wrong with them."""
    errors: list[str] = []
    when: dict[str, tuple[Any, ...]] = {}
    for other, allowed in space.parameters[path].conditions.items():
        if other not in space.parameters:
            hint = closest(other, space.parameters)
            errors.append(f"parameters.{path}.when: {other!r} is not a parameter of this sweep. {hint}")
            continue
        known = space.parameters[other].choices
        if not allowed:
            errors.append(f"parameters.{path}.when.{other}: lists no value, of {_shown(known)} give at least one")
        if not known:
            errors.append(f"parameters.{path}.when: {other!r} is a range, a condition needs `values`")
        when[other] = tuple(cast_value(space, other, value) for value in allowed)
        errors += [
            f"parameters.{path}.when.{other}: {value!r} is not among its values {_shown(known)}"
            for value in when[other]
            if known and value not in known
        ]
    return when, errors


def cast_value(space: SearchSpace, path: str, value: Any) -> Any:
    """Return a value as the field under a path has it; as it is where the field does not take it."""
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
        value = value[part] if isinstance(value, Mapping) else getattr(value, part)
    return value


def _without_key(line: str, path: str) -> str:
    """Return an error of a configuration without its key, where the parameter's own key says the same."""
    key, _, rest = line.partition(": ")
    return rest if rest and (key == path or path.startswith(f"{key}.")) else line


def grid_errors(space: SearchSpace) -> list[str]:
    """Return an error for each parameter that a grid cannot walk through."""
    return [
        f"parameters.{path}: a grid needs `values`, a range of integers, or q_uniform with a step q"
        for path in space.parameters
        if space.finite_values(path) is None
    ]


def split_errors(space: SearchSpace) -> list[str]:
    """Return an error for each parameter by which the images would be split in more ways than memory holds."""
    return [
        f"parameters.{path}: list at most {MAX_SPLITS} `values`, because each is another copy of the images"
        for path in space.task.part_fields
        if path in space.parameters and ((values := space.finite_values(path)) is None or len(values) > MAX_SPLITS)
    ]


def assignment_errors(space: SearchSpace, assignment: Mapping[str, Any]) -> list[str]:
    """Return what keeps an assignment written by hand from being a point of a space."""
    errors = []
    for path, value in assignment.items():
        if path not in space.parameters:
            errors.append(f"{path}: is not a parameter of this sweep. {closest(path, space.parameters)}")
            continue
        parameter = space.parameters[path]
        number = cast_value(space, path, value)
        if parameter.min is not None and parameter.max is not None:
            if not isinstance(number, int | float) or not parameter.min <= number <= parameter.max:
                errors.append(f"{path}: {value!r} is not between {parameter.min} and {parameter.max}")
            elif (near := space.nearest(path, number)) != number:
                errors.append(f"{path}: {value!r} is between two steps of its range: the nearest is {near}")
        elif identity_of(number) not in map(identity_of, parameter.choices):
            errors.append(f"{path}: {value!r} is not one of {_shown(parameter.choices)}")
        errors += _inactive(space, path, assignment)
    return errors


def _inactive(space: SearchSpace, path: str, assignment: Mapping[str, Any]) -> list[str]:
    """Return why a parameter of an assignment may not be active in it."""
    errors = []
    for other, allowed in space.parameters[path].conditions.items():
        possible = (assignment[other],) if other in assignment else space.parameters[other].choices
        if any(identity_of(cast_value(space, other, value)) not in map(identity_of, allowed) for value in possible):
            wanted = " or ".join(map(str, allowed))
            has = f"and here it is {assignment[other]}" if other in assignment else "which is not said here"
            errors.append(
                f"{path}: is active only where {other} is {wanted}, {has}: write {other}: {allowed[0]}, or leave "
                f"{path} out"
            )
    return errors


def _shown(values: Sequence[Any]) -> str:
    listed = ", ".join(map(repr, values[:_LISTED]))
    return f"[{listed}]" if len(values) <= _LISTED else f"[{listed}, … ({len(values):,} values)]"


def combination_errors(space: SearchSpace, assignment: Mapping[str, Any]) -> list[str]:
    """Return why the values of an assignment, each possible, are not possible together."""
    try:
        space.config(dict(assignment))
    except ValidationError as error:
        return explain(error)
    return []


def warnings(space: SearchSpace) -> list[str]:
    """Return what is allowed and yet probably not meant: fields that no kind uses, steps longer than a run."""
    found = []
    for path in space.parameters:
        block, _, field = path.partition(".")
        if field == "name" or block not in space.task.fields_of_kind:
            continue
        kinds = [str(kind) for kind in space.listed_values(f"{block}.name")]
        if not any(field.partition(".")[0] in space.task.used_fields(block, kind) for kind in kinds):
            users = [f"`{kind}`" for kind, fields in space.task.fields_of_kind[block].items() if field in fields]
            found.append(
                f"parameters.{path}: changes nothing, because {block}.name is never {' or '.join(users)} "
                f"(it is {', '.join(kinds)})"
            )
    epochs = space.max_value("epochs")
    for path in space.task.epoch_fields:
        block, _, field = path.partition(".")
        kinds = [kind for kind in space.listed_values(f"{block}.name") if field in space.task.used_fields(block, kind)]
        largest = space.max_value(path)
        if kinds and largest >= epochs:
            where = "parameters" if path in space.parameters else "base"
            found.append(f"{where}.{path}: {largest} with epochs {epochs}: the {kinds[0]} {block} never fires")
    return found + space.task.space_warnings(space)
