"""The modules of user code, found by parsing; none of them is executed.

They are the module that `model.name` or `train` names, or the script that `program` names, and every file that it
imports, directly or indirectly, including imports inside functions, as far as they can be resolved statically.
Installed packages, the standard library and this project are excluded.
"""

from __future__ import annotations

import ast
import functools
import importlib
import site
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.machinery import BuiltinImporter, FrozenImporter, ModuleSpec, PathFinder
from pathlib import Path

from cifar_core.common.code_digest import bytes_digest, parse_python, tree_digest
from cifar_core.common.errors import ModelError

MAIN = "__main__"
"""The member in the name of a module that Python runs as a program: `pkg.train:__main__` for `-m pkg.train`."""
PROJECT_PACKAGES = ("cifar_core", "sweeps")
"""This project's packages, which are not user code."""

LIBRARIES = ("timm", "torchvision")
"""Packages of networks: `timm:resnet18` is a network of timm, not user code."""


@dataclass(frozen=True, kw_only=True)
class CodeKind:
    """The words for a kind of user code in messages."""

    key: str
    """The key of a file that names it."""
    word: str
    """`model` or `function`, before its import path."""
    written: str
    """The form of its import path, with an example."""
    member: str
    """`class` or `function`, the object in the module."""

    def label(self, name: str) -> str:
        """Return `model 'nets:Tiny'`."""
        return f"{self.word} {written_name(name)!r}"


NETWORK = CodeKind(
    key="model.name",
    word="model",
    written="write a custom network as 'module:Class', such as 'my_nets:Tiny'",
    member="class",
)
FUNCTION = CodeKind(
    key="train",
    word="function",
    written="write a function as 'module:function', such as 'mine:train'",
    member="function",
)


PROGRAM = CodeKind(
    key="program",
    word="program",
    written="write the path of a script, such as train.py",
    member="script",
)


@dataclass(frozen=True, kw_only=True)
class UserModule:
    """A file of user code that Python imports."""

    path: Path
    is_package: bool
    digest: str

    @property
    def is_python(self) -> bool:
        return self.path.suffix == ".py"


@dataclass(frozen=True, kw_only=True)
class Code:
    """The files of one network or function."""

    entry: str
    """The module that holds it."""
    modules: Mapping[str, UserModule]
    """Module name to file."""
    shadowed: Mapping[Path, str] = field(default_factory=dict)
    """Files that are never imported because a module of the standard library has their name, to that module's path."""


FindSpec = Callable[[str], ModuleSpec | None]
"""Returns the spec that a module would be imported from; None if there is none."""


def code_of(name: str, *, kind: CodeKind = NETWORK) -> Code:
    """Return the files of user code, `module:Class`, `module:function` or a script, without executing any of them.

    Raises:
        ModelError: there is no such module or script, it has no file, or a file is not valid Python.
    """
    importlib.invalidate_caches()
    if is_script(name):
        return _code_of_script(name, label=kind.label(name))
    entry, member = parse_name(name, kind=kind)
    label = kind.label(name)
    if member == MAIN:
        return _code_of_main(entry, label=label)
    spec = _require_spec(entry, label=label)
    if _is_standard_library(spec):
        raise ModelError(
            f"{label}: Python imports {entry!r} from its standard library ({spec.origin or 'built-in'}), not "
            f"from your file: rename the file, for example to my_{entry}.py"
        )
    if spec.has_location and not _is_file(spec):
        raise ModelError(f"{label}: {entry!r} has no source file: write a .py file")
    found = _ImportCollector(label, spec_of)
    found.collect(entry)
    if entry not in found.modules:
        raise ModelError(f"{label}: {entry!r} has no source file: write a .py file")
    return Code(entry=entry, modules=found.modules, shadowed=found.shadowed)


def _code_of_script(name: str, *, label: str) -> Code:
    path = find_script(name)
    if path is None:
        raise ModelError(f"{label}: there is no such file in {Path.cwd()}: change to the folder that contains it")
    search = [str(path.resolve().parent), *sys.path]
    found = _ImportCollector(label, functools.partial(_spec_on, path=search))
    # A script has no module name. Its label in messages is its path, as far as that looks like a module's.
    parts = Path(name).with_suffix("").parts
    entry = ".".join(parts) if all(part.isidentifier() for part in parts) else path.stem
    found.collect_script(entry, path)
    return Code(entry=entry, modules=found.modules, shadowed=found.shadowed)


