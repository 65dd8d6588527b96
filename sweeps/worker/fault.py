"""What went wrong with a trial, in words: whose fault it was, which class it is of, and which lines are the user's."""

from __future__ import annotations

import errno
import os
import sysconfig
import traceback
from dataclasses import dataclass
from pathlib import Path

from cifar_core.common.errors import DivergedError, SourceChangedError
from sweeps.core.errors import ProgramError, ProgramLostError, StorageUnreachableError, SupersededError, is_disk_full
from sweeps.core.trial import ErrorClass, Outcome
from sweeps.system.compat import ProcessExit

_OURS = tuple(str(Path(__file__).parents[2] / package) + os.sep for package in ("sweeps", "cifar_core"))
_INSTALLED = tuple(
    sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")
)  # fmt: skip
_TORCH_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Why a trial does not go on."""

    outcome: Outcome
    """`interrupted` where the machine is to blame: the trial can go on later."""
    error: str
    """One line."""
    error_class: str
    """An `ErrorClass`, or the exception's own name."""
    traceback: str | None = None
    """Its lines that are the user's own, and the exception's words."""


def fault_of(error: BaseException) -> Fault:
    """Return what an exception of a trial's step means."""
    words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, DivergedError):
        return Fault(outcome=Outcome.DIVERGED, error=str(error), error_class=type(error).__name__)
    if is_disk_full(error):
        return Fault(outcome=Outcome.INTERRUPTED, error=f"the disk is full ({words})", error_class=ErrorClass.DISK_FULL)
    if isinstance(error, (SupersededError, ProgramLostError)):
        return Fault(outcome=Outcome.INTERRUPTED, error=str(error), error_class=ErrorClass.PROCESS_DIED)
    if isinstance(error, StorageUnreachableError):
        return Fault(outcome=Outcome.INTERRUPTED, error=str(error), error_class=ErrorClass.STORAGE_UNREACHABLE)
    if isinstance(error, SourceChangedError):
        return Fault(outcome=Outcome.INTERRUPTED, error=str(error), error_class=ErrorClass.CODE_CHANGED)
    if _is_out_of_memory(error):
        return Fault(outcome=Outcome.INTERRUPTED, error=words, error_class=ErrorClass.OUT_OF_MEMORY)
    error_class = type(error).__name__
    if isinstance(error, ProgramError):
        output = error.output or str(error)
        return Fault(outcome=Outcome.FAILED, error=str(error), error_class=error_class, traceback=output)
    if isinstance(error, (SystemExit, ProcessExit)):
        call = "sys.exit" if isinstance(error, SystemExit) else "os._exit"
        words = f"the training called {call}({error.args[0] if error.args else ''})"
        error_class = ErrorClass.EXITED
    return Fault(outcome=Outcome.FAILED, error=words, error_class=error_class, traceback=own_lines(error, words))


def own_lines(error: BaseException, words: str) -> str:
    """Return a traceback without the lines of this project, of Python and of what is installed, and what it says."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if is_users_file(frame.filename)]
    return "".join(traceback.format_list(own or frames[-1:])) + words


def is_users_file(path: str) -> bool:
    """Return whether a file of code is neither of this project nor of Python nor installed."""
    return not path.startswith((*_OURS, *_INSTALLED, "<"))


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    if isinstance(error, ProgramError) and "MemoryError" in str(error):
        return True
    # torch raises a class of its own for a GPU and a plain RuntimeError for a CPU.
    return isinstance(error, (RuntimeError, ProgramError)) and any(
        words in str(error) for words in _TORCH_OUT_OF_MEMORY
    )
