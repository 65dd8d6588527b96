"""The files that decide what a network of the user's own computes: found by reading, none of it is run.

They are the module that `model.name` names and every file that it imports, directly or not, also within a function,
as far as the import can be resolved by reading; not what is installed, Python's own, or this project's. Python is
compared by its syntax tree, without comments, blanks and docstrings. A file that an option names, such as weights to
begin with, counts with its content.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import importlib
import importlib.util
import json
import os
import site
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

from cifar_core.errors import ModelError, SourceChangedError
from cifar_core.models.registry import ARCHITECTURES, is_import_path

if TYPE_CHECKING:
    from cifar_core.config import ModelConfig

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
        return hash_of_files(self.files)


def hash_of_files(files: Mapping[str, str]) -> str:
    """Return the one hash of `Source.files`."""
    return hashlib.sha256(json.dumps(dict(files), sort_keys=True).encode("utf-8")).hexdigest()[:16]


def changed_files(before: Mapping[str, str], now: Mapping[str, str] | None) -> list[str]:
    """Return in words which files differ between two states of `Source.files`; empty where none does."""
    now = now or {}
    found = [(name, "has changed") for name in before.keys() & now.keys() if before[name] != now[name]]
    found += [(name, "is not part of it any more") for name in before.keys() - now.keys()]
    found += [(name, "is new in it") for name in now.keys() - before.keys()]
    return [f"{name} {what}" for name, what in sorted(found)]


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
                label = _label(module, own)
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


def named_files(model: ModelConfig) -> list[str]:
    """Return what in a configuration may name a file: weights to begin with, and options with a suffix or a folder."""
    if not is_import_path(model.name):
        uses = "weights" in ARCHITECTURES[model.name].defaults
        return [model.weights] if uses and model.weights is not None else []
    texts = [value for value in model.options.values() if isinstance(value, str)]
    return [text for text in texts if os.sep in text or Path(text).suffix]


# Which files.


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
            return OwnModule(path=path, is_package=is_package, digest=_bytes_digest(content)), set()
        tree = _parsed(content, path, network=self._network)
        package = name if is_package else name.rpartition(".")[0]
        own = OwnModule(path=path, is_package=is_package, digest=_tree_digest(tree))
        return own, set(_imports(tree, package=package))

    def _note_shadowed(self, path: Path, imported: set[str]) -> None:
        for name in {module.partition(".")[0] for module in imported} & sys.stdlib_module_names:
            yours = path.with_name(f"{name}.py")
            spec = spec_of(name) if yours != path and yours.is_file() else None
            if spec is not None and _is_pythons(spec):
                self.shadowed[yours] = spec.origin or "built in"


def _parsed(content: bytes, path: Path, *, network: str) -> ast.Module:
    try:
        return ast.parse(content)
    except (SyntaxError, ValueError, RecursionError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise ModelError(f"model {network!r}: {path}{line} is no Python: {error}") from None


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
    place = _place(spec)
    return place is not None and spec.name.partition(".")[0] not in OURS and not _is_installed(str(place))


def _is_pythons(spec: ModuleSpec) -> bool:
    place = _place(spec)
    return spec.name.partition(".")[0] in sys.stdlib_module_names and (
        place is None or (_is_within(place, _python_folders()) and not _is_within(place, _site_folders()))
    )


def _place(spec: ModuleSpec) -> Path | None:
    """Return a module's file, or a package's folder; None where it is built into Python."""
    if spec.has_location and spec.origin:
        return Path(spec.origin)
    locations = getattr(spec.submodule_search_locations, "_path", spec.submodule_search_locations)
    return Path(next(iter(locations))) if locations else None


@functools.cache
def _is_installed(place: str) -> bool:
    path = Path(place)
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


def _label(module: str, own: OwnModule) -> str:
    path = module.replace(".", "/")
    return f"{path}/__init__{own.path.suffix}" if own.is_package else f"{path}{own.path.suffix}"


# What is in them.


def says(content: bytes, digest: str, *, path: Path) -> bool:
    """Return whether a file's content is that of a hash in `Source.files`."""
    if path.suffix != ".py":
        return _bytes_digest(content) == digest
    try:
        return _tree_digest(_parsed(content, path, network=str(path))) == digest
    except ModelError:
        return False


def hash_of_entry(name: str) -> str:
    """Return what versions up to 0.5.0 recorded of a network's code: the hash of its module's file, of no other."""
    code = code_of(name)
    return _bytes_digest(code.modules[code.entry].path.read_bytes())


def _bytes_digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _tree_digest(tree: ast.Module) -> str:
    """Return the hash of what a file says, whatever its comments, blanks, docstrings, and Python's version."""
    digest = hashlib.sha256()
    waiting: list[object] = [tree]
    while waiting:  # no recursion: a sum of a thousand terms is a thousand deep
        node = waiting.pop()
        if isinstance(node, ast.AST):
            fields = [(name, _without_docstring(node, name, value)) for name, value in ast.iter_fields(node)]
            # Without what is empty: later versions of Python know more fields.
            said = [(name, value) for name, value in fields if value is not None and value != []]
            digest.update(f"{type(node).__name__} {len(said)}\n".encode())
            waiting += reversed(said)
        elif isinstance(node, tuple):
            digest.update(f"{node[0]}\n".encode())
            waiting.append(node[1])
        elif isinstance(node, list):
            digest.update(f"{len(node)}\n".encode())
            waiting += reversed(node)
        else:
            digest.update(f"{node!r}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:16]


def _without_docstring(node: ast.AST, name: str, value: Any) -> Any:
    if name == "body" and isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return value[1:] if ast.get_docstring(node, clean=False) is not None else value
    return value


# Importing what was read.


class _OwnLoader(SourceFileLoader):
    """Runs a file of the user's own only while it says what was hashed."""

    def __init__(self, name: str, module: OwnModule) -> None:
        super().__init__(name, str(module.path))
        self.digest = module.digest

    def get_code(self, fullname: str) -> CodeType:
        # Never a .pyc: Python compares only its time in seconds and its size.
        path = Path(self.path)
        content = path.read_bytes()
        if _tree_digest(_parsed(content, path, network=fullname)) != self.digest:
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
