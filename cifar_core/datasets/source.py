"""The text that names a data source, such as `folder:photos`, and the reader for it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path

from cifar_core.common.family import members
from cifar_core.common.user_modules import is_import_path
from cifar_core.datasets.about import CIFAR10
from cifar_core.datasets.errors import DataError
from cifar_core.datasets.reader import Reader

READERS: Mapping[str, Reader] = {kind.kind: kind() for kind in members("cifar_core.datasets.kinds", Reader)}
"""Kind to reader."""


def reader_of(source: str) -> tuple[Reader, str]:
    """Return the reader of a source and the text after its kind.

    Raises:
        DataError: the kind is unknown, and it is not a path that a reader recognises.
    """
    kind, colon, argument = source.partition(":")
    if kind in READERS and colon:
        if not argument.strip():
            raise DataError(f"{source!r} names no data: write {READERS[kind].form}")
        return READERS[kind], argument
    try:
        found = [reader for reader in READERS.values() if source.strip() and reader.recognizes(source)]
        is_path = bool(source.strip()) and Path(source).expanduser().exists()
    except (OSError, RuntimeError, ValueError) as error:  # a name that is too long, or no home folder
        raise DataError(f"data source {source!r} cannot be used: {error}") from None
    if found:
        return found[0], source
    if is_path:
        raise DataError(f"{source} is no data set: write one of {forms()}")
    near = difflib.get_close_matches(kind, [CIFAR10, *READERS], n=1)
    hint = f"did you mean {near[0]!r}? " if near and colon else ""
    if not colon:
        hint = "there is no such path. "
    elif not near and is_import_path(source):
        hint = f"there is no {kind.replace('.', '/')}.py in {Path.cwd()} nor such a module installed. "
    raise DataError(f"unknown data source {source!r}: {hint}Write one of {forms()}")


def forms() -> str:
    """Return how sources are written, in a list."""
    return ", ".join((CIFAR10, *(reader.form for reader in READERS.values())))
