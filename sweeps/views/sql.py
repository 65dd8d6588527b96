"""SQL over the record: DuckDB on in-memory tables, without access to files, network or extensions.

A dotted column is a field of a struct (`arrow_tables.py`), so that `model.name` is valid SQL in DuckDB.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from sweeps.core.errors import LeaderboardError
from sweeps.views.arrow_tables import flat
from sweeps.views.columns import closest_columns

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

TABLES = ("runs", "configurations", "confirmed", "epochs")
"""One row per run; per configuration; per confirmed configuration; per epoch of each run."""

TIME_LIMIT = 60.0
"""Seconds per query. One over 10,000 recorded runs takes one or two; a join without a condition may not end."""

_SETTINGS = (
    "TimeZone = 'UTC'",
    "autoinstall_known_extensions = false",
    "autoload_known_extensions = false",
    "allow_community_extensions = false",
    "python_enable_replacements = false",  # tables named like Python variables
    "python_scan_all_frames = false",
    "temp_directory = ''",
    "enable_external_access = false",
    "lock_configuration = true",  # last, because no setting can be changed after it
)

ROW = "number of the row"
"""Column of the table that a condition filters."""

_MAX_QUOTED = 200
"""Quoted characters of a statement in a message."""


class Statement:
    """A parsed SELECT statement."""

    def __init__(self, sql: str, *, shown: str | None = None) -> None:
        """Parse the statement.

        Args:
            sql: the SELECT statement.
            shown: the part that the user typed, for messages; None for all of it.

        Raises:
            LeaderboardError: it is not a single SELECT statement.
        """
        import duckdb

        self._sql, self._shown = sql, repr((sql if shown is None else shown)[:_MAX_QUOTED])
        try:
            with locked_database({}) as database:
                ((self._tree,),) = database.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchall()
            tree = json.loads(self._tree)
        except (duckdb.Error, RecursionError, UnicodeError) as error:
            raise LeaderboardError(f"cannot parse {self._shown}: {_one_line(error)}") from error
        if tree["error"] and tree["error_type"] != "not implemented":
            raise LeaderboardError(f"cannot parse {self._shown}: {_one_line(tree['error_message'])}")
        if tree["error"] or len(tree["statements"]) != 1:
            raise LeaderboardError(f"{self._shown} is not a single SELECT statement. {_EXAMPLE}")
        self._columns = tree["statements"][0]["node"].get("select_list", [])
        self.tables = set(map(str.lower, re.findall(r'"table_name":"((?:[^"\\]|\\.)*)"', self._tree)))
        """Names of the tables that it reads, including those of its WITH clause, in lower case."""

    def execute(self, tables: Mapping[str, pa.Table]) -> pa.Table:
        """Return the result. A selected struct field without an alias keeps its dotted name.

        Raises:
            LeaderboardError: it cannot be executed. The message is one line and names the closest column of an unknown
                one.
        """
        import duckdb

        with locked_database(tables) as database:
            timer = threading.Timer(TIME_LIMIT, database.interrupt)
            timer.start()
            try:
                found = database.sql(self._sql).to_arrow_table()
            except (duckdb.Error, RecursionError, UnicodeError) as error:
                raise LeaderboardError(f"in {self._shown}: {self._explain(error, tables)}") from error
            finally:
                timer.cancel()
                timer.join()
        blocks = {field.name for table in tables.values() for field in table.schema if field.type.num_fields}
        if len(self._columns) != found.num_columns:  # a star among them
            return found
        written = (column.get("column_names", []) if not column["alias"] else [] for column in self._columns)
        names = zip(written, found.column_names, strict=True)
        return found.rename_columns(
            [".".join(parts) if len(parts) > 1 and parts[0] in blocks else name for parts, name in names]
        )

    def _explain(self, error: Exception, tables: Mapping[str, pa.Table]) -> str:
        """Return the message of DuckDB in one line, or a clearer one for common errors."""
        import duckdb

        message = _one_line(error)
        columns = [name for table in tables.values() for name in flat(table).column_names]
        words = re.findall(r"\w+(?:\.\w+)*", self._sql)
        if isinstance(error, duckdb.InterruptException):
            return f"no result within {TIME_LIMIT:g} seconds. Add a condition for each joined table"
        if isinstance(error, duckdb.PermissionException):
            return "a query can only read the record, no files, folders or extensions"
        if unknown := _UNKNOWN.search(message):
            part = unknown[1] or unknown[2] or unknown[3]
            if part in columns:
                return "quote each part of a dotted column: " + ".".join(f'"{p}"' for p in part.split("."))
            name = next((word for word in words if part in word.split(".") and word not in columns), part)
            note = "" if "." in name else f" (if it is a text, write '{name}' in single quotes)"
            return f"unknown column {name!r}{note}: {closest_columns(name, columns)}"
        if "type STRUCT(" in message:
            found = [column for column in columns if column.rpartition(".")[0] in words]
            return f"a block of columns is not a value. Name one of {', '.join(found[:_MAX_NAMED_COLUMNS])}"
        if "Table with name" in message:
            return f"{message.partition('!')[0]}: the tables are {', '.join(TABLES)}"
        if ROW in message:
            return (
                "a condition is evaluated for each row. Write an aggregate over all rows as `> (select "
                "avg(val_accuracy) from configurations)`"
            )
        if "source column trial" in message:
            return f"{message}: `trial` is a name such as 'quick-001', `number` is the number of the trial"
        return message


_EXAMPLE = 'Write it as in "select model.name, max(val_accuracy) from runs group by all"'
_UNKNOWN = re.compile(
    r'Referenced (?:column|table) "(.*?)" not found|does not have a column named "(.*?)"|Could not find key "(.*?)"'
)
_MAX_NAMED_COLUMNS = 5
"""Columns of a block named in a message."""


@contextmanager
def locked_database(tables: Mapping[str, pa.Table]) -> Iterator[DuckDBPyConnection]:
    """Open an in-memory database with these tables and without access to anything else."""
    import duckdb

    with closing(duckdb.connect(":memory:")) as database:
        for name, table in tables.items():
            database.register(name, table)
        for setting in _SETTINGS:
            database.execute(f"SET {setting}")
        yield database


def _one_line(error: Exception | str) -> str:
    """Return the first sentences of an error, without its type and without the SQL excerpt."""
    text = re.sub(r"^(?:\w+ )*Error: ", "", str(error).split("\n\nLINE ")[0])
    text = re.split(r"\s+Candidate (?:functions|macros|tables|bindings)", text)[0]
    return re.sub(r"\s+", " ", text).strip() or type(error).__name__
