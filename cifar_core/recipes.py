"""How an augmentation is written: an ordered list of operations, or the name of a recipe that stands for one."""

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
"""Fields that no record has which is older than they are: without them an old run keeps its identity."""

RECIPES: Mapping[str, tuple[Operation, ...]] = {
    "none": (Normalize(),),
    "flip": (Normalize(), Flip()),
    "flip-crop": (Normalize(), Flip(), Crop()),
    "flip-erase-crop": (Normalize(), Flip(), Erase(), Crop()),
    "pad-flip-gray-crop": (Pad(), Normalize(), Flip(), Grayscale(), Crop()),
}


def parse_augmentation(value: Any) -> Any:
    """Return what `DataConfig` holds for a name, `[normalize, flip, {crop: {padding: 2}}]` or operations.

    Raises:
        ValueError: an unknown name, or a list without exactly one `normalize`, or of images that do not
            come out at 32×32.
    """
    if isinstance(value, str):
        if value not in RECIPES:
            raise ValueError(f"unknown augmentation {value!r}: {closest(value, list(RECIPES))}")
        return value
    if not isinstance(value, Sequence):
        raise ValueError(f"augmentation is the name of a recipe or a list of operations, not {value!r}")
    operations = tuple(_parse_op(entry) for entry in value)
    if sum(isinstance(op, Normalize) for op in operations) != 1:
        raise ValueError("augmentation needs exactly one `normalize`; with normalization none it does nothing")
    size = 32
    for operation in operations:
        size = operation.size_after(size)
    if size != 32:
        raise ValueError(f"augmentation ends with images of {size}×{size}: end with a crop to 32")
    return operations


def _parse_op(entry: Any) -> Operation:
    if isinstance(entry, Operation):
        return entry
    if isinstance(entry, Mapping) and "op" in entry:
        name, arguments = entry["op"], {k: v for k, v in entry.items() if k != "op"}  # as a record holds it
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
            raise ValueError(f"{name}: unknown argument {argument!r}: {_meant(str(argument), known)}")
    try:
        return OPERATIONS[name].model_validate(dict(arguments))
    except ValidationError as error:
        raise ValueError("; ".join(f"{name}: {line}" for line in explain(error))) from None


def _meant(argument: str, known: Sequence[str]) -> str:
    if len(known) == 1:
        return f"did you mean {known[0]!r}?"
    return closest(argument, known) if known else "it takes none"


def operations_of(augmentation: str | tuple[Operation, ...]) -> tuple[Operation, ...]:
    """Return the ordered operations behind a recipe's name or a list."""
    return RECIPES[augmentation] if isinstance(augmentation, str) else augmentation


def canonical_augmentation(augmentation: str | tuple[Operation, ...]) -> str | list[dict[str, Any]]:
    """Return the recipe's name where there is one, else the operations as plain records."""
    operations = operations_of(augmentation)
    for name, recipe in RECIPES.items():
        if recipe == operations:
            return name
    return [operation_record(op) for op in operations]


def operation_record(operation: Operation) -> dict[str, Any]:
    """Return an operation as a plain record; fields that came later stand in it where they are used."""
    record = operation.model_dump(mode="json")
    unused = [
        name for name in _LATER_FIELDS if name in record and record[name] == type(operation).model_fields[name].default
    ]
    return {name: value for name, value in record.items() if name not in unused}
