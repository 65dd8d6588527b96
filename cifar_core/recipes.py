"""The syntax of an augmentation: an ordered list of operations, or the name of a recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from cifar_core.common.errors import closest
from cifar_core.common.validation import explain
from cifar_core.operations.crop import Crop
from cifar_core.operations.erase import Erase
from cifar_core.operations.flip import Flip
from cifar_core.operations.grayscale import Grayscale
from cifar_core.operations.normalize import Normalize
from cifar_core.operations.operation import Operation
from cifar_core.operations.pad import Pad
from cifar_core.operations.registry import OPERATIONS

_LATER_FIELDS = ("alternate", "fill")
"""Fields that old records lack; left out at their defaults, so that old runs keep their identity."""

RECIPES: Mapping[str, tuple[Operation, ...]] = {
    "none": (Normalize(),),
    "flip": (Normalize(), Flip()),
    "flip-crop": (Normalize(), Flip(), Crop()),
    "flip-erase-crop": (Normalize(), Flip(), Erase(), Crop()),
    "pad-flip-gray-crop": (Pad(), Normalize(), Flip(), Grayscale(), Crop()),
}


def parse_augmentation(value: Any) -> Any:
    """Return `DataConfig.augmentation` for a recipe's name, `[normalize, flip, {crop: {padding: 2}}]` or operations.

    Raises:
        ValueError: the name is unknown, the list does not have exactly one `normalize`, or the resulting images are
            not 32×32.
    """
    if isinstance(value, str):
        if value not in RECIPES:
            raise ValueError(f"unknown augmentation {value!r}: {closest(value, list(RECIPES))}")
        return value
    if not isinstance(value, Sequence):
        raise ValueError(f"augmentation must be the name of a recipe or a list of operations, not {value!r}")
    operations = tuple(_parse_op(entry) for entry in value)
    if sum(isinstance(op, Normalize) for op in operations) != 1:
        raise ValueError("augmentation needs exactly one `normalize`, which has no effect with normalization none")
    size = 32
    for operation in operations:
        size = operation.size_after(size)
    if size != 32:
        raise ValueError(f"augmentation results in images of {size}×{size}: end it with a crop to 32")
    return operations


def _parse_op(entry: Any) -> Operation:
    if isinstance(entry, Operation):
        return entry
    if isinstance(entry, Mapping) and "op" in entry:
        name, arguments = entry["op"], {k: v for k, v in entry.items() if k != "op"}  # a recorded operation
    elif isinstance(entry, Mapping) and len(entry) == 1:
        ((name, arguments),) = entry.items()
        arguments = arguments or {}
    else:
        name, arguments = entry, {}
    if not isinstance(name, str) or name not in OPERATIONS:
        raise ValueError(f"unknown operation {name!r} in augmentation: {closest(str(name), list(OPERATIONS))}")
    known = [field for field in OPERATIONS[name].model_fields if field != "op"]
    if not isinstance(arguments, Mapping):
        raise ValueError(
            f"operation {name!r} takes "
            + (f"arguments by name, such as {{{known[0]}: ...}}" if known else "no arguments")
            + f", not {arguments!r}"
        )
    for argument in arguments:
        if argument not in known:
            raise ValueError(f"{name}: unknown argument {argument!r}: {_suggestion(str(argument), known)}")
    try:
        return OPERATIONS[name].model_validate(dict(arguments))
    except ValidationError as error:
        raise ValueError("; ".join(f"{name}: {line}" for line in explain(error))) from None


def _suggestion(argument: str, known: Sequence[str]) -> str:
    if len(known) == 1:
        return f"did you mean {known[0]!r}?"
    return closest(argument, known) if known else "it takes none"


def operations_of(augmentation: str | tuple[Operation, ...]) -> tuple[Operation, ...]:
    """Return the ordered operations of a recipe's name or a list."""
    return RECIPES[augmentation] if isinstance(augmentation, str) else augmentation


def canonical_augmentation(augmentation: str | tuple[Operation, ...]) -> str | list[dict[str, Any]]:
    """Return the name of the equal recipe if there is one, else the operations as dictionaries."""
    operations = operations_of(augmentation)
    for name, recipe in RECIPES.items():
        if recipe == operations:
            return name
    return [operation_record(op) for op in operations]


def operation_record(operation: Operation) -> dict[str, Any]:
    """Return an operation as a dictionary; fields in `_LATER_FIELDS` are left out at their defaults."""
    record = operation.model_dump(mode="json")
    unused = [
        name for name in _LATER_FIELDS if name in record and record[name] == type(operation).model_fields[name].default
    ]
    return {name: value for name, value in record.items() if name not in unused}
