"""The leaderboard as people see it in a terminal: a table that fits, and what it leaves out."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sweeps.record import COLUMNS, LAST_COLUMNS

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

WIDTH = 100
"""Columns of text that the table fits where nobody sees a terminal."""

ROWS_IN_ALL = "rows_in_all"
"""Attribute of a frame: how many rows there were before a limit."""


def print_leaderboard(frame: pd.DataFrame, console: Console, *, limit: int | None = None) -> None:
    """Print the first `limit` rows: results, and those configuration values that vary among all rows.

    Accuracies are in percent with their 95 % interval, of the mean where there are replicates. Where the output
    is no terminal it is plain text of at most 100 columns.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    shown = frame if limit is None else frame.head(limit)
    width = console.width if console.is_terminal else WIDTH
    columns, left_out = _fitting(_results(shown) | _varying(frame, shown), width=width)
    table = Table(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, justify="left" if name in _TEXT else "right", no_wrap=True)
    for place, rank in enumerate(shown["rank"]):
        cells = [column[place] for column in columns.values()]
        table.add_row(*cells, style="dim" if _is_missing(rank) else None)
    if console.is_terminal:
        console.print(table)
    else:
        plain = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False)
        plain.print(table)
        lines = plain.file.getvalue().splitlines()  # type: ignore[attr-defined]
        console.out("\n".join(line.rstrip() for line in lines), highlight=False)
    rows_in_all = max(len(frame), frame.attrs.get(ROWS_IN_ALL, 0))
    for line in _remarks(frame, shown=len(shown), hidden=rows_in_all - len(shown), left_out=left_out):
        console.print(line, style="dim", highlight=False, markup=False, soft_wrap=True)


_TEXT = {"trial", "status"}


def _results(frame: pd.DataFrame) -> dict[str, list[str]]:
    """Return header to cells of what a run did; a column without a value in any row is left out."""
    rows: list[dict[Any, Any]] = frame.to_dict(orient="records")
    columns: dict[str, Callable[[dict[str, Any]], str]] = {
        "rank": lambda row: _count(row["rank"]),
        "trial": _trial,
        "status": lambda row: str(row["status"]),
        "val acc %": _accuracy,
        "runs": lambda row: _count(row["replicates"]) if (_real(row["replicates"]) or 0) > 1 else "",
        "test acc %": lambda row: _format(row["test_accuracy"], "{:.2f}", factor=100),
        "epochs": lambda row: _count(row["epochs"]),
        "time": lambda row: _duration(row["train_seconds"]),
        "params M": lambda row: _format(row["parameters_millions"], "{:.3g}"),
    }
    built = {name: [cell(row) for row in rows] for name, cell in columns.items()}
    always = {"rank", "trial", "status", "val acc %"}
    return {name: cells for name, cells in built.items() if name in always or any(cells)}


def _varying(frame: pd.DataFrame, shown: pd.DataFrame) -> dict[str, list[str]]:
    fixed = {*COLUMNS, *LAST_COLUMNS}
    texts = frame.drop(columns=[name for name in frame.columns if name in fixed]).map(str)
    names = [str(name) for name in texts if texts[name].nunique() > 1 and not _follows(texts, str(name))]
    if frame["seed"].nunique() > 1:
        names.append("seed")
    short = {name: _short(name) for name in names}
    uses = Counter(short.values())
    return {
        (short[name] if uses[short[name]] == 1 else name): [_value(value) for value in shown[name]] for name in names
    }


def _follows(texts: pd.DataFrame, name: str) -> bool:
    """Return whether a value says no more than its block's `name`, as an architecture's defaults do."""
    block, _, field = name.rpartition(".")
    chosen = f"{block}.name"
    if field == "name" or chosen not in texts:
        return False
    return bool((texts.groupby(chosen)[name].nunique() == 1).all())


def _short(name: str) -> str:
    """Return `model` for `model.name`, the last part for the others."""
    block, _, field = name.rpartition(".")
    return block if block and field == "name" else field


def _fitting(columns: dict[str, list[str]], *, width: int) -> tuple[dict[str, list[str]], list[str]]:
    """Return the columns that fit side by side, in order, and the names of the others."""
    fitting: dict[str, list[str]] = {}
    left_out: list[str] = []
    used = 0
    for name, cells in columns.items():
        used_then = used + max(map(len, (name, *cells))) + 2
        if used_then <= width:
            fitting[name] = cells
            used = used_then
        else:
            left_out.append(name)
    return fitting, left_out


def _remarks(frame: pd.DataFrame, *, shown: int, hidden: int, left_out: list[str]) -> list[str]:
    remarks: list[str] = []
    if hidden:
        remarks.append(f"{hidden} of {hidden + shown} rows hidden")
    if left_out:
        remarks.append(f"columns that do not fit: {', '.join(left_out)} (all are in the CSV and JSON output)")
    protocols = frame.loc[frame["rank"].notna(), "protocol"].nunique()
    if protocols > 1:
        remarks.append(f"{protocols} evaluation protocols: ranks hold within one, the largest budget first")
    if not hidden + shown:
        remarks.append("no run is recorded here yet")
    return remarks


def _trial(row: dict[str, Any]) -> str:
    name = row["rung"]
    text = f"{row['sweep']}-{int(row['trial']):03d}" if _is_missing(name) else str(name)
    return _shortened(text, 28)


def _accuracy(row: dict[str, Any]) -> str:
    low, high = _real(row["ci_low"]), _real(row["ci_high"])
    text = _format(row["val_accuracy"], "{:.1f}", factor=100)
    return f"{text} ({100 * low:.1f}–{100 * high:.1f})" if text and low is not None and high is not None else text


def _duration(value: Any) -> str:
    seconds = _real(value)
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"


def _value(value: Any) -> str:
    if _is_missing(value):
        return ""
    if isinstance(value, float):
        return f"{value:.3g}"
    return _shortened(str(value), 24)


def _count(value: Any) -> str:
    return _format(value, "{:.0f}")


def _format(value: Any, pattern: str, *, factor: float = 1.0) -> str:
    number = _real(value)
    return "" if number is None else pattern.format(factor * number)


def _real(value: Any) -> float | None:
    return None if _is_missing(value) else float(value)


def _is_missing(value: Any) -> bool:
    import pandas as pd

    return bool(pd.isna(value))


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
