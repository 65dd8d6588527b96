"""The leaderboard as people see it in a terminal: a table that fits, and what it leaves out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sweeps.formatting import (
    accuracy,
    listed,
    metric_cell,
    metric_heading,
    percent,
    plural,
    print_sentence,
    short_names,
    short_value,
)
from sweeps.spec.difference import Differences
from sweeps.tracking.columns import COLUMNS, RECORD_COLUMNS
from sweeps.views.columns import status_text
from sweeps.views.names import name_of_run
from sweeps.views.tables import columns_that_fit, print_columns, screen_width

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

ROWS_IN_ALL = "rows_in_all"
"""Attribute of a frame: how many rows there were before a limit."""

WHY_EMPTY = "why_empty"
"""Attribute of a frame: what the columns of a filter hold that nothing matched."""


def print_leaderboard(frame: pd.DataFrame, console: Console, *, limit: int | None = None) -> None:
    """Print the first `limit` rows: results, and those configuration values that vary among all rows.

    Accuracies are in percent with their 95 % interval, the mean's where there are several seeds. Where the output
    is no terminal it is plain text of `PLAIN_WIDTH`.
    """
    shown = frame if limit is None else frame.head(limit)
    cells = board_cells(frame, shown)
    columns, left_out = columns_that_fit(cells, width=screen_width(console), at_least=2, first=_telling(cells))
    print_columns(columns, console, left=LEFT, dim=[_is_missing(rank) for rank in shown["rank"]])
    rows_in_all = max(len(frame), frame.attrs.get(ROWS_IN_ALL, 0))
    for line in remarks(frame, shown=len(shown), hidden=rows_in_all - len(shown), left_out=left_out):
        print_sentence(console, line, style="dim")


LEFT = frozenset({"trial", "status"})
_COSTS = ("train_seconds", "parameters_millions")
_BESIDE = ("val_std", "replicates", "search_accuracy", "epochs", *_COSTS)
"""What gives way, on a narrow screen, to the parameters that vary."""


def board_cells(frame: pd.DataFrame, shown: pd.DataFrame) -> dict[str, list[str]]:
    """Return heading to cells of the rows shown: results, what varies among all rows, what it cost."""
    results = _results(shown)
    # What varies is what a table of results is read for; what little room is left is for what it cost.
    costs = {name: results.pop(name) for name in (RECORD_COLUMNS[cost].heading for cost in _COSTS) if name in results}
    return results | _varying(frame, shown) | costs


def _telling(cells: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the headings that come first on a narrow screen: of what a row is, how good, and what varies."""
    beside = {RECORD_COLUMNS[name].heading for name in _BESIDE}
    if len(set(cells["status"])) <= 1:
        beside.add("status")
    if all(cells.get(RECORD_COLUMNS["val_accuracy"].heading, [""])):
        beside.add(RECORD_COLUMNS["test_accuracy"].heading)
    return [heading for heading in cells if heading not in beside]


def _results(frame: pd.DataFrame) -> dict[str, list[str]]:
    """Return header to cells of what a run did; a column without a value in any row is left out."""
    # Without the configuration: a row of ten thousand takes longer to make than to print.
    read = [name for name in (*COLUMNS, "replicate_of", "did_not_learn") if name in frame]
    rows: list[dict[Any, Any]] = frame[read].to_dict(orient="records")
    columns: dict[str, Callable[[dict[str, Any]], str]] = {
        "rank": _plain("rank"),
        # Two ladders may have rungs of one name, a ladder and its last measurement have all of them.
        "trial": _with_sweep if frame["sweep"].nunique() > 1 else _trial,
        "status": status_text,
        "metric_value": _metric_value,
        "val_accuracy": _accuracy,
        "val_std": _plain("val_std"),
        "replicates": lambda row: str(row["replicates"]) if (_real(row["replicates"]) or 0) > 1 else "",
        "test_accuracy": _test_accuracy,
        "search_accuracy": _plain("search_accuracy"),
        "epochs": _plain("epochs"),
        "train_seconds": _plain("train_seconds"),
        "parameters_millions": _plain("parameters_millions"),
    }
    built = {name: [cell(row) for row in rows] for name, cell in columns.items()}
    metrics = sorted({str(row["metric"]) for row in rows if _metric_value(row)})
    headings = {name: RECORD_COLUMNS[name].heading for name in columns}
    headings["metric_value"] = metric_heading(metrics[0]) if len(metrics) == 1 else "metric"
    always = {"rank", "trial", "status"} | ({"val_accuracy"} if not any(built["test_accuracy"]) else set())
    return {headings[name]: cells for name, cells in built.items() if name in always or any(cells)}


def _varying(frame: pd.DataFrame, shown: pd.DataFrame) -> dict[str, list[str]]:
    values = frame.drop(columns=[name for name in frame.columns if name in RECORD_COLUMNS])
    differences = Differences()
    for row in values.to_dict(orient="records"):
        differences.add({str(name): value for name, value in row.items() if not _is_missing(value)})
    varies = set(differences.paths())
    names = [str(name) for name in values if name in varies]
    if frame["seed"].nunique() > 1:
        names.append("seed")
    if frame["source"].nunique() > 1:
        # Two states of the file of one network are two networks.
        names.append("source")
    # What kind of network it is says most, however few kinds there are.
    names.sort(key=lambda name: (name != "model.name", -frame[name].map(str).nunique()))
    # What a network of one's own calls `rank` is not the rank.
    taken = {*RECORD_COLUMNS, *(column.heading for column in RECORD_COLUMNS.values())}
    headings = [name if short in taken else short for name, short in zip(names, short_names(names), strict=True)]
    return {heading: [_value(value) for value in shown[name]] for heading, name in zip(headings, names, strict=True)}


