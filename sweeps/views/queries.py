"""Questions in SQL: the tables that they are asked of, and each table built when a question needs it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from cifar_core.common.errors import closest
from sweeps.analysis.ranking import rank_configurations, rank_runs
from sweeps.core.errors import LeaderboardError
from sweeps.views.arrow_tables import arrow_of, table_of_result
from sweeps.views.sql import ROW, TABLES, Statement

if TYPE_CHECKING:
    import pyarrow as pa

    from sweeps.record.reader import RecordReader
    from sweeps.record.table import Table


def recorded_runs(reader: RecordReader, *, sweep: str | None) -> Table:
    """Return the record's table of one row a run.

    Raises:
        LeaderboardError: nobody has heard of the sweep, where there are others.
    """
    recorded = reader.runs(sweep=sweep)
    if not recorded.rows and sweep is not None:
        _check_sweep(reader, sweep)
    return recorded


def _check_sweep(reader: RecordReader, sweep: str) -> None:
    """Refuse a name that is not recorded where others are: an empty table would say that nothing came of it."""
    names = sorted(set(reader.runs().values("sweep")))
    if names:
        part_of = [name for name in names if re.fullmatch(rf"{re.escape(name)}(-\d+(-s\d+)?|/.+)", sweep)]
        hint = f"it is a part of one, name the sweep, {part_of[-1]}" if part_of else closest(sweep, names)
        raise LeaderboardError(f"no run of a sweep {sweep!r} is recorded: {hint}")


def query(reader: RecordReader, sql: str, *, sweep: str | None = None) -> Table:
    """Return the answer to one SELECT over `TABLES`.

    `runs` and `configurations` have the columns of the leaderboard, with and without `--runs`; `confirmed` has those of
    `configurations`. `trial` is a run's name and `number` the trial's. A missing number is NULL. `started` is a time.

    Args:
        reader: of the record.
        sql: the SELECT.
        sweep: only this sweep's trials, as for `query_leaderboard`.

    Raises:
        LeaderboardError: it is no SELECT, or cannot be answered.
        RecordError: where the record cannot be read.
    """
    statement = Statement(sql)
    recorded = recorded_runs(reader, sweep=sweep) if statement.tables & {*TABLES} - {"epochs"} else None
    return table_of_result(statement.execute(_tables(reader, statement, sweep=sweep, recorded=recorded)))


def matching(
    reader: RecordReader, board: Table, where: str, *, sweep: str | None, recorded: Table
) -> tuple[list[bool], list[str]]:
    """Return one truth value a row of a board, and the columns that the condition speaks of.

    Raises:
        LeaderboardError: the condition cannot be understood or computed.
    """
    import pyarrow as pa

    # On lines of its own, so that a comment at its end hides nothing.
    statement = Statement(f'SELECT "{ROW}", (\n{where}\n) FROM board', shown=where)
    table = arrow_of(board).append_column(ROW, pa.array(range(len(board.rows)), pa.int64()))
    others = _tables(reader, statement, sweep=sweep, recorded=recorded)
    rows, holds, *_ = statement.execute({**others, "board": table}).columns
    if not pa.types.is_boolean(holds.type) and not pa.types.is_null(holds.type):
        raise LeaderboardError(f'{where!r} is no condition: write one in SQL, as in "model.width > 8"')
    found = dict(zip(rows.to_pylist(), holds.to_pylist(), strict=True))
    words = dict.fromkeys(re.findall(r"\w+(?:\.\w+)*", re.sub(r"'[^']*'|\"", "", where)))
    return [bool(found.get(row)) for row in range(len(board.rows))], [word for word in words if word in board.columns]


def _tables(
    reader: RecordReader, statement: Statement, *, sweep: str | None, recorded: Table | None
) -> dict[str, pa.Table]:
    """Return those of `TABLES` that a statement reads, made from the record's runs; `epochs` is read anew."""
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
