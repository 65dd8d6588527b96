"""Results by value of a setting, and the share of the metric's variance that the setting explains."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from sweeps.core.errors import LeaderboardError
from sweeps.core.formatting import number, plural
from sweeps.record.columns import Kind
from sweeps.record.table import Table
from sweeps.tasks.values import short_value

MAX_VALUES = 8
"""Distinct numbers of a column; more are grouped into `RANGES` with equally many rows."""
RANGES = 4
METRIC = "val_accuracy"


def by_value(board: Table, column: str) -> Table:
    """Return one row per value of a column, the best first: count, best, median and the column's importance.

    The importance is the share of the variance of `val_accuracy` between the values. It is epsilon squared: eta squared
    corrected for chance (Kelley, 1935), at least 0. It is computed from the ranked rows with the protocol of the first
    one, because other budgets have other accuracies. Columns that vary together explain the same variance.

    Args:
        board: the leaderboard; only its ranked rows count.
        column: one of its columns; many distinct numbers are grouped into ranges.

    Raises:
        LeaderboardError: no ranked row has a value of the column, or the column is the metric itself.
    """
    if column == METRIC:
        raise LeaderboardError(f"{METRIC} cannot be grouped by itself. Name a setting, such as model.name")
    ranked = [row for row in board.rows if row["rank"] is not None and row[METRIC] is not None]
    counted = [row for row in ranked if row["protocol"] == ranked[0]["protocol"] and row[column] is not None]
    if not counted:
        raise LeaderboardError(f"no ranked row has a value of {column}")
    groups: dict[str, list[float]] = {}
    for label, row in zip(_labels([row[column] for row in counted]), counted, strict=True):
        groups.setdefault(label, []).append(row[METRIC])
    share = importance(list(groups.values()))
    best_first = sorted(groups.items(), key=lambda group: -max(group[1]))
    rows = [
        {
            column: label,
            "count": len(found),
            "best": max(found),
            "median": statistics.median(found),
            "importance": share,
        }
        for label, found in best_first
    ]
    kinds = {column: Kind.TEXT, "count": Kind.INTEGER} | dict.fromkeys(("best", "median", "importance"), Kind.REAL)
    how = _how(column, share, counted=len(counted), left_out=len(ranked) - len(counted))
    return Table(columns=kinds, rows=rows, how=tuple(how))


def importance(groups: Sequence[Sequence[float]]) -> float | None:
    """Return epsilon squared of groups of values, at least 0; None with one group or one value per group."""
    everything = [value for group in groups for value in group]
    degrees = len(everything) - len(groups)
    if degrees < 1 or len(groups) < 2:
        return None
    mean = math.fsum(everything) / len(everything)
    total = math.fsum((value - mean) ** 2 for value in everything)
    within = 0.0
    for group in groups:
        group_mean = math.fsum(group) / len(group)
        within += math.fsum((value - group_mean) ** 2 for value in group)
    if total == 0:
        return None
    between = total - within
    return max(0.0, min(1.0, (between - (len(groups) - 1) * within / degrees) / total))


def _how(column: str, share: float | None, *, counted: int, left_out: int) -> list[str]:
    remarks = []
    if share is None:
        remarks.append(f"no importance of {column}: it needs two values, and more ranked rows than values")
    else:
        remarks.append(
            f"{column} explains {100 * share:.0f} % of the variance of {METRIC} among {plural(counted, 'ranked row')} "
            "(epsilon squared, which corrects for the number of values)"
        )
    if left_out:
        remarks.append(f"not counted: {plural(left_out, 'row')} of another protocol or without a value")
    return remarks


def _labels(values: Sequence[Any]) -> list[str]:
    """Return the label of each value: the value itself, or the range that contains it."""
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    if not numbers or len(set(values)) <= MAX_VALUES:
        exact = len({short_value(value) for value in set(values)}) == len(set(values))
        return [short_value(value) if exact else str(value) for value in values]
    ordered = sorted(values)
    # Equal numbers share a range.
    limits = sorted({ordered[len(ordered) * part // RANGES] for part in range(1, RANGES)})
    bins = [sum(value >= limit for limit in limits) for value in values]
    texts = {}
    for which in set(bins):
        inside = [value for value, where in zip(values, bins, strict=True) if where == which]
        low, high = number(min(inside)), number(max(inside))
        texts[which] = low if low == high else f"{low} – {high}"
    return [texts[which] for which in bins]
