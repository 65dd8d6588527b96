"""JSON Schemas of records for editors, in draft 7, which all editors support, with the fields' docstrings."""

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
    """Return the schema of a record, nested records under `$defs`, fields described by their docstrings."""
    return record.model_json_schema(schema_generator=_DescribedFields)


def field_docstrings(record: type[BaseModel]) -> dict[str, str]:
    """Return a map from field, inherited ones included, to docstring in one line; undocumented fields are left out."""
    found: dict[str, str] = {}
    for owner in reversed(record.__mro__):
        if inspect.get_annotations(owner):
            found |= _class_docstrings(owner)
    return {field: docstring for field, docstring in found.items() if field in record.model_fields}


def docstring_of(definition: Any) -> str | None:
    """Return the docstring of a class or a function, from its source where `python -OO` has removed it."""
    if definition.__doc__ is None:
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(definition))).body
        return ast.get_docstring(body) if isinstance(body, ast.ClassDef | ast.FunctionDef) else None
    return inspect.getdoc(definition)


def _class_docstrings(owner: type) -> dict[str, str]:
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, docstring in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(docstring, ast.Expr):
            text = ast.literal_eval(docstring.value)
            found[field.target.id] = " ".join(str(text).split())
    return found


class _DescribedFields(GenerateJsonSchema):
    """pydantic's generator with field docstrings, which pydantic itself would parse at every import."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        described = super().model_schema(schema)
        docstrings = field_docstrings(schema["cls"])
        if docstring := docstring_of(schema["cls"]):
            described["description"] = docstring
        described.pop("title")  # the class's name, which means nothing to a user
        for name, field in described["properties"].items():
            field.pop("title", None)
            if "$ref" in field:
                field.pop("default", None)  # the referenced record has its own defaults
            if name in docstrings:
                field["description"] = docstrings[name]
        return described

    def tuple_schema(self, schema: core_schema.TupleSchema) -> JsonSchemaValue:
        described = super().tuple_schema(schema)
        if "prefixItems" in described:  # `items` in draft 7
            described["items"] = described.pop("prefixItems")
        return described
