"""Where a sweep lives: its folder, the lock of its driver, and its study, in a journal or in a database."""

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

from cifar_core.common.files import is_stray, make_way
from sweeps.core.address import is_bucket
from sweeps.core.commands import command_on
from sweeps.core.errors import DiskFullError, StoreError, SweepBusyError, SweepError
from sweeps.core.formatting import duration
from sweeps.core.storages import LOCAL, Storages
from sweeps.store.bucket import Bucket
from sweeps.store.files import read_object, require_folder, store_error, write_file
from sweeps.store.journal import JournalFile
from sweeps.store.storage_note import StorageNote
from sweeps.system.machine import is_surely_dead, kernel

if TYPE_CHECKING:
    import optuna

    from sweeps.store.database import StudyDatabase
    from sweeps.store.lease import Lease

LOOK_SECONDS = 1.0
BEAT_SECONDS = 15.0
"""How often a driver renews the time of its note."""
ASSUMED_DEAD_SECONDS = 120.0
"""After so long without a sign a driver on another host, whose lock this host does not see held, counts as dead."""
UNKNOWN_DEAD_SECONDS = 600.0
"""The same where the lock cannot be asked for: the time of the file is all there is, and clocks differ by minutes."""
CHECKPOINT_FILE = "state.pt"
"""In a run's own folder under `checkpoints`, which is called by its key."""