def _code_of_main(module: str, *, label: str) -> Code:
    find_spec = _spec_in_new_process()
    spec = find_spec(module)
    if spec is None:
        raise ModelError(f"{label}: {no_module(module)}")
    entry = module if spec.submodule_search_locations is None else f"{module}.{MAIN}"
    found = _ImportCollector(label, find_spec)
    found.collect(entry)
    if entry not in found.modules:
        raise ModelError(f"{label}: there is no {entry.replace('.', '/')}.py, which `python -m {module}` runs")
    return Code(entry=entry, modules=found.modules, shadowed=found.shadowed)


def no_module(module: str) -> str:
    """Return the sentence for a module that `python -m` does not find."""
    return (
        f"there is no module {module!r} in {Path.cwd()}, nor installed: change to the folder that contains it, or "
        "install its package"
    )


def has_module(module: str) -> bool:
    """Return whether `python -m` finds a module in the working directory, or installed."""
    return _spec_in_new_process()(module) is not None


def _spec_in_new_process() -> FindSpec:
    return functools.partial(_spec_on, path=[str(Path.cwd()), *sys.path])


def find_script(name: str) -> Path | None:
    """Return the file of a script: in the working directory, or where code that was sent to this machine is stored."""
    if Path(name).is_file() or Path(name).is_absolute():
        return Path(name) if Path(name).is_file() else None
    return next((path for folder in sys.path if (path := Path(folder) / name).is_file()), None)


def _spec_on(module: str, *, path: Sequence[str]) -> ModuleSpec | None:
    """Return the spec that a module would be imported from by a new process with this search path."""
    spec: ModuleSpec | None = None
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        name = ".".join(parts[:count])
        if spec is None:
            spec = _find_top(name, path)
        elif spec.submodule_search_locations is None:
            return None
        else:
            locations = spec.submodule_search_locations
            spec = _find_below(name, list(getattr(locations, "_path", locations)))
        if spec is None:
            return None
    return spec


def _find_below(name: str, locations: list[str]) -> ModuleSpec | None:
    try:
        return PathFinder.find_spec(name, locations)
    except KeyError:
        # A namespace package in a package that is not imported: Python looks its path up in the parent.
        return _namespace_spec(name, locations)


def _find_top(name: str, path: Sequence[str]) -> ModuleSpec | None:
    finders = [finder for finder in sys.meta_path if finder is not PathFinder and hasattr(finder, "find_spec")]
    return (
        BuiltinImporter.find_spec(name)
        or FrozenImporter.find_spec(name)
        or PathFinder.find_spec(name, path)
        or next(filter(None, (finder.find_spec(name, None) for finder in finders)), None)
    )


def parse_name(name: str, *, kind: CodeKind = NETWORK) -> tuple[str, str]:
    """Return module and class of `module:Class`, or module and function.

    Raises:
        ModelError: one of them is missing.
    """
    module_name, _, class_name = name.partition(":")
    if not module_name or not class_name:
        raise ModelError(f"{kind.label(name)}: {kind.written}")
    if module_name == "__main__":
        raise ModelError(
            f"{kind.label(name)}: a trial cannot import a {kind.member} that is defined in a notebook or in the script "
            f"itself. Move it to a .py file in the same folder, such as mine.py, and name it 'mine:{class_name}'"
        )
    return module_name, class_name


def _require_spec(module: str, *, label: str) -> ModuleSpec:
    spec = spec_of(module)
    folder = str(Path.cwd())
    if spec is None and folder not in sys.path:
        # A console script has its own folder on the path, not the working directory. The working directory stays on the
        # path, since the module may import its neighbours later.
        sys.path.append(folder)
        importlib.invalidate_caches()
        spec = spec_of(module)
    if spec is None:
        raise ModelError(f"{label}: {no_module(module)}")
    return spec


