"""Studies in a database, by a URL: for a driver that may go on on another machine.

Optuna's own tables, so that its dashboard and its readers find them. Beside them is one table of leases, which keeps
two drivers from ever writing one study (`lease`). A database that is away for some minutes is waited for.
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

from sweeps.core.errors import StorageAwayError, StoreError
from sweeps.core.storages import with_password
from sweeps.store.bucket import without_secrets
from sweeps.store.lease import Lease, holder_of, make_table
from sweeps.system.compat import PRIVATE_STORAGE_CALLS

CONNECT_SECONDS = 5
_POSTGRESQL = {
    # A machine that is gone without a word is noticed within seconds, on either side, and what it held is let go.
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
    "options": "-c lock_timeout=10s -c idle_in_transaction_session_timeout=15s",
}
PATIENCE_SECONDS = 300.0
"""How long a database that was there may be away before a driver ends."""
_LOOK_SECONDS = 1.0

_log = logging.getLogger(__name__)


@functools.cache
def study_database(url: str) -> StudyDatabase:
    """Return the database at a URL: one pool of connections for the whole process; see `StudyDatabase`."""
    return StudyDatabase(url)


class StudyDatabase:
    """The database that a sweep's studies are in."""

    def __init__(self, url: str) -> None:
        """Connect to nothing yet.

        Args:
            url: of the database, without a password; that comes from the environment.

        Raises:
            StoreError: there is no library here that speaks to such a database.
        """
        self.url = url
        self._full_url = _with_driver(with_password(url))
        try:
            self._engine = sql.create_engine(self._full_url, **_options(url))
        except ValueError:
            # Without its words: they may be a part of the password.
            raise StoreError(f"{url} is no database's URL that can be read, or its password is not escaped") from None
        except (ImportError, NoSuchModuleError, ArgumentError) as error:
            raise StoreError(
                f"{url} cannot be used here ({without_secrets(str(error))}): `pip install 'cifar-sweeps[postgresql]'` "
                "brings what speaks to PostgreSQL"
            ) from None

    def check(self) -> None:
        """Look whether it answers, and make its tables where they are missing.

        Raises:
            StoreError: it does not answer, or refuses; names it.
        """
        with self.errors():
            for last in (False, False, True):
                try:
                    make_table(self._engine)
                    _storage(self._full_url, self._engine, patience=0.0)
                except DBAPIError as error:
                    # Another driver makes the same tables at this moment.
                    if last or not any(words in _words(error) for words in ("already exists", "duplicate key")):
                        raise
                    time.sleep(_LOOK_SECONDS)
                else:
                    return

    def _error(self, error: BaseException) -> StoreError:
        return StoreError(
            f"the study's database {self.url} does not answer, or refuses ({_words(error)}): check that it runs and is "
            "there (`createdb`), its address, and user and password in the environment (PGPASSWORD, ~/.pgpass or "
            "SWEEPS_STUDY_STORAGE)"
        )

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Say in words what goes wrong with the database within the block."""
        try:
            yield
        except (DBAPIError, StorageInternalError, RuntimeError) as error:
            raise self._error(error) from None

    def lease(self, sweep: str, *, about: dict[str, Any], on_loss: Callable[[], None]) -> Lease:
        """Return the lease of a sweep, not yet held; see `Lease`."""
        return Lease(self._engine, sweep, about=about, on_loss=on_loss)

    def driver(self, sweep: str) -> dict[str, Any] | None:
        """Return what the driver that holds a sweep says of itself, None where nobody does, or nobody can say.

        Raises:
            StoreError: it does not answer, or refuses.
        """
        with self.errors():
            return holder_of(self._engine, sweep)

    def writing(self, lease: Lease) -> BaseStorage:
        """Return the storage for the driver that holds a lease: what it writes is written while it holds it."""
        return _storage(self._full_url, self._engine, patience=PATIENCE_SECONDS, lease=lease)

    def reading(self) -> BaseStorage:
        """Return the storage for who only looks; where the database does not answer, each of its calls says so.

        Raises:
            StoreError: it does not answer, or refuses; of the calls of what is returned too.
        """
        with self.errors():
            return _storage(self._full_url, self._engine, patience=0.0, says=self._error)


def _storage(
    url: str,
    engine: sql.Engine,
    *,
    patience: float,
    says: Callable[[BaseException], StoreError] | None = None,
    lease: Lease | None = None,
) -> BaseStorage:
    storage = _PatientStorage(url, engine_kwargs=_options(url), patience=patience, says=says)
    # One pool of connections for all.
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
    """Return a URL that names the library which this project installs, where it names none."""
    scheme, colon, rest = url.partition(":")
    return f"postgresql+psycopg{colon}{rest}" if scheme == "postgresql" else url


_CALLS = frozenset(name for name in vars(BaseStorage) if not name.startswith("_")) | PRIVATE_STORAGE_CALLS
"""What the study asks of its storage."""


class _PatientStorage(RDBStorage):
    """Optuna's own storage, which asks again where the database does not answer.

    What is asked twice says the same twice; only the end of a trial cannot, and is known by its error.
    """

    def __init__(
        self,
        url: str,
        *,
        engine_kwargs: dict[str, Any],
        patience: float,
        says: Callable[[BaseException], StoreError] | None,
    ) -> None:
        """Connect.

        Args:
            url: of the database, with its driver and password.
            engine_kwargs: of SQLAlchemy's engine.
            patience: seconds for which it may be away.
            says: makes of an error what is raised at once, without any patience.
        """
        self._patience, self._says = 0.0, None
        super().__init__(url, engine_kwargs=engine_kwargs)
        self._patience, self._says = patience, says
        self._inside = threading.local()

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        is_watched = name in _CALLS and (self._patience or self._says is not None)
        return functools.partial(self._patiently, found) if is_watched else found

    def _patiently(self, ask: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        if getattr(self._inside, "call", False):  # one call that another one is made of
            return ask(*arguments, **named)
        self._inside.call = True
        ends, asked = 0.0, 0
        try:
            while True:
                try:
                    return ask(*arguments, **named)
                except UpdateFinishedTrialError:
                    if asked and ask.__name__ == "set_trial_state_values":
                        return True  # the answer was lost, not the question
                    raise
                except (StorageInternalError, OperationalError, InterfaceError) as error:
                    if self._says is not None:
                        raise self._says(error) from None
                    if not _is_away(error):
                        raise
                    ends = ends or time.monotonic() + self._patience
                    if time.monotonic() > ends:
                        raise StorageAwayError(
                            f"the study's database has not answered for {self._patience / 60:.0f} minutes "
                            f"({_words(error)}): everything up to here is saved; the same command "
                            "goes on"
                        ) from None
                    asked += 1
                    if asked == 1:
                        _log.warning("the study's database does not answer (%s): waiting for it", _words(error))
                    time.sleep(_LOOK_SECONDS)
        finally:
            self._inside.call = False


def _is_away(error: BaseException) -> bool:
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    return isinstance(cause, (OperationalError, InterfaceError)) or (
        isinstance(cause, DBAPIError) and cause.connection_invalidated
    )


def _words(error: BaseException) -> str:
    cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
    return without_secrets(" ".join(str(getattr(cause, "orig", cause)).split()))
