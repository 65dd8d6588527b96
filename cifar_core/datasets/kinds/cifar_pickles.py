"""An unpacked archive of CIFAR-10 or CIFAR-100 for Python: `cifar-10-batches-py`, `cifar-100-python`."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cifar_core.datasets.arrays import ArrayPart, listing_of_arrays
from cifar_core.datasets.errors import DataError
from cifar_core.datasets.reader import DataPart, Listing, Reader, existing, stamp_of_files

_LAYOUTS: tuple[dict[DataPart, tuple[str, ...]], ...] = (
    {"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)},
    {"train": ("train",), "test": ("test",)},
)
_META = ("batches.meta", "meta")


class CifarReader(Reader):
    kind = "cifar"
    form = "cifar:PATH"
    meaning = "an unpacked cifar-10-batches-py or cifar-100-python"

    def recognizes(self, text: str) -> bool:
        return any((Path(text).expanduser() / name).is_file() for name in _META)

    def require(self, argument: str) -> None:
        existing(argument, kind="cifar")

    def stamp(self, argument: str) -> str:
        root, files = _files(argument)
        return stamp_of_files([root / name for names in files.values() for name in names], root=root)

    def list(self, argument: str) -> Listing:
        source = f"cifar:{argument}"
        root, files = _files(argument)
        parts = []
        for part, names in files.items():
            batches = [_batch(root / name, source) for name in names]
            images = np.concatenate([images for images, _ in batches])
            labels = [label for _, labels in batches for label in labels]
            parts.append(ArrayPart(part=part, images=images, labels=np.array(labels)))
        meta = next((_load(root / name, source) for name in _META if (root / name).is_file()), {})
        found = meta.get("fine_label_names", meta.get("label_names"))
        class_names = found and [name.decode() if isinstance(name, bytes) else name for name in found]
        return listing_of_arrays(source, parts, class_names=class_names, place=root.name)


def _files(argument: str) -> tuple[Path, dict[DataPart, tuple[str, ...]]]:
    root = existing(argument, kind="cifar")
    for layout in _LAYOUTS:
        if all((root / name).is_file() for names in layout.values() for name in names):
            return root, layout
    raise DataError(f"cifar:{argument} lacks files such as data_batch_1 and test_batch: unpack the archive completely")


def _batch(file: Path, source: str) -> tuple[npt.NDArray[np.uint8], list[int]]:
    """Return the images, N×32×32×3, and the labels of a file."""
    content = _load(file, source)
    pixels, labels = content.get("data"), content.get("labels", content.get("fine_labels"))
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape[1:] != (3072,):
        raise DataError(f"{source}: {file.name} is not a file of CIFAR: it has no data of uint8 in rows of 3072 bytes")
    if not isinstance(labels, list) or len(labels) != len(pixels):
        raise DataError(f"{source}: {file.name} is not a file of CIFAR: it has no label for each image")
    return pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels


class _ArraysOnly(pickle.Unpickler):
    """Unpickles numbers, texts and arrays only, nothing that could execute code."""

    def find_class(self, module: str, name: str) -> object:
        if module.split(".")[0] == "numpy" and name in ("_reconstruct", "ndarray", "dtype"):
            return super().find_class(module, name)
        if (module, name) == ("_codecs", "encode"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} is not part of CIFAR")


def _load(file: Path, source: str) -> dict[str, Any]:
    try:
        content = _ArraysOnly(io.BytesIO(file.read_bytes()), encoding="latin1").load()
    except Exception as error:  # a damaged pickle may raise anything
        raise DataError(f"{source}: {file.name} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise DataError(f"{source}: {file.name} is not a file of CIFAR")
    # The names are bytes in files that Python 3 has written.
    return {name.decode("latin1") if isinstance(name, bytes) else str(name): each for name, each in content.items()}
