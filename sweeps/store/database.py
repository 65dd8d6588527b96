"""Studies in a database, so that a driver can resume on another machine.

The tables are Optuna's, readable by its dashboard. Two more tables contain leases, which prevent two drivers from
writing one study (`lease`), and commands to running sweeps (`command_table`). If the database does not answer, the
driver retries for `RETRY_SECONDS`.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import optuna
import sqlalchemy as sql
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, NoSuchModuleError, OperationalError

from sweeps.core.errors import StorageUnreachableError, StoreError
from sweeps.core.storages import with_password
from sweeps.store.bucket import redact_secrets
from sweeps.store.lease import Lease, holder_of, make_table
from sweeps.system.compat import PRIVATE_STORAGE_CALLS

CONNECT_SECONDS = 5
_POSTGRESQL = {
    # Both sides detect a lost connection within seconds, and the server releases its locks.
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
    "options": "-c lock_timeout=10s -c idle_in_transaction_session_timeout=15s",
}
RETRY_SECONDS = 300.0
"""How long a driver retries when its database stops responding."""
_RETRY_INTERVAL_SECONDS = 1.0

_log = logging.getLogger(__name__)


@functools.cache
def study_database(url: str) -> StudyDatabase:
    """Return the `StudyDatabase` at a URL, one per process, which has one pool of connections."""
    return StudyDatabase(url)


class StudyDatabase:
    """A database of studies. The connection is opened at the first use."""

    def __init__(self, url: str) -> None:
        """Create the engine.

        Args:
            url: URL of the database without a password, which is read from the environment.

        Raises:
            StoreError: The URL is invalid, or no driver for this kind of database is installed.
        """
        self.url = url
        self._full_url = _with_driver(with_password(url))
        try:
            self._engine = sql.create_engine(self._full_url, **_options(url))
        except ValueError:
            # The error's text may contain a part of the password.
            raise StoreError(
                f"{url} is not a valid database URL. Check it, and percent-encode special characters in the password."
            ) from None
        except (ImportError, NoSuchModuleError, ArgumentError) as error:
            raise StoreError(
                f"{url} needs a database driver that is not installed ({redact_secrets(str(error))}). "
                "For PostgreSQL run `pip install 'cifar-sweeps[postgresql]'`."
            ) from None

    @property
    def engine(self) -> sql.Engine:
        """The pool of connections."""
        return self._engine

    def check(self) -> None:
        """Connect, and create missing tables.

        Raises:
            StoreError: The database does not answer or denies access.
        """
        with self.errors():
            for last in (False, False, True):
                try:
                    make_table(self._engine)
                    _storage(self._full_url, self._engine, retry_seconds=0.0)
                except DBAPIError as error:
                    # Another driver creates the same tables at the same time.
                    if last or not any(words in _error_text(error) for words in ("already exists", "duplicate key")):
                        raise
                    time.sleep(_RETRY_INTERVAL_SECONDS)
                else:
                    return

    def _error(self, error: BaseException) -> StoreError:
        return StoreError(
            f"the study storage {self.url} does not answer or denies access ({_error_text(error)}). Check that the "
            "server runs, that the database exists (`createdb`), the address, and the user and password in the "
            "environment (PGPASSWORD, ~/.pgpass or SWEEPS_STUDY_STORAGE)."
        )

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Raise errors of the database within the block as `StoreError`."""
        try:
            yield
        except (DBAPIError, StorageInternalError, RuntimeError) as error:
            raise self._error(error) from None

    def lease(self, sweep: str, *, about: dict[str, Any], on_loss: Callable[[], None]) -> Lease:
        """Return the lease of a sweep, not yet acquired; see `Lease`."""
        return Lease(self._engine, sweep, about=about, on_loss=on_loss)

    def driver(self, sweep: str) -> dict[str, Any] | None:
        """Return the published information of a sweep's running driver; None if no driver runs it.

        Raises:
            StoreError: The database does not answer or denies access.
        """
        with self.errors():
            return holder_of(self._engine, sweep)

    def writing(self, lease: Lease) -> BaseStorage:
        """Return the storage for the driver that holds a lease. Writes fail once the lease is lost."""
        return _storage(self._full_url, self._engine, retry_seconds=RETRY_SECONDS, lease=lease)

    def reading(self) -> BaseStorage:
        """Return the storage for reading. It does not retry.

        Raises:
            StoreError: The database does not answer or denies access. Calls of the storage raise it too.
        """
        with self.errors():
            return _storage(self._full_url, self._engine, retry_seconds=0.0, to_error=self._error)


