"""An unpacked archive of CIFAR-10 or CIFAR-100 for Python: `cifar-10-batches-py`, `cifar-100-python`."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

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
            batches = [_load(root / name, source) for name in names]
            pixels = np.concatenate([np.asarray(batch["data"], dtype=np.uint8) for batch in batches])
            labels = [label for batch in batches for label in _labels(batch)]
            images = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
            parts.append(ArrayPart(part=part, images=images, labels=np.array(labels)))
        meta = next((_load(root / name, source) for name in _META if (root / name).is_file()), {})
        class_names = meta.get("fine_label_names", meta.get("label_names"))
        return listing_of_arrays(source, parts, class_names=class_names, place=root.name)


def _files(argument: str) -> tuple[Path, dict[DataPart, tuple[str, ...]]]:
    root = existing(argument, kind="cifar")
    for layout in _LAYOUTS:
        if all((root / name).is_file() for names in layout.values() for name in names):
            return root, layout
    raise DataError(f"cifar:{argument} lacks files such as data_batch_1 and test_batch: unpack the archive completely")


def _labels(batch: dict[str, Any]) -> list[int]:
    found: list[int] = batch.get("labels", batch.get("fine_labels", []))
    return found


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
    return content
