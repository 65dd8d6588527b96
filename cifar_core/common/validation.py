"""Records that refuse what they do not know, and what pydantic found wrong as lines that a person reads."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from cifar_core.common.errors import closest

_SHOWN = 80
"""Characters of a value that an error shows."""

_BRANCH = re.compile(r"bool|int|float|str|none|literal\[.*\]|constrained-\w+|lax-or-strict\[.*\]|(list|tuple)\[.*\]")
"""What pydantic adds to the location of an error for each kind that a value may have."""

_SHOULD = "Input should be "

_KINDS = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a whole number of fewer digits",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a text",
    "dict_type": "keys with values",
    "model_type": "keys with values",
    "model_attributes_type": "keys with values",
    "tuple_type": "a list",
    "list_type": "a list",
}
"""Pydantic's types of errors to what the value should be, in plain words."""


class StrictModel(BaseModel):
    """A frozen record that refuses unknown keys and names the closest known one."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    @model_validator(mode="wrap")
    @classmethod
    def _name_unknown_keys(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        known = cls.__pydantic_fields__.keys()
        if not isinstance(values, dict) or values.keys() <= known:
            return handler(values)
        unknown = [name for name in values if name not in known]
        errors = [_unknown(name, cls._advice(str(name))) for name in unknown]
        try:
            handler({name: value for name, value in values.items() if name not in unknown})
        except ValidationError as error:
            errors += map(_again, error.errors(include_url=False))
        raise ValidationError.from_exception_data(cls.__name__, errors)

    @classmethod
    def _advice(cls, name: str) -> str:
        """Return what a person may have meant by a key that there is not."""
        return closest(name, list(cls.model_fields))


def _unknown(name: Any, advice: str) -> InitErrorDetails:
    message = PydanticCustomError("value_error", f"unknown key {name!r}: {advice}")
    return InitErrorDetails(type=message, loc=(str(name),), input=name)


def _again(detail: ErrorDetails) -> InitErrorDetails:
    message = PydanticCustomError(detail["type"], _message(detail))
    return InitErrorDetails(type=message, loc=detail["loc"], input=detail["input"])


def _message(detail: ErrorDetails) -> str:
    return detail["msg"].removeprefix("Value error, ")


def explain(error: ValidationError) -> list[str]:
    """Return one line for each thing that is wrong, `key: what (got value)`, from a pydantic error."""
    found: dict[tuple[int | str, ...], list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        *above, last = detail["loc"] or ("",)
        # A value that may be of several kinds has an error for each of them.
        is_branch = bool(above) and isinstance(last, str) and _BRANCH.fullmatch(last) is not None
        loc = tuple(above) if is_branch else detail["loc"]
        found.setdefault(loc, []).append(detail)
    lines = []
    for loc, details in found.items():
        key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).removeprefix(".")
        for sentence in _sentences(details):
            lines.append(f"{key}: {sentence}" if key else sentence)
    return lines


def _sentences(details: Sequence[ErrorDetails]) -> list[str]:
    own = [_message(detail) for detail in details if detail["type"] == "value_error"]
    others = [detail for detail in details if detail["type"] != "value_error"]
    if not others:
        return own
    if any(detail["type"] == "missing" for detail in others):
        return [*own, "is required"]
    kinds = [_KINDS.get(detail["type"], _message(detail)).removeprefix(_SHOULD) for detail in others]
    wanted = " or ".join(dict.fromkeys(kinds))
    is_bare = _message(others[0]).startswith(_SHOULD) or others[0]["type"] in _KINDS
    value = others[0]["input"]
    got = repr(value) if len(repr(value)) <= _SHOWN else f"{repr(value)[:_SHOWN]}…"
    return [*own, f"{'should be ' if is_bare else ''}{wanted} (got {got}){_remedy(value, others)}"]


def _remedy(value: Any, details: Sequence[ErrorDetails]) -> str:
    """Return what to write instead, where that is plain."""
    kinds = {_KINDS.get(detail["type"]) for detail in details}
    is_scalar = isinstance(value, bool | int | float | str)
    if kinds == {"a text"} and is_scalar:
        read = " (YAML reads yes, no, on and off so)" if isinstance(value, bool) else ""
        return f": write it in quotes{read}"
    if kinds == {"a list"} and is_scalar:
        return f": write [{value}]"
    if value is None and kinds & {"a list", "keys with values"}:
        return ": it is empty: leave the key out, or write something below it"
    if isinstance(value, Mapping) and list(value) == ["value"]:
        return f": write {value['value']!r} alone"
    if kinds == {"a list"} and isinstance(value, Mapping):
        return ": write `- ` before it, or [ and ] around it"
    one = all(detail["type"] in _KINDS or detail["type"] == "literal_error" for detail in details)
    if isinstance(value, list | tuple) and one and not kinds & {"a list", "keys with values"}:
        return ": one value, not a list"
    return ""
