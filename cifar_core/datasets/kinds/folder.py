"""Images in a folder for each class."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from cifar_core.datasets.errors import DataError
from cifar_core.datasets.reader import (
    PART_NAMES,
    DataPart,
    Entry,
    Listing,
    Reader,
    existing,
    in_order,
    listed,
    stamp_of_files,
)


class FolderReader(Reader):
    kind = "folder"
    form = "folder:PATH"
    meaning = "class/image.jpg, with or without train/, val/ and test/ above the classes"

    def recognizes(self, text: str) -> bool:
        return Path(text).expanduser().is_dir()

    def require(self, argument: str) -> None:
        _folder(argument)

    def stamp(self, argument: str) -> str:
        root = _folder(argument)
        return stamp_of_files(_files(root), root=root)

    def list(self, argument: str) -> Listing:
        root = _folder(argument)
        parts = _parts(root)
        entries, paths, empty, loose, others = list[Entry](), list[Path](), list[str](), list[str](), Counter[str]()
        known = _image_suffixes()
        names = set[str]()
        for above, part in parts:
            for folder in sorted(each for each in above.iterdir() if each.is_dir() and not _is_hidden(each)):
                names.add(folder.name)
                found = 0
                for file in _files(folder):
                    if file.suffix.lower() not in known:
                        others[file.suffix.lower() or "without a suffix"] += 1
                        continue
                    found += 1
                    paths.append(file)
                    entries.append(Entry(folder.name, part, str(file.relative_to(root))))
                if not found:
                    empty.append(str(folder.relative_to(root)))
            loose += [
                str(file.relative_to(root))
                for file in sorted(above.iterdir())
                if file.is_file() and file.suffix.lower() in known and not _is_hidden(file)
            ]
        if not names:
            what = f"{listed(loose)} without a folder for each class" if loose else "no folder with images"
            raise DataError(
                f"folder:{argument} contains {what}: put the images of each class into a folder of their own, such as "
                f"{Path(argument) / 'cats' / '1.jpg'}"
            )
        if empty:
            raise DataError(
                f"folder:{argument}: {listed(empty)} {'has' if len(empty) == 1 else 'have'} no image: add images, or "
                f"delete {'it' if len(empty) == 1 else 'them'}"
            )
        notes = list[str]()
        if others:
            kinds = ", ".join(f"{count:,} {suffix}" for suffix, count in others.items())
            notes.append(f"left out, since they are not images: {kinds}")
        if loose:
            notes.append(f"left out, since they are outside the class folders: {listed(loose)}")
        return Listing(entries=entries, class_names=in_order(names), read=lambda index: paths[index], notes=notes)


def _folder(argument: str) -> Path:
    root = existing(argument, kind="folder")
    if not root.is_dir():
        raise DataError(f"folder:{argument} is a file: name the folder that contains a folder for each class")
    return root


def _parts(root: Path) -> list[tuple[Path, DataPart | None]]:
    """Return the folders that contain the class folders, each with its part; the folder itself if it has no parts."""
    named: dict[DataPart, Path] = {}
    for folder in sorted(root.iterdir()):
        part = PART_NAMES.get(folder.name.lower())
        if part is None or not folder.is_dir():
            continue
        if part in named:
            raise DataError(f"folder:{root}: {named[part].name}/ and {folder.name}/ are both {part}: keep one of them")
        named[part] = folder
    if "train" not in named:
        return [(root, None)]
    others = [
        each.name
        for each in sorted(root.iterdir())
        if each.is_dir() and not _is_hidden(each) and each not in named.values()
    ]
    if others:
        raise DataError(
            f"folder:{root} contains train/ and also {listed(others)}: move these into train/, or rename train/ if it "
            "is a class"
        )
    return [(folder, part) for part, folder in named.items()]


def _files(root: Path) -> Iterator[Path]:
    """Yield the files below a folder in the order of their names, links to folders followed, each folder once."""
    seen = set[str]()

    def fail(error: OSError) -> None:
        raise DataError(f"{error.filename} cannot be read ({error.strerror}): change its permissions") from None

    for folder, folders, files in os.walk(root, followlinks=True, onerror=fail):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not _is_hidden(Path(name)))
        for name in sorted(files):
            path = Path(folder, name)
            if not _is_hidden(path) and path.is_file():
                yield path


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".") or path.name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def _image_suffixes() -> set[str]:
    from PIL import Image

    return {suffix for suffix, name in Image.registered_extensions().items() if name in Image.OPEN} - _NOT_PICTURES


_NOT_PICTURES = {".pdf", ".mpg", ".mpeg", ".h5", ".hdf", ".eps", ".ps", ".grib", ".bufr", ".wmf", ".emf"}
"""Suffixes that Pillow registers for files that it cannot decode without other programs."""
