"""Images and labels that are arrays in memory, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cifar_core.datasets.errors import DataError
from cifar_core.datasets.reader import DataPart, Entry, Listing, in_order


@dataclass(frozen=True, kw_only=True, eq=False)
class ArrayPart:
    """The arrays of one part, as they are stored."""

    part: DataPart | None
    images: Any
    labels: Any


def listing_of_arrays(source: str, parts: Sequence[ArrayPart], *, class_names: Any, place: str) -> Listing:
    """Return a listing of arrays.

    Args:
        source: as the user wrote it, for messages.
        parts: of the data.
        class_names: in the order of the labels 0, 1, …; None names each class by its label.
        place: name of an image in messages, followed by its number: `photos.npz`.

    Raises:
        DataError: an array has another type or shape, or labels and names do not fit; lists all errors.
    """
    errors = list[str]()
    images, labels = list[npt.NDArray[np.uint8]](), list[list[int | str]]()
    for each in parts:
        name = source if each.part is None else f"{source} ({each.part})"
        found = np.asarray(each.images)
        error = image_error(found)
        given = np.asarray(each.labels)
        if given.ndim == 2 and given.shape[1] == 1:
            given = given[:, 0]
        if error is None and given.shape != found.shape[:1]:
            error = f"{len(found)} images, but labels of shape {given.shape}: give one label per image"
        if error is None and given.dtype.kind not in "iuUSb":
            if given.dtype.kind == "f" and np.all(given == np.floor(given)):
                given = given.astype(np.int64)
            else:
                error = f"labels are {given.dtype}: give whole numbers from 0, or names"
        if error is not None:
            errors.append(f"{name}: {error}")
            continue
        images.append(found)
        labels.append([each.decode() if isinstance(each, bytes) else each for each in given.tolist()])
    names = None if class_names is None else [str(name) for name in np.asarray(class_names).reshape(-1).tolist()]
    if names is not None and not errors:
        errors = _label_errors(source, parts, labels, names)
    if errors:
        raise DataError("; ".join(errors))
    named = [[_name(label, names) for label in of_part] for of_part in labels]
    entries = [
        Entry(label, each.part, f"{place} {each.part or 'image'} {number}")
        for each, of_part in zip(parts, named, strict=True)
        for number, label in enumerate(of_part)
    ]
    starts = np.cumsum([0, *map(len, images)])

    def read(index: int) -> npt.NDArray[np.uint8]:
        number = int(np.searchsorted(starts, index, side="right")) - 1
        image: npt.NDArray[np.uint8] = images[number][index - starts[number]]
        if image.ndim == 2 or image.shape[2] == 1:
            image = np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
        return image

    order = tuple(names) if names is not None else in_order(entry.label for entry in entries)
    return Listing(entries=entries, class_names=order, read=read)


def _name(label: int | str, names: Sequence[str] | None) -> str:
    return str(label) if names is None or isinstance(label, str) else names[int(label)]


def _label_errors(
    source: str, parts: Sequence[ArrayPart], labels: Sequence[Sequence[int | str]], names: Sequence[str]
) -> list[str]:
    if twice := [name for name in dict.fromkeys(names) if list(names).count(name) > 1]:
        return [f"{source}: class_names contains {twice[0]!r} more than once: give each class a name of its own"]
    known, errors = set(names), list[str]()
    for each, of_part in zip(parts, labels, strict=True):
        is_wrong = [label not in known if isinstance(label, str) else not 0 <= label < len(names) for label in of_part]
        if any(is_wrong):
            number = is_wrong.index(True)
            errors.append(
                f"{source}: {each.part or ''} image {number} has label {of_part[number]!r}, but class_names has "
                f"{len(names)} names: number the classes from 0 to {len(names) - 1}, or add names".replace(":  ", ": ")
            )
    return errors


def image_error(images: npt.NDArray[Any]) -> str | None:
    """Return why an array does not contain N×H×W×3 or N×H×W images as uint8; None if it does."""
    if images.dtype != np.uint8:
        hint = ": multiply by 255 and convert with .astype('uint8')" if images.dtype.kind == "f" else ""
        return f"images are {images.dtype}, not uint8 from 0 to 255{hint}"
    if images.ndim == 4 and images.shape[3] not in (1, 3) and images.shape[1] in (1, 3):
        return f"images have the shape {images.shape}, channels first: save images.transpose(0, 2, 3, 1)"
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3)):
        return f"images have the shape {images.shape}, not N×H×W or N×H×W×3"
    return None if images.size else "contains no image"
