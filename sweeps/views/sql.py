"""SQL over what is recorded: DuckDB on tables in memory, with no way to a file, a network or an extension.

A dotted column is a field of a struct (`arrow_tables.py`), so that `model.name` is DuckDB's own SQL.
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
"""One row a run; one row a configuration; those of them that replicates confirm; one row an epoch of each run."""

TIME_LIMIT = 60.0
"""Seconds for an answer. Of 10,000 recorded runs a question takes one or two; a join without a condition has no end."""

_SETTINGS = (
    "TimeZone = 'UTC'",
    "autoinstall_known_extensions = false",
    "autoload_known_extensions = false",
    "allow_community_extensions = false",
    "python_enable_replacements = false",  # a table called like a variable of this program
    "python_scan_all_frames = false",
    "temp_directory = ''",
    "enable_external_access = false",
    "lock_configuration = true",  # the last: from here on nothing can be set
)

ROW = "number of the row"
"""Column of the table that a condition filters."""

_MAX_QUOTED = 200
"""Characters of a statement that a message repeats."""


class Statement:
    """One SELECT."""

    def __init__(self, sql: str, *, shown: str | None = None) -> None:
        """Parse it.

        Args:
            sql: the SELECT.
            shown: what a person wrote of it, for messages; None for all.

        Raises:
            LeaderboardError: it is no SELECT, or more than one.
        """
        import duckdb

        self._sql, self._shown = sql, repr((sql if shown is None else shown)[:_MAX_QUOTED])
        try:
            with locked_database({}) as database:
                ((self._tree,),) = database.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchall()
            tree = json.loads(self._tree)
        except (duckdb.Error, RecursionError, UnicodeError) as error:
            raise LeaderboardError(f"cannot understand {self._shown}: {_one_line(error)}") from error
        if tree["error"] and tree["error_type"] != "not implemented":
            raise LeaderboardError(f"cannot understand {self._shown}: {_one_line(tree['error_message'])}")
        if tree["error"] or len(tree["statements"]) != 1:
            raise LeaderboardError(f"{self._shown} is not one SELECT: {_EXAMPLE}")
        self._columns = tree["statements"][0]["node"].get("select_list", [])
        self.tables = set(map(str.lower, re.findall(r'"table_name":"((?:[^"\\]|\\.)*)"', self._tree)))
        """What stands where a table may stand, a table of its WITH too; in lower case."""

    def execute(self, tables: Mapping[str, pa.Table]) -> pa.Table:
        """Return its answer. A field of a struct that is no expression of its own keeps its dotted name.

        Raises:
            LeaderboardError: it cannot be answered; says why in one line, with the closest column of an unknown one.
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
        """Return what DuckDB says, in one line and in this program's words where it can be mended."""
        import duckdb

        message = _one_line(error)
        columns = [name for table in tables.values() for name in flat(table).column_names]
        words = re.findall(r"\w+(?:\.\w+)*", self._sql)
        if isinstance(error, duckdb.InterruptException):
            return f"no answer within {TIME_LIMIT:g} seconds: each table that is joined needs a condition"
        if isinstance(error, duckdb.PermissionException):
            return "only what is recorded is read: no files, no folders, no extensions"
        if unknown := _UNKNOWN.search(message):
            part = unknown[1] or unknown[2] or unknown[3]
            if part in columns:
                return "each part of a dotted column has its own quotes: " + ".".join(f'"{p}"' for p in part.split("."))
            name = next((word for word in words if part in word.split(".") and word not in columns), part)
            said = repr(name) if "." in name else f"{name!r} (a text is written in single quotes: '{name}')"
            return f"unknown column {said}: {closest_columns(name, columns)}"
        if "type STRUCT(" in message:
            found = [column for column in columns if column.rpartition(".")[0] in words]
            return f"a block of columns has no value of its own: name one of {', '.join(found[:_MAX_NAMED_COLUMNS])}"
        if "Table with name" in message:
            return f"{message.partition('!')[0]}: the tables are {', '.join(TABLES)}"
        if ROW in message:
            return "a condition is asked of one row: write `> (select avg(val_accuracy) from configurations)` for all"
        if "source column trial" in message:
            return f"{message}: `trial` is a name such as 'quick-001', `number` its number"
        return message


_EXAMPLE = 'write it as in "select model.name, max(val_accuracy) from runs group by all"'
_UNKNOWN = re.compile(
    r'Referenced (?:column|table) "(.*?)" not found|does not have a column named "(.*?)"|Could not find key "(.*?)"'
)
_MAX_NAMED_COLUMNS = 5
"""Columns of a block that a message names."""


@contextmanager
def locked_database(tables: Mapping[str, pa.Table]) -> Iterator[DuckDBPyConnection]:
    """Give a database in memory that holds these tables and reaches nothing else, whatever it is asked."""
    import duckdb

    with closing(duckdb.connect(":memory:")) as database:
        for name, table in tables.items():
            database.register(name, table)
        for setting in _SETTINGS:
            database.execute(f"SET {setting}")
        yield database


def _one_line(error: Exception | str) -> str:
    """Return the first sentences of an error, without its kind and without the excerpt under it."""
    text = re.sub(r"^(?:\w+ )*Error: ", "", str(error).split("\n\nLINE ")[0])
    text = re.split(r"\s+Candidate (?:functions|macros|tables|bindings)", text)[0]
    return re.sub(r"\s+", " ", text).strip() or type(error).__name__