class SweepFolder:
    """Where one sweep keeps its journal, checkpoints and logs: `runs/sweeps/NAME`, unless it has a storage."""

    def __init__(self, runs: Path, sweep: str, *, asked: Storages | None = None) -> None:
        """Look at nothing yet.

        Args:
            runs: the runs folder.
            sweep: its name.
            asked: where a sweep that begins is to be kept; None asks the environment.
        """
        self.runs = runs
        self.sweep = sweep
        self.path = runs / "sweeps" / sweep
        self._storage_note = StorageNote(self.path, asked=asked)
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
        """Where the sweep is kept: as it was begun, else as it is asked for."""
        return self._storage_note.find(has_journal=self._has_journal)

    @property
    def exists(self) -> bool:
        """Whether anything was begun here: there is a journal, or word of a study in a database."""
        return self._has_journal or self._storage_note.is_noted

    @property
    def _has_journal(self) -> bool:
        return JournalFile(self.journal).is_there

    @property
    def database(self) -> StudyDatabase | None:
        """Of the sweep's study, None where that is in the journal."""
        url = self.storages.study_storage
        if url is None:
            return None
        from sweeps.store.database import study_database

        return study_database(url)

    def log_address(self, name: str) -> str:
        """Return the path, or the URL, of a trial's log."""
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
    def small_files(self) -> tuple[Path, ...]:
        """What lies beside its journal and can be made anew."""
        journal = JournalFile(self.journal)
        return self._driver, self._lock, journal.checksums, journal.backup

    @contextmanager
    def locked(
        self, *, doing: str = "run", needs_room: bool = True, on_loss: Callable[[], None] | None = None
    ) -> Iterator[None]:
        """Hold the sweep, so that nobody else runs, mends or deletes it meanwhile.

        Args:
            doing: what for, as others are told: "is being ...".
            needs_room: False for what makes room: on a full disk nobody is told then who holds it.
            on_loss: of a study in a database: is called, on any thread, when another driver has taken the sweep over.

        Raises:
            SweepBusyError: another process holds it; names it.
            DiskFullError: there is no room to say who holds it.
            StoreError: the folder cannot be written.
        """
        lock = filelock.FileLock(self._lock)
        with self._writing():
            # What makes room needs neither.
            for folder in (self.path, self.checkpoints, self.logs) if needs_room else (self.path,):
                require_folder(folder)
            make_way(self._lock)
            try:
                # Longer than a look at who holds it takes, which holds it for that moment.
                lock.acquire(timeout=LOOK_SECONDS)
            except filelock.Timeout:
                raise self._busy() from None
        about = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time(), "doing": doing}
        try:
            try:
                with self._writing():
                    write_file(self._driver, json.dumps(about).encode("utf-8"))
            except DiskFullError:
                if needs_room:
                    raise
            with self._beating(), self._leased(about, on_loss=on_loss):
                yield
        finally:
            self.forget_driver()
            lock.release()

    @contextmanager
    def _beating(self) -> Iterator[None]:
        """Renew the time of the driver's note again and again, so that another host knows that it lives."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(BEAT_SECONDS):
                with contextlib.suppress(OSError):
                    os.utime(self._driver)

        threading.Thread(target=beat, name=f"sign of life of {self.sweep}", daemon=True).start()
        try:
            yield
        finally:
            ended.set()

    @contextmanager
    def _leased(self, about: dict[str, Any], *, on_loss: Callable[[], None] | None) -> Iterator[None]:
        """Hold the lease of a study that is in a database, and note where the sweep is kept."""
        storages, database = self.storages, self.database
        if database is not None:
            database.check()
            self._lease = database.lease(self.sweep, about=about, on_loss=on_loss or _do_nothing)
            with database.errors():
                self._lease.acquire()
        try:
            if storages != LOCAL and not self._storage_note.is_noted:
                with self._writing():
                    self._storage_note.note(storages)
            yield
        finally:
            if self._lease is not None:
                self._lease.release()
                self._lease = None

    def require(self, storages: Storages) -> None:
        """Refuse storages other than those that the sweep was begun with.

        Raises:
            SweepError: one is another.
        """
        if not self.exists:
            return
        for what, asked, is_at in (
            ("storage", storages.storage, self.storages.storage),
            ("study_storage", storages.study_storage, self.storages.study_storage),
        ):
            if asked is not None and asked != is_at:
                raise SweepError(
                    f"{self.sweep} was begun with {what} {is_at or f'in {self.path}'}, and goes on there: leave out "
                    f"{asked}, or give the file another name; `{command_on('rm', self.sweep, runs=self.runs)}` removes "
                    "what is there"
                )

    def tell(self, **facts: str | float | None) -> None:
        """Let who looks at the sweep know more of its driver, which holds it: its budget, its slots.

        Nothing needs them: where they cannot be written they are not told.
        """
        if self._lease is not None:
            self._lease.tell(**facts)
        about = self._about()
        if about is not None:
            with contextlib.suppress(OSError):
                write_file(self._driver, json.dumps(about | facts).encode("utf-8"))

    def forget_driver(self) -> None:
        """Take note that the driver ends in order; see `died`."""
        self._driver.unlink(missing_ok=True)

    def _busy(self) -> SweepBusyError:
        driver = self.driver()
        if driver is None:
            return SweepBusyError(f"sweep {self.sweep!r} is held by another process: try again")
        doing = f"sweep {self.sweep!r} is being {driver.get('doing', 'run')} by process {driver['pid']} on "
        status, stop = (command_on(verb, self.sweep, runs=self.runs) for verb in ("status", "stop"))
        advice = f"look at it with `{status}`, or end it with `{stop}`"
        return SweepBusyError(
            f"{doing}{driver['host']}: wait for it" + (f", {advice}" if driver.get("doing", "run") == "run" else "")
        )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise store_error(self.path, error) from None

    def driver(self) -> dict[str, str | int | float] | None:
        """Return who runs the sweep now (pid, host, since), None where nobody does.

        Raises:
            StoreError: its study's database does not answer.
        """
        if self._lease is None and (database := self.database) is not None:
            return database.driver(self.sweep)
        about = self._about()
        if about is None or (is_locked := self._is_locked()):
            return about
        is_here = about["host"] == socket.gethostname()
        if is_here and (is_locked is False or is_surely_dead(int(about["pid"]), of_kernel=kernel())):
            return None
        limit = UNKNOWN_DEAD_SECONDS if is_locked is None else ASSUMED_DEAD_SECONDS
        return None if self._silent_seconds() > limit else about

    @property
    def last_seen(self) -> str | None:
        """When and where a driver on another host gave its last sign, in words; None where none is assumed dead."""
        about = self._about()
        if about is None or about["host"] == socket.gethostname() or self.driver() is not None:
            return None
        return f"last seen {duration(self._silent_seconds())} ago on {about['host']}; assumed dead"

    def _silent_seconds(self) -> float:
        """Return how long ago the driver gave its last sign, a beat."""
        try:
            return max(0.0, time.time() - self._driver.stat().st_mtime)
        except OSError:
            return time.time()

    def _is_locked(self) -> bool | None:
        """Return whether a process holds the lock, as far as this machine can see; None where it cannot tell.

        Nothing is written for that.
        """
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

    def _about(self) -> dict[str, str | int | float] | None:
        """Return what the last driver wrote of itself, None where it took it away or this is nothing of a driver's."""
        try:
            found = read_object(self._driver) or {}
        except StoreError:
            return None
        about = {name: value for name, value in found.items() if not isinstance(value, list | dict)}
        is_whole = all(type(about.get(name)) is kind for name, kind in (("pid", int), ("host", str)))
        return about if is_whole and isinstance(about.get("doing", ""), str) else None

    @property
    def died(self) -> bool:
        """Whether the last driver ended without a farewell: killed, or the machine was."""
        return self._driver.exists() and self.driver() is None

    def open_study_storage(self) -> optuna.storages.BaseStorage:
        """Return the storage of the study for writing; to be called under the lock."""
        database = self.database
        if database is None:
            return self._open_journal()
        assert self._lease is not None, "only who holds the sweep may write it"
        return database.writing(self._lease)

    def _open_journal(self) -> optuna.storages.JournalStorage:
        """Return the journal for writing.

        What a crash left of a last line is cut off, and a lock that the dead driver left inside the journal goes.

        Raises:
            DamagedJournalError: a line is damaged and cannot be had from the last start's copy.
            DiskFullError: there is no room for that copy.
        """
        import optuna

        from sweeps.store.storage import WritingBackend, read_storage

        journal = JournalFile(self.journal)
        with self._writing():
            journal.prepare()
            for left_over in self.path.glob("journal.log.lock*"):
                if not make_way(left_over):
                    left_over.unlink(missing_ok=True)
            backend = WritingBackend(journal)
        try:
            return optuna.storages.JournalStorage(backend)
        except Exception as error:
            damage = read_storage(journal)[1]
            if damage is None:
                raise
            raise journal.error(damage) from error


def _do_nothing() -> None:
    """What is written after the loss of a lease is refused, and says so."""
