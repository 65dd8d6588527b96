"""Images in Parquet files, in the layout of Hugging Face's data sets."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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

_IMAGES = ("image", "img", "images", "pixel_values")
_LABELS = ("label", "labels", "fine_label", "class", "target")
_ROWS = 256
"""Rows that are decompressed at once."""


class ParquetReader(Reader):
    kind = "parquet"
    form = "parquet:PATH"
    meaning = "a file, or a folder of train-*.parquet and test-*.parquet, with the columns image and label"

    def recognizes(self, text: str) -> bool:
        path = Path(text).expanduser()
        return path.suffix.lower() == ".parquet" and path.is_file()

    def require(self, argument: str) -> None:
        existing(argument, kind="parquet")

    def stamp(self, argument: str) -> str:
        files, root = _files(argument)
        return stamp_of_files(files, root=root)

    def list(self, argument: str) -> Listing:
        source = f"parquet:{argument}"
        files, root = _files(argument)
        parts = [_part_of(file) for file in files]
        if None in parts and any(parts):
            without = [file.name for file, part in zip(files, parts, strict=True) if part is None]
            raise DataError(f"{source}: {listed(without)} is of no part: begin its name with train, validation or test")
        entries, starts = list[Entry](), [0]
        tables = [_Table(file, source) for file in files]
        names = next((table.class_names for table in tables if table.class_names is not None), None)
        for table, part in zip(tables, parts, strict=True):
            place = str(table.file.relative_to(root))
            entries += [
                Entry(_name(label, names, source=source, place=f"{place} row {row}"), part, f"{place} row {row}")
                for row, label in enumerate(table.labels())
            ]
            starts.append(len(entries))
        if not entries:
            raise DataError(f"{source} contains no row: check the files")

        def read(index: int) -> bytes:
            number = next(number for number, start in enumerate(starts[1:]) if index < start)
            return tables[number].image(index - starts[number])

        order = names if names is not None else in_order(entry.label for entry in entries)
        return Listing(entries=entries, class_names=order, read=read)


class _Table:
    """The columns of one file; images are read forwards, a batch of rows at a time."""

    def __init__(self, file: Path, source: str) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.file = file
        try:
            self._parquet = pq.ParquetFile(file)
            self._schema = self._parquet.schema_arrow
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{source}: {file.name} cannot be read: {error}") from None
        names = self._schema.names
        self._image, self._label = (
            next((name for name in known if name in names), None) for known in (_IMAGES, _LABELS)
        )
        if self._image is None or self._label is None:
            raise DataError(
                f"{source}: {file.name} has the columns {', '.join(names)}, but needs image and label: rename them"
            )
        self._batches: Any = None
        self._first, self._batch = 0, None

    @property
    def class_names(self) -> list[str] | None:
        """Names of the classes in the metadata of Hugging Face's data sets; None if there are none."""
        try:
            features = json.loads((self._schema.metadata or {})[b"huggingface"])["info"]["features"]
            return [str(name) for name in features[self._label]["names"]]
        except (KeyError, ValueError, TypeError):
            return None

    def labels(self) -> Sequence[int | str]:
        column = self._parquet.read(columns=[self._label]).column(0)
        labels: list[int | str] = column.to_pylist()
        return labels

    def image(self, row: int) -> bytes:
        if self._batches is None or row < self._first:
            self._batches, self._first, self._batch = self._parquet.iter_batches(_ROWS, columns=[self._image]), 0, None
        while self._batch is None or row >= self._first + len(self._batch):
            self._first += 0 if self._batch is None else len(self._batch)
            self._batch = next(self._batches).column(0)
        value = self._batch[row - self._first].as_py()
        content = value.get("bytes") if isinstance(value, dict) else value
        if content is None and isinstance(value, dict) and value.get("path"):
            path = self.file.parent / value["path"]
            return path.read_bytes() if path.is_file() else b""
        return content if isinstance(content, bytes) else b""


def _files(argument: str) -> tuple[list[Path], Path]:
    path = existing(argument, kind="parquet")
    if path.is_file():
        return [path], path.parent
    files = sorted(path.rglob("*.parquet"))
    if not files:
        raise DataError(f"parquet:{argument} contains no .parquet file: name the folder that contains them")
    return files, path


def _part_of(file: Path) -> DataPart | None:
    return PART_NAMES.get(re.split(r"[-_.\d]", file.name.lower(), maxsplit=1)[0])


def _name(label: int | str | None, names: Sequence[str] | None, *, source: str, place: str) -> str:
    if label is None:
        raise DataError(f"{source}: {place} has no label: remove the row, or label it")
    if names is None or isinstance(label, str):
        if names is not None and label not in names:
            raise DataError(f"{source}: {place} has the label {label!r}, which is none of {listed(list(names))}")
        return str(label)
    if not 0 <= label < len(names):
        raise DataError(f"{source}: {place} has the label {label}, but there are {len(names)} class names")
    return names[label]
