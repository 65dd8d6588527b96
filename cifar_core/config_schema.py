"""The JSON Schema of a training configuration: what `TrainingConfig` refuses, as far as a schema can say it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cifar_core.config import FIELDS_OF_KIND, TrainingConfig
from cifar_core.json_schema import Schema, record_schema
from cifar_core.models.registry import ARCHITECTURES
from cifar_core.recipes import OPERATIONS, RECIPES, AugmentationOp

OWN_NETWORK = ":"
"""What the name of a network of one's own holds, and no other."""


_WITHIN: Mapping[str, Schema] = {"scale": {"minimum": 0, "maximum": 1}, "ratio": {"exclusiveMinimum": 0}}
"""What both bounds of a range of `erase` keep to."""


def config_schema() -> Schema:
    """Return the schema of a whole configuration, such as a sweep's `base`."""
    schema = changes_schema()
    own = {"required": ["name"], "properties": {"name": {"pattern": OWN_NETWORK}}}
    # Options belong to a network of one's own.
    schema["properties"]["model"] |= {"if": own, "else": {"properties": {"options": {"maxProperties": 0}}}}
    return schema


def changes_schema() -> Schema:
    """Return the schema of what changes another configuration, such as a rung: each field alone is looked at."""
    schema = record_schema(TrainingConfig)
    blocks = schema["properties"]
    model, data = blocks["model"]["properties"], blocks["data"]["properties"]
    model["name"] = {
        "description": model["name"]["description"],
        "default": model["name"]["default"],
        "anyOf": [
            {"enum": list(ARCHITECTURES)},
            {"type": "string", "pattern": OWN_NETWORK, "description": "A network of your own: `module:Class`."},
        ],
    }
    units = {"type": "integer", "minimum": 1}
    model["head"]["anyOf"] = [{"type": "array", "items": units}, {"type": "null"}]
    plan = {"type": "array", "items": {"anyOf": [units, {"enum": ["M"]}]}, "contains": units}
    model["plan"]["anyOf"] = [plan, {"type": "null"}]
    data["augmentation"] = _augmentation(data["augmentation"])
    for block, kinds in FIELDS_OF_KIND.items():
        for name, field in blocks[block]["properties"].items():
            field["description"] = _with_kinds(name, field["description"], block=block, kinds=kinds)
    return schema


def leaves(schema: Schema) -> dict[str, Schema]:
    """Return dotted path to schema for each field that is no block, as `optimizer.lr`."""
    found: dict[str, Schema] = {}
    for block, field in schema["properties"].items():
        inner = field.get("properties")
        found |= {block: field} if inner is None else {f"{block}.{name}": leaf for name, leaf in inner.items()}
    return {path: {**field, "title": path} for path, field in found.items()}


def _with_kinds(name: str, description: str, *, block: str, kinds: Mapping[str, tuple[str, ...]]) -> str:
    """Return a description with the kinds that use the field, and a network's own defaults."""
    users = [kind for kind, fields in kinds.items() if name in fields]
    if not users:
        return description
    if block != "model":
        return description if len(users) == len(kinds) else f"{description} Used by {', '.join(users)}."
    own = [f"{kind} ({_plain(ARCHITECTURES[kind].defaults[name])})" for kind in users]
    return f"{description} Used by, with its default: {', '.join(own)}."


def _plain(value: Any) -> str:
    """Return a default as a YAML file has it."""
    return ("null" if value is None else json.dumps(value)).replace('"', "")


def _augmentation(field: Schema) -> Schema:
    recipes = "; ".join(f"{name}: {', '.join(map(_op_name, operations))}" for name, operations in RECIPES.items())
    plain: Schema = {"enum": list(OPERATIONS)}
    operations: list[Schema] = [plain]
    for name, operation in OPERATIONS.items():
        arguments = record_schema(operation)
        del arguments["properties"]["op"]
        for argument, limits in _WITHIN.items():
            for bound in arguments["properties"].get(argument, {}).get("items", []):
                bound |= limits
        operations += [_by_name(name, arguments), _by_op(name, arguments)]
    normalize: Schema = {"anyOf": [{"enum": ["normalize"]}, {"type": "object", "required": ["normalize"]}]}
    normalize["anyOf"].append({"type": "object", "required": ["op"], "properties": {"op": {"const": "normalize"}}})
    return {
        "description": f"{field['description']} Recipes: {recipes}.",
        "default": field["default"],
        "anyOf": [
            {"enum": list(RECIPES)},
            {"type": "array", "items": {"anyOf": operations}, "contains": normalize},
        ],
    }


def _op_name(operation: AugmentationOp) -> str:
    return operation.op


def _by_name(name: str, arguments: Schema) -> Schema:
    """Return the schema of `{flip: {p: 0.5}}`."""
    inner = {**arguments, "type": ["object", "null"]}
    return {"type": "object", "required": [name], "properties": {name: inner}, "additionalProperties": False}


def _by_op(name: str, arguments: Schema) -> Schema:
    """Return the schema of `{op: flip, p: 0.5}`, as a record holds it."""
    properties = {"op": {"const": name, "description": arguments["description"]}, **arguments["properties"]}
    return {"type": "object", "required": ["op"], "properties": properties, "additionalProperties": False}
