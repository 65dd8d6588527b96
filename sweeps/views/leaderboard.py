"""The leaderboard: reads the record, has it ranked, chooses rows and columns, and sorts it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sweeps.analysis.ranking import rank_configurations, rank_runs
from sweeps.core.errors import LeaderboardError
from sweeps.core.formatting import is_accuracy
from sweeps.record.reader import RecordReader
from sweeps.record.table import Row, Table
from sweeps.views.columns import column_named
from sweeps.views.names import name_of_run
from sweeps.views.queries import matching, recorded_runs


def query_leaderboard(
    reader: RecordReader,
    *,
    sweep: str | None = None,
    where: str | None = None,
    sort: str | None = None,
    limit: int | None = None,
    each_run: bool = False,
) -> Table:
    """Return one row a configuration, ranked by the mean of its seeds; or one row a run.

    `sweeps.analysis.ranking` says who has a rank and what the intervals are of. Ranks and intervals are of the whole
    board (of `sweep`, where given): a filter leaves them as they are.

    Args:
        reader: of the record.
        sweep: only this sweep's trials.
        where: a condition in SQL over any column; see `sweeps.views.sql`.
        sort: a column, `-column` for descending; missing values last. None keeps the order of the ranks.
        limit: at most so many rows.
        each_run: one row a run, with the rank of its configuration.

    Raises:
        LeaderboardError: on a filter, a column or a limit that cannot be used, or a sweep that nobody has heard of.
        RecordError: where the record cannot be read.
    """
    if limit is not None and limit < 0:
        raise LeaderboardError(f"limit is {limit}: use 0 or more")
    recorded = recorded_runs(reader, sweep=sweep)
    board = rank_runs(recorded) if each_run else rank_configurations(recorded)
    rows, why_empty = board.rows, None
    if where is not None:
        holds, used_columns = matching(reader, board, where, sweep=sweep, recorded=recorded)
        rows = [row for row, is_match in zip(rows, holds, strict=True) if is_match]
        if board.rows and not rows:
            why_empty = _why_empty(board, where, used_columns)
    if sort is not None:
        rows = _sorted(rows, column_named(sort.removeprefix("-"), board.columns), descending=sort.startswith("-"))
    return replace(board, rows=rows[:limit], rows_in_all=len(rows), why_empty=why_empty)


def _why_empty(board: Table, where: str, columns: Sequence[str]) -> str:
    """Return what the columns of a condition hold that no row fulfils."""
    said = [_describe_column(board, column) for column in columns]
    return f"no row matches {where!r}" + "".join(f"; {text}" for text in said)


def _describe_column(board: Table, column: str) -> str:
    values = [value for value in board.values(column) if value is not None]
    if not values:
        return f"{column} has no value in any row"
    if all(isinstance(value, float) for value in values):
        unit = " (a share: 0.6 is 60 %)" if is_accuracy(column) else ""
        return f"{column} is from {min(values):.6g} to {max(values):.6g}{unit}"
    texts = sorted(set(map(str, values) if column != "trial" else map(name_of_run, board.rows)))
    shown = ", ".join(texts[:MAX_VALUES]) + (", …" if len(texts) > MAX_VALUES else "")
    return f"{column} is one of {shown}"


MAX_VALUES = 8
"""Different texts of a column that are named."""


def _sorted(rows: Sequence[Row], column: str, *, descending: bool) -> list[Row]:
    present = [row for row in rows if row[column] is not None]
    several = len({type(row[column]) for row in present}) > 1
    ordered = sorted(present, key=lambda row: str(row[column]) if several else row[column], reverse=descending)
    return ordered + [row for row in rows if row[column] is None]
