"""Data sets of torchvision, such as FashionMNIST; CIFAR-100 has a short name."""

from __future__ import annotations

import contextlib
import difflib
import io
from pathlib import Path
from typing import Any

from cifar_core.datasets.errors import DataError
from cifar_core.datasets.reader import DataPart, Entry, Listing, Reader, in_order, stamp_of_files
from cifar_core.datasets.stored import default_root
from cifar_core.image_file import ImageSource

SHORT_NAMES = {"cifar100": "CIFAR100"}


class TorchvisionReader(Reader):
    kind = "torchvision"
    form = "torchvision:NAME"
    meaning = "a classification of torchvision.datasets, such as FashionMNIST or CIFAR100 (also cifar100); downloaded"

    def recognizes(self, text: str) -> bool:
        return text in SHORT_NAMES

    def stamp(self, argument: str) -> str:
        name, root = _name(argument)
        if not root.is_dir():
            return f"{name} was not downloaded"
        return stamp_of_files(sorted(file for file in root.rglob("*") if file.is_file()), root=root)

    def list(self, argument: str) -> Listing:
        name, root = _name(argument)
        kind = _class_of(name)
        sets: list[tuple[DataPart | None, Any]] = []
        for part, options in _options(kind).items():
            sets.append((part, _loaded(kind, name, root, options)))
        entries, starts = list[Entry](), [0]
        names = _class_names(sets[0][1])
        for part, images in sets:
            labels = _labels(images, name)
            entries += [
                Entry(str(label) if names is None else names[int(label)], part, f"{name} {part or 'image'} {index}")
                for index, label in enumerate(labels)
            ]
            starts.append(len(entries))

        def read(index: int) -> ImageSource:
            number = next(number for number, start in enumerate(starts[1:]) if index < start)
            image: Any = sets[number][1][index - starts[number]][0]
            return _as_array(image)

        order = names if names is not None else in_order(entry.label for entry in entries)
        return Listing(entries=entries, class_names=order, read=read)


def _as_array(image: Any) -> ImageSource:
    import numpy as np

    return np.asarray(image.convert("RGB"))


def _name(argument: str) -> tuple[str, Path]:
    """Return the class's name and the folder of its files: `NAME`, or `NAME:FOLDER`."""
    name, _, folder = argument.partition(":")
    name = SHORT_NAMES.get(name, name)
    return name, Path(folder).expanduser() if folder else default_root() / "torchvision" / name


def _class_of(name: str) -> Any:
    import torchvision.datasets

    known = {
        each: kind
        for each, kind in vars(torchvision.datasets).items()
        if isinstance(kind, type) and each in torchvision.datasets.__all__
    }
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else "write one such as FashionMNIST"
        raise DataError(f"torchvision has no data set {name!r}: {hint}")
    return known[name]


def _options(kind: Any) -> dict[DataPart | None, dict[str, Any]]:
    """Return the arguments of a class's constructor for each part."""
    import inspect

    takes = inspect.signature(kind).parameters
    if "train" in takes:
        return {"train": {"train": True}, "test": {"train": False}}
    if "split" in takes:
        return {"train": {"split": "train"}, "test": {"split": "test"}}
    return {None: {}}


def _loaded(kind: Any, name: str, root: Path, options: dict[str, Any]) -> Any:
    import inspect

    if "download" in inspect.signature(kind).parameters:
        options = options | {"download": True}
    try:
        root.mkdir(parents=True, exist_ok=True)
        with contextlib.redirect_stdout(io.StringIO()):
            return kind(str(root), **options)
    except Exception as error:  # of a download, of a damaged file, or of a class that takes other arguments
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise DataError(
            f"torchvision:{name} cannot be loaded ({reason}). If this machine has no network, copy torchvision's files "
            f"into {root}"
        ) from None


def _class_names(images: Any) -> list[str] | None:
    names = getattr(images, "classes", None)
    return [str(name) for name in names] if names else None


def _labels(images: Any, name: str) -> list[Any]:
    for attribute in ("targets", "labels", "_labels"):
        found = getattr(images, attribute, None)
        if found is not None:
            return list(found.tolist() if hasattr(found, "tolist") else found)
    labels = [images[index][1] for index in range(len(images))]
    if not all(isinstance(label, int | str) for label in labels):
        raise DataError(f"torchvision:{name} has no class for each image: it is not a classification")
    return labels
