"""Output of a sweep: a console on the terminal, and a log file for the output of libraries."""

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

from cifar_core.common.files import move_stray_aside
from sweeps.core.formatting import PLAIN_WIDTH, make_console


def is_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    interactive = sys.modules.get("IPython")
    shell = None if interactive is None else interactive.get_ipython()
    return getattr(shell, "kernel", None) is not None


@contextlib.contextmanager
def terminal_copy() -> Iterator[Console]:
    """Yield a console on a copy of standard output, which writes to the terminal when the original is redirected."""
    sys.stdout.flush()
    # Without rich's detection: a notebook's kernel requests colours and is not a terminal, and a pipe may request them.
    plain = make_console(sys.stdout, width=PLAIN_WIDTH, force_terminal=False, force_jupyter=False)
    if is_notebook():  # its descriptor is that of the server's terminal
        yield plain
        return
    try:
        copy = os.dup(sys.stdout.fileno())
    except OSError:
        # Standard output without a descriptor, as in a test, is not redirected.
        yield plain
        return
    file = io.BufferedWriter(_ErrorFreeFile(copy, "wb"))
    with io.TextIOWrapper(file, sys.stdout.encoding, sys.stdout.errors, line_buffering=True) as stream:
        terminal = stream.isatty()
        width = None if terminal else PLAIN_WIDTH
        yield make_console(stream, width=width, force_terminal=terminal, force_jupyter=False)


@contextlib.contextmanager
def stage(console: Console, description: str) -> Iterator[None]:
    """Show a description: on a terminal while the block runs, elsewhere as a line."""
    if not console.is_terminal:
        console.print(description, markup=False, soft_wrap=True)
        yield
        return
    # No redirection: modules that the block imports may keep references to the streams.
    spinner = Spinner("dots", Text(description))
    with Live(spinner, console=console, transient=True, redirect_stdout=False, redirect_stderr=False):
        yield


class _ErrorFreeFile(io.FileIO):
    """A file whose writes do not fail when its terminal, its pipe or its disk is gone."""

    def write(self, content: Any, /) -> int:
        try:
            return super().write(content) or 0
        except OSError:
            return len(content)


@contextlib.contextmanager
def redirect_output(log: Path) -> Iterator[None]:
    """Redirect the output of this process and its children, including that of C code, to a file.

    The sweep's own output goes to the copy of the terminal made before (`terminal_copy`).
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    move_stray_aside(log)
    _flush()
    saved = [os.dup(1), os.dup(2)]
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        # A notebook replaces standard output by an object without a descriptor; the original one has it.
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
            # A full disk must not prevent the shutdown of Ray.
            with contextlib.suppress(OSError):
                stream.flush()


@contextlib.contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Print everything in the block to standard error, also of child processes. Standard output is left to JSON."""
    _flush()
    try:
        descriptor = sys.stdout.fileno()
    except OSError:  # as in a test
        with contextlib.redirect_stdout(sys.stderr):
            yield
        return
    saved = os.dup(descriptor)
    os.dup2(2, descriptor)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        _flush()
        os.dup2(saved, descriptor)
        os.close(saved)
