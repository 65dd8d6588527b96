"""The JSON Schema of a training configuration, as strict as `TrainingConfig` where a schema allows it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import reduce
from operator import getitem
from typing import Any

from cifar_core.common.json_schema import Schema, record_schema
from cifar_core.common.user_modules import LIBRARIES
from cifar_core.config import FIELDS_OF_KIND, TrainingConfig
from cifar_core.models.registry import ARCHITECTURES
from cifar_core.operations.operation import Operation
from cifar_core.operations.registry import OPERATIONS
from cifar_core.recipes import RECIPES

CUSTOM_NETWORK_PATTERN = ":"
"""Pattern of the names of custom networks."""


def config_definitions() -> dict[str, Schema]:
    """Return the definitions of `TrainingConfig` and its nested records for a schema that refers to them.

    Fields are checked independently, so that the definitions are also valid for changes to a configuration.
    """
    schema = record_schema(TrainingConfig)
    definitions: dict[str, Schema] = schema.pop("$defs")
    definitions["TrainingConfig"] = schema
    model, data = definitions["ModelConfig"]["properties"], definitions["DataConfig"]["properties"]
    del model["name"]["type"]
    custom = {"type": "string", "pattern": CUSTOM_NETWORK_PATTERN, "description": "A custom network: `module:Class`."}
    of_libraries = {
        "type": "string",
        "pattern": f"^({'|'.join(LIBRARIES)}):.",
        "description": "A network of timm or torchvision: `timm:resnet18`. `sweeps inspect models` lists them.",
        "examples": [f"{library}:" for library in LIBRARIES],
    }
    model["name"]["anyOf"] = [{"enum": list(ARCHITECTURES)}, of_libraries, custom]
    units = {"type": "integer", "minimum": 1}
    model["head"]["anyOf"] = [{"type": "array", "items": units}, {"type": "null"}]
    plan = {"type": "array", "items": {"anyOf": [units, {"enum": ["M"]}]}, "contains": units}
    model["plan"]["anyOf"] = [plan, {"type": "null"}]
    data["augmentation"] = _augmentation(data["augmentation"])
    for block, kinds in FIELDS_OF_KIND.items():
        for name, field in definitions[f"{block.capitalize()}Config"]["properties"].items():
            field["description"] = _with_kinds(name, field["description"], block=block, kinds=kinds)
    return definitions


def field_references(definitions: Mapping[str, Schema]) -> dict[str, Schema]:
    """Return dotted path → schema reference for each field of a configuration, such as `optimizer.lr`."""
    found: dict[str, Schema] = {}
    for name, field in definitions["TrainingConfig"]["properties"].items():
        block = field.get("$ref")
        inner = definitions[block.rpartition("/")[2]]["properties"] if block else ()
        found |= {f"{name}.{each}": {"$ref": f"{block}/properties/{each}"} for each in inner}
        if not block:
            found[name] = {"$ref": f"#/$defs/TrainingConfig/properties/{name}"}
    return found


def resolve_reference(schema: Schema, part: Schema) -> Schema:
    """Return the target of a reference in a schema; the part itself if it is not a reference."""
    return reduce(getitem, part["$ref"].split("/")[1:], schema) if "$ref" in part else part


def _with_kinds(name: str, description: str, *, block: str, kinds: Mapping[str, tuple[str, ...]]) -> str:
    """Return a description with the kinds that use the field and, for networks, its defaults."""
    users = [kind for kind, fields in kinds.items() if name in fields]
    if not users:
        return description
    if block != "model":
        return description if len(users) == len(kinds) else f"{description} Used by {', '.join(users)}."
    defaults = [f"{kind} ({_yaml_text(ARCHITECTURES[kind].defaults[name])})" for kind in users]
    return f"{description} Used by, with its default: {', '.join(defaults)}."


def _yaml_text(value: Any) -> str:
    """Return a default in YAML."""
    return ("null" if value is None else json.dumps(value)).replace('"', "")


def _augmentation(field: Schema) -> Schema:
    """Return the schema of a recipe name or of operations: `flip`, `{flip: {p: 0.5}}` or `{op: flip, p: 0.5}`."""
    recipes = "; ".join(f"{name}: {', '.join(map(_op_name, operations))}" for name, operations in RECIPES.items())
    references = {name: {"$ref": f"#/$defs/{operation.__name__}"} for name, operation in OPERATIONS.items()}
    by_op = {"type": "object", "required": ["op"], "anyOf": list(references.values())}
    by_name = {
        "type": "object",
        "properties": {
            name: {"anyOf": [each, {"type": "null"}], "properties": {"op": False}} for name, each in references.items()
        },
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
    normalize: Schema = {"anyOf": [{"const": "normalize"}, {"type": "object", "required": ["normalize"]}]}
    normalize["anyOf"].append({"type": "object", "required": ["op"], "properties": {"op": {"const": "normalize"}}})
    operation = {"anyOf": [{"enum": list(OPERATIONS)}, by_name, by_op]}
    return {
        "description": f"{field['description']} Recipes: {recipes}.",
        "default": field["default"],
        "anyOf": [{"enum": list(RECIPES)}, {"type": "array", "items": operation, "contains": normalize}],
    }


def _op_name(operation: Operation) -> str:
    return operation.op
