"""The JSON Schemas of sweep and ladder files, for editors: completion, hover and a red line under what is wrong.

They are made of the records that read the files, so that the two cannot drift apart. What a schema cannot say (a
minimum above its maximum, a rung that stands twice) the loader alone refuses; what it says, the loader says too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal, get_args

from cifar_core.config import TrainingConfig
from cifar_core.config_schema import changes_schema, config_schema, leaves
from cifar_core.json_schema import DRAFT, Schema, record_schema
from sweeps.spec.ladder_file import LadderFile
from sweeps.spec.parameter import Parameter
from sweeps.spec.scale import SIZED
from sweeps.spec.settings import BUILT_IN_RESOURCES, DURATION, METRICS, NAME, Metric
from sweeps.spec.sweep import SweepSpec

FileKind = Literal["sweep", "ladder"]
FILE_KINDS: tuple[FileKind, ...] = get_args(FileKind)

OPTIONS = r"^model\.options\.[^.]+$"
"""Paths of the options of a network of one's own."""

_BUILT_IN = "^(" + "|".join("".join(f"[{c.upper()}{c}]" for c in name) for name in BUILT_IN_RESOURCES) + r")?\s*$"
"""Of no name, or of one that is Ray's own, in large letters or small: an editor's patterns know no flag for that."""

_RANGES = ["uniform", "int_uniform", "q_uniform", "log_uniform_values"]
_LISTS = ["categorical", "constant"]


@cache
def _parameter_keys() -> Schema:
    """Return key to schema of a parameter, as its record has them."""
    keys: Schema = record_schema(Parameter)["properties"]
    return keys


def file_schema(kind: FileKind) -> Schema:
    """Return the JSON Schema (draft 7) of a kind of files."""
    return _sweep_schema() if kind == "sweep" else _ladder_schema()


def schema_text(kind: FileKind) -> str:
    """Return the schema as the file of it that is beside this module, and is installed with it."""
    return json.dumps(file_schema(kind), indent=1, ensure_ascii=False) + "\n"


def schema_file(kind: FileKind) -> Path:
    """Return where the schema lies, for the first line of a YAML file."""
    return Path(__file__).with_name(f"{kind}.schema.json")


def configuration_fields() -> dict[str, Schema]:
    """Return dotted path to schema for each field of a training configuration."""
    return leaves(changes_schema())


def _sweep_schema() -> Schema:
    schema = _file(SweepSpec, title="A sweep", description="What may vary, how it is searched, and what it may spend.")
    whole, fields = _referring(config_schema()), configuration_fields()
    described = schema["properties"]["parameters"]["description"]
    schema["properties"] |= {
        "base": {**whole, "description": schema["properties"]["base"]["description"]},
        "parameters": _parameters(fields, described),
    }
    schema["properties"]["start_with"]["items"] = {
        "type": "object",
        "properties": {path: _at(path) for path in fields},
        "patternProperties": {OPTIONS: {}, **_BLOCKS},
        "additionalProperties": False,
    }
    trained_only = {"required": ["name"], "properties": {"name": {"pattern": "^train_"}}}
    by_training = {"required": ["metric"], "properties": {"metric": trained_only}}
    is_grid = {"required": ["method"], "properties": {"method": {"const": "grid"}}}
    schema["allOf"] = [
        {"if": is_grid, "else": {"required": ["run_cap"], "properties": {"run_cap": {"type": "integer"}}}},
        {
            "if": {"anyOf": [_varies("epochs"), _varies("seed")]},
            "then": {"properties": {"early_terminate": {"properties": {"type": {"const": "none"}}}}},
        },
        {"if": by_training, "else": {"anyOf": [_sets_aside_images(), _searches("data.validation_size")]}},
    ]
    return {"$schema": DRAFT, **schema, "definitions": {"when": _when(fields), **fields}}


def _searches(path: str) -> Schema:
    return {"required": ["parameters"], "properties": {"parameters": {"required": [path]}}}


def _varies(path: str) -> Schema:
    several = {"required": ["values"], "properties": {"values": {"type": "array", "minItems": 2}}}
    varies = {"required": [path], "properties": {path: {"anyOf": [several, {"required": ["min"]}]}}}
    return {"required": ["parameters"], "properties": {"parameters": varies}}


