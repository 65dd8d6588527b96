"""What a sweep prints and what it keeps away: a console on the terminal, and a file for everybody else's output."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from cifar_core.common.files import make_way
from sweeps.core.formatting import PLAIN_WIDTH, make_console


def is_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    interactive = sys.modules.get("IPython")
    shell = None if interactive is None else interactive.get_ipython()
    return getattr(shell, "kernel", None) is not None


@contextlib.contextmanager
def terminal_copy() -> Iterator[Console]:
    """Yield a console on a copy of standard output, which stays on the terminal when the original is redirected."""
    sys.stdout.flush()
    # In neither case by rich's own guess: a notebook's kernel says that colours are wanted, and is no terminal; a pipe
    # for which somebody said so is none either.
    plain = make_console(sys.stdout, width=PLAIN_WIDTH, force_terminal=False, force_jupyter=False)
    if is_notebook():  # whose descriptor is that of the server's terminal
        yield plain
        return
    try:
        copy = os.dup(sys.stdout.fileno())
    except OSError:
        # A test's standard output has no file behind it: this object stays what it is.
        yield plain
        return
    file = io.BufferedWriter(_LastingFile(copy, "wb"))
    with io.TextIOWrapper(file, sys.stdout.encoding, sys.stdout.errors, line_buffering=True) as stream:
        terminal = stream.isatty()
        width = None if terminal else PLAIN_WIDTH
        yield make_console(stream, width=width, force_terminal=terminal, force_jupyter=False)


@contextlib.contextmanager
def stage(console: Console, doing: str) -> Iterator[None]:
    """Say what is being done: on a terminal for as long as the block takes, elsewhere in a line that stays."""
    if not console.is_terminal:
        console.print(doing, markup=False, soft_wrap=True)
        yield
        return
    # What the block imports may keep the streams that it finds: it finds those that stay.
    with Live(
        Spinner("dots", Text(doing)), console=console, transient=True, redirect_stdout=False, redirect_stderr=False
    ):
        yield


class _LastingFile(io.FileIO):
    """A file that takes what is written to it also when its terminal, its pipe or its disk is gone."""

    def write(self, content: Any, /) -> int:
        try:
            return super().write(content) or 0
        except OSError:
            return len(content)


@contextlib.contextmanager
def redirect_output(log: Path) -> Iterator[None]:
    """Send what this process and its children print, below Python too, to a file.

    What the sweep itself shows goes to the copy of the terminal made before (`terminal_copy`).
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    make_way(log)
    _flush()
    saved = [os.dup(1), os.dup(2)]
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        # A notebook's standard output does not end in a descriptor; the one that the process began with does.
        with contextlib.redirect_stdout(sys.__stdout__), contextlib.redirect_stderr(sys.__stderr__):
            yield
    finally:
        _flush()
        for descriptor, original in zip((1, 2), saved, strict=True):
            os.dup2(original, descriptor)
            os.close(original)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        if stream is not None:
            # What others have printed has no room on a full disk: that must not keep Ray from being shut down.
            with contextlib.suppress(OSError):
                stream.flush()
