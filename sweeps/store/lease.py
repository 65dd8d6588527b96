"""Leases on the studies in a database: only the driver with a sweep's lease may write its study.

A lease expires unless its holder renews it, so that another driver can take over after a machine failure. Times are
the database's. Each lease has a fencing token, a number that increases with each holder. Each writing transaction
checks the token, so that a driver that was only slow cannot write after it lost the lease.
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
from sweeps.system.machine import has_surely_exited, pid_namespace

LEASE_SECONDS = 20.0
"""Time until a lease expires if it is not renewed."""
RENEW_SECONDS = 4.0

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

COMMANDS = sql.Table(
    "sweeps_commands",
    _METADATA,
    sql.Column("number", sql.BigInteger().with_variant(sql.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sql.Column("sweep", sql.String(64), nullable=False, index=True),
    sql.Column("command", sql.Text, nullable=False),
)
"""Commands to running sweeps (`sweeps.store.command_queue`)."""

_NOW = {
    "postgresql": "extract(epoch from clock_timestamp())",
    "mysql": "unix_timestamp(now(6))",
    "mariadb": "unix_timestamp(now(6))",
    "sqlite": "(julianday('now') - 2440587.5) * 86400.0",
}


def make_table(engine: sql.Engine) -> None:
    """Create the tables of leases and of commands if they do not exist."""
    _METADATA.create_all(engine)


def holder_of(engine: sql.Engine, sweep: str) -> dict[str, Any] | None:
    """Return the published information of the driver that holds a sweep's lease; None if it is free."""
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
        """Create a lease without acquiring it.

        Args:
            engine: Engine of the database.
            sweep: Name of the sweep.
            about: Published information on the holder, such as `pid` and `host`.
            on_loss: Called once, on any thread, when another driver has taken over the lease.
        """
        self._engine = engine
        self._sweep = sweep
        self._about = {**about, "kernel": pid_namespace()}
        self._on_loss = on_loss
        self._token = 0
        self._changing = threading.Lock()
        self._ended = threading.Event()
        self._is_lost = False
        self._thread = threading.Thread(target=self._renew_until_released, name=f"lease of {sweep}", daemon=True)

    def acquire(self) -> None:
        """Acquire the lease; if a killed driver still holds it, wait until it expires.

        Raises:
            SweepBusyError: A running driver holds and renews it.
        """
        last_ends: float | None = None
        waited = time.monotonic() + 3 * LEASE_SECONDS
        while True:
            try:
                ends, about = self._try()
            except OperationalError:
                # A driver that lost its connection during a write locks the row until the server detects it.
                if time.monotonic() > waited:
                    raise
                time.sleep(1.0)
                continue
            if about is None:
                self._thread.start()
                return
            if last_ends is not None and ends > last_ends:
                raise SweepBusyError(_busy(self._sweep, about))
            if last_ends is None:
                _log.warning(
                    "%s: waiting up to %d s for the lease of process %s on %s to expire",
                    self._sweep, LEASE_SECONDS, about.get("pid"), about.get("host"),
                )  # fmt: skip
            last_ends = ends
            time.sleep(1.0)

    def _try(self) -> tuple[float, dict[str, Any] | None]:
        """Acquire the lease if it is free; else return its expiry time and its holder."""
        try:
            with self._engine.begin() as connection:
                row = connection.execute(
                    sql.select(_LEASES).where(_LEASES.c.sweep == self._sweep).with_for_update()
                ).one_or_none()
                now = _now(connection)
                values = {"ends": now + LEASE_SECONDS, "about": json.dumps(self._about)}
                if row is None:
                    connection.execute(sql.insert(_LEASES).values(sweep=self._sweep, token=1, **values))
                    self._token = 1
                    return 0.0, None
                about = json.loads(row.about)
                if row.ends > now and not _is_surely_dead(about):
                    return float(row.ends), about
                self._token = int(row.token) + 1
                # SQLite locks no row: of two drivers that start at once, only one still finds the token it has read.
                taken = connection.execute(
                    sql.update(_LEASES)
                    .where(_LEASES.c.sweep == self._sweep, _LEASES.c.token == row.token)
                    .values(token=self._token, **values)
                )
                if taken.rowcount == 1:
                    return 0.0, None
        except IntegrityError:  # another driver inserted the row first
            pass
        return self._try()

    def publish(self, **facts: Any) -> None:
        """Add published information. Errors are ignored."""
        with self._changing:
            self._about |= facts
        with contextlib.suppress(SQLAlchemyError):
            self._renew()

    def fence(self, session: Any) -> None:
        """Check within a transaction, before its commit, that the lease is still held.

        Raises:
            LeaseLostError: Another driver has taken over the lease. The transaction must not be committed.
        """
        if session.get_bind().dialect.name == "sqlite":
            # SQLite has no row locks: a write without change locks the file until the transaction ends.
            session.execute(self._where_held(sql.update(_LEASES)).values(token=self._token))
        token = session.execute(
            sql.select(_LEASES.c.token).where(_LEASES.c.sweep == self._sweep).with_for_update(read=True)
        ).scalar()
        if token != self._token:
            self._lose()
            raise LeaseLostError(_lost(self._sweep))

    def release(self) -> None:
        """Release the lease, so that the next driver does not have to wait."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(LEASE_SECONDS)
        with contextlib.suppress(SQLAlchemyError), self._engine.begin() as connection:
            connection.execute(self._where_held(sql.update(_LEASES)).values(ends=0.0))

    def _renew_until_released(self) -> None:
        while not self._ended.wait(RENEW_SECONDS):
            # While the database is unreachable, no other driver can take over either.
            with contextlib.suppress(SQLAlchemyError):
                if not self._renew():
                    self._lose()
                    return

    def _renew(self) -> bool:
        with self._engine.begin() as connection, self._changing:
            ends = _now(connection) + LEASE_SECONDS
            statement = self._where_held(sql.update(_LEASES)).values(ends=ends, about=json.dumps(self._about))
            return connection.execute(statement).rowcount == 1

    def _where_held(self, statement: sql.Update) -> sql.Update:
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
    return isinstance(pid, int) and has_surely_exited(pid, namespace=str(about.get("kernel", "")))


def _busy(sweep: str, about: dict[str, Any]) -> str:
    here = about.get("host") == socket.gethostname()
    advice = f", or stop it with `sweeps stop {sweep}`" if here else ""
    return (
        f"sweep {sweep!r} is being {about.get('doing', 'run')} by process {about.get('pid')} on {about.get('host')}. "
        f"Wait for it, watch it with `sweeps status {sweep}`{advice}."
    )


def _lost(sweep: str) -> str:
    return (
        f"another driver has taken over {sweep}, because this one did not renew its lease for {LEASE_SECONDS:.0f} s. "
        "The sweep continues there, and this driver writes nothing more."
    )
