"""What is wrong with a search space, or with a point of it written by hand, in lines that name key, value and cure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from cifar_core.config import EPOCH_FIELDS, FIELDS_OF_KIND, fields_of_kind
from cifar_core.errors import closest
from cifar_core.validation import explain
from sweeps.spec.parameter import label

if TYPE_CHECKING:
    from sweeps.spec.space import SearchSpace

SPLIT_FIELDS = ("data.train_size", "data.validation_size", "data.split_seed")
"""What decides which images a trial sees."""

MAX_SPLITS = 20


class SpaceError(ValueError):
    """A space that makes no sense; lists every error."""

    def __init__(self, errors: list[str]) -> None:
        self.errors = errors
        super().__init__("\n".join(errors))


def parameter_errors(space: SearchSpace, path: str) -> list[str]:
    """Return what is wrong with one parameter: its conditions, or values that no configuration takes."""
    parameter = space.parameters[path]
    errors = _condition_errors(space, path)
    if errors:
        return errors
    surroundings = {other: allowed[0] for other, allowed in parameter.conditions.items()}
    if parameter.is_range:
        values = {"min": parameter.min, "max": parameter.max}
    elif parameter.values is None:
        values = {"value": parameter.value}
    else:
        values = {f"values[{index}]": value for index, value in enumerate(parameter.values)}
    for key, value in values.items():
        try:
            space.config({**surroundings, path: value})
        except ValidationError as error:
            lines = explain(error)
        except (TypeError, AttributeError):
            lines = [f"{path}: no such field of a training configuration"]
        else:
            continue
        errors += [f"parameters.{path}.{key}: {_without_key(line, path)}" for line in lines]
    if any("unknown key" in error for error in errors):
        return errors[:1]
    return errors


def _condition_errors(space: SearchSpace, path: str) -> list[str]:
    errors = []
    for other, allowed in space.parameters[path].conditions.items():
        if other not in space.parameters:
            hint = closest(other, space.parameters)
            errors.append(f"parameters.{path}.when: {other!r} is not a parameter of this sweep. {hint}")
            continue
        known = space.parameters[other].choices
        if not allowed:
            errors.append(f"parameters.{path}.when.{other}: lists no value, of {list(known)} give at least one")
        if not known:
            errors.append(f"parameters.{path}.when: {other!r} is a range, a condition needs `values`")
        errors += [
            f"parameters.{path}.when.{other}: {value!r} is not among its values {list(known)}"
            for value in allowed
            if known and value not in known
        ]
    return errors


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
        for path in SPLIT_FIELDS
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
        if parameter.min is not None and parameter.max is not None:
            if not isinstance(value, int | float) or not parameter.min <= value <= parameter.max:
                errors.append(f"{path}: {value!r} is not between {parameter.min} and {parameter.max}")
        elif label(value) not in [label(choice) for choice in parameter.choices]:
            errors.append(f"{path}: {value!r} is not one of {list(parameter.choices)}")
    return errors


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
        if field == "name" or block not in FIELDS_OF_KIND:
            continue
        kinds = [str(kind) for kind in space.listed_values(f"{block}.name")]
        if not any(field.partition(".")[0] in fields_of_kind(block, kind) for kind in kinds):
            users = [f"`{kind}`" for kind, fields in FIELDS_OF_KIND[block].items() if field in fields]
            found.append(
                f"parameters.{path}: changes nothing, because {block}.name is never {' or '.join(users)} "
                f"(it is {', '.join(kinds)})"
            )
    epochs = space.max_value("epochs")
    for path in EPOCH_FIELDS:
        block, _, field = path.partition(".")
        kinds = [kind for kind in space.listed_values(f"{block}.name") if field in fields_of_kind(block, kind)]
        largest = space.max_value(path)
        if kinds and largest >= epochs:
            where = "parameters" if path in space.parameters else "base"
            found.append(f"{where}.{path}: {largest} with epochs {epochs}: the {kinds[0]} {block} never fires")
    return found
