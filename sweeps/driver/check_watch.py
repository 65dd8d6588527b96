"""What a training does outside of its results: files that its code writes, and state of the process that it changes."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from sweeps.worker.fault import is_users_file

MAX_FILES = 50_000
"""Number of files of a folder that are compared."""
_PATHS_OF_EVENT: Mapping[str, Sequence[tuple[int, int | None]]] = {
    "os.mkdir": ((0, 2),),
    "os.rename": ((0, 2), (1, 3)),
    "os.remove": ((0, 1),),
    "os.rmdir": ((0, 1),),
    "os.link": ((1, 3),),
    "os.symlink": ((1, 2),),
    "os.truncate": ((0, None),),
    "sqlite3.connect": ((0, None),),
}
"""Audit event of Python that changes files, to the positions of each path and of the folder that it is relative to."""
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_SKIPPED = ("__pycache__", "node_modules")
_IMPORT_SYSTEM = "<frozen importlib"
_DEVICES = ("/dev/", "/proc/", "/sys/")


@dataclass
class FileWatch:
    """Notes each file that user code of this process writes outside of the allowed folders.

    Writes of libraries count if user code called them. Libraries that do not open files with Python are not noticed.
    """

    allowed: Sequence[str]
    written: dict[str, str] = field(default_factory=dict)
    """Path to the line of user code."""
    _busy: threading.local = field(default_factory=threading.local)

    def start(self) -> None:
        """Watch until the process ends: an audit hook cannot be removed."""
        sys.addaudithook(self._on_event)

    def _on_event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            paths = [(path, None)] if isinstance(flags, int) and flags & _WRITES else []
        else:
            paths = [
                (arguments[path], None if folder is None else arguments[folder])
                for path, folder in _PATHS_OF_EVENT.get(event, ())
            ]
        if not paths or getattr(self._busy, "is_set", False):
            return
        self._busy.is_set = True
        try:
            for path, folder in paths:
                self._note(path, folder)
        finally:
            self._busy.is_set = False

    def _note(self, path: Any, folder: Any) -> None:
        if not isinstance(path, str | bytes | os.PathLike):
            return
        above = os.readlink(f"/proc/self/fd/{folder}") if isinstance(folder, int) and folder >= 0 else ""  # noqa: PTH115
        # Without resolving links, which opens files.
        absolute = os.path.abspath(os.path.join(above, os.fsdecode(path)))  # noqa: PTH100, PTH118
        if absolute.endswith(".pyc") or absolute.startswith((*_DEVICES, *self.allowed)):
            return
        if absolute not in self.written and (line := _line_of_user_code()) is not None:
            self.written[absolute] = line


def _line_of_user_code() -> str | None:
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(_IMPORT_SYSTEM):
            return None  # a library that is being imported writes its caches
        if is_users_file(name):
            return f"{Path(name).name}, line {frame.f_lineno}"
        frame = frame.f_back
    return None


def files_of(folder: Path, *, without: Sequence[Path] = ()) -> dict[str, tuple[int, int]]:
    """Return the path of each file below a folder, relative to it, to size and modification time.

    Hidden folders, caches and the folders in `without` are left out, and all files after the first `MAX_FILES`.
    """
    found: dict[str, tuple[int, int]] = {}
    for above, folders, names in os.walk(folder):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and name not in _SKIPPED and Path(above, name) not in without
        ]
        for path in (Path(above, name) for name in names):
            with contextlib.suppress(OSError):
                about = path.lstat()
                found[str(path.relative_to(folder))] = (about.st_size, about.st_mtime_ns)
        if len(found) > MAX_FILES:
            break
    return found


def changed_between(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the keys that were added, removed or changed."""
    return sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))


def process_state() -> dict[str, str]:
    """Return the state of this process that outlives a training, by a description of each part."""
    found = {name: repr(value) for name, value in _plain_state()}
    found |= {f"environment variable {name}": repr(value) for name, value in os.environ.items()}
    return found


def _plain_state() -> Iterator[tuple[str, object]]:
    yield WORKING_FOLDER, str(Path.cwd())
    yield "umask", _umask()
    yield "running threads", sorted(each.name for each in threading.enumerate() if not each.daemon)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        yield f"handler of {number.name}", getattr(signal.getsignal(number), "__qualname__", signal.getsignal(number))
    if (numpy := sys.modules.get("numpy")) is not None:
        yield "numpy.geterr()", numpy.geterr()
    if (torch := sys.modules.get("torch")) is not None:
        yield from ((f"torch.{name}()", call()) for name, call in _torch_state(torch))
        yield "torch.backends.cudnn.benchmark", torch.backends.cudnn.benchmark
        yield "torch.backends.cudnn.deterministic", torch.backends.cudnn.deterministic


def _torch_state(torch: Any) -> Iterator[tuple[str, Callable[[], object]]]:
    for name in (
        "get_default_dtype",
        "get_default_device",
        "get_num_threads",
        "is_grad_enabled",
        "get_float32_matmul_precision",
        "are_deterministic_algorithms_enabled",
    ):
        if (call := getattr(torch, name, None)) is not None:
            yield name, call


WORKING_FOLDER = "working directory"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
