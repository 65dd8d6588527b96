"""Imports a network of the user's own from files that still say what was hashed of them."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import os
import sys
import time
from collections.abc import Iterator, Mapping
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from cifar_core.common.code_digest import parsed, tree_digest
from cifar_core.common.errors import SourceChangedError
from cifar_core.common.own_modules import Code, OwnModule


class _OwnLoader(SourceFileLoader):
    """Runs a file of the user's own only while it says what was hashed."""

    def __init__(self, name: str, module: OwnModule) -> None:
        super().__init__(name, str(module.path))
        self.digest = module.digest

    def get_code(self, fullname: str) -> CodeType:
        # Never a .pyc: Python compares only its time in seconds and its size.
        path = Path(self.path)
        content = path.read_bytes()
        if tree_digest(parsed(content, path, network=fullname)) != self.digest:
            raise SourceChangedError(f"{path} has changed while it was imported: undo the edit, or train the new code")
        return self.source_to_code(content, self.path)


class _OwnFinder:
    """Finds the files of the network that is being built."""

    def __init__(self, modules: Mapping[str, OwnModule]) -> None:
        self._modules = modules

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        own = self._modules.get(name)
        if own is None:
            return None
        return importlib.util.spec_from_file_location(
            name,
            own.path,
            loader=_OwnLoader(name, own),
            submodule_search_locations=[str(own.path.parent)] if own.is_package else None,
        )


@contextlib.contextmanager
def importing(code: Code) -> Iterator[ModuleType]:
    """Give a network's module, imported from files that say what was hashed, as all that the block imports of them.

    What is loaded of an earlier state of them goes first.

    Raises:
        SourceChangedError: a file has changed since.
    """
    own = {name: module for name, module in code.modules.items() if module.is_python}
    if any(_is_stale(name, module) for name, module in own.items()):
        for name in own:
            sys.modules.pop(name, None)
    finder = _OwnFinder(own)
    sys.meta_path.insert(0, finder)
    try:
        yield importlib.import_module(code.entry)
    finally:
        sys.meta_path.remove(finder)


def _is_stale(name: str, own: OwnModule) -> bool:
    loaded = sys.modules.get(name)
    if loaded is None:
        return False
    loader = getattr(loaded, "__loader__", None)
    if isinstance(loader, _OwnLoader):
        return loader.digest != own.digest or loader.path != str(own.path)
    # Somebody else has imported it, as in a notebook: what it said then is not known.
    return own.path.stat().st_mtime >= _process_began()


@functools.cache
def _process_began() -> float:
    """Return when this process began, in Unix time; 0 where the system does not say."""
    try:
        ticks = int(Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
        return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.0
