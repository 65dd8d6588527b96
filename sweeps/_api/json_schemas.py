"""The JSON Schemas of what verbs print with `--json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter

from cifar_core.common.json_schema import DRAFT, Schema, record_schema
from sweeps.analysis.effects import Effects
from sweeps.record.columns import COLUMNS, LAST_COLUMNS, RECORD_COLUMNS, Kind
from sweeps.views.json_output import (
    CheckOutput,
    CompareOutput,
    DoctorOutput,
    FinalizeOutput,
    JudgeOutput,
    LadderOutput,
    ListOutput,
    PlanOutput,
    QuestionsOutput,
    ShowOutput,
    StatusOutput,
    SummaryOutput,
)

OUTPUTS: Mapping[str, tuple[type[BaseModel], ...]] = {
    "plan": (PlanOutput,),
    "status": (StatusOutput,),
    "list": (ListOutput,),
    "show": (ShowOutput,),
    "compare": (CompareOutput,),
    "run": (SummaryOutput,),
    "replicate": (SummaryOutput,),
    "retrain": (SummaryOutput,),
    "ladder": (LadderOutput,),
    "ablate": (LadderOutput,),
    "judge": (JudgeOutput, QuestionsOutput),
    "finalize": (FinalizeOutput,),
    "check": (CheckOutput,),
    "doctor": (DoctorOutput,),
    "leaderboard": (),
    "effects": (),
}
"""Verb to the records that it prints, one of which each output is. Those without a record are in `output_schema`."""


def output_schema(verb: str) -> Schema:
    """Return the JSON Schema (draft 7) of what a verb prints with `--json`."""
    if verb == "effects":
        return {"$schema": DRAFT, **TypeAdapter(Effects).json_schema(mode="serialization")}
    if verb == "leaderboard":
        return _rows_schema()
    first, *others = (record_schema(record) for record in OUTPUTS[verb])
    if not others:
        return {"$schema": DRAFT, **first}
    definitions: dict[str, Any] = {}
    for schema in (first, *others):
        definitions |= schema.pop("$defs", {})
    return {"$schema": DRAFT, "anyOf": [first, *others], "$defs": definitions}


_TYPES = {Kind.INTEGER: "integer", Kind.REAL: "number", Kind.BOOLEAN: "boolean"}


def _rows_schema() -> Schema:
    """Return the schema of the leaderboard: its columns, and those of the configurations, which are any."""
    columns = {
        name: {"type": [_TYPES.get(column.kind, "string"), "null"], "description": column.meaning}
        for name, column in RECORD_COLUMNS.items()
        if name in COLUMNS or name in LAST_COLUMNS
    }
    return {"$schema": DRAFT, "type": "array", "items": {"type": "object", "properties": columns}}


def output_schema_text(verb: str) -> str:
    """Return it as JSON."""
    return json.dumps(output_schema(verb), indent=2, ensure_ascii=False)