def spec_of(module: str) -> ModuleSpec | None:
    """Return the spec that a module would be imported from, without executing it or its parent packages."""
    spec: ModuleSpec | None = None
    locations: list[str] | None = None
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        if spec is not None:
            if spec.submodule_search_locations is None:
                return None
            # The list of a namespace package looks up its parent, which is not imported: `_path` is the plain list.
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
            # A namespace package in a package that is not imported: Python looks its path up in the parent.
            spec = _namespace_spec(name, locations or [])
        if spec is not None:
            return spec  # type: ignore[no-any-return]
    return None


def _namespace_spec(name: str, locations: list[str]) -> ModuleSpec:
    spec = ModuleSpec(name, None, is_package=True)
    folders = [Path(folder) / name.rpartition(".")[2] for folder in locations]
    spec.submodule_search_locations = [str(folder) for folder in folders if folder.is_dir()]
    return spec


def _is_file(spec: ModuleSpec) -> bool:
    return spec.origin is not None and Path(spec.origin).is_file()


class _ImportCollector:
    """Follows imports through user code."""

    def __init__(self, label: str, find_spec: FindSpec) -> None:
        self._label = label
        self._spec_of = find_spec
        self._visited: set[str] = set()
        self.modules: dict[str, UserModule] = {}
        self.shadowed: dict[Path, str] = {}

    def collect(self, entry: str) -> None:
        """Collect the entry module, wherever it is stored, and the user code that it imports."""
        self._follow([(name, True) for name in _with_parents(entry)])

    def collect_script(self, entry: str, path: Path) -> None:
        """Collect a script, wherever it is stored, and the user code that it imports."""
        module, imported = self._read("", path, is_package=False)
        self.modules[entry] = module
        self._note_shadowed(path, imported)
        self._follow([(part, False) for each in imported for part in _with_parents(each)])

    def _follow(self, stack: list[tuple[str, bool]]) -> None:
        while stack:
            name, is_entry = stack.pop()
            if name in self._visited:
                continue
            self._visited.add(name)
            spec = self._spec_of(name)
            if spec is None or (not is_entry and not is_user_module(spec)):
                continue
            if not _is_file(spec):
                continue  # a namespace package
            assert spec.origin is not None
            is_package = spec.submodule_search_locations is not None
            module, imported = self._read(name, Path(spec.origin), is_package=is_package)
            self.modules[name] = module
            self._note_shadowed(module.path, imported)
            stack += [(part, False) for each in imported for part in _with_parents(each)]

    def _read(self, name: str, path: Path, *, is_package: bool) -> tuple[UserModule, set[str]]:
        content = path.read_bytes()
        if path.suffix != ".py":
            return UserModule(path=path, is_package=is_package, digest=bytes_digest(content)), set()
        tree, digest = _parsed(content, path, label=self._label)
        package = name if is_package else name.rpartition(".")[0]
        module = UserModule(path=path, is_package=is_package, digest=digest)
        return module, set(_imports(tree, package=package, find_spec=self._spec_of))

    def _note_shadowed(self, path: Path, imported: set[str]) -> None:
        for name in {module.partition(".")[0] for module in imported} & sys.stdlib_module_names:
            neighbour = path.with_name(f"{name}.py")
            spec = self._spec_of(name) if neighbour != path and neighbour.is_file() else None
            if spec is not None and _is_standard_library(spec):
                self.shadowed[neighbour] = spec.origin or "built in"


@functools.lru_cache(maxsize=64)  # each trial of a sweep asks for the same files
def _parsed(content: bytes, path: Path, *, label: str) -> tuple[ast.Module, str]:
    """Return the syntax tree of a file, not to be changed, and its hash."""
    tree = parse_python(content, path, label=label)
    return tree, tree_digest(tree)


