"""Read a YAML file of experiments and apply `--set path=value` to it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from cifar_core.config import RESET_BY_NAME
from sweeps.errors import SpecError

_RESETTING_KEYS = tuple(f"{block}.name" for block in RESET_BY_NAME)


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML lets a key stand twice and keeps the last one: a silent loss of a parameter."""


def _construct_unique(loader: _UniqueKeyLoader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    loader.flatten_mapping(node)
    seen: dict[Hashable, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            raise yaml.constructor.ConstructorError(
                problem=f"the key {key!r} stands twice", problem_mark=key_node.start_mark
            )
        seen[key] = loader.construct_object(value_node, deep=True)
    return seen


_UniqueKeyLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct_unique)


def read_yaml(path: Path, *, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Return a file's mapping with the overrides applied.

    Raises:
        SpecError: the file is missing, is not YAML, is not a mapping, or an override is not `path=value`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = sorted(str(p) for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        hint = f"; there are {', '.join(near)}" if near else ""
        raise SpecError(path, [f"no such file{hint}"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(path, [f"cannot be read as text: {error}"]) from None
    content = _parse(text, path)
    if not isinstance(content, dict):
        raise SpecError(path, [f"holds {type(content).__name__}, not keys with values such as `name: quick`"])
    for override in overrides:
        key, value = parse_override(override)
        set_path(content, key, value)
    return content


def _parse(text: str, path: Path) -> Any:
    try:
        return yaml.load(text, Loader=_UniqueKeyLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise SpecError(path, [f"{place}not YAML: {error.problem}"]) from None
    except yaml.YAMLError as error:
        raise SpecError(path, [f"not YAML: {error}"]) from None


def parse_override(override: str) -> tuple[str, Any]:
    """Return the path and the value of `path=value`.

    Raises:
        SpecError: it is not one, or its value is not YAML.
    """
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise SpecError("--set", [f"{override!r} is not path=value, such as base.epochs=3"])
    return key.strip(), _parse(text, Path(f"--set {key}"))


def set_path(tree: dict[str, Any], path: str, value: Any) -> None:
    """Set a dotted path in a nested mapping; another model or schedule name resets its block.

    Under `parameters` the rest of the path is one key, because parameters are dotted paths themselves.
    """
    if path.startswith("parameters."):
        parameters = tree.get("parameters")
        tree["parameters"] = {
            **(parameters if isinstance(parameters, dict) else {}), path.removeprefix("parameters."): value
        }  # fmt: skip
        return
    *parents, last = path.split(".")
    block = tree
    for parent in parents:
        child = block.get(parent)
        if not isinstance(child, dict):
            child = {}
            block[parent] = child
        block = child
    if path.endswith(_RESETTING_KEYS) and block.get(last) != value:
        block.clear()
    block[last] = value


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested `base` with nested `changes` over it; another model or schedule name resets its block."""
    result = deepcopy(dict(base))
    for path, value in flatten(changes).items():
        set_path(result, path, deepcopy(value))
    return result


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested mapping as dotted paths; `name` comes first in its block, since it resets the others."""
    flat: dict[str, Any] = {}
    for key, value in sorted(tree.items(), key=lambda item: item[0] != "name"):
        if isinstance(value, Mapping) and value and f"{prefix}{key}" != "model.options":
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