def _storage(
    url: str,
    engine: sql.Engine,
    *,
    retry_seconds: float,
    to_error: Callable[[BaseException], StoreError] | None = None,
    lease: Lease | None = None,
) -> BaseStorage:
    storage = _RetryingStorage(url, engine_kwargs=_options(url), retry_seconds=retry_seconds, to_error=to_error)
    # All storages share one pool of connections.
    storage.engine.dispose()
    storage.engine = engine
    storage.scoped_session.remove()
    storage.scoped_session.configure(bind=engine)
    if lease is not None:
        sql.event.listen(storage.scoped_session.session_factory, "before_commit", lease.fence)
    return optuna.storages.get_storage(storage)


def _options(url: str) -> dict[str, Any]:
    kind = url.partition("://")[0].partition("+")[0]
    timeout = {"sqlite": "timeout"}.get(kind, "connect_timeout")
    return {
        "pool_pre_ping": True,
        "connect_args": {timeout: CONNECT_SECONDS, **(_POSTGRESQL if kind == "postgresql" else {})},
    }


def _with_driver(url: str) -> str:
    """Return a URL with the PostgreSQL driver that this project installs, unless it names one."""
    scheme, colon, rest = url.partition(":")
    return f"postgresql+psycopg{colon}{rest}" if scheme == "postgresql" else url


_CALLS = frozenset(name for name in vars(BaseStorage) if not name.startswith("_")) | PRIVATE_STORAGE_CALLS
"""Methods that a study calls on its storage."""


class _RetryingStorage(RDBStorage):
    """Optuna's storage with retries if the database does not answer.

    All calls are idempotent except the end of a trial: a repeated one is recognised by its error.
    """

    def __init__(
        self,
        url: str,
        *,
        engine_kwargs: dict[str, Any],
        retry_seconds: float,
        to_error: Callable[[BaseException], StoreError] | None,
    ) -> None:
        """Connect.

        Args:
            url: URL of the database, with driver and password.
            engine_kwargs: Arguments of SQLAlchemy's engine.
            retry_seconds: How long to retry.
            to_error: Converts an error to one that is raised at once, without retries; None to retry.
        """
        self._retry_seconds, self._to_error = 0.0, None
        super().__init__(url, engine_kwargs=engine_kwargs)
        self._retry_seconds, self._to_error = retry_seconds, to_error
        self._inside = threading.local()

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        is_watched = name in _CALLS and (self._retry_seconds or self._to_error is not None)
        return functools.partial(self._with_retries, found) if is_watched else found

    def _with_retries(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        if getattr(self._inside, "call", False):  # a call made by another call of this storage
            return call(*arguments, **named)
        self._inside.call = True
        ends, failures = 0.0, 0
        try:
            while True:
                try:
                    return call(*arguments, **named)
                except UpdateFinishedTrialError:
                    if failures and call.__name__ == "set_trial_state_values":
                        return True  # the failed call had been committed, only its response was lost
                    raise
                except (StorageInternalError, OperationalError, InterfaceError) as error:
                    if self._to_error is not None:
                        raise self._to_error(error) from None
                    if not _is_unreachable(error):
                        raise
                    ends = ends or time.monotonic() + self._retry_seconds
                    if time.monotonic() > ends:
                        raise StorageUnreachableError(
                            f"the study storage has not answered for {self._retry_seconds / 60:.0f} minutes "
                            f"({_error_text(error)}). All results up to here are saved. Check the database, then run "
                            "the same command again to resume."
                        ) from None
                    failures += 1
                    if failures == 1:
                        _log.warning("the study storage does not answer (%s): retrying", _error_text(error))
                    time.sleep(_RETRY_INTERVAL_SECONDS)
        finally:
            self._inside.call = False


def _is_unreachable(error: BaseException) -> bool:
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    return isinstance(cause, (OperationalError, InterfaceError)) or (
        isinstance(cause, DBAPIError) and cause.connection_invalidated
    )


def _error_text(error: BaseException) -> str:
    cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
    return redact_secrets(" ".join(str(getattr(cause, "orig", cause)).split()))
