"""Detects that Ray's control server has failed, for instance with its head node.

Calls of Ray then never return, and after a minute Ray ends this process without a message.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from types import TracebackType

_POLL_SECONDS = 1.0
_LOCAL_FAILURES = 3
_REMOTE_FAILURES = 15


class RayWatch:
    """Connects to Ray's control server regularly, on a thread, and calls `on_loss` once if it stops answering."""

    def __init__(self, address: str, *, is_local: bool, on_loss: Callable[[], None]) -> None:
        """Create a watch, which is active within its `with` block.

        Args:
            address: `HOST:PORT` of the control server.
            is_local: Whether it is on this machine; then fewer failures are allowed, since no network is involved.
            on_loss: Called on the thread.
        """
        host, _, port = address.rpartition(":")
        self._server = (host.strip("[]"), int(port))
        self._allowed_failures = _LOCAL_FAILURES if is_local else _REMOTE_FAILURES
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
        failures = 0
        while not self._ended.wait(_POLL_SECONDS):
            failures = 0 if self._answers() else failures + 1
            if failures >= self._allowed_failures and not self._ended.is_set():
                self._on_loss()
                return

    def _answers(self) -> bool:
        try:
            with socket.create_connection(self._server, timeout=_POLL_SECONDS):
                return True
        except OSError:
            return False
