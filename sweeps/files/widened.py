"""Whether the search space of a changed file contains the former one, so that a begun sweep can be continued in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sweeps.files.definition import canonical_definition, space_of
from sweeps.files.parameter import Parameter, identity_of
from sweeps.files.space import SearchSpace
from sweeps.files.space_check import value_at, value_errors

_BASE, _PARAMETERS = "base.", "parameters."


def not_wider(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the changed keys of a definition that do not widen its space; empty if the new space contains the former.

    A space is widened by further values, a longer range on the same scale and steps, fewer conditions, and further
    parameters that can take the value that the base had.

    Args:
        before: Stored definition of a search.
        after: Definition of the changed file.
    """
    old, new = space_of(before), space_of(after)
    if old is None or new is None:
        return sorted(before.keys() ^ after.keys()) or ["parameters"]
    was, now = canonical_definition(before), canonical_definition(after)
    changed = [key for key in sorted(was.keys() | now.keys()) if was.get(key) != now.get(key)]
    written = [key for key in changed if key in before or key in after]
    return [key for key in written or changed if not _is_wider(key, old, new)]


def _is_wider(key: str, old: SearchSpace, new: SearchSpace) -> bool:
    path = key.removeprefix(_BASE).removeprefix(_PARAMETERS)
    if key.startswith(_BASE):
        return path in new.parameters and path not in old.parameters
    if not key.startswith(_PARAMETERS) or path not in new.parameters:
        return False
    if path in old.parameters:
        return _contains(path, old, new)
    try:
        shared = value_at(old.task.config_type.model_validate(old.base), path)
    except (AttributeError, KeyError, ValueError):  # a field that the former trials did not have
        return False
    return not value_errors(new, path, shared)


def _contains(path: str, old: SearchSpace, new: SearchSpace) -> bool:
    """Return whether a parameter of the new space takes every value that it took, wherever it was active."""
    before, after = old.parameters[path], new.parameters[path]
    if not _are_looser(before, after):
        return False
    if not before.is_range:
        if not after.is_range and (before.probabilities is None) != (after.probabilities is None):
            return False
        return not any(value_errors(new, path, value) for value in before.choices)
    if not after.is_range or (before.distribution, before.q) != (after.distribution, after.q):
        return False
    if old.is_integer(path) != new.is_integer(path) or before.continuous != after.continuous:
        return False
    return before.continuous is not None or not any(value_errors(new, path, end) for end in before.bounds)


def _are_looser(before: Parameter, after: Parameter) -> bool:
    """Return whether the conditions of a parameter allow all that they allowed."""
    return all(
        other in before.conditions and set(map(identity_of, before.conditions[other])) <= set(map(identity_of, allowed))
        for other, allowed in after.conditions.items()
    )
