"""Image files listed in a CSV file."""

from __future__ import annotations

import csv
import hashlib
import io
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
)

_PATHS = ("path", "image", "file", "filename", "file_name", "image_path", "filepath")
_LABELS = ("label", "class", "target", "category", "labels")
_PARTS = ("split", "part", "set", "subset")


class CsvReader(Reader):
    kind = "csv"
    form = "csv:FILE"
    meaning = "a table with the columns path and label, and optionally split; paths relative to the file"

    def recognizes(self, text: str) -> bool:
        path = Path(text).expanduser()
        return path.suffix.lower() in (".csv", ".tsv") and path.is_file()

    def require(self, argument: str) -> None:
        existing(argument, kind="csv")

    def stamp(self, argument: str) -> str:
        file = existing(argument, kind="csv")
        digest = hashlib.sha256(_text(argument, file).encode())
        for path, *_ in read_rows(argument):
            try:
                about = path.stat()
                digest.update(f"{about.st_size}\0{about.st_mtime_ns}\n".encode())
            except OSError:
                digest.update(b"-\n")
        return digest.hexdigest()[:32]

    def list(self, argument: str) -> Listing:
        file = existing(argument, kind="csv")
        rows = read_rows(argument)
        entries = [Entry(label, part, f"{path} ({file.name} line {line})") for path, label, part, line in rows]
        paths = [path for path, *_ in rows]
        return Listing(
            entries=entries,
            class_names=in_order(entry.label for entry in entries),
            read=lambda index: paths[index],
        )


def _text(argument: str, file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"csv:{argument} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"csv:{argument} is not UTF-8 text ({error}): save it as UTF-8") from None


def read_rows(argument: str) -> list[tuple[Path, str, DataPart | None, int]]:
    """Return path, label, part and line number of each row.

    Raises:
        DataError: the columns are unknown, or rows are incomplete or contradict each other; lists all errors.
    """
    file = existing(argument, kind="csv")
    text = _text(argument, file)
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count) if any(each in head for each in ",;\t") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    first = next(reader, None)
    if first is None:
        raise DataError(f"csv:{argument} is empty: write a first line `path,label` and a line for each image")
    names = [name.strip().lower() for name in first]
    columns = [next((names.index(name) for name in known if name in names), None) for known in (_PATHS, _LABELS)]
    path_column, label_column = columns
    if path_column is None or label_column is None:
        missing = " and ".join(name for name, column in zip(("path", "label"), columns, strict=True) if column is None)
        raise DataError(
            f"csv:{argument} line 1: no column {missing} among {', '.join(map(repr, first))}: name the columns path "
            "and label"
        )
    part_column = next((names.index(name) for name in _PARTS if name in names), None)
    found: list[tuple[Path, str, DataPart | None, int]] = []
    errors: list[str] = []
    labels: dict[Path, tuple[str, int]] = {}
    for row in reader:
        line = reader.line_num
        if not any(cell.strip() for cell in row):
            continue
        cells = [row[column].strip() if column < len(row) else "" for column in (path_column, label_column)]
        if not all(cells):
            errors.append(f"line {line}: {'the path' if not cells[0] else 'the label'} is missing")
            continue
        written = row[part_column].strip() if part_column is not None and part_column < len(row) else ""
        part = PART_NAMES.get(written.lower())
        if written and part is None:
            errors.append(f"line {line}: split {written!r} is none of train, val and test")
        path = file.parent / Path(cells[0]).expanduser()
        if path in labels and labels[path][0] != cells[1]:
            errors.append(
                f"line {line}: {cells[0]} is {cells[1]!r} here, and {labels[path][0]!r} in line {labels[path][1]}"
            )
        labels.setdefault(path, (cells[1], line))
        found.append((path, cells[1], part, line))
    without = [line for _, _, part, line in found if part is None]
    if part_column is not None and 0 < len(without) < len(found):
        errors.append(f"line {without[0]}: the split is missing, but other lines have one")
    if errors:
        raise DataError(f"csv:{argument}: {'; '.join(errors[:10])}{'; and more' if len(errors) > 10 else ''}")
    if not found:
        raise DataError(f"csv:{argument} lists no image: write a line for each image below `path,label`")
    return found
