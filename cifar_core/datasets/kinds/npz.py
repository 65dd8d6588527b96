"""Arrays in a NumPy archive."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cifar_core.datasets.arrays import ArrayPart, listing_of_arrays
from cifar_core.datasets.errors import DataError
from cifar_core.datasets.reader import DataPart, Listing, Reader, existing, stamp_of_files

_NAMES: dict[DataPart | None, tuple[tuple[str, str], ...]] = {
    None: (("images", "labels"), ("x", "y"), ("X", "y")),
    "train": (("train_images", "train_labels"), ("x_train", "y_train"), ("X_train", "y_train")),
    "validation": (
        ("val_images", "val_labels"),
        ("validation_images", "validation_labels"),
        ("x_val", "y_val"),
        ("X_val", "y_val"),
    ),
    "test": (("test_images", "test_labels"), ("x_test", "y_test"), ("X_test", "y_test")),
}
"""Names of the arrays of each part, as NumPy archives commonly have them."""


class NpzReader(Reader):
    kind = "npz"
    form = "npz:FILE"
    meaning = "arrays images (uint8, N×H×W or N×H×W×3), labels, and optionally class_names"

    def recognizes(self, text: str) -> bool:
        path = Path(text).expanduser()
        return path.suffix.lower() == ".npz" and path.is_file()

    def require(self, argument: str) -> None:
        existing(argument, kind="npz")

    def stamp(self, argument: str) -> str:
        file = existing(argument, kind="npz")
        return stamp_of_files([file], root=file.parent)

    def list(self, argument: str) -> Listing:
        file, source = existing(argument, kind="npz"), f"npz:{argument}"
        arrays = read_archive(file, source)
        parts = {part: pair for part in _NAMES if (pair := named_pair(arrays, part)) is not None}
        if not parts or (None not in parts and "train" not in parts):
            raise DataError(
                f"{source} contains {', '.join(sorted(arrays)) or 'no array'}: save it as "
                "np.savez(FILE, images=images, labels=labels, class_names=names)"
            )
        if None in parts:
            parts = {None: parts[None]}
        return listing_of_arrays(
            source,
            [ArrayPart(part=part, images=images, labels=labels) for part, (images, labels) in parts.items()],
            class_names=arrays.get("class_names"),
            place=file.name,
        )


def read_archive(file: Path, source: str) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of an archive by their names.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with np.load(file, allow_pickle=False) as stored:
            if not isinstance(stored, np.lib.npyio.NpzFile):
                raise DataError(f"{source} is a single array: save images and labels with np.savez")
            return {name: stored[name] for name in stored.files}
    except DataError:
        raise
    except ValueError as error:
        if not zipfile.is_zipfile(file):
            raise DataError(f"{source} is no NumPy archive: save one with np.savez") from None
        if "pickle" in str(error):
            raise DataError(
                f"{source} contains Python objects, which are not read: save class names as np.array(names, dtype=str) "
                "and images as one uint8 array"
            ) from None
        raise DataError(f"{source} cannot be read: {error}") from None
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{source} cannot be read: {error}") from None


def named_pair(
    arrays: dict[str, npt.NDArray[Any]], part: DataPart | None
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]] | None:
    """Return images and labels of a part, or of an archive without parts; None if it has none."""
    for images, labels in _NAMES[part]:
        if images in arrays and labels in arrays:
            return arrays[images], arrays[labels]
    return None
