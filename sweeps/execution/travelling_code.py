"""The code that travels to a cluster with a sweep: this project's packages and the user's own networks, nothing else.

Ray sends one folder to every node that a trial runs on. What is installed (torch, Ray and all else that `pip` brought)
has to lie there already.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import shutil
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

import cifar_core
from sweeps.errors import SweepError

MAX_BYTES = 50_000_000
"""Of a user's own code. What is larger is no code, but data that lies in its folder."""

_OUR_FOLDERS = (Path(cifar_core.__file__).parent, Path(__file__).parents[1])
"""Each by itself: where they have travelled they lie apart."""
_OURS = tuple(folder.name for folder in _OUR_FOLDERS)
_NAMED_AS_LARGE = 3


def stage_code(folder: Path) -> None:
    """Copy this project's packages into a folder, which is made and must not be there."""
    folder.mkdir()
    for package in _OUR_FOLDERS:
        _copy(package, folder / package.name)


def stage_own_code(folder: Path, *, networks: Sequence[str]) -> None:
    """Copy into a folder the code of networks of the user's own.

    Of `nets:Tiny` that is `nets.py`, or the whole package `nets`, and whatever of the same folder its code imports,
    found by reading it: none of it is run. What is installed stays where it is.

    Args:
        folder: that is there.
        networks: `module:Class` each.

    Raises:
        SweepError: a network's code is too large to travel, or cannot be read.
    """
    own = list(dict.fromkeys(path for network in networks for path in own_code(network)))
    _require_small(own)
    for path in own:
        _copy(path, folder / path.name)


def modules_in(folder: Path) -> list[str]:
    """Return what lies in a folder of staged code, as Ray takes it."""
    return [str(path) for path in sorted(folder.iterdir())]


def own_code(network: str) -> list[Path]:
    """Return the files and folders that a network of the user's own is made of, those it imports too.

    Empty where it is part of the environment: installed, or one of this project's.

    Args:
        network: `module:Class`, which can be imported.

    Raises:
        SweepError: its code is no Python.
    """
    module = network.partition(":")[0].partition(".")[0]
    first = _place(module)
    if first is None or module in _OURS or _is_installed(first):
        return []
    found = {module: first}
    waiting = [first]
    while waiting:
        for name in sorted(_imported(waiting.pop())):
            path = _place(name) if name not in found and name not in _OURS else None
            # Another folder on the path may hold the same name first: then that one is what is imported.
            if path is not None and path.parent == first.parent:
                found[name] = path
                waiting.append(path)
    return list(found.values())


def _place(module: str) -> Path | None:
    """Return the file or the folder of a module that lies outside of any package; None where it is built in."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).absolute()
    return Path(spec.origin).absolute() if spec.has_location and spec.origin else None


def _is_installed(path: Path) -> bool:
    places = (Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    return any(path.is_relative_to(place) for place in places)


def _imported(path: Path) -> set[str]:
    """Return the first names of all that a file, or any file of a package, imports anywhere in it."""
    names = set()
    for file in [path] if path.is_file() else [file for file in _files(path) if file.suffix == ".py"]:
        if file.suffix != ".py":
            continue
        try:
            tree = ast.parse(file.read_bytes())
        except (SyntaxError, ValueError) as error:
            raise SweepError(f"{file} is no Python: {error}") from None
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    return names


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files of a package; nothing hidden, and nothing that Python compiled."""
    seen = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(place)) in seen:
            folders.clear()  # a link that leads back
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__pycache__")
        yield from (Path(place) / name for name in sorted(names) if not name.startswith("."))


def _copy(source: Path, target: Path) -> None:
    for file in [source] if source.is_file() else _files(source):
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)


def _require_small(paths: Sequence[Path]) -> None:
    files = [file for path in paths for file in ([path] if path.is_file() else _files(path)) if file.is_file()]
    sizes = {file: file.stat().st_size for file in files}
    total = sum(sizes.values())
    if total <= MAX_BYTES:
        return
    largest = sorted(files, key=lambda file: -sizes[file])[:_NAMED_AS_LARGE]
    named = ", ".join(f"{file} ({_megabytes(sizes[file])})" for file in largest)
    raise SweepError(
        f"the code of the sweep's own networks is too large to travel to a cluster: {_megabytes(total)} in "
        f"{', '.join(map(str, paths))}, and {_megabytes(MAX_BYTES)} at most travel. The largest: {named}. Keep data "
        "and weights out of the folder of the code, or install it as a package on every node"
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
