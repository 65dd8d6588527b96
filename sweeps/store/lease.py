"""Who may write a sweep's study in a database: one driver, wherever it runs, known by a number that only grows.

A lease runs out unless its holder renews it, so that the study of a machine that is gone can be taken over. Time is
the database's own. A holder that was only slow is not believed: whatever it writes is let through only while the number
in the database is its own (a fencing token), and that is looked at in the very transaction that writes.
"""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import sqlalchemy as sql
from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError

from sweeps.core.errors import LeaseLostError, SweepBusyError
from sweeps.system.machine import is_surely_dead, kernel

SECONDS = 20.0
"""How long a lease lasts that is not renewed."""
RENEWED_EVERY = 4.0

_log = logging.getLogger(__name__)

_METADATA = sql.MetaData()
_LEASES = sql.Table(
    "sweeps_leases",
    _METADATA,
    sql.Column("sweep", sql.String(64), primary_key=True),
    sql.Column("token", sql.BigInteger, nullable=False),
    sql.Column("ends", sql.Double, nullable=False),
    sql.Column("about", sql.Text, nullable=False),
)

_NOW = {
    "postgresql": "extract(epoch from clock_timestamp())",
    "mysql": "unix_timestamp(now(6))",
    "mariadb": "unix_timestamp(now(6))",
    "sqlite": "(julianday('now') - 2440587.5) * 86400.0",
}


def make_table(engine: sql.Engine) -> None:
    """Create the table of leases where there is none."""
    _METADATA.create_all(engine)


def holder_of(engine: sql.Engine, sweep: str) -> dict[str, Any] | None:
    """Return what the driver that holds a sweep says of itself, None where nobody holds it."""
    with engine.begin() as connection:
        if not sql.inspect(connection).has_table(_LEASES.name):
            return None
        row = connection.execute(
            sql.select(_LEASES.c.ends, _LEASES.c.about).where(_LEASES.c.sweep == sweep)
        ).one_or_none()
        if row is None or row.ends <= _now(connection):
            return None
    about: dict[str, Any] = json.loads(row.about)
    return about


