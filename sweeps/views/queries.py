"""Questions in SQL: the tables that they are asked of, and each table built when a question needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sweeps.results import rank_configurations, rank_runs
from sweeps.views.arrow_tables import arrow_of, frame_of_answer
from sweeps.views.sql import Condition, Statement

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from sweeps.tracking import RecordReader

TABLES = ("runs", "configurations", "confirmed", "epochs")
"""One row a run; one row a configuration; those of them that replicates confirm; one row an epoch of each run."""


def query(reader: RecordReader, sql: str, *, sweep: str | None = None) -> pd.DataFrame:
    """Return the answer to one SELECT over `TABLES`.

    `runs` and `configurations` have the columns of the leaderboard, with and without `--runs`; `confirmed` has those of
    `configurations`. A missing number is NULL. `started` is a time.

    Args:
        reader: of the record.
        sql: the SELECT.
        sweep: only this sweep's trials, as for `query_leaderboard`.

    Raises:
        LeaderboardError: it is no SELECT, or cannot be answered.
        RecordError: where the record cannot be read.
    """
    from sweeps.views.leaderboard import recorded_runs

    statement = Statement(sql)
    wanted = statement.tables(TABLES)
    recorded = recorded_runs(reader, sweep=sweep) if set(wanted) - {"epochs"} else None
    tables = tables_of(reader, wanted, sweep=sweep, recorded=recorded)
    columns = [name for table in tables.values() for name in table.column_names]
    return frame_of_answer(statement.run(tables), columns=columns)


def matching(
    reader: RecordReader, board: pd.DataFrame, where: str, *, sweep: str | None, recorded: pd.DataFrame
) -> tuple[list[bool], list[str]]:
    """Return one truth value a row of a board, and the columns that the condition speaks of.

    Raises:
        LeaderboardError: the condition cannot be understood or computed.
    """
    condition = Condition(where)
    others = tables_of(reader, condition.tables(TABLES), sweep=sweep, recorded=recorded)
    return condition.matching(arrow_of(board), others=others)


def tables_of(
    reader: RecordReader, names: list[str], *, sweep: str | None, recorded: pd.DataFrame | None
) -> dict[str, pa.Table]:
    """Return these of `TABLES`, made from the record's runs; `epochs` is read anew."""
    found: dict[str, pa.Table] = {}
    for name in names:
        if name == "epochs":
            found[name] = reader.epochs(sweep=sweep)
            continue
        assert recorded is not None, "these tables come from the runs"
        if name == "runs":
            found[name] = arrow_of(rank_runs(recorded))
            continue
        board = rank_configurations(recorded)
        if name == "confirmed":
            board = board[board["confirmed"].fillna(False)]
        found[name] = arrow_of(board)
    return found
