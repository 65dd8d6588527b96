"""Records that reject unknown keys, and pydantic's errors as readable lines."""

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
"""Last part of an error's location that pydantic adds for each member of a union."""

_SHOULD = "Input should be "

_KINDS = {
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_from_float": "an integer",
    "int_parsing_size": "an integer of fewer digits",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a string",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "tuple_type": "a list",
    "list_type": "a list",
}
"""Pydantic's error types to the expected kind of value."""


class StrictModel(BaseModel):
    """A frozen record that rejects unknown keys and names the closest known one."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    @model_validator(mode="wrap")
    @classmethod
    def _name_unknown_keys(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        known = cls.__pydantic_fields__.keys()
        if not isinstance(values, dict) or values.keys() <= known:
            return handler(values)
        unknown = [name for name in values if name not in known]
        errors = [_unknown(name, cls._key_hint(str(name))) for name in unknown]
        try:
            handler({name: value for name, value in values.items() if name not in unknown})
        except ValidationError as error:
            errors += map(_init_details, error.errors(include_url=False))
        raise ValidationError.from_exception_data(cls.__name__, errors)

    @classmethod
    def _key_hint(cls, name: str) -> str:
        """Return a hint for an unknown key, such as the closest known one."""
        return closest(name, list(cls.model_fields))


def _unknown(name: Any, advice: str) -> InitErrorDetails:
    message = PydanticCustomError("value_error", f"unknown key {name!r}: {advice}")
    return InitErrorDetails(type=message, loc=(str(name),), input=name)


def _init_details(detail: ErrorDetails) -> InitErrorDetails:
    message = PydanticCustomError(detail["type"], _message(detail))
    return InitErrorDetails(type=message, loc=detail["loc"], input=detail["input"])


def _message(detail: ErrorDetails) -> str:
    return detail["msg"].removeprefix("Value error, ")


def explain(error: ValidationError) -> list[str]:
    """Return one line per error of a pydantic `ValidationError`: `key: should be a list (got 1)`."""
    found: dict[tuple[int | str, ...], list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        *above, last = detail["loc"] or ("",)
        # A value of a union type has an error for each member of the union.
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
    from_validators = [_message(detail) for detail in details if detail["type"] == "value_error"]
    others = [detail for detail in details if detail["type"] != "value_error"]
    if not others:
        return from_validators
    if any(detail["type"] == "missing" for detail in others):
        return [*from_validators, "is required"]
    kinds = [_KINDS.get(detail["type"], _message(detail)).removeprefix(_SHOULD) for detail in others]
    expected = " or ".join(dict.fromkeys(kinds))
    is_bare = _message(others[0]).startswith(_SHOULD) or others[0]["type"] in _KINDS
    value = others[0]["input"]
    got = repr(value) if len(repr(value)) <= _SHOWN else f"{repr(value)[:_SHOWN]}…"
    return [*from_validators, f"{'should be ' if is_bare else ''}{expected} (got {got}){_remedy(value, others)}"]


def _remedy(value: Any, details: Sequence[ErrorDetails]) -> str:
    """Return the correction, where it is known."""
    kinds = {_KINDS.get(detail["type"]) for detail in details}
    is_scalar = isinstance(value, bool | int | float | str)
    if kinds == {"a string"} and is_scalar:
        read = " (YAML reads yes, no, on and off as booleans)" if isinstance(value, bool) else ""
        return f": write it in quotes{read}"
    if kinds == {"a list"} and is_scalar:
        return f": write [{value}]"
    if value is None and kinds & {"a list", "a mapping"}:
        return ": it is empty. Remove the key, or write a value below it"
    if isinstance(value, Mapping) and list(value) == ["value"]:
        return f": write {value['value']!r} without `value`"
    if kinds == {"a list"} and isinstance(value, Mapping):
        return ": write `- ` before it, or [ and ] around it"
    one = all(detail["type"] in _KINDS or detail["type"] == "literal_error" for detail in details)
    if isinstance(value, list | tuple) and one and not kinds & {"a list", "a mapping"}:
        return ": write one value, not a list"
    return ""