def _sets_aside_images() -> Schema:
    size = {"required": ["validation_size"], "properties": {"validation_size": {"minimum": 1}}}
    data = {"required": ["data"], "properties": {"data": size}}
    return {"required": ["base"], "properties": {"base": data}}


def _ladder_schema() -> Schema:
    schema = _file(LadderFile, title="A ladder", description="Rungs in order, each a change to the one before.")
    whole, changes = _referring(config_schema()), _referring(changes_schema())
    schema["properties"]["base"] = {**whole, "description": schema["properties"]["base"]["description"]}
    # Without rungs of its own it takes those of the ladder that it extends.
    schema["anyOf"] = [{"required": ["rungs"]}, {"required": ["extends"]}]
    width = schema["properties"]["scale"]["properties"]["width"]
    channels = width.pop("additionalProperties")
    width |= {"properties": {name: {"title": name, **channels} for name in SIZED}, "additionalProperties": False}
    fields = configuration_fields()
    own = {
        "name": _named("The rung's name, unlike every other in the file."),
        "from": {
            "type": ["string", "null"],
            "title": "from",
            "description": "The rung that this one changes; the one before it if left out.",
        },
        "note": {"type": "string", "title": "note", "description": "For people: what the step is."},
    }
    dotted = {_exactly(path): _at(path) for path in fields if "." in path}
    schema["properties"]["rungs"] |= {
        "minItems": 1,
        "items": {
            **changes,
            "description": "A name, and what changes against the rung before: any field of a configuration.",
            "required": ["name"],
            "properties": own | changes["properties"],
            # Dotted paths are read too; nested ones are what is proposed.
            "patternProperties": {OPTIONS: {}, **dotted},
        },
    }
    return {"$schema": DRAFT, **schema, "definitions": fields}


def _referring(configuration: Schema) -> Schema:
    """Return a configuration's schema with each field as a reference to its definition, which many others share."""
    blocks = {}
    for name, block in configuration["properties"].items():
        fields = block.get("properties")
        inside = {**block, "properties": {field: _at(f"{name}.{field}") for field in fields}} if fields else _at(name)
        blocks[name] = inside
    return {**configuration, "properties": blocks}


def _at(path: str) -> Schema:
    """Return the schema of a field of a training configuration: a reference to its definition."""
    return {"$ref": f"#/definitions/{path}"}


def _file(record: type[SweepSpec | LadderFile], *, title: str, description: str) -> Schema:
    schema = {"title": title, **record_schema(record), "description": description}
    properties = schema["properties"]
    properties["name"] = _named(properties["name"]["description"])
    limits = properties["limits"]["properties"]
    # The lookahead: a duration of nothing is none.
    texts = {
        "type": "string",
        "pattern": rf"^(?=.*[1-9])\s*{DURATION.pattern}\s*$",
        "patternErrorMessage": "Not a duration such as 2h, 1h30m, 30m or 90s.",
    }
    limits["timeout"] |= {
        "description": f"{limits['timeout']['description']} Such as 2h, 1h30m, 90s or a number of seconds.",
        "anyOf": [texts, {"type": "number", "exclusiveMinimum": 0}, {"type": "null"}],
    }
    gpus = [{"const": "auto"}, {"type": "number", "minimum": 0, "maximum": 1}]
    properties["resources"]["properties"]["gpus_per_trial"]["anyOf"] = gpus
    amounts = [{"type": "number", "exclusiveMinimum": 0, "maximum": 1}, {"type": "integer", "minimum": 1}]
    properties["resources"]["properties"]["custom"] |= {
        "propertyNames": {"not": {"pattern": _BUILT_IN}},
        "additionalProperties": {"anyOf": amounts},
    }
    one_or_more = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}], "default": []}
    properties["notify"] = {**{key: properties["notify"][key] for key in ("title", "description")}, **one_or_more}
    if "metric" in properties:
        properties["metric"]["allOf"] = [_goal_of(name, goal) for name, goal in METRICS.items()]
    return schema


def _named(description: str) -> Schema:
    return {
        "type": "string",
        "pattern": f"^{NAME.pattern}$",
        "patternErrorMessage": "Letters, digits, '-', '_' and '.', at most 64, beginning with a letter or digit.",
        "title": "name",
        "description": description,
    }


