"""The folder of a sweep, the lock of its driver, and access to its study in a journal or a database."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock

from cifar_core.common.files import is_stray, move_stray_aside
from sweeps.core.address import is_bucket
from sweeps.core.commands import command_on
from sweeps.core.errors import DiskFullError, StoreError, SweepBusyError, SweepError
from sweeps.core.formatting import duration
from sweeps.core.storages import LOCAL, Storages
from sweeps.store.bucket import Bucket
from sweeps.store.files import ensure_folder, read_object, store_error, write_file
from sweeps.store.journal import JournalFile
from sweeps.store.storage_note import StorageNote
from sweeps.system.machine import has_surely_exited, pid_namespace

if TYPE_CHECKING:
    import optuna

    from sweeps.store.database import StudyDatabase
    from sweeps.store.lease import Lease

LOCK_TIMEOUT_SECONDS = 1.0
HEARTBEAT_SECONDS = 15.0
"""How often a driver updates the modification time of its note."""
ASSUMED_DEAD_SECONDS = 120.0
"""Time without heartbeat after which a driver on another host counts as dead, if its lock is not held."""
ASSUMED_DEAD_WITHOUT_LOCK_SECONDS = 600.0
"""The same if the lock cannot be checked. Only the file's time is known then, and clocks differ by minutes."""
CHECKPOINT_FILE = "state.pt"
"""Name of the checkpoint in the folder `checkpoints/KEY` of a run."""


