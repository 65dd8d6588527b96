"""Records that refuse what they do not know, and what pydantic found wrong as lines that a person reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from cifar_core.errors import closest


class StrictModel(BaseModel):
    """A frozen record that refuses unknown keys and names the closest known one."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, values: Any) -> Any:
        if isinstance(values, Mapping):
            for name in values:
                if name not in cls.model_fields:
                    raise ValueError(f"unknown key {name!r}: {cls._advice(str(name))}")
        return values

    @classmethod
    def _advice(cls, name: str) -> str:
        """Return what a person may have meant by a key that there is not."""
        return closest(name, list(cls.model_fields))


def explain(error: ValidationError) -> list[str]:
    """Return one line for each thing that is wrong, `key: what (got value)`, from a pydantic error."""
    lines = []
    for detail in error.errors(include_url=False):
        key = ".".join(str(part) for part in detail["loc"])
        message = detail["msg"].removeprefix("Value error, ")
        value = detail["input"]
        got = "" if detail["type"] == "value_error" else f" (got {value!r})"
        lines.append(f"{key}: {message}{got}" if key else f"{message}{got}")
    return lines