def _with_parents(module: str) -> list[str]:
    """Return a module's name and those of its parent packages, which are imported with it."""
    parts = module.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _imports(tree: ast.AST, *, package: str, find_spec: FindSpec) -> Iterator[str]:
    """Yield the names that a file imports anywhere; those that are not modules are dropped later."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node.module or "", level=node.level, package=package)
            if base:
                yield base
                for alias in node.names:
                    yield from _submodules(base, find_spec) if alias.name == "*" else [f"{base}.{alias.name}"]
        elif isinstance(node, ast.Call) and (named := _imported_by_call(node)) is not None:
            level = len(named) - len(named.lstrip("."))
            if base := _absolute(named[level:], level=level, package=package):
                yield base


def _absolute(module: str, *, level: int, package: str) -> str:
    if not level:
        return module
    parts = package.split(".") if package else []
    parents = parts[: len(parts) - (level - 1)]
    return ".".join([*parents, *([module] if module else [])]) if parents else ""


def _submodules(package: str, find_spec: FindSpec) -> Iterator[str]:
    """Yield the modules of a package that `import *` may import."""
    spec = find_spec(package)
    if spec is None or spec.submodule_search_locations is None or not is_user_module(spec):
        return
    for folder in getattr(spec.submodule_search_locations, "_path", spec.submodule_search_locations):
        yield from (f"{package}.{path.stem}" for path in Path(folder).glob("*.py") if path.stem != "__init__")


def _imported_by_call(call: ast.Call) -> str | None:
    """Return the module that `import_module("...")` or `__import__("...")` names."""
    function = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", None)
    if function not in ("import_module", "__import__") or not call.args:
        return None
    first = call.args[0]
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None


def is_user_module(spec: ModuleSpec) -> bool:
    """Return whether a module is neither installed nor part of the standard library or this project."""
    path = _path_of(spec)
    return path is not None and spec.name.partition(".")[0] not in PROJECT_PACKAGES and not is_installed(str(path))


def _is_standard_library(spec: ModuleSpec) -> bool:
    path = _path_of(spec)
    return spec.name.partition(".")[0] in sys.stdlib_module_names and (
        path is None or (_is_within(path, _python_folders()) and not _is_within(path, _site_folders()))
    )


def _path_of(spec: ModuleSpec) -> Path | None:
    """Return a module's file, or a namespace package's folder; None for a module that is built into Python."""
    if spec.has_location and spec.origin:
        return Path(spec.origin)
    locations = getattr(spec.submodule_search_locations, "_path", spec.submodule_search_locations)
    return Path(next(iter(locations))) if locations else None


@functools.cache
def is_installed(file: str) -> bool:
    """Return whether a file belongs to Python or to an installed package."""
    path = Path(file)
    if _is_within(path, (*_python_folders(), *_site_folders())):
        return True
    return any(part in ("site-packages", "dist-packages") for part in path.parts) or any(
        path.relative_to(folder).parts[0] in _installed_by_pip(folder) for folder in path.parents
    )


@functools.cache
def _installed_by_pip(folder: Path) -> frozenset[str]:
    """Return the top-level names that `pip install --target` has installed into a folder."""
    records = [record.read_text(encoding="utf-8") for record in folder.glob("*.dist-info/RECORD")]
    return frozenset(line.partition(",")[0].partition("/")[0] for text in records for line in text.splitlines())


@functools.cache
def _python_folders() -> tuple[Path, ...]:
    return tuple(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib"))


@functools.cache
def _site_folders() -> tuple[Path, ...]:
    folders = [sysconfig.get_path(name) for name in ("purelib", "platlib")]
    return tuple(Path(folder).resolve() for folder in [*folders, *site.getsitepackages(), site.getusersitepackages()])


def _is_within(path: Path, folders: tuple[Path, ...]) -> bool:
    return any(path.is_relative_to(folder) or path.resolve().is_relative_to(folder) for folder in folders)


def written_name(name: str) -> str:
    """Return the name of user code as a file has it: `pkg.train` for `pkg.train:__main__`."""
    return name.removesuffix(f":{MAIN}")


def is_import_path(name: str) -> bool:
    """Return whether a name is `module:Class` of user code."""
    return ":" in name and library_of(name) is None


def library_of(name: str) -> str | None:
    """Return the package of a network of a library, `timm` of `timm:resnet18`; None for any other name."""
    package, colon, _ = name.partition(":")
    return package if colon and package in LIBRARIES else None


def is_script(name: str) -> bool:
    """Return whether a name is the path of a Python script."""
    return name.endswith(".py") and not is_import_path(name)


def is_user_code(name: str) -> bool:
    """Return whether a name is that of user code: `module:Name` or a script."""
    return is_import_path(name) or is_script(name)
