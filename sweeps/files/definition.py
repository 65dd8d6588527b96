"""The definition of a search that its study stores: space, base and metric as flat JSON values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from sweeps.core.task import TaskConfig
from sweeps.files.distributions import is_converted
from sweeps.files.parameter import Parameter, identity_of, label
from sweeps.files.space import SearchSpace
from sweeps.files.space_check import SpaceError
from sweeps.files.yaml_file import flatten, set_path
from sweeps.tasks.registry import task_named

_BASE, _PARAMETERS = "base.", "parameters."
WHERE = "where"
"""Key of the conditions. A definition without conditions has none, so that it equals that of an earlier version."""


def space_of(definition: Mapping[str, Any]) -> SearchSpace | None:
    """Return the search space of a stored definition; None if it has none, as the definition of a ladder."""
    base: dict[str, Any] = {}
    try:
        for path, value in _below(definition, _BASE).items():
            set_path(base, path, value)
        parameters = {path: Parameter.model_validate(each) for path, each in _below(definition, _PARAMETERS).items()}
        space = SearchSpace(
            parameters=parameters, base=base, task=task_named(base.get("train")), where=definition.get(WHERE, ())
        )
        return space if parameters and space.allows({}) else None
    except (SpaceError, ValidationError):
        return None


def canonical_definition(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return a definition with typed values and all defaults, equal for files that search the same.

    For example, 0 and 0.0 of a weight decay are equal, and so are an explicit default and a missing key.
    """
    space = space_of(definition)
    if space is None:
        return dict(definition)
    others = {key: value for key, value in definition.items() if not key.startswith((_BASE, _PARAMETERS))}
    parameters = {f"{_PARAMETERS}{path}": _canonical(each, space, path) for path, each in space.parameters.items()}
    config = space.config({})
    base = config.resolved()
    dumped = config.model_dump(mode="json")
    # If the block's name is searched, fields of every kind may matter.
    base |= {block: dumped[block] for block in space.task.fields_of_kind if f"{block}.name" in space.parameters}
    flat = {f"{_BASE}{path}": value for path, value in flatten(base).items() if value is not None and value != {}}
    result: dict[str, Any] = json.loads(json.dumps({**parameters, **flat, **others}))
    return result


def definition_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the differences between two definitions, one line each; empty if both search the same."""
    was, now = canonical_definition(before), canonical_definition(after)
    changed = sorted(key for key in was.keys() | now.keys() if was.get(key) != now.get(key))
    # Values that follow from others, such as the defaults of another network, are in no file.
    written = [key for key in changed if key in before or key in after]
    return [_change(key, was.get(key), now.get(key), before.get(key), after.get(key)) for key in written or changed]


def _change(key: str, was: Any, now: Any, before: Any, after: Any) -> str:
    if isinstance(was, dict) and isinstance(now, dict) and was.get("when") == now.get("when"):
        if "values" in was and "values" in now:
            return f"{key}: {_list_change(was['values'], now['values'])}"
        if "min" in was and "min" in now and {**was, "min": 0, "max": 0} == {**now, "min": 0, "max": 0}:
            return f"{key}: was {was['min']} to {was['max']}, is {now['min']} to {now['max']}"
    if isinstance(was, dict) or isinstance(now, dict):
        was, now = before, after
    return f"{key}: was {json.dumps(was)}, is {json.dumps(now)}"


def _list_change(was: list[Any], now: list[Any]) -> str:
    before, after = set(map(identity_of, was)), set(map(identity_of, now))
    parts = [
        f"{json.dumps([value for value in values if identity_of(value) not in known])[1:-1]} {what}"
        for values, known, what in ((now, before, "added"), (was, after, "removed"))
        if any(identity_of(value) not in known for value in values)
    ]
    return " and ".join(parts) or f"the order has changed: was {json.dumps(was)}, is {json.dumps(now)}"


def _canonical(parameter: Parameter, space: SearchSpace, path: str) -> dict[str, Any]:
    when = {
        other: sorted(map(label, allowed), key=lambda value: json.dumps(value))
        for other, allowed in parameter.conditions.items()
    }
    if not parameter.is_range:
        values = {"values": [label(value) for value in parameter.choices]}
        weights = {} if parameter.probabilities is None else {"probabilities": list(parameter.probabilities)}
        return {**values, **weights, "when": when}
    if is_converted(parameter):
        return {**_range_of_converted(parameter), "when": when}
    number = int if space.is_integer(path) else float
    assert parameter.min is not None
    assert parameter.max is not None
    step = number(parameter.q) if parameter.q else None
    return {
        "min": number(parameter.min),
        "max": number(parameter.max),
        "log": parameter.distribution == "log_uniform_values",
        "step": None if number is int and step == 1 else step,
        "when": when,
    }


def _range_of_converted(parameter: Parameter) -> dict[str, Any]:
    continuous = parameter.continuous
    ends = (parameter.min, parameter.max) if continuous is None else (continuous.first, continuous.second)
    q = parameter.q if parameter.is_rounded else None
    return {"distribution": parameter.distribution, "numbers": [float(end or 0) for end in ends], "step": q}


def _below(definition: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {key.removeprefix(prefix): value for key, value in definition.items() if key.startswith(prefix)}


def contains_point(space: SearchSpace, config: TaskConfig) -> bool:
    """Return whether a space contains a configuration."""
    assignment = space.point_of(config)
    return assignment is not None and space.satisfies(assignment) and space.config(assignment).is_same_run(config)
