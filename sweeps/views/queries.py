"""SQL queries over the record. Each table is built only if a query needs it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from sweeps.analysis.ranking import rank_configurations, rank_runs
from sweeps.core.errors import LeaderboardError, NoSuchSweepError
from sweeps.views.arrow_tables import arrow_of, table_of_result
from sweeps.views.sql import ROW, TABLES, Statement

if TYPE_CHECKING:
    import pyarrow as pa

    from sweeps.record.reader import RecordReader
    from sweeps.record.table import Table


def recorded_runs(reader: RecordReader, *, sweep: str | None) -> Table:
    """Return a table with one row per recorded run.

    Raises:
        NoSuchSweepError: the sweep is not recorded.
    """
    recorded = reader.runs(sweep=sweep)
    if not recorded.rows and sweep is not None and sweep not in (names := reader.sweeps()):
        raise NoSuchSweepError.recorded(reader.location, sweep, names)
    return recorded


def query(reader: RecordReader, sql: str, *, sweep: str | None = None) -> Table:
    """Return the result of one SELECT over `TABLES`.

    `runs` and `configurations` have the columns of the leaderboard with and without `--runs`, `confirmed` those of
    `configurations`. `trial` is the name of a run, `number` the number of its trial. Missing numbers are NULL.
    `started` is a timestamp.

    Args:
        reader: reader of the record.
        sql: the SELECT statement.
        sweep: include only trials of this sweep, as for `query_leaderboard`.

    Raises:
        LeaderboardError: the statement is not a SELECT or cannot be executed.
        NoSuchSweepError: the sweep is not recorded.
        RecordError: the record cannot be read.
    """
    statement = Statement(sql)
    recorded = recorded_runs(reader, sweep=sweep) if statement.tables & {*TABLES} - {"epochs"} else None
    return table_of_result(statement.execute(_tables(reader, statement, sweep=sweep, recorded=recorded)))


def matching(
    reader: RecordReader, board: Table, where: str, *, sweep: str | None, recorded: Table
) -> tuple[list[bool], list[str]]:
    """Return one boolean per row of the leaderboard, and the columns that the condition uses.

    Raises:
        LeaderboardError: the condition cannot be parsed or evaluated.
    """
    import pyarrow as pa

    # On a separate line, so that a comment in the condition ends with it.
    statement = Statement(f'SELECT "{ROW}", (\n{where}\n) FROM board', shown=where)
    table = arrow_of(board).append_column(ROW, pa.array(range(len(board.rows)), pa.int64()))
    others = _tables(reader, statement, sweep=sweep, recorded=recorded)
    rows, holds, *_ = statement.execute({**others, "board": table}).columns
    if not pa.types.is_boolean(holds.type) and not pa.types.is_null(holds.type):
        raise LeaderboardError(f'{where!r} is not a condition. Write one in SQL, such as "model.width > 8"')
    found = dict(zip(rows.to_pylist(), holds.to_pylist(), strict=True))
    words = dict.fromkeys(re.findall(r"\w+(?:\.\w+)*", re.sub(r"'[^']*'|\"", "", where)))
    return [bool(found.get(row)) for row in range(len(board.rows))], [word for word in words if word in board.columns]


def _tables(
    reader: RecordReader, statement: Statement, *, sweep: str | None, recorded: Table | None
) -> dict[str, pa.Table]:
    """Return those of `TABLES` that a statement reads. `epochs` is read from the record, the others from the runs."""
    found: dict[str, pa.Table] = {}
    for name in statement.tables.intersection(TABLES):
        if name == "epochs":
            found[name] = reader.epochs(sweep=sweep)
            continue
        assert recorded is not None, "these tables come from the runs"
        board = rank_runs(recorded) if name == "runs" else rank_configurations(recorded)
        if name == "confirmed":
            board = replace(board, rows=[row for row in board.rows if row["confirmed"]])
        found[name] = arrow_of(board)
    return found
