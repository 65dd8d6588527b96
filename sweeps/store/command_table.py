"""Commands to a sweep in the database of its study; see `sweeps.store.command_queue`."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sql
from sqlalchemy.exc import SQLAlchemyError

from sweeps.core.errors import StoreError
from sweeps.store.bucket import redact_secrets
from sweeps.store.lease import COMMANDS

_OVERLAP = 100
"""Numbers that are read again: of two transactions at once, the one with the higher number may be committed first."""


class CommandTable:
    """Commands in a table of the database that stores the study, so that any machine can give them."""

    def __init__(self, engine: sql.Engine, sweep: str) -> None:
        self._engine, self._sweep = engine, sweep
        self._last = 0

    def append(self, command: Mapping[str, Any]) -> None:
        with self._errors(), self._engine.begin() as connection:
            COMMANDS.metadata.create_all(connection)
            connection.execute(sql.insert(COMMANDS).values(sweep=self._sweep, command=json.dumps(command)))

    def new(self) -> Sequence[Mapping[str, Any]]:
        query = (
            sql.select(COMMANDS.c.number, COMMANDS.c.command)
            .where(COMMANDS.c.sweep == self._sweep, COMMANDS.c.number > self._last - _OVERLAP)
            .order_by(COMMANDS.c.number)
        )
        with self._errors(), self._engine.begin() as connection:
            if not self._last and not sql.inspect(connection).has_table(COMMANDS.name):
                return []
            rows = connection.execute(query).all()
        if rows:
            self._last = rows[-1].number
        return [json.loads(row.command) for row in rows]

    def clear(self) -> None:
        """Delete the commands of the sweep, so that another one of its name does not receive them.

        Raises:
            StoreError: They cannot be deleted.
        """
        with self._errors(), self._engine.begin() as connection:
            if sql.inspect(connection).has_table(COMMANDS.name):
                connection.execute(sql.delete(COMMANDS).where(COMMANDS.c.sweep == self._sweep))

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            reason = redact_secrets(str(getattr(error, "orig", error)).partition("\n")[0])
            raise StoreError(
                f"the database of {self._sweep} cannot store commands: {reason}. Check the database, then try again."
            ) from None
