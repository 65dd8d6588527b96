"""JSON Schemas of sweep and ladder files, for completion and validation in editors.

pydantic generates them from the models that read the files. This module adds the references to a training
configuration in `base`, `rungs` and `parameters`. The loader checks everything in the schema and also what a schema
cannot express, such as a minimum above its maximum.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from cifar_core.common.json_schema import DRAFT, Schema, record_schema
from sweeps.files.ladder_file import LadderFile
from sweeps.files.parameter import EXPONENTS
from sweeps.files.settings import METRICS
from sweeps.files.sweep import SweepSpec
from sweeps.stopping.rule import StoppingRule
from sweeps.stopping.rules import RULES
from sweeps.tasks.image_schema import CUSTOM_NETWORK_PATTERN, config_definitions, field_references, resolve_reference

FileKind = Literal["sweep", "ladder"]
FILE_KINDS: tuple[FileKind, ...] = get_args(FileKind)

_OPTION = r"model\.options\.[^.]+"
"""Path of an option of a custom network."""

_CONFIG = "#/$defs/TrainingConfig"

_WIDTH = 200
"""Line width of a schema file."""


def file_schema(kind: FileKind) -> Schema:
    """Return the JSON Schema (draft 7) of a kind of file."""
    definitions = config_definitions()
    record = record_schema(SweepSpec if kind == "sweep" else LadderFile)
    schema: Schema = {"$schema": DRAFT, **record, "$defs": record["$defs"] | definitions}
    own = {"required": ["name"], "properties": {"name": {"pattern": CUSTOM_NETWORK_PATTERN}}}
    options_only_of_own = {"if": own, "else": {"properties": {"options": {"maxProperties": 0}}}}
    schema["allOf"] = [{"properties": {"base": {"properties": {"model": options_only_of_own}}}}]
    (_add_sweep if kind == "sweep" else _add_ladder)(schema, field_references(definitions))
    return schema


def schema_text(kind: FileKind) -> str:
    """Return the content of the installed schema file."""
    return _text(file_schema(kind)) + "\n"


def schema_file(kind: FileKind) -> Path:
    """Return the path of the installed schema file, for the first line of a YAML file."""
    return Path(__file__).with_name(f"{kind}.schema.json")


def configuration_fields() -> dict[str, Schema]:
    """Return the dotted path and the schema of each field of a training configuration."""
    definitions = config_definitions()
    return {
        path: resolve_reference({"$defs": definitions}, reference)
        for path, reference in field_references(definitions).items()
    }


def _add_sweep(schema: Schema, fields: Mapping[str, Schema]) -> None:
    blocks = {path.partition(".")[0] for path in fields if "." in path}
    others = f"^({'|'.join(sorted(blocks))}|{_OPTION})$"
    schema["properties"]["parameters"] |= {
        "properties": {path: _parameter(schema, field) for path, field in fields.items()},
        "additionalProperties": {"$ref": "#/$defs/Parameter"},
    }
    schema["$defs"]["Parameter"]["properties"]["when"] |= {
        "properties": {path: {"anyOf": [field, _list_of(field)]} for path, field in fields.items()},
    }
    del schema["$defs"][StoppingRule.__name__], schema["properties"]["early_terminate"]["$ref"]
    schema["properties"]["early_terminate"]["oneOf"] = [record_schema(rule) for rule in RULES.values()]
    schema["properties"]["start_with"]["items"] = {
        "type": "object",
        "properties": dict(fields),
    }
    is_grid = _having("method", {"const": "grid"})
    capped = {"anyOf": [_having("run_cap", {"type": "integer"}), _having("budget", {"type": ["string", "number"]})]}
    without_budget = {"properties": {"budget": {"type": "null"}}}
    several = {"anyOf": [{"required": ["min"]}, _having("values", {"minItems": 2})]}
    varies = {"anyOf": [_having("parameters", _having(path, several)) for path in ("epochs", "seed")]}
    never_stopped = {"properties": {"early_terminate": {"properties": {"type": {"const": "none"}}}}}
    by_training = _having("metric", _having("name", {"pattern": "^train_"}))
    aside = _having("base", _having("data", _having("validation_size", {"minimum": 1})))
    searched = _having("parameters", {"required": ["data.validation_size"]})
    schema["allOf"] += [
        {"if": is_grid, "then": without_budget, "else": capped},
        {"if": {"anyOf": [_OF_A_PROGRAM, {"not": varies}]}, "else": never_stopped},
        {"if": {"anyOf": [_OF_A_FUNCTION, _OF_A_PROGRAM, by_training]}, "else": {"anyOf": [aside, searched]}},
        {"if": {"anyOf": [_OF_A_FUNCTION, _OF_A_PROGRAM]}, "else": _of_networks(fields, others)},
        {"if": _OF_A_PROGRAM, "then": {"required": ["metric"]}, "else": {"properties": _NO_KEYS_OF_A_PROGRAM}},
    ]


_OF_A_FUNCTION: Schema = {"required": ["train"], "properties": {"train": {"type": "string"}}}
_OF_A_PROGRAM: Schema = {"required": ["program"], "properties": {"program": {"type": "string"}}}
_NO_KEYS_OF_A_PROGRAM: Schema = {"command": {"type": "null"}, "epochs": {"type": "null"}}


def _of_networks(fields: Mapping[str, Schema], others: str) -> Schema:
    """Return the additional rules for sweeps over networks, which custom training functions need not follow."""
    known = {"anyOf": [{"enum": list(fields)}, {"pattern": others}]}
    tested = {"anyOf": [{"enum": list(fields)}, {"pattern": f"^{_OPTION}$"}]}
    return {
        "properties": {
            "parameters": {
                "propertyNames": known,
                "additionalProperties": {"properties": {"when": {"propertyNames": tested}}},
            },
            "start_with": {"items": {"propertyNames": known}},
            "metric": {"properties": {"name": {"enum": list(METRICS)}}},
            "base": {"$ref": _CONFIG},
        }
    }


def _add_ladder(schema: Schema, fields: Mapping[str, Schema]) -> None:
    # A ladder without rungs has the rungs of the ladder that it extends.
    schema["anyOf"] = [{"required": ["rungs"]}, {"required": ["extends"]}]
    own = {
        "name": {**schema["properties"]["name"], "description": "Name of the rung, unique in the file."},
        "from": {
            "type": ["string", "null"],
            "description": "Name of the rung that this one changes. Without it, the previous rung.",
        },
        "note": {"type": "string", "description": "One line for readers: the purpose of the step."},
    }
    blocks = {
        name: {"$ref": f"{_CONFIG}/properties/{name}"} for name in schema["$defs"]["TrainingConfig"]["properties"]
    }
    schema["properties"]["rungs"] |= {
        "minItems": 1,
        "items": {
            "type": "object",
            "description": "A name, and the changes relative to the previous rung: fields of a training configuration, "
            "or parameters of a training of your own.",
            "required": ["name"],
            "properties": own,
        },
    }
    of_networks = {
        "base": {"$ref": _CONFIG},
        "metric": {"type": "null"},
        "rungs": {
            "items": {
                "properties": {name: {} for name in own} | blocks,
                # Dotted paths are valid too. Editors only propose nested ones.
                "patternProperties": {f"^{_OPTION}$": {}}
                | {f"^{path.replace('.', chr(92) + '.')}$": field for path, field in fields.items() if "." in path},
                "additionalProperties": False,
            }
        },
    }
    schema["allOf"] += [
        {
            "if": {"anyOf": [_OF_A_FUNCTION, _OF_A_PROGRAM, {"required": ["extends"]}]},
            "else": {"properties": of_networks},
        },
        {"if": {"anyOf": [_OF_A_PROGRAM, {"required": ["extends"]}]}, "else": {"properties": _NO_KEYS_OF_A_PROGRAM}},
    ]


def _having(key: str, value: Schema) -> Schema:
    return {"required": [key], "properties": {key: value}}


def _list_of(value: Schema) -> Schema:
    return {"type": "array", "minItems": 1, "items": value}


def _parameter(schema: Schema, field: Schema) -> Schema:
    """Return the schema of a parameter for a field, with a range if its values are numbers."""
    kinds = resolve_reference(schema, field)
    is_number = any(each.get("type") in ("integer", "number") for each in (kinds, *kinds.get("anyOf", ())))
    bound: Any = field if is_number else False
    ends = {"properties": {"min": bound, "max": bound}}
    continuous = {} if is_number else {"properties": {"distribution": {"enum": ["categorical", "constant"]}}}
    # The ends of the other ranges are exponents of e.
    exponents = {"required": ["distribution"], "properties": {"distribution": {"enum": list(EXPONENTS)}}}
    return {
        "description": kinds["description"],
        "allOf": [{"$ref": "#/$defs/Parameter"}, {"if": exponents, "else": ends} if is_number else ends, continuous],
        "properties": {"values": {"items": field}, "value": field},
    }


def _text(part: Any, indent: str = "") -> str:
    """Return JSON with each object or list on one line if it fits."""
    line = json.dumps(part, ensure_ascii=False)
    if len(indent + line) <= _WIDTH or not isinstance(part, dict | list):
        return line
    inner = indent + " "
    if isinstance(part, list):
        return "[\n" + ",\n".join(inner + _text(each, inner) for each in part) + f"\n{indent}]"
    lines = [f"{inner}{json.dumps(key)}: {_text(value, inner)}" for key, value in part.items()]
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
