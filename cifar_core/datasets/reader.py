"""The interface of a reader: one kind of data source, such as a folder or a CSV file."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from cifar_core.datasets.errors import DataError

if TYPE_CHECKING:
    from cifar_core.image_file import ImageSource

DataPart = Literal["train", "validation", "test"]

PART_NAMES: dict[str, DataPart] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
"""Names of parts in lower case, as folders, files and columns have them."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One labelled image of a source, not yet read."""

    label: str
    """Name of its class."""
    part: DataPart | None
    """Its part, where the source has parts."""
    place: str
    """Its name in messages: `cats/1.jpg`, `labels.csv line 3`."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The images of a source, in a fixed order."""

    entries: Sequence[Entry]
    class_names: Sequence[str]
    """In the order of the labels; every entry's label is among them."""
    read: Callable[[int], ImageSource]
    """Return the image of an entry: a path, a file's bytes, or an array. Called in ascending order."""
    notes: Sequence[str] = field(default=())
    """What was left out, in sentences."""


class Reader(ABC):
    """Reads one kind of source. To add one, add a file to `kinds`."""

    kind: ClassVar[str]
    """The word before the colon of a source: `folder`."""
    form: ClassVar[str]
    """How a source of this kind is written: `folder:PATH`."""
    meaning: ClassVar[str]
    """What it is, in a few words."""

    def require(self, argument: str) -> None:  # noqa: B027  # optional
        """Raise unless the source exists; without reading images.

        Raises:
            DataError: it does not exist.
        """

    @abstractmethod
    def stamp(self, argument: str) -> str:
        """Return a text that changes when the source does. It reads names, sizes and times of files, no image.

        Raises:
            DataError: the source does not exist.
        """

    @abstractmethod
    def list(self, argument: str) -> Listing:
        """Return the images of a source.

        Raises:
            DataError: there are none, or labels or parts are wrong; lists all errors.
        """

    def recognizes(self, text: str) -> bool:
        """Return whether a text without a kind before it, such as a path, is a source of this kind."""
        return False


def existing(argument: str, *, kind: str) -> Path:
    """Return the path of a source.

    Raises:
        DataError: it does not exist.
    """
    try:
        path = Path(argument).expanduser()
        exists = path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(f"{kind}:{argument!r} cannot be used: {error}") from None
    if not exists:
        raise DataError(f"{kind}:{argument}: {path.absolute()} does not exist: correct the path")
    return path


def stamp_of_files(files: Iterable[Path], *, root: Path) -> str:
    """Return a hash of the names, sizes and times of files."""
    digest = hashlib.sha256()
    for file in files:
        about = file.stat()
        digest.update(f"{file.relative_to(root)}\0{about.st_size}\0{about.st_mtime_ns}\n".encode("utf-8", "replace"))
    return digest.hexdigest()[:32]


def listed(names: Sequence[str], *, most: int = 5) -> str:
    """Return the first of several names: `a, b and 3 more`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def in_order(labels: Iterable[str]) -> tuple[str, ...]:
    """Return the distinct labels in order: numbers by their value, others by their letters."""
    distinct = set(labels)
    if all(label.isascii() and label.isdigit() for label in distinct):
        return tuple(sorted(distinct, key=lambda label: (int(label), label)))
    return tuple(sorted(distinct))
