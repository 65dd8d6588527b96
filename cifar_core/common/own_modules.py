"""The modules that a network of the user's own is made of, found by reading: none of them is run.

They are the module that `model.name` names and every file that it imports, directly or not, also within a function,
as far as the import can be resolved by reading; not what is installed, Python's own, or this project's.
"""

from __future__ import annotations

import ast
import functools
import importlib
import site
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from pathlib import Path

from cifar_core.common.code_digest import bytes_digest, parsed, tree_digest
from cifar_core.common.errors import ModelError

OURS = ("cifar_core", "sweeps")
"""This project's packages: a version of theirs is no state of the user's code."""


@dataclass(frozen=True, kw_only=True)
class OwnModule:
    """A file that Python imports."""

    path: Path
    is_package: bool
    digest: str

    @property
    def is_python(self) -> bool:
        return self.path.suffix == ".py"


@dataclass(frozen=True, kw_only=True)
class Code:
    """The files of one network's code."""

    entry: str
    """The module that holds the network."""
    modules: Mapping[str, OwnModule]
    """By the name that imports it."""
    shadowed: Mapping[Path, str] = field(default_factory=dict)
    """Files that are never imported, since Python's own module of that name comes first: to that one's path."""


def code_of(name: str) -> Code:
    """Return the files of a network of the user's own, `module:Class`, without running any of them.

    Raises:
        ModelError: there is no such module, it has no file, or a file is no Python.
    """
    importlib.invalidate_caches()
    entry, _ = parse_name(name)
    spec = _found(entry, name=name)
    if _is_pythons(spec):
        raise ModelError(
            f"model {name!r}: {entry!r} has no source file of yours: it is a module of Python's own "
            f"({spec.origin or 'built-in'}), which is imported; give your file another name, such as my_{entry}.py"
        )
    if spec.has_location and not _is_file(spec):
        raise ModelError(f"model {name!r}: {entry!r} has no source file: write a .py file")
    walk = _Walk(name)
    walk.take(entry)
    if entry not in walk.modules:
        raise ModelError(f"model {name!r}: {entry!r} has no source file: write a .py file")
    return Code(entry=entry, modules=walk.modules, shadowed=walk.shadowed)


def parse_name(name: str) -> tuple[str, str]:
    """Return module and class of `module:Class`.

    Raises:
        ModelError: one of them is missing.
    """
    module_name, _, class_name = name.partition(":")
    if not module_name or not class_name:
        raise ModelError(f"model {name!r}: write your own network as 'module:Class', such as 'my_nets:Tiny'")
    if module_name == "__main__":
        raise ModelError(
            f"model {name!r}: what is written in a notebook or in the script itself cannot be imported by a trial: "
            "write the network in a .py file beside it, such as my_nets.py, and name it 'my_nets:Tiny'"
        )
    return module_name, class_name


def _found(module: str, *, name: str) -> ModuleSpec:
    spec = spec_of(module)
    folder = str(Path.cwd())
    if spec is None and folder not in sys.path:
        # A console script has its own folder on the path, not the one that the user stands in. That folder
        # stays on it, since the module may import its neighbours later.
        sys.path.append(folder)
        importlib.invalidate_caches()
        spec = spec_of(module)
    if spec is None:
        raise ModelError(
            f"model {name!r}: there is no module {module!r}; start in the folder that holds it "
            f"(this is {folder}), or install its package"
        )
    return spec


def spec_of(module: str) -> ModuleSpec | None:
    """Return where a module would be imported from; neither it nor a package around it is run."""
    spec: ModuleSpec | None = None
    locations: list[str] | None = None
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        if spec is not None:
            if spec.submodule_search_locations is None:
                return None
            # Of a package without a first file the list is one that asks for its parent, which is not imported.
            locations = list(getattr(spec.submodule_search_locations, "_path", spec.submodule_search_locations))
        spec = _find(".".join(parts[:count]), locations)
        if spec is None:
            return None
    return spec


def _find(name: str, locations: list[str] | None) -> ModuleSpec | None:
    loaded = getattr(sys.modules.get(name), "__spec__", None)
    if isinstance(loaded, ModuleSpec) and (not loaded.has_location or _is_file(loaded)):
        return loaded
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        try:
            spec = None if find is None else find(name, locations)
        except KeyError:
            # A folder without a first file, in one that is not imported: Python asks its parent where it lies.
            spec = _folder_spec(name, locations or [])
        if spec is not None:
            return spec  # type: ignore[no-any-return]
    return None


def _folder_spec(name: str, locations: list[str]) -> ModuleSpec:
    spec = ModuleSpec(name, None, is_package=True)
    folders = [Path(folder) / name.rpartition(".")[2] for folder in locations]
    spec.submodule_search_locations = [str(folder) for folder in folders if folder.is_dir()]
    return spec


def _is_file(spec: ModuleSpec) -> bool:
    return spec.origin is not None and Path(spec.origin).is_file()


