"""JSON Schemas of records, for editors: of draft 7, which all of them read, with the fields' docstrings."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import GenerateJsonSchema

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import core_schema

Schema = dict[str, Any]

DRAFT = "http://json-schema.org/draft-07/schema#"


def record_schema(record: type[BaseModel]) -> Schema:
    """Return the schema of a record, the records inside it written out, each field described by its docstring."""
    generated = record.model_json_schema(schema_generator=_DescribedFields)
    definitions = generated.pop("$defs", {})
    schema: Schema = _written_out(generated, definitions)
    return schema


def field_docstrings(record: type[BaseModel]) -> dict[str, str]:
    """Return field to docstring, in one line, inherited ones too; a field without one is left out."""
    found: dict[str, str] = {}
    for owner in reversed(record.__mro__):
        if inspect.get_annotations(owner):
            found |= _own_docstrings(owner)
    return {field: docstring for field, docstring in found.items() if field in record.model_fields}


def docstring_of(definition: Any) -> str | None:
    """Return the docstring of a class or a function, from its source where `python -OO` has left it out."""
    if definition.__doc__ is None:
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(definition))).body
        return ast.get_docstring(body) if isinstance(body, ast.ClassDef | ast.FunctionDef) else None
    return inspect.getdoc(definition)


def _own_docstrings(owner: type) -> dict[str, str]:
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, docstring in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(docstring, ast.Expr):
            text = ast.literal_eval(docstring.value)
            found[field.target.id] = " ".join(str(text).split())
    return found


class _DescribedFields(GenerateJsonSchema):
    """pydantic's generator, and each field's docstring, which pydantic itself reads only where every start pays."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        described = super().model_schema(schema)
        docstrings = field_docstrings(schema["cls"])
        if docstring := docstring_of(schema["cls"]):
            described["description"] = docstring
        described.pop("title")  # the class's name, which is nothing to a person who writes a file
        for name, field in described["properties"].items():
            field["title"] = name
            if name in docstrings:
                field["description"] = docstrings[name]
        return described


def _written_out(schema: Any, definitions: Mapping[str, Any]) -> Any:
    """Return a schema of draft 7 without references."""
    if isinstance(schema, list):
        return [_written_out(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        definition = _written_out(definitions[schema["$ref"].rpartition("/")[2]], definitions)
        return definition | {key: schema[key] for key in ("title", "description") if key in schema}
    result = {}
    for key, part in schema.items():
        if key == "properties":
            result[key] = {name: _written_out(field, definitions) for name, field in part.items()}
        elif key == "default":
            result[key] = part
        elif key == "prefixItems":  # as draft 7 calls it
            result["items"] = _written_out(part, definitions)
        elif key != "discriminator":
            result[key] = _written_out(part, definitions)
    return result
