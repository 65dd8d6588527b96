"""The leaderboard: reads the record, has it ranked, chooses rows and columns, and sorts it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cifar_core.errors import closest
from sweeps.errors import LeaderboardError
from sweeps.formatting import is_accuracy
from sweeps.results.ranking import rank_configurations, rank_runs
from sweeps.tracking.reader import RecordReader
from sweeps.views.columns import column_named
from sweeps.views.leaderboard_table import ROWS_IN_ALL, WHY_EMPTY
from sweeps.views.names import trial_names
from sweeps.views.queries import matching

if TYPE_CHECKING:
    import pandas as pd


def query_leaderboard(
    reader: RecordReader,
    *,
    sweep: str | None = None,
    where: str | None = None,
    sort: str | None = None,
    limit: int | None = None,
    each_run: bool = False,
) -> pd.DataFrame:
    """Return one row a configuration, ranked by the mean of its seeds; or one row a run.

    `sweeps.results.ranking` says who has a rank and what the intervals are of. Ranks and intervals are of the whole
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
    frame, spoken_of = board, list[str]()
    if where is not None:
        holds, spoken_of = matching(reader, board, where, sweep=sweep, recorded=recorded)
        frame = board[holds]
    if sort is not None:
        frame = _sorted(frame, sort)
    rows_in_all = len(frame)
    if limit is not None:
        frame = frame.head(limit)
    frame = frame.reset_index(drop=True)
    frame.attrs[ROWS_IN_ALL] = rows_in_all
    if where is not None and not rows_in_all and len(board):
        frame.attrs[WHY_EMPTY] = _why_nothing(board, where, spoken_of)
    return frame


def recorded_runs(reader: RecordReader, *, sweep: str | None) -> pd.DataFrame:
    """Return the record's table of one row a run.

    Raises:
        LeaderboardError: nobody has heard of the sweep, where there are others.
    """
    recorded = reader.runs(sweep=sweep)
    if recorded.empty and sweep is not None:
        _check_sweep(reader, sweep)
    return recorded


def _check_sweep(reader: RecordReader, sweep: str) -> None:
    """Refuse a name that is not recorded where others are: an empty table would say that nothing came of it."""
    names = sorted(set(reader.runs()["sweep"]))
    if names:
        part_of = [name for name in names if re.fullmatch(rf"{re.escape(name)}(-\d+(-s\d+)?|/.+)", sweep)]
        hint = f"it is a part of one, name the sweep, {part_of[-1]}" if part_of else closest(sweep, names)
        raise LeaderboardError(f"no run of a sweep {sweep!r} is recorded: {hint}")


def why_empty(board: pd.DataFrame) -> str | None:
    """Return what the columns of a filter hold that nothing matched; None where something did."""
    return board.attrs.get(WHY_EMPTY)


def _why_nothing(board: pd.DataFrame, where: str, columns: Sequence[str]) -> str:
    """Return what the columns of a condition hold that no row fulfils."""
    said = [_content(board, column) for column in columns if column in board]
    return f"no row matches {where!r}" + "".join(f"; {text}" for text in said)


def _content(board: pd.DataFrame, column: str) -> str:
    import pandas as pd

    values = board[column].dropna()
    if values.empty:
        return f"{column} has no value in any row"
    if column != "trial" and all(isinstance(value, float | int) and not isinstance(value, bool) for value in values):
        unit = " (a share: 0.6 is 60 %)" if is_accuracy(column) else ""
        return f"{column} is from {values.min():.6g} to {values.max():.6g}{unit}"
    names = values.map(str)
    if column == "trial":
        names = pd.Series(trial_names(board))
    texts = sorted(set(names))
    shown = ", ".join(texts[:MAX_VALUES]) + (", …" if len(texts) > MAX_VALUES else "")
    return f"{column} is one of {shown}"


MAX_VALUES = 8
"""Different texts of a column that are named."""


def _sorted(frame: pd.DataFrame, sort: str) -> pd.DataFrame:
    column = frame[column_named(sort.removeprefix("-"), frame.columns)]
    if column.dropna().map(type).nunique() > 1:
        column = column.map(str, na_action="ignore")
    order = column.sort_values(ascending=not sort.startswith("-"), na_position="last", kind="stable").index
    return frame.loc[order]
