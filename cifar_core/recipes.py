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


SIZE = 32
"""Side of the images that the recipes and the defaults of operations are for."""


def parse_augmentation(value: Any, *, size: int = SIZE) -> Any:
    """Return `DataConfig.augmentation` for a recipe's name, `[normalize, flip, {crop: {padding: 2}}]` or operations.

    Args:
        value: as a file contains it.
        size: side of the images.

    Raises:
        ValueError: the name is unknown, the list does not have exactly one `normalize`, or the resulting images have
            another size.
    """
    if isinstance(value, str):
        if value not in RECIPES:
            raise ValueError(f"unknown augmentation {value!r}: {closest(value, list(RECIPES))}")
        return value
    if not isinstance(value, Sequence):
        raise ValueError(f"augmentation must be the name of a recipe or a list of operations, not {value!r}")
    operations = tuple(_parse_op(entry, size=size) for entry in value)
    if sum(isinstance(op, Normalize) for op in operations) != 1:
        raise ValueError("augmentation needs exactly one `normalize`, which has no effect with normalization none")
    normalize = next(number for number, operation in enumerate(operations) if isinstance(operation, Normalize))
    for operation in operations[normalize:]:
        if operation.before_normalize:
            raise ValueError(
                f"{operation.op} after normalize: it is defined on pixels from 0 to 1. Write it before normalize"
            )
    final = size
    for operation in operations:
        final = operation.size_after(final)
    if final != size:
        raise ValueError(f"augmentation results in images of {final}×{final}: end it with a crop to {size}")
    return operations


def _parse_op(entry: Any, *, size: int) -> Operation:
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
    default = {"size": size} if "size" in known and size != SIZE else {}
    try:
        return OPERATIONS[name].model_validate(default | dict(arguments))
    except ValidationError as error:
        raise ValueError("; ".join(f"{name}: {line}" for line in explain(error))) from None


def _suggestion(argument: str, known: Sequence[str]) -> str:
    if len(known) == 1:
        return f"did you mean {known[0]!r}?"
    return closest(argument, known) if known else "it takes none"


def operations_of(augmentation: str | tuple[Operation, ...], *, size: int = SIZE) -> tuple[Operation, ...]:
    """Return the ordered operations of a recipe's name or a list, for images of a size."""
    if not isinstance(augmentation, str):
        return augmentation
    recipe = RECIPES[augmentation]
    return recipe if size == SIZE else tuple(_scaled(operation, size) for operation in recipe)


def _scaled(operation: Operation, size: int) -> Operation:
    """Return an operation of a recipe for images of a size, its borders in proportion."""
    if isinstance(operation, Crop):
        return operation.model_copy(update={"size": size, "padding": _border(operation.padding, size)})
    if isinstance(operation, Pad):
        return operation.model_copy(update={"pixels": _border(operation.pixels, size)})
    return operation


def _border(pixels: int, size: int) -> int:
    return max(1, round(pixels * size / SIZE))


def canonical_augmentation(
    augmentation: str | tuple[Operation, ...], *, size: int = SIZE
) -> str | list[dict[str, Any]]:
    """Return the name of the equal recipe if there is one, else the operations as dictionaries."""
    operations = operations_of(augmentation, size=size)
    for name in RECIPES:
        if operations_of(name, size=size) == operations:
            return name
    return [operation_record(op) for op in operations]


def operation_record(operation: Operation) -> dict[str, Any]:
    """Return an operation as a dictionary; fields in `_LATER_FIELDS` are left out at their defaults."""
    record = operation.model_dump(mode="json")
    unused = [
        name for name in _LATER_FIELDS if name in record and record[name] == type(operation).model_fields[name].default
    ]
    return {name: value for name, value in record.items() if name not in unused}
