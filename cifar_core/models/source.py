"""What a network is made of besides its configuration: the files of its code, and those that its options name.

Python is compared by its syntax tree; a file that an option names, such as weights to begin with, by its content.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cifar_core.common.errors import SourceChangedError
from cifar_core.common.own_modules import Code, code_of
from cifar_core.common.source import Source, changed_files, file_digest, file_label
from cifar_core.models.registry import ARCHITECTURES, is_import_path

if TYPE_CHECKING:
    from cifar_core.config import ModelConfig


class Sources:
    """The sources of networks as they were when each file was first asked for."""

    def __init__(self) -> None:
        self._code: dict[str, Code] = {}
        self._files: dict[str, str | None] = {}

    def of(self, model: ModelConfig) -> Source | None:
        """Return a network's source; None for a built-in one that no file takes part in.

        Raises:
            ModelError: its module cannot be found, or one of its files is no Python.
        """
        files: dict[str, str] = {}
        paths: dict[str, Path] = {}
        if is_import_path(model.name):
            if model.name not in self._code:
                self._code[model.name] = code_of(model.name)
            for module, own in self._code[model.name].modules.items():
                label = file_label(module, own)
                files[label], paths[label] = own.digest, own.path
        for name in named_files(model):
            if name not in self._files:
                self._files[name] = file_digest(name)
            digest = self._files[name]
            if digest is not None:
                files[name] = digest
        return Source(files=files, paths=paths) if files else None

    def hash_of(self, model: ModelConfig) -> str | None:
        """Return the hash of a network's source, as `of`."""
        source = self.of(model)
        return None if source is None else source.hash


def source_of(model: ModelConfig) -> Source | None:
    """Return a network's source as it is now; see `Sources.of`."""
    return Sources().of(model)


def source_hash(model: ModelConfig) -> str | None:
    """Return the hash of a network's source as it is now, 16 hexadecimal digits; see `Sources.of`."""
    return Sources().hash_of(model)


def require_source(model: ModelConfig, expected: Mapping[str, str] | None, *, of: str) -> None:
    """Refuse a network whose files are not those that are meant.

    Args:
        model: the network.
        expected: `Source.files`; None where they are not known, and nothing is compared.
        of: what they were the files of, in words.

    Raises:
        SourceChangedError: they differ; names which.
        ModelError: as `Sources.of`.
    """
    if expected is None:
        return
    source = source_of(model)
    if changes := changed_files(expected, None if source is None else source.files):
        raise SourceChangedError(
            f"the code of {model.name} is not that of {of}: {', '.join(changes)}. Undo the edit, or train the new code"
        )


def named_files(model: ModelConfig) -> list[str]:
    """Return what in a configuration may name a file: weights to begin with, and options with a suffix or a folder."""
    if not is_import_path(model.name):
        uses = "weights" in ARCHITECTURES[model.name].defaults
        return [model.weights] if uses and model.weights is not None else []
    texts = [value for value in model.options.values() if isinstance(value, str)]
    return [text for text in texts if os.sep in text or Path(text).suffix]
