"""SQL over what is recorded: DuckDB on tables in memory, with no way to a file, a network or an extension.

A statement is read by DuckDB's own parser, its columns are resolved on the tree (`sql_names.py`), and what the tree
says is run. One SELECT is all that is taken.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from sweeps.errors import LeaderboardError
from sweeps.views.columns import closest_columns
from sweeps.views.sql_names import Names, nodes, resolve

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

MAX_LENGTH = 20_000
"""Characters of a statement: a parser recurses, and what a person wrote is far shorter."""

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

_BOARD, _ROWS, _NUMBER = "board", "rows of the board", "number of the row"

_QUOTES = "a text is written in single quotes"


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


class Statement:
    """One SELECT, as DuckDB's parser reads it."""

    def __init__(self, text: str) -> None:
        """Parse it.

        Raises:
            LeaderboardError: it is none, or more than one.
        """
        self.text = text
        self.tree = _parsed(text, shown=text)
        if len(self.tree["statements"]) != 1:
            count = len(self.tree["statements"]) or "no"
            raise LeaderboardError(f"{count} statements: only one SELECT is answered; {_EXAMPLE}")
        described = [node for node in nodes(self.tree) if node.get("type") == "SHOW_REF"]
        if described:
            raise LeaderboardError(f"only one SELECT is answered, not {text.split()[0].upper()}: {_EXAMPLE}")
        self.names = Names.of(self.tree)

    def tables(self, known: Sequence[str]) -> list[str]:
        """Return the tables it reads, each once.

        Raises:
            LeaderboardError: one of them is none of `known`.
        """
        return _tables(self.names, known)

    def run(self, tables: Mapping[str, pa.Table]) -> pa.Table:
        """Return its answer.

        Raises:
            LeaderboardError: it cannot be answered; says why in one line, with the closest column of an unknown one.
        """
        columns = list(dict.fromkeys(name for table in tables.values() for name in table.column_names))
        resolve(self.tree, columns=columns, names=self.names)
        return _answer(self.tree, tables, columns=columns, shown=self.text)


class Condition:
    """One expression over the columns of a table, as DuckDB's parser reads it."""

    def __init__(self, text: str) -> None:
        """Parse it.

        Raises:
            LeaderboardError: it is no expression.
        """
        self.text = text
        # Alone too: `true) or (` is an expression between parentheses only. On lines of its own, so that a comment at
        # its end hides nothing.
        if text.strip():
            _parsed(f"SELECT\n{text}\n", shown=text, help=_HELP)
        tree = _parsed(f"SELECT (\n{text}\n)", shown=text, help=_HELP)
        node = tree["statements"][0]["node"]
        whole = json.loads(_serialized("SELECT (1)"))["statements"][0]["node"]
        fields = ("select_list", "cte_map")
        rest = {name: value for name, value in node.items() if name not in fields}
        expected = {name: value for name, value in whole.items() if name not in fields}
        if len(tree["statements"]) != 1 or rest != expected or len(node["select_list"]) != 1:
            raise LeaderboardError(f"cannot understand {text!r}: {_HELP}")
        (self._expression,) = node["select_list"]
        self.names = Names.of(tree)

    def tables(self, known: Sequence[str]) -> list[str]:
        """Return the tables that its subqueries read. Arguments and errors are those of `Statement.tables`."""
        return _tables(self.names, known)

    def matching(self, table: pa.Table, *, others: Mapping[str, pa.Table]) -> tuple[list[bool], list[str]]:
        """Return one truth value a row of a table, False where it is missing; and the columns that it speaks of.

        Args:
            table: called `board` in the expression, where it has to be named.
            others: those that subqueries read.

        Raises:
            LeaderboardError: it cannot be computed, or is no condition.
        """
        import pyarrow as pa

        tree = json.loads(_serialized(f'SELECT "{_NUMBER}", true FROM "{_ROWS}" AS {_BOARD}'))
        tree["statements"][0]["node"]["select_list"][1] = self._expression
        names = self.names.with_table(_BOARD)
        columns = list(dict.fromkeys(name for each in (table, *others.values()) for name in each.column_names))
        used = resolve(tree, columns=columns, names=names)
        numbered = table.append_column(_NUMBER, pa.array(range(table.num_rows), pa.int64()))
        found = _answer(tree, {**others, _ROWS: numbered}, columns=columns, shown=self.text)
        if not pa.types.is_boolean(found.schema.field(1).type) and not pa.types.is_null(found.schema.field(1).type):
            raise LeaderboardError(f"{self.text!r} compares no column with anything: {_HELP}")
        if found.num_rows != table.num_rows:
            raise LeaderboardError(f"{self.text!r} gives {found.num_rows} rows for {table.num_rows}: {_HELP}")
        matching = [False] * table.num_rows
        for number, holds in zip(found.column(0).to_pylist(), found.column(1).to_pylist(), strict=True):
            matching[number] = bool(holds)
        return matching, used


