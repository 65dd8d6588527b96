"""The values of a configuration as text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from cifar_core.operations.registry import OPERATIONS
from sweeps.core.formatting import number, truncated


def value_text(value: Any) -> str:
    """Return the text of a configuration's value; empty for None."""
    if value is None:
        return ""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:g}"
    if isinstance(value, list | tuple):
        return " ".join(value_text(entry) for entry in value) or "none"
    if isinstance(value, dict):
        return _operation_text(value) if value.get("op") in OPERATIONS else str(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _operation_text(operation: Mapping[str, Any]) -> str:
    """Return an operation with its non-default values: `crop(padding 2, fill reflect)`."""
    operation_name = str(operation["op"])
    fields = OPERATIONS[operation_name].model_fields
    values = [
        f"{name.replace('_', ' ')} {value_text(value)}"
        for name, value in operation.items()
        if name != "op" and (name not in fields or _listed(value) != _listed(fields[name].default))
    ]
    return operation_name + (f"({', '.join(values)})" if values else "")


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def short_value(value: Any) -> str:
    """Return the text of a value for a column: a float with three digits, a long text truncated."""
    return number(value) if isinstance(value, float) else truncated(value_text(value), 24)
