"""JSON Schemas of records, for editors: of draft 7, which all of them read, with the fields' docstrings."""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import GenerateJsonSchema

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import core_schema

Schema = dict[str, Any]

DRAFT = "http://json-schema.org/draft-07/schema#"


def record_schema(record: type[BaseModel]) -> Schema:
    """Return the schema of a record, those of the records inside it under `$defs`, fields described by docstrings."""
    return record.model_json_schema(schema_generator=_DescribedFields)


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
            field.pop("title", None)
            if "$ref" in field:
                field.pop("default", None)  # which the record itself has
            if name in docstrings:
                field["description"] = docstrings[name]
        return described

    def tuple_schema(self, schema: core_schema.TupleSchema) -> JsonSchemaValue:
        described = super().tuple_schema(schema)
        if "prefixItems" in described:  # as draft 7 calls it
            described["items"] = described.pop("prefixItems")
        return described
