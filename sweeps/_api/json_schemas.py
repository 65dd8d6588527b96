"""The JSON Schemas of what verbs print with `--json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from cifar_core.common.json_schema import DRAFT, Schema, record_schema
from sweeps.views.json_output import JudgeOutput, QuestionsOutput

OUTPUTS: Mapping[str, tuple[type[BaseModel], ...]] = {
    "judge": (JudgeOutput, QuestionsOutput),
}
"""Verb to the records that it prints, one of which each output is."""


def output_schema(verb: str) -> Schema:
    """Return the JSON Schema (draft 7) of what a verb prints with `--json`."""
    first, *others = (record_schema(record) for record in OUTPUTS[verb])
    if not others:
        return {"$schema": DRAFT, **first}
    definitions: dict[str, Any] = {}
    for schema in (first, *others):
        definitions |= schema.pop("$defs", {})
    return {"$schema": DRAFT, "anyOf": [first, *others], "$defs": definitions}


def output_schema_text(verb: str) -> str:
    """Return it as JSON."""
    return json.dumps(output_schema(verb), indent=2, ensure_ascii=False)
