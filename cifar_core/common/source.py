"""What a training run is made of besides its configuration: the files of the user's code, and other files it reads.

Python is compared by its syntax tree, any other file by its content.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cifar_core.common.code_digest import bytes_digest, parsed, tree_digest
from cifar_core.common.errors import ModelError
from cifar_core.common.own_modules import Code, OwnModule, code_of


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a network is made of besides its configuration, each file with the hash of its content."""

    files: Mapping[str, str]
    """`nets.py`, `pack/blocks.py`, or a file as an option names it, to its hash."""
    paths: Mapping[str, Path] = field(default_factory=dict, compare=False)
    """Where the files of its code lie here."""

    @property
    def hash(self) -> str:
        """Part of a run's key: 16 hexadecimal digits."""
        return hashlib.sha256(json.dumps(dict(self.files), sort_keys=True).encode("utf-8")).hexdigest()[:16]


class Sources:
    """The sources of training runs as they were when each file was first asked for."""

    def __init__(self) -> None:
        self._code: dict[str, Code] = {}
        self._files: dict[str, str | None] = {}

    def of(self, code: str | None, *, files: Iterable[str] = ()) -> Source | None:
        """Return the source of a run; None where no file of the user's own takes part.

        Args:
            code: import path of the user's own code, `module:Name`; None for none.
            files: paths that the configuration may mean; what is no file is left out.

        Raises:
            ModelError: the module cannot be found, or one of its files is no Python.
        """
        digests: dict[str, str] = {}
        paths: dict[str, Path] = {}
        if code is not None:
            if code not in self._code:
                self._code[code] = code_of(code)
            for module, own in self._code[code].modules.items():
                label = file_label(module, own)
                digests[label], paths[label] = own.digest, own.path
        for name in files:
            if name not in self._files:
                self._files[name] = file_digest(name)
            digest = self._files[name]
            if digest is not None:
                digests[name] = digest
        return Source(files=digests, paths=paths) if digests else None


def changed_files(before: Mapping[str, str], now: Mapping[str, str] | None) -> list[str]:
    """Return in words which files differ between two states of `Source.files`; empty where none does."""
    now = now or {}
    found = [(name, "has changed") for name in before.keys() & now.keys() if before[name] != now[name]]
    found += [(name, "is not part of it any more") for name in before.keys() - now.keys()]
    found += [(name, "is new in it") for name in now.keys() - before.keys()]
    return [f"{name} {what}" for name, what in sorted(found)]


def file_digest(name: str) -> str | None:
    """Return the hash of the content of a file, None where there is none of this name."""
    path = Path(name).expanduser()
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except (OSError, ValueError):
        return None


def file_label(module: str, own: OwnModule) -> str:
    """Return what the file of a module is called in `Source.files`."""
    path = module.replace(".", "/")
    return f"{path}/__init__{own.path.suffix}" if own.is_package else f"{path}{own.path.suffix}"


def says(content: bytes, digest: str, *, path: Path) -> bool:
    """Return whether a file's content is that of a hash in `Source.files`."""
    if path.suffix != ".py":
        return bytes_digest(content) == digest
    try:
        return tree_digest(parsed(content, path, network=str(path))) == digest
    except ModelError:
        return False


def hash_of_entry(name: str) -> str:
    """Return what versions up to 0.5.0 recorded of a network's code: the hash of its module's file, of no other."""
    code = code_of(name)
    return bytes_digest(code.modules[code.entry].path.read_bytes())
