"""Notices when Ray itself is gone: its calls then never return, and after a minute it ends this process without a word.

A control server that somebody ends does that, and so does a head node that goes away.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from types import TracebackType

_LOOK_SECONDS = 1.0
_LOCAL_PATIENCE = 3
_REMOTE_PATIENCE = 15


class RayWatch:
    """Knocks at Ray's control server, on a thread of its own, and calls `on_loss` once when it stays silent."""

    def __init__(self, address: str, *, is_local: bool, on_loss: Callable[[], None]) -> None:
        """Prepare it; it watches within a `with` block.

        Args:
            address: of the control server, `HOST:PORT`.
            is_local: whether it is on this machine, where no network can be to blame for its silence.
            on_loss: is called on the thread.
        """
        host, _, port = address.rpartition(":")
        self._server = (host.strip("[]"), int(port))
        self._patience = _LOCAL_PATIENCE if is_local else _REMOTE_PATIENCE
        self._on_loss = on_loss
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watch of Ray", daemon=True)

    def __enter__(self) -> RayWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()

    def _watch(self) -> None:
        silent = 0
        while not self._ended.wait(_LOOK_SECONDS):
            silent = 0 if self._answers() else silent + 1
            if silent >= self._patience and not self._ended.is_set():
                self._on_loss()
                return

    def _answers(self) -> bool:
        try:
            with socket.create_connection(self._server, timeout=_LOOK_SECONDS):
                return True
        except OSError:
            return False
