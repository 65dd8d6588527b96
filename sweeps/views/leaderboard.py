"""The leaderboard: read the record, rank it, filter and sort its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sweeps.analysis.equal_seeds import notes_of_rows
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
    """Return one row per configuration, ranked by the mean of its seeds, or one row per run.

    Ranks and intervals are defined in `sweeps.analysis.ranking`. They are computed over all rows (of `sweep`, if given)
    before a filter applies.

    Args:
        reader: reader of the record.
        sweep: include only trials of this sweep.
        where: SQL condition over any column; see `sweeps.views.sql`.
        sort: a column, `-column` for descending; missing values come last. None sorts by rank.
        limit: maximum number of rows.
        each_run: return one row per run, with the rank of its configuration.

    Raises:
        LeaderboardError: the filter, a column or the limit is invalid.
        NoSuchSweepError: the sweep is not recorded.
        RecordError: the record cannot be read.
    """
    if limit is not None and limit < 0:
        raise LeaderboardError(f"limit is {limit}. Use 0 or more")
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
    equal = notes_of_rows(recorded.rows, reader, name_of=name_of_run)
    return replace(board, rows=rows[:limit], rows_in_all=len(rows), why_empty=why_empty, notes=tuple(equal))


def _why_empty(board: Table, where: str, columns: Sequence[str]) -> str:
    """Return a message for a condition without matching rows, with the values of its columns."""
    return f"no row matches {where!r}" + "".join(f"; {_describe_column(board, column)}" for column in columns)


def _describe_column(board: Table, column: str) -> str:
    values = [value for value in board.values(column) if value is not None]
    if not values:
        return f"{column} has no value in any row"
    if all(isinstance(value, float) for value in values):
        unit = " (0.6 means 60 %)" if is_accuracy(column) else ""
        return f"{column} ranges from {min(values):.6g} to {max(values):.6g}{unit}"
    texts = sorted(set(map(str, values) if column != "trial" else map(name_of_run, board.rows)))
    shown = ", ".join(texts[:MAX_VALUES]) + (", …" if len(texts) > MAX_VALUES else "")
    return f"{column} is one of {shown}"


MAX_VALUES = 8
"""Values of a column listed in a message."""


def _sorted(rows: Sequence[Row], column: str, *, descending: bool) -> list[Row]:
    present = [row for row in rows if row[column] is not None]
    is_mixed = len({type(row[column]) for row in present}) > 1
    ordered = sorted(present, key=lambda row: str(row[column]) if is_mixed else row[column], reverse=descending)
    return ordered + [row for row in rows if row[column] is None]
