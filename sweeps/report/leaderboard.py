"""The leaderboard: reads the record, has it ranked, filters, sorts and exports it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cifar_core.errors import closest
from cifar_core.files import atomic_write
from sweeps.errors import LeaderboardError
from sweeps.report.columns import column_named
from sweeps.report.filter import matching, why_nothing
from sweeps.report.leaderboard_table import ROWS_IN_ALL, WHY_EMPTY
from sweeps.results import rank_configurations, rank_runs
from sweeps.tracking import RecordReader

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
        where: an expression over any column; see `sweeps.report.filter`.
        sort: a column, `-column` for descending; missing values last. None keeps the order of the ranks.
        limit: at most so many rows.
        each_run: one row a run, with the rank of its configuration.

    Raises:
        LeaderboardError: on a filter, a column or a limit that cannot be used, or a sweep that nobody has heard of.
        RecordError: where the record cannot be read.
    """
    if limit is not None and limit < 0:
        raise LeaderboardError(f"limit is {limit}: use 0 or more")
    recorded = reader.runs(sweep=sweep)
    if recorded.empty and sweep is not None:
        _check_sweep(reader, sweep)
    board = rank_runs(recorded) if each_run else rank_configurations(recorded)
    frame = board if where is None else board[matching(board, where)]
    if sort is not None:
        frame = _sorted(frame, sort)
    rows_in_all = len(frame)
    if limit is not None:
        frame = frame.head(limit)
    frame = frame.reset_index(drop=True)
    frame.attrs[ROWS_IN_ALL] = rows_in_all
    if where is not None and not rows_in_all and len(board):
        frame.attrs[WHY_EMPTY] = why_nothing(board, where)
    return frame


def _check_sweep(reader: RecordReader, sweep: str) -> None:
    """Refuse a name that is not recorded where others are: an empty table would say that nothing came of it."""
    names = sorted(set(reader.runs()["sweep"]))
    if names:
        raise LeaderboardError(f"no run of a sweep {sweep!r} is recorded: {closest(sweep, names)}")


def why_empty(board: pd.DataFrame) -> str | None:
    """Return what the columns of a filter hold that nothing matched; None where something did."""
    return board.attrs.get(WHY_EMPTY)


def to_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write the table; a reader sees the old file or the new one, never half of one."""
    with atomic_write(path) as file:
        frame.to_csv(file, index=False)


def to_json(frame: pd.DataFrame) -> str:
    """Return a list of one object a row; a missing value or one that is not finite is null."""
    rows = [{name: _plain(value) for name, value in row.items()} for row in frame.to_dict(orient="records")]
    return json.dumps(rows, indent=2, ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    import pandas as pd

    if pd.isna(value):
        return None
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _sorted(frame: pd.DataFrame, sort: str) -> pd.DataFrame:
    column = frame[column_named(sort.removeprefix("-"), frame.columns)]
    if column.dropna().map(type).nunique() > 1:
        column = column.map(str, na_action="ignore")
    order = column.sort_values(ascending=not sort.startswith("-"), na_position="last", kind="stable").index
    return frame.loc[order]
