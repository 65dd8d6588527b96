"""The guard of a program, as the process of the trial sees it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from sweeps.tasks.program import guard

GRACE_SECONDS = 10.0
"""Seconds between SIGTERM and SIGKILL."""
REPORT_VARIABLE = "SWEEPS_REPORT"
_END_SECONDS = 5.0
"""Seconds that a guard may take to end after the grace time."""
_FIFO = "report"


class GuardedProcess:
    """A running program with its guard."""

    def __init__(
        self, command: Sequence[str], *, environment: Mapping[str, str], reports: Path, lock: Path, log: Path
    ) -> None:
        """Start the program.

        Args:
            command: its words.
            environment: its environment variables, without that of the named pipe for its reports.
            reports: file to which its reports are appended.
            lock: file that is locked as long as the program runs.
            log: file to which its output is appended.

        Raises:
            OSError: the guard cannot be started.
        """
        folder = Path(tempfile.mkdtemp(prefix="sweeps-report-"))
        fifo = folder / _FIFO
        os.mkfifo(fifo, 0o600)
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdin is not None
        assert process.stdout is not None
        self._input, self._output = process.stdin, process.stdout
        spec = {
            "command": list(command),
            "environment": {**environment, REPORT_VARIABLE: str(fifo)},
            "reports": str(reports),
            "lock": str(lock),
            "log": str(log),
            "fifo": str(fifo),
            "grace_seconds": GRACE_SECONDS,
        }
        self._input.write(json.dumps(spec).encode() + b"\n")
        self._input.flush()
        process.wait()  # it continues in a process that is not a child
        self._said = b""
        self.has_ended = False

    def wait(self, seconds: float) -> None:
        """Wait until there may be a new line in the file of reports, or the time is over.

        Raises:
            OSError: the guard could not write the log or the reports, and has ended the program.
        """
        if self.has_ended or not select.select([self._output], [], [], seconds)[0]:
            return
        read = os.read(self._output.fileno(), 65536)
        self._said = (self._said + read)[-1000:]
        self.has_ended = not read
        if self.has_ended:
            self._require_success()

    def _require_success(self) -> None:
        number, _, text = self._said.strip(b".\n").decode("utf-8", "replace").partition(" ")
        if number.isdigit():
            raise OSError(int(number), text)

    def stop(self, *, shows_where: bool = False) -> None:
        """Stop the program, if it still runs: by SIGTERM, and after the grace time by SIGKILL. Wait for its end.

        Args:
            shows_where: By SIGABRT instead of SIGTERM, at which Python prints where a program is.
        """
        if self._output.closed:
            return
        if shows_where:
            with contextlib.suppress(OSError, ValueError):
                self._input.write(b"where\n")
                self._input.flush()
        with contextlib.suppress(OSError):
            self._input.close()
        deadline = time.monotonic() + GRACE_SECONDS + _END_SECONDS
        with contextlib.suppress(OSError):
            while not self.has_ended and (left := deadline - time.monotonic()) > 0:
                self.wait(left)
        self._output.close()