class Lease:
    """The right to write one sweep's study. Held between `acquire` and `release`."""

    def __init__(self, engine: sql.Engine, sweep: str, *, about: dict[str, Any], on_loss: Callable[[], None]) -> None:
        """Hold nothing yet.

        Args:
            engine: of the database.
            sweep: the sweep's name.
            about: what the holder says of itself, such as `pid` and `host`.
            on_loss: is called once, on any thread, when somebody else has taken the lease over.
        """
        self._engine = engine
        self._sweep = sweep
        self._about = {**about, "kernel": kernel()}
        self._on_loss = on_loss
        self._token = 0
        self._changing = threading.Lock()
        self._ended = threading.Event()
        self._is_lost = False
        self._thread = threading.Thread(target=self._keep, name=f"lease of {sweep}", daemon=True)

    def acquire(self) -> None:
        """Take the lease: at once where nobody has it, else when that of a driver which has gone away runs out.

        Raises:
            SweepBusyError: a driver has it and renews it.
        """
        seen: float | None = None
        waited = time.monotonic() + 3 * SECONDS
        while True:
            try:
                ends, about = self._try()
            except OperationalError:
                # Its row is locked: by a driver that was cut off in the middle of a write, until the server notices.
                if time.monotonic() > waited:
                    raise
                time.sleep(1.0)
                continue
            if about is None:
                self._thread.start()
                return
            if seen is not None and ends > seen:
                raise SweepBusyError(_busy(self._sweep, about))
            if seen is None:
                _log.warning(
                    "%s: waiting up to %d s for process %s on %s, which has not ended in order",
                    self._sweep, SECONDS, about.get("pid"), about.get("host"),
                )  # fmt: skip
            seen = ends
            time.sleep(1.0)

    def _try(self) -> tuple[float, dict[str, Any] | None]:
        """Take the lease if it can be had; else return until when it lasts, and whose it is."""
        try:
            with self._engine.begin() as connection:
                row = connection.execute(
                    sql.select(_LEASES).where(_LEASES.c.sweep == self._sweep).with_for_update()
                ).one_or_none()
                now = _now(connection)
                values = {"ends": now + SECONDS, "about": json.dumps(self._about)}
                if row is None:
                    connection.execute(sql.insert(_LEASES).values(sweep=self._sweep, token=1, **values))
                    self._token = 1
                    return 0.0, None
                about = json.loads(row.about)
                if row.ends > now and not _is_surely_dead(about):
                    return float(row.ends), about
                self._token = int(row.token) + 1
                # Where no row is locked (SQLite), of two that begin at once only one finds the number that it has read.
                taken = connection.execute(
                    sql.update(_LEASES)
                    .where(_LEASES.c.sweep == self._sweep, _LEASES.c.token == row.token)
                    .values(token=self._token, **values)
                )
                if taken.rowcount == 1:
                    return 0.0, None
        except IntegrityError:  # two that begin at once: the other one was first
            pass
        return self._try()

    def tell(self, **facts: Any) -> None:
        """Let who looks at the sweep know more of its driver. Nothing needs it."""
        with self._changing:
            self._about |= facts
        with contextlib.suppress(SQLAlchemyError):
            self._renew()

    def fence(self, session: Any) -> None:
        """Let a transaction pass while the lease is held; to be called in it, before it is committed.

        Raises:
            LeaseLostError: somebody else has taken the lease over: nothing of the transaction is written.
        """
        if session.get_bind().dialect.name == "sqlite":
            # No row can be locked there: a write, of nothing new, locks the whole file until the transaction ends.
            session.execute(self._own(sql.update(_LEASES)).values(token=self._token))
        token = session.execute(
            sql.select(_LEASES.c.token).where(_LEASES.c.sweep == self._sweep).with_for_update(read=True)
        ).scalar()
        if token != self._token:
            self._lose()
            raise LeaseLostError(_lost(self._sweep))

    def release(self) -> None:
        """Give the lease back, so that the next driver need not wait for its end."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(SECONDS)
        with contextlib.suppress(SQLAlchemyError), self._engine.begin() as connection:
            connection.execute(self._own(sql.update(_LEASES)).values(ends=0.0))

    def _keep(self) -> None:
        while not self._ended.wait(RENEWED_EVERY):
            # A database that is away for a while takes nobody else either.
            with contextlib.suppress(SQLAlchemyError):
                if not self._renew():
                    self._lose()
                    return

    def _renew(self) -> bool:
        with self._engine.begin() as connection, self._changing:
            ends = _now(connection) + SECONDS
            statement = self._own(sql.update(_LEASES)).values(ends=ends, about=json.dumps(self._about))
            return connection.execute(statement).rowcount == 1

    def _own(self, statement: sql.Update) -> sql.Update:
        return statement.where(_LEASES.c.sweep == self._sweep, _LEASES.c.token == self._token)

    def _lose(self) -> None:
        with self._changing:
            first, self._is_lost = not self._is_lost, True
        if first and not self._ended.is_set():
            self._on_loss()


def _now(connection: sql.Connection) -> float:
    return float(connection.execute(sql.text(f"select {_NOW[connection.dialect.name]}")).scalar_one())


def _is_surely_dead(about: dict[str, Any]) -> bool:
    pid = about.get("pid")
    return isinstance(pid, int) and is_surely_dead(pid, of_kernel=str(about.get("kernel", "")))


def _busy(sweep: str, about: dict[str, Any]) -> str:
    here = about.get("host") == socket.gethostname()
    advice = f", or end it with `sweeps stop {sweep}`" if here else ""
    return (
        f"sweep {sweep!r} is being {about.get('doing', 'run')} by process {about.get('pid')} on {about.get('host')}: "
        f"wait for it, look at it with `sweeps status {sweep}`{advice}"
    )


def _lost(sweep: str) -> str:
    return (
        f"another driver has taken {sweep} over, since this one was not heard of for {SECONDS:.0f} s: it goes on "
        "there, and this one writes nothing more"
    )
