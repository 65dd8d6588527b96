"""Where a sweep lives on disk: its folder, the lock of its driver, and the journal, mended where a crash tore it."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import filelock

from sweeps.errors import StoreError, SweepBusyError

if TYPE_CHECKING:
    import optuna


class SweepFolder:
    """Where one sweep keeps its journal, checkpoints and logs: `runs/sweeps/NAME`."""

    def __init__(self, runs: Path, sweep: str) -> None:
        self.runs = runs
        self.sweep = sweep
        self.path = runs / "sweeps" / sweep

    @property
    def journal(self) -> Path:
        return self.path / "journal.log"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def _lock(self) -> Path:
        return self.path / "driver.lock"

    @property
    def _driver(self) -> Path:
        return self.path / "driver.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the sweep for one driver.

        Raises:
            SweepBusyError: another driver holds it; names its process.
            StoreError: the folder cannot be written.
        """
        try:
            for folder in (self.path, self.checkpoints, self.logs):
                folder.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(self._lock)
            lock.acquire(blocking=False)
        except filelock.Timeout:
            driver = self.driver()
            who = f"process {driver['pid']} on {driver['host']}" if driver else "another process"
            raise SweepBusyError(
                f"sweep {self.sweep!r} is being run by {who}: wait for it, look at it with "
                f"`sweeps status {self.sweep}`, or end it with `sweeps stop {self.sweep}`"
            ) from None
        except OSError as error:
            raise StoreError(
                f"{self.path} cannot be written ({error.strerror}): choose another folder with --runs"
            ) from None
        try:
            about = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}
            self._driver.write_text(json.dumps(about), encoding="utf-8")
            yield
        finally:
            self._driver.unlink(missing_ok=True)
            lock.release()

    def driver(self) -> dict[str, str | int | float] | None:
        """Return who runs the sweep now (pid, host, since), None where nobody does."""
        try:
            about: dict[str, str | int | float] = json.loads(self._driver.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if about["host"] != socket.gethostname():
            return about
        probe = filelock.FileLock(self._lock)
        try:
            probe.acquire(blocking=False)
        except (filelock.Timeout, OSError):
            return about
        probe.release()
        return None

    def open_journal(self) -> optuna.storages.JournalStorage:
        """Return the storage for writing; to be called under the lock.

        A torn last line, left by a crash in the middle of a write, is cut off first: an append behind it would
        make the study unreadable. A lock that the dead driver left inside the journal goes too.
        """
        mend(self.journal)
        for left_over in self.path.glob("journal.log.lock*"):
            left_over.unlink(missing_ok=True)
        return self.read_journal()

    def read_journal(self) -> optuna.storages.JournalStorage:
        """Return the storage for reading, also while a driver writes it."""
        import optuna
        from optuna.storages.journal import JournalFileBackend

        return optuna.storages.JournalStorage(JournalFileBackend(str(self.journal)))


def mend(journal: Path) -> None:
    """Cut what follows the last whole line of a journal."""
    if not journal.exists():
        return
    with journal.open("r+b") as file:
        content = file.read()
        end = len(content)
        while end and not _is_whole(content[:end]):
            end = content.rfind(b"\n", 0, end - 1) + 1
        if end < len(content):
            file.truncate(end)
            os.fsync(file.fileno())


def _is_whole(content: bytes) -> bool:
    if not content.endswith(b"\n"):
        return False
    last = content[content.rfind(b"\n", 0, -1) + 1 :]
    try:
        json.loads(last)
    except ValueError:
        return False
    return True
