"""Classification of a trial's exceptions: outcome, error class, and the user's lines of the traceback."""

from __future__ import annotations

import errno
import os
import sysconfig
import traceback
from dataclasses import dataclass
from pathlib import Path

from cifar_core.common.errors import DivergedError, SourceChangedError
from cifar_core.common.user_modules import is_installed
from sweeps.core.errors import ProgramError, ProgramLostError, StorageUnreachableError, SupersededError, is_disk_full
from sweeps.core.task import TimedOutError
from sweeps.core.trial import ErrorClass, Outcome
from sweeps.system.compat import ProcessExit

_OURS = tuple(str(Path(__file__).parents[2] / package) + os.sep for package in ("sweeps", "cifar_core"))
_INSTALLED = tuple(
    sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")
)  # fmt: skip
_TORCH_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """The reason why a trial stopped."""

    outcome: Outcome
    """`interrupted` if the machine is the cause, so that the trial can resume later."""
    error: str
    """One line."""
    error_class: str
    """An `ErrorClass`, or the name of the exception."""
    traceback: str | None = None
    """The user's lines of the traceback, and the exception's message."""


def fault_of(error: BaseException) -> Fault:
    """Classify an exception of a trial's step."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, DivergedError):
        return Fault(outcome=Outcome.DIVERGED, error=str(error), error_class=type(error).__name__)
    if is_disk_full(error):
        return Fault(outcome=Outcome.INTERRUPTED, error=f"the disk is full ({text})", error_class=ErrorClass.DISK_FULL)
    if isinstance(error, (SupersededError, ProgramLostError)):
        return Fault(outcome=Outcome.INTERRUPTED, error=str(error), error_class=ErrorClass.PROCESS_DIED)
    if isinstance(error, StorageUnreachableError):
        return Fault(outcome=Outcome.INTERRUPTED, error=str(error), error_class=ErrorClass.STORAGE_UNREACHABLE)
    if isinstance(error, TimedOutError):
        text = str(error)
        where = user_traceback(error, text)
        return Fault(outcome=Outcome.FAILED, error=text, error_class=error.error_class, traceback=where)
    if isinstance(error, SourceChangedError):
        return Fault(outcome=Outcome.INTERRUPTED, error=str(error), error_class=ErrorClass.CODE_CHANGED)
    if _is_out_of_memory(error):
        return Fault(outcome=Outcome.INTERRUPTED, error=text, error_class=ErrorClass.OUT_OF_MEMORY)
    error_class = type(error).__name__
    if isinstance(error, ProgramError):
        output = error.output or str(error)
        return Fault(outcome=Outcome.FAILED, error=str(error), error_class=error_class, traceback=output)
    if isinstance(error, (SystemExit, ProcessExit)):
        call = "sys.exit" if isinstance(error, SystemExit) else "os._exit"
        text = f"the training called {call}({error.args[0] if error.args else ''})"
        error_class = ErrorClass.EXITED
    return Fault(outcome=Outcome.FAILED, error=text, error_class=error_class, traceback=user_traceback(error, text))


def user_traceback(error: BaseException, text: str) -> str:
    """Return a traceback without lines of this project, of Python and of installed packages, followed by `text`."""
    frames = traceback.extract_tb(error.__traceback__)
    users = [frame for frame in frames if is_users_file(frame.filename)]
    return "".join(traceback.format_list(users or frames[-1:])) + text


def is_users_file(path: str) -> bool:
    """Return whether a file of code is neither of this project nor of Python nor installed."""
    return not path.startswith((*_OURS, *_INSTALLED, "<")) and not is_installed(path)


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    if isinstance(error, ProgramError) and "MemoryError" in str(error):
        return True
    # torch raises OutOfMemoryError, a RuntimeError, for a GPU and a plain RuntimeError for a CPU.
    return isinstance(error, (RuntimeError, ProgramError)) and any(text in str(error) for text in _TORCH_OUT_OF_MEMORY)
