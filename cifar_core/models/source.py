"""What a network is made of besides its configuration: the files of its code, and those that its options name.

Python is compared by its syntax tree; a file that an option names, such as weights to begin with, by its content.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cifar_core.common.errors import SourceChangedError
from cifar_core.common.own_modules import is_import_path
from cifar_core.common.source import Source, Sources, changed_files
from cifar_core.models.registry import ARCHITECTURES

if TYPE_CHECKING:
    from cifar_core.config import ModelConfig


def source_of(model: ModelConfig) -> Source | None:
    """Return a network's source as it is now; see `common.source.Sources.of`."""
    return Sources().of(model.name if is_import_path(model.name) else None, files=named_files(model))


def source_hash(model: ModelConfig) -> str | None:
    """Return the hash of a network's source as it is now, 16 hexadecimal digits; see `common.source.Sources.of`."""
    source = source_of(model)
    return None if source is None else source.hash


def require_source(model: ModelConfig, expected: Mapping[str, str] | None, *, of: str) -> None:
    """Refuse a network whose files are not those that are meant.

    Args:
        model: the network.
        expected: `Source.files`; None where they are not known, and nothing is compared.
        of: what they were the files of, in words.

    Raises:
        SourceChangedError: they differ; names which.
        ModelError: as `common.source.Sources.of`.
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
