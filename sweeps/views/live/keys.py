"""Single keys of a terminal, read on a thread while a view is drawn."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
from collections.abc import Callable
from typing import Any

SECONDS = 0.25
"""Interval between two checks of the terminal's mode, which a shell changes at Ctrl-Z and `fg`."""
UP, DOWN = "up", "down"
_SEQUENCES = {b"\x1b[A": UP, b"\x1bOA": UP, b"\x1b[B": DOWN, b"\x1bOB": DOWN, b"k": UP, b"j": DOWN}


class Keys:
    """Calls a function with each key: its character, or `up` and `down`. Ctrl-C remains a signal.

    Without a terminal as standard input, and in the background, it reads nothing.
    """

    def __init__(self, on_key: Callable[[str], None]) -> None:
        self._on_key = on_key
        self._ended = threading.Event()
        self._before: list[Any] | None = None
        self._thread = threading.Thread(target=self._read, name="keys", daemon=True)

    @property
    def are_read(self) -> bool:
        """Whether the terminal passes single keys."""
        return self._before is not None

    def __enter__(self) -> Keys:
        if _is_foreground():
            import termios

            with contextlib.suppress(termios.error):
                self._before = termios.tcgetattr(sys.stdin.fileno())
                self._take_single_keys()
                self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        if self._before is not None and _is_foreground():
            import termios

            with contextlib.suppress(termios.error, OSError):
                termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self._before)
        self._before = None

    def _take_single_keys(self) -> None:
        import termios
        import tty

        if termios.tcgetattr(sys.stdin.fileno())[3] & termios.ICANON:
            tty.setcbreak(sys.stdin.fileno(), termios.TCSADRAIN)

    def _read(self) -> None:
        import termios

        # The terminal may be closed, or taken by another program, at any time.
        with contextlib.suppress(OSError, ValueError, termios.error):
            while not self._ended.is_set():
                if not _is_foreground():
                    self._ended.wait(SECONDS)
                    continue
                self._take_single_keys()
                readable, _, _ = select.select([sys.stdin.fileno()], [], [], SECONDS)
                if readable and not self._ended.is_set():
                    typed = os.read(sys.stdin.fileno(), 16)
                    if not typed:
                        return
                    for key in keys_in(typed):
                        self._on_key(key)


def keys_in(typed: bytes) -> list[str]:
    """Return the keys in what was typed; unknown sequences and control characters are left out."""
    found = []
    while typed:
        name = next((each for each in _SEQUENCES if typed.startswith(each)), None)
        if name is not None:
            found.append(_SEQUENCES[name])
            typed = typed[len(name) :]
        elif typed.startswith(b"\x1b"):
            return found
        else:
            if 32 <= typed[0] < 127:
                found.append(chr(typed[0]))
            typed = typed[1:]
    return found


def _is_foreground() -> bool:
    """Return whether standard input is a terminal that this process may read and change."""
    try:
        return sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError, AttributeError):
        return False