def _goal_of(metric: str, goal: str) -> Schema:
    """Return that a metric has its goal, which may be left out."""
    chosen: Schema = {"properties": {"name": {"const": metric}}}
    if metric != Metric().name:
        chosen["required"] = ["name"]
    return {"if": chosen, "then": {"properties": {"goal": {"const": goal}}}}


def _parameters(fields: Mapping[str, Schema], description: str) -> Schema:
    return {
        "type": "object",
        "description": description,
        "properties": {
            path: {"title": path, **_parameter(_at(path), description=field["description"], ranged=_number(field))}
            for path, field in fields.items()
        },
        "patternProperties": {
            OPTIONS: _parameter({}, ranged={"type": "number"}, description="An option of a network of your own.")
        }
        | {pattern: _parameter(block, ranged=None, description="A whole block.") for pattern, block in _BLOCKS.items()},
        "additionalProperties": False,
    }


def _parameter(value: Schema, *, description: str, ranged: Schema | None) -> Schema:
    """Return the schema of one parameter that takes such values, and a range where they are numbers."""
    own = _parameter_keys()
    properties = {
        "values": {
            "type": "array",
            "description": own["values"]["description"],
            "items": value,
            "minItems": 1,
            "uniqueItems": True,
        },
        "value": value,
        "distribution": {"enum": _LISTS if ranged is None else [*_RANGES, *_LISTS]},
        "when": {"$ref": "#/definitions/when"},
    }
    properties["distribution"]["description"] = own["distribution"]["description"]
    if ranged is not None:
        properties |= {bound: {**ranged, "description": own[bound]["description"]} for bound in ("min", "max")}
        properties["q"] = {"type": "number", "exclusiveMinimum": 0, "description": own["q"]["description"]}
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "additionalProperties": False,
        **_ways_to_vary(ranged=ranged is not None),
    }


def _ways_to_vary(*, ranged: bool) -> Schema:
    """Return what a parameter keeps to: one way of saying its values, and a distribution that goes with it.

    Written out in each one: a definition that many share makes editors show one parameter's title on all.
    """

    def drawn(*names: str) -> Schema:
        return {"required": ["distribution"], "properties": {"distribution": {"enum": list(names)}}}

    if not ranged:
        return {"oneOf": [{"required": ["values"]}, {"required": ["value"]}]}
    return {
        "oneOf": [{"required": ["values"]}, {"required": ["value"]}, {"required": ["min"]}],
        "dependencies": {"min": ["max"], "max": ["min"], "q": ["min"]},
        "allOf": [
            {"if": drawn(*_RANGES), "then": {"required": ["min"]}},
            {"if": drawn(*_LISTS), "then": {"not": {"required": ["min"]}}},
            {"if": drawn("q_uniform"), "then": {"required": ["q"]}},
            {"if": drawn("uniform", "log_uniform_values"), "then": {"properties": {"q": False}}},
            {"if": drawn("log_uniform_values"), "then": {"properties": {"min": {"exclusiveMinimum": 0}}}},
        ],
    }


def _when(fields: Mapping[str, Schema]) -> Schema:
    description = _parameter_keys()["when"]["description"]
    return {
        "type": "object",
        "description": description,
        "properties": {
            path: {"anyOf": [_at(path), {"type": "array", "minItems": 1, "items": _at(path)}]} for path in fields
        },
        "patternProperties": {OPTIONS: {}},
        "additionalProperties": False,
    }


def _exactly(path: str) -> str:
    return f"^{path.replace('.', chr(92) + '.')}$"


_BLOCKS = {
    _exactly(name): {"$ref": f"#/properties/base/properties/{name}"}
    for name, field in TrainingConfig.model_fields.items()
    if hasattr(field.annotation, "model_fields")
}
"""Pattern of each block's name to its schema: a whole block may vary, though nobody is proposed to do that."""


def _number(field: Schema) -> Schema | None:
    """Return the part of a field's schema that is a number, None where it takes none."""
    for part in (field, *field.get("anyOf", ())):
        if part.get("type") in ("integer", "number"):
            return {key: value for key, value in part.items() if key not in ("default", "description")}
    return None