_EXAMPLE = 'write it as in "select model.name, max(val_accuracy) from runs group by all"'
_HELP = "write a condition in SQL, as in \"model.width > 8 and model.name in ('resnet', 'vgg')\""


def _tables(names: Names, known: Sequence[str]) -> list[str]:
    wanted = [name for name in names.base_tables if name.lower() not in names.defined]
    unknown = next((name for name in wanted if name.lower() not in known), None)
    if unknown is not None:
        raise LeaderboardError(f"there is no table {unknown!r}: the tables are {', '.join(known)}")
    return list(dict.fromkeys(name.lower() for name in wanted))


def _serialized(text: str) -> str:
    with locked_database({}) as database:
        ((tree,),) = database.execute("SELECT json_serialize_sql(?::VARCHAR)", [text]).fetchall()
    return str(tree)


def _parsed(text: str, *, shown: str, help: str | None = None) -> dict[str, Any]:
    """Return DuckDB's tree of a statement.

    Raises:
        LeaderboardError: the text cannot be parsed.
    """
    import duckdb

    if len(shown) > MAX_LENGTH:
        raise LeaderboardError(f"the SQL has {len(shown)} characters; at most {MAX_LENGTH}")
    if "\0" in shown:
        raise LeaderboardError("the SQL holds the character 0, at which it would end")
    try:
        tree: dict[str, Any] = json.loads(_serialized(text))
    except (duckdb.Error, RecursionError, UnicodeError) as error:
        raise LeaderboardError(f"cannot understand {_short(shown)}: {_one_line(error)}") from error
    if not tree["error"]:
        return tree
    if tree.get("error_type") == "not implemented":
        if help is not None:
            raise LeaderboardError(f"cannot understand {_short(shown)}: {help}")
        raise LeaderboardError(f"only one SELECT is answered, nothing else: {_EXAMPLE}")
    message = re.sub(r"\s+", " ", str(tree.get("error_message", ""))).strip()
    raise LeaderboardError(f"cannot understand {_short(shown)}: {message}{_mended(message, shown)}")


def _mended(message: str, text: str) -> str:
    """Return what to write instead of what other languages write."""
    if "Chained comparisons" in message:
        if re.search(r"[&|]", text):
            return ": write `and` and `or` for & and |"
        return ": write `a < x and x <= b`, or `x between a and b`"
    if not text.strip():
        return f": {_HELP}"
    return ""


def _answer(tree: Mapping[str, Any], tables: Mapping[str, pa.Table], *, columns: Sequence[str], shown: str) -> pa.Table:
    import duckdb

    with locked_database(tables) as database:
        try:
            text = [json.dumps(tree)]
            ((sql,),) = database.execute("SELECT json_deserialize_sql(?::VARCHAR::JSON)", text).fetchall()
            return database.sql(sql).to_arrow_table()
        except (duckdb.Error, RecursionError, UnicodeError) as error:
            raise LeaderboardError(f"in {_short(shown)}: {_in_words(error, columns)}") from error


def _in_words(error: Exception, columns: Iterable[str]) -> str:
    """Return what DuckDB says, in one line and in this program's words where it can be mended."""
    import duckdb

    message = _one_line(error)
    unknown = re.search(r'Referenced (?:column|table) "(.*?)" not found', message)
    unknown = unknown or re.search(r'does not have a column named "(.*?)"', message)
    if unknown:
        name = unknown[1]
        if name.lower() == "none":
            return "a missing value is asked for with `is null` or `is not null`"
        return f"unknown column {name!r} ({_QUOTES}: '{name}'): {closest_columns(name, list(columns))}"
    if _NUMBER in message:
        return "a condition is asked of one row: write `> (select avg(val_accuracy) from configurations)` for all"
    if isinstance(error, duckdb.PermissionException):
        return "only what is recorded is read: no files, no folders, no extensions"
    if isinstance(error, duckdb.BinderException) and "Cannot compare values" in message:
        kinds = re.findall(r"type (\w+(?: WITH TIME ZONE)?)", message)
        named = " with ".join(_KINDS.get(kind, kind.lower()) for kind in kinds)
        return f"cannot compare {named}: {_QUOTES}, and `try_cast(COLUMN as double)` reads a number from text"
    return message


_KINDS = {
    "VARCHAR": "text", "STRING_LITERAL": "text", "INTEGER_LITERAL": "number", "BIGINT": "number", "DOUBLE": "number",
    "DECIMAL": "number", "BOOLEAN": "truth value", "INTEGER": "number", "TIMESTAMP WITH TIME ZONE": "time",
    "TIMESTAMP": "time", "DATE": "date",
}  # fmt: skip


def _one_line(error: Exception) -> str:
    """Return the first sentences of an error, without its kind and without the excerpt under it."""
    text = str(error).split("\n\nLINE ")[0]
    text = re.sub(r"^(?:\w+ )*Error: ", "", text)
    text = re.split(r"\s+Candidate (?:functions|macros|tables|bindings)", text)[0]
    return re.sub(r"\s+", " ", text).strip() or type(error).__name__


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


_SHOWN = 200
