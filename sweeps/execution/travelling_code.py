"""The code that travels to a cluster with a sweep: this project's packages and the user's own networks, nothing else.

Ray sends one folder to every node that a trial runs on. What is installed (torch, Ray and all else that `pip` brought)
has to lie there already.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import shutil
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sweeps.errors import SweepError

MAX_BYTES = 50_000_000
"""Of a user's own code. What is larger is no code, but data that lies in its folder."""

_OURS = ("cifar_core", "sweeps")
_OURS_LIE_IN = Path(__file__).parents[2]
_NAMED_AS_LARGE = 3
_SUBMITTED_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Where Ray tells a driver that it is a job that was submitted, and what of."""


def runtime_environment(folder: Path, *, networks: Sequence[str]) -> dict[str, Any]:
    """Return what Ray is told so that every worker of a sweep imports this code and no other.

    As the working folder of the workers, since Ray then leaves the driver's own folders off their path: an old copy
    at the same place on a node would hide what has travelled. Within a Ray job that has a working folder there can be
    no second one, and Ray leaves the driver's off the path anyway: there the code goes as modules.

    Args:
        folder: where it is put together, unless it is there already.
        networks: of the user's own, `module:Class`.

    Raises:
        SweepError: a network's code is too large to travel, or cannot be read.
    """
    if not folder.exists():
        stage_code(folder, networks=networks)
    if _job_has_working_folder():
        return {"py_modules": [str(path) for path in sorted(folder.iterdir())]}
    return {"working_dir": str(folder)}


def _job_has_working_folder() -> bool:
    submitted = json.loads(os.environ.get(_SUBMITTED_JOB, "{}"))
    return bool((submitted.get("runtime_env") or {}).get("working_dir"))


def stage_code(folder: Path, *, networks: Sequence[str]) -> None:
    """Copy into a folder what a trial imports and an environment need not hold.

    Of a network `nets:Tiny` that is `nets.py`, or the whole package `nets`, and whatever of the same folder its code
    imports, found by reading it: none of it is run. What is installed stays where it is.

    Args:
        folder: is made; must not be there.
        networks: of the user's own, `module:Class`.

    Raises:
        SweepError: a network's code is too large to travel, or cannot be read.
    """
    folder.mkdir()
    for package in _OURS:
        _copy(_OURS_LIE_IN / package, folder / package)
    own = dict.fromkeys(path for network in networks for path in own_code(network))
    _require_small(own)
    for path in own:
        _copy(path, folder / path.name)


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


def _require_small(paths: Sequence[Path] | dict[Path, None]) -> None:
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
