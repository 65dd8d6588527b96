"""The files that a network depends on besides its configuration: its code, and files that its options name.

Python files are compared by their syntax trees; a file that an option names, such as initial weights, by its content.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cifar_core.common.errors import SourceChangedError
from cifar_core.common.source import Source, Sources, changed_files
from cifar_core.common.user_modules import is_import_path, library_of

if TYPE_CHECKING:
    from cifar_core.config import ModelConfig


def source_of(model: ModelConfig) -> Source | None:
    """Return a network's current source; see `common.source.Sources.of`."""
    code = model.name if is_import_path(model.name) else None
    return Sources().of(code, files=named_files(model), packages=packages(model))


def source_hash(model: ModelConfig) -> str | None:
    """Return the hash of a network's current source, 16 hexadecimal digits; see `common.source.Sources.of`."""
    source = source_of(model)
    return None if source is None else source.hash


def require_source(model: ModelConfig, expected: Mapping[str, str] | None, *, of: str) -> None:
    """Raise if a network's files differ from the expected ones.

    Args:
        model: the network.
        expected: `Source.files`; None where they are unknown: nothing is compared.
        of: what the expected files belong to, for the message.

    Raises:
        SourceChangedError: the files differ; names which.
        ModelError: as `common.source.Sources.of`.
    """
    if expected is None:
        return
    source = source_of(model)
    if changes := changed_files(expected, None if source is None else source.files):
        raise SourceChangedError(
            f"the code of {model.name} differs from that of {of}: {', '.join(changes)}. Undo the change, or train the "
            "new code"
        )


def named_files(model: ModelConfig) -> list[str]:
    """Return the values of a configuration that may name a file: initial weights, and options with a suffix or `/`."""
    texts = [value for value in model.options.values() if isinstance(value, str)]
    files = [text for text in texts if os.sep in text or Path(text).suffix]
    weights = None if is_import_path(model.name) else model.arguments().get("weights")
    return files if weights is None else [weights, *files]


def packages(model: ModelConfig) -> list[str]:
    """Return the library of a network, whose version decides what the network computes; empty for other networks."""
    library = library_of(model.name)
    return [] if library is None else [library]