def remarks(frame: pd.DataFrame, *, shown: int, hidden: int, left_out: list[str]) -> list[str]:
    """Return what is said below a board: what it hides, and what its numbers mean."""
    said: list[str] = []
    if hidden:
        said.append(f"{hidden} of {hidden + shown} rows hidden")
    if left_out:
        said.append(f"columns that do not fit: {', '.join(left_out)} (all are in the CSV and JSON output)")
    ranked = frame[frame["rank"].notna()]
    protocols = len(ranked[["protocol", "metric"]].drop_duplicates())
    tested = "; those by test accuracy stand last" if ranked["val_accuracy"].isna().nunique() > 1 else ""
    if protocols > 1:
        said.append(f"{protocols} evaluation protocols: ranks hold within one, the largest budget first{tested}")
    if metrics := sorted(set(frame.loc[frame["rank"].notna(), "metric"].dropna()) - {"val_accuracy"}):
        said.append(f"a search that looks at {' or '.join(metrics)} is ranked by it")
    if (frame["rank"].notna() & frame["val_accuracy"].isna() & frame["metric"].isna()).any():
        said.append("without validation images, ranked by test accuracy: that orders them, and selects nothing")
    said += _confirmations(frame)
    if WHY_EMPTY in frame.attrs:
        said.append(frame.attrs[WHY_EMPTY])
    elif not hidden + shown:
        said.append("no run is recorded here yet")
    return said


def _confirmations(frame: pd.DataFrame) -> list[str]:
    """Return what the search saw of each best configuration against what new seeds say, and which of them are alike."""
    best: list[dict[Any, Any]] = frame[frame["rank"] == 1].to_dict(orient="records")
    remarks = [_confirmation(row) for row in best if row["confirmed"] is True and _is_missing(row["replicate_of"])]
    groups: dict[Any, list[dict[Any, Any]]] = {}
    for row in best:
        if _is_missing(row["replicate_of"]):
            groups.setdefault(row["protocol"], []).append(row)
    for rows in groups.values():
        alike = list(dict.fromkeys(_trial(row) for row in rows))
        if len(alike) > 1:
            several = all((_real(row["replicates"]) or 1) > 1 for row in rows)
            test = "Welch's t-test" if several else "a test of the shares of right answers"
            remarks.append(
                f"{listed(alike, most=6)} cannot be told apart: they share the rank ({test} against the best mean, "
                "Holm's procedure, 5 % level)"
            )
    return remarks


def _confirmation(row: dict[Any, Any]) -> str:
    new = f"{accuracy(row['val_accuracy'])} under {plural(int(row['replicates']), 'new seed')}"
    if _is_missing(row["search_accuracy"]):
        return f"{_trial(row)}: stopped early in the search, {new}"
    said = f"{_trial(row)}: {accuracy(row['search_accuracy'])} in the search, {new}"
    if _metric_value(row):  # the search did not choose by the accuracy
        return said
    return f"{said}: {_optimism(row['search_accuracy'] - row['val_accuracy'])}"


def _optimism(share: float) -> str:
    if abs(share) < 0.00005:
        return "the search's value was the same"
    direction = "too high" if share > 0 else "too low"
    return f"the search's value was {abs(100 * share):.2f} points {direction}"


def _trial(row: dict[str, Any]) -> str:
    return str(row["rung"]) if not _is_missing(row["rung"]) else name_of_run(row)


def _with_sweep(row: dict[str, Any]) -> str:
    return _trial(row) if _is_missing(row["rung"]) else f"{row['sweep']}/{row['rung']}"


def _accuracy(row: dict[str, Any]) -> str:
    return _with_interval(_real(row["val_accuracy"]), row)


def _metric_value(row: dict[str, Any]) -> str:
    """Return what a row is ranked by where that is another metric than the validation accuracy."""
    metric, value = row["metric"], _real(row["metric_value"])
    return "" if _is_missing(metric) or metric == "val_accuracy" or value is None else metric_cell(metric, value)


def _test_accuracy(row: dict[str, Any]) -> str:
    """Return the test accuracy, with the interval where the row is ranked by it."""
    tested = _real(row["test_accuracy"])
    return percent(tested) if _real(row["val_accuracy"]) is not None else _with_interval(tested, row)


def _with_interval(value: float | None, row: dict[str, Any]) -> str:
    low, high = _real(row["ci_low"]), _real(row["ci_high"])
    text = percent(value)
    return f"{text} ({percent(low)}–{percent(high)})" if text and low is not None and high is not None else text


def _value(value: Any) -> str:
    return "" if _is_missing(value) else short_value(value)


def _plain(name: str) -> Callable[[dict[str, Any]], str]:
    """Return what shows a column of a row as the registry says."""
    column = RECORD_COLUMNS[name]
    return lambda row: "" if _is_missing(row[name]) else column.cell(row[name])


def _real(value: Any) -> float | None:
    return None if _is_missing(value) else float(value)


def _is_missing(value: Any) -> bool:
    import pandas as pd

    return value is None or value is pd.NA or value != value
