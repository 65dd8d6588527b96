"""The code that travels to a cluster with a sweep: this project's packages and the user's own networks, nothing else.

Ray sends one folder to every node that a trial runs on. What is installed (torch, Ray and all else that `pip` brought)
has to lie there already.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import cifar_core
from cifar_core.errors import ModelError
from cifar_core.models import OwnModule, code_of, is_own, spec_of
from sweeps.errors import SweepError

MAX_BYTES = 50_000_000
"""Of a user's own code. What is larger is no code, but data that lies in its folder."""

_OUR_FOLDERS = (Path(cifar_core.__file__).parent, Path(__file__).parents[1])
"""Each by itself: where they have travelled they lie apart."""
_NAMED_AS_LARGE = 3


def stage_code(folder: Path) -> None:
    """Copy this project's packages into a folder, which is made and must not be there."""
    folder.mkdir()
    for package in _OUR_FOLDERS:
        _copy(package, folder / package.name)


def stage_own_code(folder: Path, *, networks: Sequence[str]) -> None:
    """Copy into a folder the code of networks of the user's own.

    Of `nets:Tiny` that is `nets.py`, or the whole package `nets`, and whatever of the user's own its code imports,
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
    entry = spec_of(network.partition(":")[0])
    if entry is None or not is_own(entry):
        return []
    try:
        modules = code_of(network).modules
    except ModelError as error:
        raise SweepError(str(error)) from None
    return list(dict.fromkeys(_top(name, module) for name, module in modules.items()))


def _top(name: str, module: OwnModule) -> Path:
    """Return the file of a module that lies outside of any package, or the folder of the package around all others."""
    depth = name.count(".") + module.is_package
    return module.path.absolute().parents[depth - 1] if depth else module.path.absolute()


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
