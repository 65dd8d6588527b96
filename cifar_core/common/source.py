"""The files that a training run depends on besides its configuration: user code, and data files that it reads.

Python files are compared by their syntax trees, other files by their content.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cifar_core.common.code_digest import bytes_digest, parse_python, tree_digest
from cifar_core.common.errors import ModelError
from cifar_core.common.user_modules import NETWORK, Code, CodeKind, UserModule, code_of


@dataclass(frozen=True, kw_only=True)
class Source:
    """The files that a training depends on, each with its hash."""

    files: Mapping[str, str]
    """`nets.py`, `pack/blocks.py`, or a file as an option names it, to its hash; the name of a library to its version
    (`package_version`)."""
    paths: Mapping[str, Path] = field(default_factory=dict, compare=False)
    """The code files among them to their paths on this machine."""

    @property
    def hash(self) -> str:
        """Part of a run's key: 16 hexadecimal digits."""
        return hashlib.sha256(json.dumps(dict(self.files), sort_keys=True).encode("utf-8")).hexdigest()[:16]


class Sources:
    """The sources of training runs; each file is read once."""

    def __init__(self, *, kind: CodeKind = NETWORK) -> None:
        self._kind = kind
        self._code: dict[str, Code] = {}
        self._files: dict[str, str | None] = {}

    def of(self, code: str | None, *, files: Iterable[str] = (), packages: Iterable[str] = ()) -> Source | None:
        """Return the source of a run; None if it depends on no user file and on no library of networks.

        Args:
            code: import path of user code, `module:Name`; None for none.
            files: texts in the configuration that may be paths; those that are not files are ignored.
            packages: libraries whose version decides the result.

        Raises:
            ModelError: the module cannot be found, one of its files is not valid Python, or a library is not installed.
        """
        digests: dict[str, str] = {package: package_version(package) for package in packages}
        paths: dict[str, Path] = {}
        if code is not None:
            if code not in self._code:
                self._code[code] = code_of(code, kind=self._kind)
            for name, module in self._code[code].modules.items():
                label = file_label(name, module)
                digests[label], paths[label] = module.digest, module.path
        for name in files:
            if name not in self._files:
                self._files[name] = file_digest(name)
            digest = self._files[name]
            if digest is not None:
                digests[name] = digest
        return Source(files=digests, paths=paths) if digests else None


def changed_files(before: Mapping[str, str], now: Mapping[str, str] | None) -> list[str]:
    """Return a description of each file that differs between two states of `Source.files`: `nets.py has changed`."""
    now = now or {}
    found = [
        (name, _change(before[name], now[name])) for name in before.keys() & now.keys() if before[name] != now[name]
    ]
    found += [(name, "was removed") for name in before.keys() - now.keys()]
    found += [(name, "was added") for name in now.keys() - before.keys()]
    return [f"{name} {change}" for name, change in sorted(found)]


def _change(before: str, now: str) -> str:
    is_package = before.startswith(_VERSION) and now.startswith(_VERSION)
    return f"was {before}, is {now}" if is_package else "has changed"


_VERSION = "version "


def package_version(package: str) -> str:
    """Return `version 1.0.31` of a library of networks, without the build for a kind of GPU.

    Raises:
        ModelError: it is not installed.
    """
    try:
        return _VERSION + importlib.metadata.version(package).partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        raise ModelError(f"{package} is not installed. Run `pip install {package}`") from None


def file_digest(name: str) -> str | None:
    """Return the hash of a file's content, None if there is no such file."""
    path = Path(name).expanduser()
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except (OSError, ValueError):
        return None


def file_label(name: str, module: UserModule) -> str:
    """Return the label of a module's file in `Source.files`."""
    path = name.replace(".", "/")
    return f"{path}/__init__{module.path.suffix}" if module.is_package else f"{path}{module.path.suffix}"


def matches_digest(content: bytes, digest: str, *, path: Path) -> bool:
    """Return whether a file's content matches a hash in `Source.files`."""
    if path.suffix != ".py":
        return bytes_digest(content) == digest
    try:
        return tree_digest(parse_python(content, path, label=str(path))) == digest
    except ModelError:
        return False


def legacy_source_hash(name: str) -> str:
    """Return the hash of a network's code as versions up to 0.5.0 recorded it: of its module's file alone."""
    code = code_of(name)
    return bytes_digest(code.modules[code.entry].path.read_bytes())
