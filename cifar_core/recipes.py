"""How an augmentation is written: an ordered list of operations, or the name of a recipe that stands for one.

No torch here: `cifar_core.augment` is what computes them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from cifar_core.errors import closest
from cifar_core.validation import explain


class _Op(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Normalize(_Op):
    """Subtract the mean and divide by the standard deviation that `data.normalization` names."""

    op: Literal["normalize"] = "normalize"


class Pad(_Op):
    """Put a border of zeros around the image; black where it stands before `normalize`."""

    op: Literal["pad"] = "pad"
    pixels: int = Field(default=4, ge=1, le=16)
    """Width of the border on each side."""


class Flip(_Op):
    """Mirror left and right, each image with probability `p`."""

    op: Literal["flip"] = "flip"
    p: float = Field(default=0.5, ge=0, le=1)
    """Probability for each image."""
    alternate: bool = False
    """Draw with `p` for the first epoch alone; from then on each image is mirrored every second epoch."""


class Grayscale(_Op):
    """Replace the three channels by their luma, each image with probability `p`."""

    op: Literal["grayscale"] = "grayscale"
    p: float = Field(default=0.1, ge=0, le=1)
    """Probability for each image."""


class Erase(_Op):
    """Set one rectangle to zero, each image with probability `p` (random erasing, Zhong et al. 2017)."""

    op: Literal["erase"] = "erase"
    p: float = Field(default=0.5, ge=0, le=1)
    """Probability for each image."""
    scale: tuple[float, float] = (0.04, 0.2)
    """Share of the image's area that the rectangle covers, least and most."""
    ratio: tuple[float, float] = (0.5, 2.0)
    """Its height over its width, least and most."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not 0 <= self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"scale of erase is [least, most] within 0 and 1, not {list(self.scale)}")
        if not 0 < self.ratio[0] <= self.ratio[1] < math.inf:
            raise ValueError(f"ratio of erase is [least, most] above 0, not {list(self.ratio)}")
        return self


class Crop(_Op):
    """Pad by `padding` pixels, then cut out a square of `size` at a random place, one for each image."""

    op: Literal["crop"] = "crop"
    size: int = Field(default=32, ge=8, le=64)
    """Side of the square in pixels."""
    padding: int = Field(default=4, ge=0, le=16)
    """Width of the border on each side."""
    fill: Literal["zero", "reflect"] = "zero"
    """What the border shows: zeros, or the image mirrored at its edge."""


AugmentationOp = Annotated[Normalize | Pad | Flip | Grayscale | Erase | Crop, Field(discriminator="op")]
OPERATIONS: Mapping[str, type[_Op]] = {
    "normalize": Normalize,
    "pad": Pad,
    "flip": Flip,
    "grayscale": Grayscale,
    "erase": Erase,
    "crop": Crop,
}

_LATER_FIELDS = ("alternate", "fill")
"""Fields that no record has which is older than they are: without them an old run keeps its identity."""

RECIPES: Mapping[str, tuple[AugmentationOp, ...]] = {
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
    for op in operations:
        if isinstance(op, Pad):
            size += 2 * op.pixels
        elif isinstance(op, Crop):
            if op.size > size + 2 * op.padding:
                raise ValueError(f"crop to {op.size} from an image of {size} padded by {op.padding}")
            size = op.size
    if size != 32:
        raise ValueError(f"augmentation ends with images of {size}×{size}: end with a crop to 32")
    return operations


def _parse_op(entry: Any) -> AugmentationOp:
    if isinstance(entry, _Op):
        return entry  # type: ignore[return-value]
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
        return TypeAdapter(OPERATIONS[name]).validate_python(dict(arguments))  # type: ignore[return-value]
    except ValidationError as error:
        raise ValueError("; ".join(f"{name}: {line}" for line in explain(error))) from None


def _meant(argument: str, known: Sequence[str]) -> str:
    if len(known) == 1:
        return f"did you mean {known[0]!r}?"
    return closest(argument, known) if known else "it takes none"


def operations_of(augmentation: str | tuple[AugmentationOp, ...]) -> tuple[AugmentationOp, ...]:
    """Return the ordered operations behind a recipe's name or a list."""
    return RECIPES[augmentation] if isinstance(augmentation, str) else augmentation


def canonical_augmentation(augmentation: str | tuple[AugmentationOp, ...]) -> str | list[dict[str, Any]]:
    """Return the recipe's name where there is one, else the operations as plain records."""
    operations = operations_of(augmentation)
    for name, recipe in RECIPES.items():
        if recipe == operations:
            return name
    return [operation_record(op) for op in operations]


def operation_record(operation: AugmentationOp) -> dict[str, Any]:
    """Return an operation as a plain record; fields that came later stand in it where they are used."""
    record = operation.model_dump(mode="json")
    unused = [
        name for name in _LATER_FIELDS if name in record and record[name] == type(operation).model_fields[name].default
    ]
    return {name: value for name, value in record.items() if name not in unused}
