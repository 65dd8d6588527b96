"""The leaderboard: reads the record, has it ranked, filters, sorts and exports it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cifar_core.errors import closest
from cifar_core.files import atomic_write
from sweeps.errors import LeaderboardError
from sweeps.report.filter import matching
from sweeps.report.leaderboard_table import ROWS_IN_ALL
from sweeps.results import rank_runs
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
) -> pd.DataFrame:
    """Return one row a trial, ranked.

    `sweeps.results.ranking` says who has a rank and what the intervals are of. Ranks and intervals are of the whole
    board (of `sweep`, where given): a filter leaves them as they are.

    Args:
        reader: of the record.
        sweep: only this sweep's trials.
        where: an expression over any column; see `sweeps.report.filter`.
        sort: a column, `-column` for descending; missing values last. None keeps the order of the ranks.
        limit: at most so many rows.

    Raises:
        LeaderboardError: on a filter, a column or a limit that cannot be used.
        RecordError: where the record cannot be read.
    """
    if limit is not None and limit < 0:
        raise LeaderboardError(f"limit is {limit}: use 0 or more")
    frame = rank_runs(reader.runs(sweep=sweep))
    if where is not None:
        frame = frame[matching(frame, where)]
    if sort is not None:
        frame = _sorted(frame, sort)
    rows_in_all = len(frame)
    if limit is not None:
        frame = frame.head(limit)
    frame = frame.reset_index(drop=True)
    frame.attrs[ROWS_IN_ALL] = rows_in_all
    return frame


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
    name = sort.removeprefix("-")
    if name not in frame.columns:
        raise LeaderboardError(f"cannot sort by {name!r}: {closest(name, list(frame.columns))}")
    column = frame[name]
    if column.dropna().map(type).nunique() > 1:
        column = column.map(str, na_action="ignore")
    order = column.sort_values(ascending=not sort.startswith("-"), na_position="last", kind="stable").index
    return frame.loc[order]