class _Walk:
    """Follows imports through the user's own files."""

    def __init__(self, network: str) -> None:
        self._network = network
        self._seen: set[str] = set()
        self.modules: dict[str, OwnModule] = {}
        self.shadowed: dict[Path, str] = {}

    def take(self, entry: str) -> None:
        """Follow a network's module, which counts wherever it lies."""
        waiting = [(name, True) for name in _with_parents(entry)]
        while waiting:
            name, is_asked = waiting.pop()
            if name in self._seen:
                continue
            self._seen.add(name)
            spec = spec_of(name)
            if spec is None or (not is_asked and not is_own(spec)):
                continue
            if not _is_file(spec):
                continue  # a package without a first file
            assert spec.origin is not None
            own, imported = self._read(name, Path(spec.origin), is_package=spec.submodule_search_locations is not None)
            self.modules[name] = own
            self._note_shadowed(own.path, imported)
            waiting += [(part, False) for module in imported for part in _with_parents(module)]

    def _read(self, name: str, path: Path, *, is_package: bool) -> tuple[OwnModule, set[str]]:
        content = path.read_bytes()
        if path.suffix != ".py":
            return OwnModule(path=path, is_package=is_package, digest=bytes_digest(content)), set()
        tree = parsed(content, path, network=self._network)
        package = name if is_package else name.rpartition(".")[0]
        own = OwnModule(path=path, is_package=is_package, digest=tree_digest(tree))
        return own, set(_imports(tree, package=package))

    def _note_shadowed(self, path: Path, imported: set[str]) -> None:
        for name in {module.partition(".")[0] for module in imported} & sys.stdlib_module_names:
            yours = path.with_name(f"{name}.py")
            spec = spec_of(name) if yours != path and yours.is_file() else None
            if spec is not None and _is_pythons(spec):
                self.shadowed[yours] = spec.origin or "built in"


def _with_parents(module: str) -> list[str]:
    """Return a module's name with those of the packages around it, which are imported with it."""
    parts = module.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _imports(tree: ast.AST, *, package: str) -> Iterator[str]:
    """Yield what a file imports anywhere in it; names that are no modules are dropped later."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node.module or "", level=node.level, package=package)
            if base:
                yield base
                for alias in node.names:
                    yield from _below(base) if alias.name == "*" else [f"{base}.{alias.name}"]
        elif isinstance(node, ast.Call) and (named := _named_in_call(node)) is not None:
            level = len(named) - len(named.lstrip("."))
            if base := _absolute(named[level:], level=level, package=package):
                yield base


def _absolute(module: str, *, level: int, package: str) -> str:
    if not level:
        return module
    parts = package.split(".") if package else []
    around = parts[: len(parts) - (level - 1)]
    return ".".join([*around, *([module] if module else [])]) if around else ""


def _below(package: str) -> Iterator[str]:
    """Yield the modules of a package that `import *` may take."""
    spec = spec_of(package)
    if spec is None or spec.submodule_search_locations is None or not is_own(spec):
        return
    for folder in getattr(spec.submodule_search_locations, "_path", spec.submodule_search_locations):
        yield from (f"{package}.{path.stem}" for path in Path(folder).glob("*.py") if path.stem != "__init__")


def _named_in_call(call: ast.Call) -> str | None:
    """Return the module that `import_module("...")` or `__import__("...")` names."""
    function = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", None)
    if function not in ("import_module", "__import__") or not call.args:
        return None
    first = call.args[0]
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None


def is_own(spec: ModuleSpec) -> bool:
    """Whether a module is the user's: neither installed, nor Python's, nor this project's."""
    path = _path_of(spec)
    return path is not None and spec.name.partition(".")[0] not in OURS and not _is_installed(str(path))


def _is_pythons(spec: ModuleSpec) -> bool:
    path = _path_of(spec)
    return spec.name.partition(".")[0] in sys.stdlib_module_names and (
        path is None or (_is_within(path, _python_folders()) and not _is_within(path, _site_folders()))
    )


def _path_of(spec: ModuleSpec) -> Path | None:
    """Return a module's file, or a package's folder; None where it is built into Python."""
    if spec.has_location and spec.origin:
        return Path(spec.origin)
    locations = getattr(spec.submodule_search_locations, "_path", spec.submodule_search_locations)
    return Path(next(iter(locations))) if locations else None


@functools.cache
def _is_installed(file: str) -> bool:
    path = Path(file)
    if _is_within(path, (*_python_folders(), *_site_folders())):
        return True
    return any(part in ("site-packages", "dist-packages") for part in path.parts) or any(
        path.relative_to(folder).parts[0] in _put_there_by_pip(folder) for folder in list(path.parents)[:3]
    )


@functools.cache
def _put_there_by_pip(folder: Path) -> frozenset[str]:
    """Return what `pip install --target` has put into a folder."""
    records = [record.read_text(encoding="utf-8") for record in folder.glob("*.dist-info/RECORD")]
    return frozenset(line.partition(",")[0].partition("/")[0] for text in records for line in text.splitlines())


@functools.cache
def _python_folders() -> tuple[Path, ...]:
    return tuple(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib"))


@functools.cache
def _site_folders() -> tuple[Path, ...]:
    own = [sysconfig.get_path(name) for name in ("purelib", "platlib")]
    return tuple(Path(folder).resolve() for folder in [*own, *site.getsitepackages(), site.getusersitepackages()])


def _is_within(path: Path, folders: tuple[Path, ...]) -> bool:
    return any(path.is_relative_to(folder) or path.resolve().is_relative_to(folder) for folder in folders)


def is_import_path(name: str) -> bool:
    """Whether a model's name is `module:Class`, a model of the user's own."""
    return ":" in name