class SweepFolder:
    """The folder `runs/sweeps/NAME` of a sweep: journal, checkpoints and logs, unless it has other storages."""

    def __init__(self, runs: Path, sweep: str, *, requested: Storages | None = None) -> None:
        """Refer to a folder without reading or creating it.

        Args:
            runs: The runs folder.
            sweep: Name of the sweep.
            requested: Storages of a sweep that does not exist yet; None reads them from the environment.
        """
        self.runs = runs
        self.sweep = sweep
        self.path = runs / "sweeps" / sweep
        self._storages_file = StorageNote(self.path, requested=requested)
        self._lease: Lease | None = None

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
    def storages(self) -> Storages:
        """Storages of the sweep; the requested ones if it does not exist yet."""
        return self._storages_file.find(has_journal=self._has_journal)

    @property
    def exists(self) -> bool:
        """Whether the sweep exists: it has a journal, or a note of its storages."""
        return self._has_journal or self._storages_file.exists

    @property
    def _has_journal(self) -> bool:
        return JournalFile(self.journal).exists

    @property
    def database(self) -> StudyDatabase | None:
        """Database of the study; None if the study is in the journal."""
        url = self.storages.study_storage
        if url is None:
            return None
        from sweeps.store.database import study_database

        return study_database(url)

    def log_address(self, name: str) -> str:
        """Return the path or the URL of a trial's log."""
        storage = self.storages.storage
        if storage is None:
            return str(self.logs / name)
        below = f"sweeps/{self.sweep}/logs/{name}"
        return Bucket(storage).url(below) if is_bucket(storage) else str(Path(storage) / below)

    @property
    def _lock(self) -> Path:
        return self.path / "driver.lock"

    @property
    def _driver(self) -> Path:
        return self.path / "driver.json"

    @property
    def regenerable_files(self) -> tuple[Path, ...]:
        """Files next to the journal that can be recreated."""
        journal = JournalFile(self.journal)
        return self._driver, self._lock, journal.checksums, journal.backup

    @contextmanager
    def locked(
        self, *, doing: str = "run", needs_space: bool = True, on_loss: Callable[[], None] | None = None
    ) -> Iterator[None]:
        """Hold the sweep's lock, so that no other process runs, repairs or deletes it.

        Args:
            doing: Purpose, shown to other processes as "is being ...".
            needs_space: False for operations that free disk space: they also run if the note cannot be written.
            on_loss: For a study in a database: called on any thread when another driver has taken over the sweep.

        Raises:
            SweepBusyError: Another process holds the lock.
            DiskFullError: The driver's note cannot be written.
            StoreError: The folder cannot be written.
        """
        lock = filelock.FileLock(self._lock)
        with self._writing():
            for folder in (self.path, self.checkpoints, self.logs) if needs_space else (self.path,):
                ensure_folder(folder)
            move_stray_aside(self._lock)
            try:
                # `_is_locked` of another process holds the lock for a moment.
                lock.acquire(timeout=LOCK_TIMEOUT_SECONDS)
            except filelock.Timeout:
                raise self._busy() from None
        about = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time(), "doing": doing}
        try:
            try:
                with self._writing():
                    write_file(self._driver, json.dumps(about).encode("utf-8"))
            except DiskFullError:
                if needs_space:
                    raise
            with self._heartbeat(), self._leased(about, on_loss=on_loss):
                yield
        finally:
            self.remove_driver_note()
            lock.release()

    @contextmanager
    def _heartbeat(self) -> Iterator[None]:
        """Update the time of the driver's note regularly, so that other hosts detect that it runs."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(HEARTBEAT_SECONDS):
                with contextlib.suppress(OSError):
                    os.utime(self._driver)

        threading.Thread(target=beat, name=f"heartbeat of {self.sweep}", daemon=True).start()
        try:
            yield
        finally:
            ended.set()

    @contextmanager
    def _leased(self, about: dict[str, Any], *, on_loss: Callable[[], None] | None) -> Iterator[None]:
        """Hold the lease of a study in a database, and write the note of the storages."""
        storages, database = self.storages, self.database
        if database is not None:
            database.check()
            self._lease = database.lease(self.sweep, about=about, on_loss=on_loss or _do_nothing)
            with database.errors():
                self._lease.acquire()
        try:
            if storages != LOCAL and not self._storages_file.exists:
                with self._writing():
                    self._storages_file.write(storages)
            yield
        finally:
            if self._lease is not None:
                self._lease.release()
                self._lease = None

    def check_storages(self, storages: Storages) -> None:
        """Check that requested storages are those of the existing sweep.

        Raises:
            SweepError: One differs.
        """
        if not self.exists:
            return
        for option, requested, actual in (
            ("storage", storages.storage, self.storages.storage),
            ("study_storage", storages.study_storage, self.storages.study_storage),
        ):
            if requested is not None and requested != actual:
                raise SweepError(
                    f"{self.sweep} was started with {option} {actual or f'in {self.path}'}, not {requested}. Leave out "
                    f"{requested}, change `name` in the file, or delete the sweep with "
                    f"`{command_on('rm', self.sweep, runs=self.runs)}`."
                )

    def publish(self, **facts: str | float | None) -> None:
        """Publish facts about this driver for other processes, such as its budget and slots. Errors are ignored."""
        if self._lease is not None:
            self._lease.publish(**facts)
        about = self._driver_info()
        if about is not None:
            with contextlib.suppress(OSError):
                write_file(self._driver, json.dumps(about | facts).encode("utf-8"))

    def remove_driver_note(self) -> None:
        """Delete the driver's note at its regular end; see `died`."""
        self._driver.unlink(missing_ok=True)

    def _busy(self) -> SweepBusyError:
        driver = self.driver()
        if driver is None:
            return SweepBusyError(f"sweep {self.sweep!r} is locked by another process. Try again.")
        doing = driver.get("doing", "run")
        status, stop = (command_on(verb, self.sweep, runs=self.runs) for verb in ("status", "stop"))
        advice = f", watch it with `{status}`, or stop it with `{stop}`" if doing == "run" else ""
        holder = f"process {driver['pid']} on {driver['host']}"
        return SweepBusyError(f"sweep {self.sweep!r} is being {doing} by {holder}. Wait for it{advice}.")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise store_error(self.path, error) from None

    def driver(self) -> dict[str, str | int | float] | None:
        """Return the published information of the running driver (pid, host, since, …); None if none runs.

        Raises:
            StoreError: The database of the study does not answer.
        """
        if self._lease is None and (database := self.database) is not None:
            return database.driver(self.sweep)
        about = self._driver_info()
        if about is None or (is_locked := self._is_locked()):
            return about
        is_here = about["host"] == socket.gethostname()
        if is_here and (is_locked is False or has_surely_exited(int(about["pid"]), namespace=pid_namespace())):
            return None
        limit = ASSUMED_DEAD_WITHOUT_LOCK_SECONDS if is_locked is None else ASSUMED_DEAD_SECONDS
        return None if self._seconds_since_heartbeat() > limit else about

    @property
    def last_heartbeat(self) -> str | None:
        """When a driver on another host that is presumed to have failed last reported, as a predicate; else None."""
        about = self._driver_info()
        if about is None or about["host"] == socket.gethostname() or self.driver() is not None:
            return None
        ago = duration(self._seconds_since_heartbeat())
        return f"last reported {ago} ago on {about['host']} and is presumed to have failed"

    def _seconds_since_heartbeat(self) -> float:
        try:
            return max(0.0, time.time() - self._driver.stat().st_mtime)
        except OSError:
            return time.time()

    def _is_locked(self) -> bool | None:
        """Return whether a process holds the lock; None if this machine cannot check it. Writes nothing."""
        if is_stray(self._lock):
            return False
        try:
            handle = os.open(self._lock, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except OSError:
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # a file system without locks
            return None
        finally:
            os.close(handle)
        return False

    def _driver_info(self) -> dict[str, str | int | float] | None:
        """Return the note of the last driver; None if it was deleted or is invalid."""
        try:
            found = read_object(self._driver) or {}
        except StoreError:
            return None
        about = {name: value for name, value in found.items() if not isinstance(value, list | dict)}
        is_valid = all(type(about.get(name)) is kind for name, kind in (("pid", int), ("host", str)))
        return about if is_valid and isinstance(about.get("doing", ""), str) else None

    @property
    def died(self) -> bool:
        """Whether the last driver was killed: its note exists, but it does not run."""
        return self._driver.exists() and self.driver() is None

    def open_study_storage(self) -> optuna.storages.BaseStorage:
        """Return the storage of the study for writing. Call it while holding the lock."""
        database = self.database
        if database is None:
            return self._open_journal()
        assert self._lease is not None, "the sweep is not locked"
        return database.writing(self._lease)

    def _open_journal(self) -> optuna.storages.JournalStorage:
        """Return the journal for writing.

        An incomplete last line of a crash is cut off, and Optuna's lock files of a killed driver are deleted.

        Raises:
            DamagedJournalError: A line is damaged and cannot be restored from the backup.
            DiskFullError: There is no space for the backup.
        """
        import optuna

        from sweeps.store.storage import WritingBackend, read_storage

        journal = JournalFile(self.journal)
        with self._writing():
            journal.prepare()
            for stale_lock in self.path.glob("journal.log.lock*"):
                if not move_stray_aside(stale_lock):
                    stale_lock.unlink(missing_ok=True)
            backend = WritingBackend(journal)
        try:
            return optuna.storages.JournalStorage(backend)
        except Exception as error:
            damage = read_storage(journal)[1]
            if damage is None:
                raise
            raise journal.error(damage) from error


def _do_nothing() -> None:
    """Default of `on_loss`: the next write raises an error anyway."""
