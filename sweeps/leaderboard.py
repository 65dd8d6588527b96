"""The leaderboard: reads the record, ranks what may be compared, filters, sorts and exports it."""

from __future__ import annotations

import json
import math
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cifar_core.config import TRAIN_IMAGES
from cifar_core.errors import closest
from sweeps.leaderboard_table import ROWS_IN_ALL, print_leaderboard
from sweeps.record import RecordReader
from sweeps.records import Outcome
from sweeps.statistics import student_interval, wilson_interval
from sweeps.where import LeaderboardError, matching

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LeaderboardError", "leaderboard", "print_leaderboard", "to_csv", "to_json"]


_UNRANKED = (
    Outcome.COMPLETE,
    Outcome.RUNNING,
    Outcome.INTERRUPTED,
    Outcome.PRUNED,
    Outcome.DIVERGED,
    Outcome.FAILED,
)
"""Order below the ranks: what may still get a rank comes first."""


def leaderboard(
    reader: RecordReader,
    *,
    sweep: str | None = None,
    where: str | None = None,
    sort: str | None = None,
    limit: int | None = None,
) -> pd.DataFrame:
    """Return one row a trial, ranked.

    Only complete runs with a finite validation accuracy of their last epoch have a rank, counted from 1 within
    one evaluation protocol; the protocol with the largest budget comes first. A result that several sweeps list
    takes one rank. All others follow without one. Ranks and intervals are of the whole board (of `sweep`, where
    given): a filter leaves them as they are.

    Replicates are complete runs of one configuration under several seeds. With two or more, `val_std` is
    their sample standard deviation and `ci_low` to `ci_high` Student's 95 % interval of their mean; for a
    single run it is Wilson's 95 % interval of its accuracy on its validation images.

    Args:
        reader: of the record.
        sweep: only this sweep's trials.
        where: an expression over any column; see `sweeps.where`.
        sort: a column, `-column` for descending; missing values last. None keeps the order of the ranks.
        limit: at most so many rows.

    Raises:
        LeaderboardError: on a filter, a column or a limit that cannot be used.
        RecordError: where the record cannot be read.
    """
    if limit is not None and limit < 0:
        raise LeaderboardError(f"limit is {limit}: use 0 or more")
    frame = _ranked(_with_intervals(reader.runs(sweep=sweep)))
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
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            frame.to_csv(file, index=False)
        # mkstemp makes it readable by its owner alone.
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


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


def _rankable(frame: pd.DataFrame) -> pd.Series:
    accuracy = frame["val_accuracy"]
    return (frame["status"] == Outcome.COMPLETE.value) & accuracy.between(0.0, 1.0)


def _with_intervals(frame: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    cells: dict[Any, tuple[int, float, float, float]] = {}
    groups: dict[tuple[str, str], list[Any]] = {}
    rows = frame[_rankable(frame)]
    for place, protocol, config_id in zip(rows.index, rows["protocol"], rows["config_id"], strict=True):
        groups.setdefault((protocol, config_id), []).append(place)
    keys, accuracies = rows["key"].to_dict(), rows["val_accuracy"].to_dict()
    images = _numbers(rows, "data.validation_size").to_dict()
    for places in groups.values():
        # One key is one seed: a result that another sweep took over is no second replicate.
        values = list({keys[place]: accuracies[place] for place in reversed(places)}.values())
        deviation, low, high = math.nan, math.nan, math.nan
        if len(values) > 1:
            deviation, low, high = student_interval(values)
        elif images[places[0]] > 0:
            low, high = wilson_interval(values[0], images=int(images[places[0]]))
        cells |= dict.fromkeys(places, (len(values), deviation, low, high))
    filled = pd.DataFrame.from_dict(
        cells, orient="index", columns=["replicates", "val_std", "ci_low", "ci_high"]
    ).reindex(frame.index)
    return frame.assign(**filled.astype({"replicates": "Int64"}))


def _ranked(frame: pd.DataFrame) -> pd.DataFrame:
    if frame.empty:
        return frame
    rankable = _rankable(frame)
    budgets = _budgets(frame).groupby(frame["protocol"], dropna=False).max().to_dict()
    protocols = sorted(budgets, key=lambda protocol: (-budgets[protocol], str(protocol)))
    order = frame.assign(
        _below=~rankable,
        _protocol=frame["protocol"].map(protocols.index),
        _accuracy=-frame["val_accuracy"],
        _outcome=frame["status"].map({outcome.value: place for place, outcome in enumerate(_UNRANKED)}),
        _epochs=-frame["epochs"].fillna(0).astype(int),
    )
    ranked = order[rankable].sort_values(["_protocol", "_accuracy", "train_seconds", "key", "started", "run_id"])
    others = order[~rankable].sort_values(["_outcome", "_protocol", "_epochs", "_accuracy", "sweep", "trial"])
    ranks: list[int] = []
    last: tuple[object, ...] = ()
    for protocol, key, accuracy in zip(ranked["protocol"], ranked["key"], ranked["val_accuracy"], strict=True):
        if not last or last[0] != protocol:
            ranks.append(1)
        else:
            ranks.append(ranks[-1] + int(last != (protocol, key, accuracy)))
        last = (protocol, key, accuracy)
    places = [*ranked.index, *others.index]
    result = frame.loc[places].copy()
    result["rank"] = result["rank"].astype("Int64")
    result.loc[ranked.index, "rank"] = ranks
    return result


def _budgets(frame: pd.DataFrame) -> pd.Series:
    """Return how many training images each run saw: epochs × images."""
    rest = TRAIN_IMAGES - _numbers(frame, "data.validation_size").fillna(0)
    images = _numbers(frame, "data.train_size").fillna(rest)
    return frame["epochs"].astype("float64").fillna(0) * images


def _numbers(frame: pd.DataFrame, name: str) -> pd.Series:
    import pandas as pd

    values = frame[name] if name in frame.columns else pd.Series(None, index=frame.index, dtype="object")
    return pd.to_numeric(values, errors="coerce").astype("float64")


def _sorted(frame: pd.DataFrame, sort: str) -> pd.DataFrame:
    name = sort.removeprefix("-")
    if name not in frame.columns:
        raise LeaderboardError(f"cannot sort by {name!r}: {closest(name, list(frame.columns))}")
    column = frame[name]
    if column.dropna().map(type).nunique() > 1:
        column = column.map(str, na_action="ignore")
    order = column.sort_values(ascending=not sort.startswith("-"), na_position="last", kind="stable").index
    return frame.loc[order]
