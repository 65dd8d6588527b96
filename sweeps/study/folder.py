"""Where a sweep lives on disk: its folder, the lock of its driver, and its journal."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import filelock

from cifar_core.files import atomic_write
from sweeps.errors import DiskFullError, StoreError, SweepBusyError, is_disk_full
from sweeps.study.journal import JournalFile

if TYPE_CHECKING:
    import optuna

LOOK_SECONDS = 1.0
CHECKPOINT_FILE = "state.pt"
"""In a run's own folder under `checkpoints`, which is called by its key."""


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
    def locked(self, *, doing: str = "run", needs_room: bool = True) -> Iterator[None]:
        """Hold the sweep, so that nobody else runs, mends or deletes it meanwhile.

        Args:
            doing: what for, as others are told: "is being ...".
            needs_room: False for what makes room: on a full disk nobody is told then who holds it.

        Raises:
            SweepBusyError: another process holds it; names it.
            DiskFullError: there is no room to say who holds it.
            StoreError: the folder cannot be written.
        """
        lock = filelock.FileLock(self._lock)
        with self._writing():
            for folder in (self.path, self.checkpoints, self.logs):
                folder.mkdir(parents=True, exist_ok=True)
            try:
                # Longer than a look at who holds it takes, which holds it for that moment.
                lock.acquire(timeout=LOOK_SECONDS)
            except filelock.Timeout:
                raise self._busy() from None
        about = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time(), "doing": doing}
        try:
            try:
                with self._writing(), atomic_write(self._driver) as file:
                    file.write(json.dumps(about).encode("utf-8"))
            except DiskFullError:
                if needs_room:
                    raise
            yield
        finally:
            self.forget_driver()
            lock.release()

    def tell(self, **facts: str | float | None) -> None:
        """Let who looks at the sweep know more of its driver, which holds it: its budget, its slots.

        Nothing needs them: where they cannot be written they are not told.
        """
        about = self._about()
        if about is not None:
            with contextlib.suppress(OSError), atomic_write(self._driver) as file:
                file.write(json.dumps(about | facts).encode("utf-8"))

    def forget_driver(self) -> None:
        """Take note that the driver ends in order; see `died`."""
        self._driver.unlink(missing_ok=True)

    def _busy(self) -> SweepBusyError:
        driver = self.driver()
        if driver is None:
            return SweepBusyError(f"sweep {self.sweep!r} is held by another process: try again")
        doing = f"sweep {self.sweep!r} is being {driver.get('doing', 'run')} by process {driver['pid']} on "
        advice = f"look at it with `sweeps status {self.sweep}`, or end it with `sweeps stop {self.sweep}`"
        return SweepBusyError(
            f"{doing}{driver['host']}: wait for it" + (f", {advice}" if driver.get("doing", "run") == "run" else "")
        )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if is_disk_full(error):
                raise DiskFullError(self.path) from None
            raise StoreError(
                f"{self.path} cannot be written ({error.strerror}): choose another folder with --runs"
            ) from None

    def driver(self) -> dict[str, str | int | float] | None:
        """Return who runs the sweep now (pid, host, since), None where nobody does."""
        about = self._about()
        if about is None:
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

    def _about(self) -> dict[str, str | int | float] | None:
        """Return what the last driver wrote of itself, None where it took it away or this is nothing of a driver's."""
        try:
            about: dict[str, str | int | float] = json.loads(self._driver.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return about if isinstance(about, dict) and {"pid", "host"} <= about.keys() else None

    @property
    def died(self) -> bool:
        """Whether the last driver ended without a farewell: killed, or the machine was."""
        return self._driver.exists() and self.driver() is None

    def open_journal(self) -> optuna.storages.JournalStorage:
        """Return the storage for writing; to be called under the lock.

        What a crash left of a last line is cut off, and a lock that the dead driver left inside the journal goes.

        Raises:
            DamagedJournalError: a line is damaged and cannot be had from the last start's copy.
            DiskFullError: there is no room for that copy.
        """
        import optuna

        from sweeps.study.storage import WritingBackend, read_storage

        journal = JournalFile(self.journal)
        with self._writing():
            journal.prepare()
            for left_over in self.path.glob("journal.log.lock*"):
                left_over.unlink(missing_ok=True)
            backend = WritingBackend(journal)
        try:
            return optuna.storages.JournalStorage(backend)
        except Exception as error:
            damage = read_storage(journal)[1]
            if damage is None:
                raise
            raise journal.error(damage) from error
