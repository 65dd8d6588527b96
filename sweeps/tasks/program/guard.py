"""Run the program of one trial, and end it when the process of the trial ends, however that happens.

This file is a program of its own and needs only Python: it must outlive the process that starts it. It reads one line
of JSON from its standard input and then waits: the end of that input is the request to stop. It appends what the
program reports to a file (`reports.py`), and its output to the log of the trial.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

_READ = 65536
_OUTPUT_BYTES, _OUTPUT_LINES = 16_000, 20
"""The end of the output that goes into the last line of the file."""
_LOCK_SECONDS = 0.1
_KILOBYTE = 1024
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_MAX_GENERATIONS = 100
_STARTED, _GONE = 0, 1
"""Exit codes of the process that starts the guard, and of a program whose guard is gone before it starts."""


class _Guard:
    def __init__(self, spec: dict[str, Any], owner: int) -> None:
        self._spec = spec
        self._owner = owner
        self._reports = os.open(spec["reports"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._log = os.open(spec["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._line = b""
        self._tail = b""
        os.set_blocking(1, False)

    def run(self) -> None:
        if not self._lock():
            return
        # The previous guard may have been killed in the middle of a line.
        os.write(self._reports, b"\n")
        fifo = os.open(self._spec["fifo"], os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._append({"start": os.getpid()})
        parent = os.getpid()
        # Processes that leave the group of the program become children of this one when their parent ends.
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)

        def end_with_guard() -> None:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(_GONE)

        try:
            process = subprocess.Popen(
                self._spec["command"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                env=self._spec["environment"], start_new_session=True, preexec_fn=end_with_guard,
            )  # fmt: skip
        except OSError as error:
            self._append({"end": {"error": f"{self._spec['command'][0]}: {error.strerror}"}})
            return
        assert process.stdout is not None
        output = process.stdout.fileno()
        os.set_blocking(output, False)
        try:
            was_stopped = self._watch(process.pid, output=output, fifo=fifo)
        finally:
            # Before it is waited for: its group cannot be another one's as long as it is there.
            _signal_group(process.pid, signal.SIGKILL)
        process.wait()
        _end_children()
        self._read_output(output)
        self._read_reports(fifo)
        end = {
            "exit": process.returncode,
            "was_stopped": was_stopped,
            "output": self._last_lines(),
            "memory": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * _KILOBYTE,
        }
        self._append({"end": end})

    def _lock(self) -> bool:
        """Wait until no earlier start of this trial's program is left; return False if this one is not needed then."""
        lock = os.open(self._spec["lock"], os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if select.select([0, self._owner], [], [], _LOCK_SECONDS)[0]:
                    return False

    def _watch(self, pid: int, *, output: int, fifo: int) -> bool:
        """Copy output and reports until the program ends; return whether it was stopped."""
        process = os.pidfd_open(pid)
        poll = select.poll()
        for descriptor in (0, self._owner, process, output, fifo):
            poll.register(descriptor, select.POLLIN)
        deadline: float | None = None
        was_stopped = False
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
            ready = {descriptor for descriptor, _ in poll.poll(left)}
            if output in ready and not self._read_output(output):
                poll.unregister(output)
            if fifo in ready:
                self._read_reports(fifo)
            if process in ready:
                os.close(process)
                return was_stopped
            if ready & {0, self._owner}:
                for descriptor in (0, self._owner):
                    poll.unregister(descriptor)
                was_stopped, deadline = True, time.monotonic() + self._spec["grace_seconds"]
                # Python prints where it is at SIGABRT (PYTHONFAULTHANDLER).
                asks_where = 0 in ready and bool(os.read(0, _READ))
                _signal_group(pid, signal.SIGABRT if asks_where else signal.SIGTERM)
            elif deadline is not None and time.monotonic() >= deadline:
                deadline = None
                _signal_group(pid, signal.SIGKILL)

    def _read_output(self, output: int) -> bool:
        """Copy what the program has printed; return False at the end of its output."""
        while True:
            try:
                read = os.read(output, _READ)
            except BlockingIOError:
                return True
            if not read:
                return False
            _write_all(self._log, read)
            self._tail = (self._tail + read)[-_OUTPUT_BYTES:]

    def _read_reports(self, fifo: int) -> None:
        while True:
            try:
                read = os.read(fifo, _READ)
            except BlockingIOError:
                return
            *lines, self._line = (self._line + read).split(b"\n")
            for line in lines:
                if line.strip():
                    self._append({"report": line.decode("utf-8", "replace")})

    def _append(self, record: dict[str, Any]) -> None:
        _write_all(self._reports, json.dumps({"at": time.time(), **record}).encode() + b"\n")
        # A reader that is gone, or has not yet read the last call, finds the line in the file.
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(1, b".")

    def _last_lines(self) -> str:
        lines = self._tail.decode("utf-8", "replace").rstrip().splitlines()
        return "\n".join(lines[-_OUTPUT_LINES:])


def _write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def _end_children() -> None:
    """End the processes that the program has left behind, and those that they started."""
    for _ in range(_MAX_GENERATIONS):
        children = [pid for pid, parent in _parents() if parent == os.getpid()]
        if not children:
            return
        for pid in children:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        for pid in children:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _parents() -> Iterator[tuple[int, int]]:
    """Yield the id of each process of this machine and that of its parent."""
    for name in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208  # a short start
        with contextlib.suppress(OSError, ValueError), open(f"/proc/{name}/stat", encoding="utf-8") as file:  # noqa: PTH123
            yield int(name), int(file.read().rpartition(")")[2].split()[1])


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def main() -> None:
    spec = json.loads(sys.stdin.buffer.readline())
    # Not a child of the trial's process, which may end its children when it ends.
    owner = os.pidfd_open(os.getppid())
    if os.fork():
        os._exit(_STARTED)
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # not ignored: the program would inherit that
    try:
        _Guard(spec, owner).run()
    except OSError as error:
        with contextlib.suppress(OSError):
            os.set_blocking(1, True)
            os.write(1, f"\n{error.errno} {error.strerror}: {error.filename or spec['reports']}\n".encode())
    finally:
        shutil.rmtree(os.path.dirname(spec["fifo"]), ignore_errors=True)  # noqa: PTH120  # a short start


if __name__ == "__main__":
    main()
