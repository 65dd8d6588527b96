"""Import of user code from files whose content still matches their recorded hashes."""

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

from cifar_core.common.code_digest import parse_python, tree_digest
from cifar_core.common.errors import SourceChangedError
from cifar_core.common.user_modules import Code, UserModule


class _VerifyingLoader(SourceFileLoader):
    """Executes a file of user code only if its content matches its hash."""

    def __init__(self, name: str, module: UserModule) -> None:
        super().__init__(name, str(module.path))
        self.digest = module.digest

    def get_code(self, fullname: str) -> CodeType:
        # Never a .pyc: Python validates it by size and a time in seconds only.
        path = Path(self.path)
        content = path.read_bytes()
        if tree_digest(parse_python(content, path, label=f"module {fullname!r}")) != self.digest:
            raise SourceChangedError(f"{path} changed while it was imported: undo the edit, or train the new code")
        return self.source_to_code(content, self.path)


class _VerifyingFinder:
    """Finds the files of the user code that is being imported."""

    def __init__(self, modules: Mapping[str, UserModule]) -> None:
        self._modules = modules

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        module = self._modules.get(name)
        if module is None:
            return None
        return importlib.util.spec_from_file_location(
            name,
            module.path,
            loader=_VerifyingLoader(name, module),
            submodule_search_locations=[str(module.path.parent)] if module.is_package else None,
        )


@contextlib.contextmanager
def import_verified(code: Code) -> Iterator[ModuleType]:
    """Yield the entry module; it and the user code that the block imports come from files that match their hashes.

    Modules that were loaded from an earlier state of the files are unloaded first.

    Raises:
        SourceChangedError: a file has changed since it was hashed.
    """
    modules = {name: module for name, module in code.modules.items() if module.is_python}
    if any(_is_stale(name, module) for name, module in modules.items()):
        for name in modules:
            sys.modules.pop(name, None)
    finder = _VerifyingFinder(modules)
    sys.meta_path.insert(0, finder)
    try:
        yield importlib.import_module(code.entry)
    finally:
        sys.meta_path.remove(finder)


def _is_stale(name: str, module: UserModule) -> bool:
    loaded = sys.modules.get(name)
    if loaded is None:
        return False
    loader = getattr(loaded, "__loader__", None)
    if isinstance(loader, _VerifyingLoader):
        return loader.digest != module.digest or loader.path != str(module.path)
    # Imported otherwise, as in a notebook: its content at that time is unknown.
    return module.path.stat().st_mtime >= _process_start()


@functools.cache
def _process_start() -> float:
    """Return the start of this process in Unix time; 0 where the system does not report it."""
    try:
        ticks = int(Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
        return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.0
