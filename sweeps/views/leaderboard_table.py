"""The leaderboard in a terminal: a table that fits the screen, with remarks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sweeps.core.formatting import (
    accuracy,
    listed,
    metric_cell,
    metric_heading,
    metric_text,
    percent,
    plural,
    print_sentence,
    short_names,
)
from sweeps.files.difference import Differences
from sweeps.record.columns import RECORD_COLUMNS
from sweeps.record.table import Row, Table
from sweeps.tasks.values import short_value
from sweeps.views.columns import status_text
from sweeps.views.front import front_sentence
from sweeps.views.names import name_of_run
from sweeps.views.optimism import compared_on, optimism_sentence
from sweeps.views.tables import columns_that_fit, print_columns, screen_width

if TYPE_CHECKING:
    from rich.console import Console


def print_leaderboard(table: Table, console: Console, *, limit: int | None = None) -> None:
    """Print the first `limit` rows: results, and the configuration values that vary over all rows.

    Accuracies are in percent with a 95 % interval, over the seeds if there are several. Without a terminal the output
    is plain text of `PLAIN_WIDTH`.
    """
    shown = table.rows[:limit]
    cells = board_cells(table, shown)
    columns, left_out = columns_that_fit(
        cells, width=screen_width(console), at_least=2, first=_priority_headings(cells)
    )
    print_columns(columns, console, left=LEFT, dim=[row["rank"] is None for row in shown])
    rows_in_all = max(len(table.rows), table.rows_in_all)
    for line in remarks(table, shown=len(shown), hidden=rows_in_all - len(shown), left_out=left_out):
        print_sentence(console, line, style="dim")


LEFT = frozenset({"trial", "status"})
_COSTS = ("train_seconds", "parameters_millions", "multiply_adds_millions")
_LOW_PRIORITY = ("expected_value", "val_std", "metric_std", "replicates", "search_accuracy", "epochs", *_COSTS)
"""Columns that are left out first on a narrow screen."""


def board_cells(table: Table, shown: Sequence[Row]) -> dict[str, list[str]]:
    """Return heading → cells of the rows shown: results, varying parameters, costs."""
    results = _results(shown)
    # Costs come last, because varying parameters matter more if space is short.
    costs = {name: results.pop(name) for name in (RECORD_COLUMNS[cost].heading for cost in _COSTS) if name in results}
    return results | _varying(table, shown) | costs


def _priority_headings(cells: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the headings with priority on a narrow screen: name, result and varying parameters."""
    low = {RECORD_COLUMNS[name].heading for name in _LOW_PRIORITY}
    if RECORD_COLUMNS["front"].heading in cells:
        low -= {RECORD_COLUMNS[name].heading for name in ("parameters_millions", "multiply_adds_millions")}
    if len(set(cells["status"])) <= 1:
        low.add("status")
    if all(cells.get(RECORD_COLUMNS["val_accuracy"].heading, [""])):
        low.add(RECORD_COLUMNS["test_accuracy"].heading)
    return [heading for heading in cells if heading not in low]


def _results(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Return heading → cells of the results; empty columns are left out."""
    columns: dict[str, Callable[[Row], str]] = {
        "rank": _formatted("rank"),
        "front": lambda row: "*" if row["front"] else "",
        # Rungs of different ladders may have the same name; those of a ladder and its `--final` run do.
        "trial": _with_sweep if len({row["sweep"] for row in rows}) > 1 else _trial,
        "status": status_text,
        "metric_value": _metric_value,
        "metric_std": lambda row: metric_cell(str(row["metric"]), row["metric_std"]) if _metric_value(row) else "",
        "confirm_value": lambda row: (
            metric_cell(str(row["metric"]), row["confirm_value"]) if _metric_value(row) else ""
        ),
        "val_accuracy": _accuracy,
        "confirm_accuracy": lambda row: _with_interval(row["confirm_accuracy"], row),
        "proposed_by": lambda row: row["proposed_by"] or "",
        "expected_value": lambda row: metric_cell(str(row["metric"]), row["expected_value"]),
        "val_std": _formatted("val_std"),
        "replicates": lambda row: str(row["replicates"]) if (row["replicates"] or 0) > 1 else "",
        "test_accuracy": _test_accuracy,
        "search_accuracy": _formatted("search_accuracy"),
        "tags": _formatted("tags"),
        "epochs": _formatted("epochs"),
        "train_seconds": _formatted("train_seconds"),
        "parameters_millions": _formatted("parameters_millions"),
        "multiply_adds_millions": _formatted("multiply_adds_millions"),
    }
    built = {name: [cell(row) for row in rows] for name, cell in columns.items()}
    metrics = sorted({str(row["metric"]) for row in rows if _metric_value(row)})
    headings = {name: RECORD_COLUMNS[name].heading for name in columns}
    headings["metric_value"] = metric_heading(metrics[0]) if len(metrics) == 1 else "metric"
    has_other = any(built["test_accuracy"]) or (any(built["metric_value"]) and not any(built["val_accuracy"]))
    always = {"rank", "trial", "status"} | (set() if has_other else {"val_accuracy"})
    return {headings[name]: cells for name, cells in built.items() if name in always or any(cells)}


def varying_parameters(table: Table) -> list[str]:
    """Return the parameters that vary over the rows, the architecture first, then those with the most values."""
    parameters = [name for name in table.columns if name not in RECORD_COLUMNS]
    differences = Differences()
    for row in table.rows:
        differences.add({name: row[name] for name in parameters if row[name] is not None})
    varies = set(differences.paths())
    return sorted(
        (name for name in parameters if name in varies),
        key=lambda name: (name != "model.name", -len({*map(str, table.values(name))})),
    )


def _varying(table: Table, shown: Sequence[Row]) -> dict[str, list[str]]:
    names = varying_parameters(table)
    # Two versions of a custom network's file are two networks.
    names += [name for name in ("seed", "source") if len({*table.values(name)} - {None}) > 1]
    # An option of a custom network may be named like a column, such as `rank`.
    taken = {*RECORD_COLUMNS, *(column.heading for column in RECORD_COLUMNS.values())}
    headings = [name if short in taken else short for name, short in zip(names, short_names(names), strict=True)]
    return {heading: [_value(row[name]) for row in shown] for heading, name in zip(headings, names, strict=True)}


def remarks(table: Table, *, shown: int, hidden: int, left_out: list[str]) -> list[str]:
    """Return the remarks below the leaderboard: hidden parts, and the meaning of its ranks."""
    remarks: list[str] = []
    if hidden:
        remarks.append(f"{hidden} of {hidden + shown} rows hidden")
    if left_out:
        remarks.append(f"columns that do not fit: {', '.join(left_out)} (CSV and JSON output have all columns)")
    ranked = [row for row in table.rows if row["rank"] is not None]
    protocols = len({(row["protocol"], row["metric"]) for row in ranked})
    has_both = len({row["val_accuracy"] is None for row in ranked}) > 1
    order = "the largest budget comes first" + (", test accuracies come last" if has_both else "")
    if protocols > 1:
        remarks.append(f"{protocols} evaluation protocols, each with its own ranks: {order}")
    if metrics := sorted({row["metric"] for row in ranked} - {None, "val_accuracy"}):
        remarks.append(f"searches that optimise {' or '.join(metrics)} are ranked by that metric")
    if (sentence := front_sentence(table.rows)) is not None:
        remarks.append(f"*: {sentence}")
    if any(row["val_accuracy"] is None and row["metric"] is None for row in ranked):
        remarks.append("rows without validation images are ordered by test accuracy. Do not select a model by it")
    if any(map(has_too_few_seeds, ranked)):
        remarks.append(
            "(1 seed), (2 seeds): too few for an interval, which takes three seeds or several configurations"
        )
    remarks += table.notes
    remarks += _confirmations([row for row in ranked if row["rank"] == 1 and row["replicate_of"] is None])
    if table.why_empty is not None:
        remarks.append(table.why_empty)
    elif not hidden + shown:
        remarks.append("no run is recorded yet")
    return remarks


def _confirmations(best: Sequence[Row]) -> list[str]:
    """Return remarks on the best configurations: search result against new seeds, and shared ranks."""
    remarks = [_confirmation(row) for row in best if row["confirmed"]]
    groups: dict[Any, list[Row]] = {}
    for row in best:
        groups.setdefault(row["protocol"], []).append(row)
    for rows in groups.values():
        alike = list(dict.fromkeys(_trial(row) for row in rows))
        if len(alike) > 1:
            remarks.append(
                f"{listed(alike, most=6)} share the rank because they do not differ significantly ({_test_of(rows)})"
            )
    return remarks


def _test_of(rows: Sequence[Row]) -> str:
    """Return the test that compared the rows of a rank."""
    until = [row["confirm_until"] for row in rows]
    if None not in until:
        return f"the test of the race, which is valid after each seed, {100 - 100 * max(until):g} % level"
    several = all((row["replicates"] or 1) > 1 for row in rows)
    test = "Welch's t-test" if several else "a test of two proportions"
    return f"{test} against the best mean, Holm's procedure, 5 % level"


def _confirmation(row: Row) -> str:
    metric, fresh = row["metric"], row["confirm_value"]
    if _metric_value(row):
        shown = f"{metric} {metric_text(metric, row['metric_value'] if fresh is None else fresh)}"
    else:
        shown = accuracy(row["val_accuracy"] if fresh is None else fresh)
    new = f"{'mean of ' if row['replicates'] > 1 else ''}{plural(row['replicates'], 'new seed')}"
    luck = optimism_sentence(row)
    more = "it was pruned in the search" if luck is None else luck.removesuffix(".")
    return f"{_trial(row)}: {shown} ({new}) {compared_on(row)}. {more[0].upper()}{more[1:]}"


def _trial(row: Row) -> str:
    return name_of_run(row) if row["rung"] is None else str(row["rung"])


def _with_sweep(row: Row) -> str:
    return _trial(row) if row["rung"] is None else f"{row['sweep']}/{row['rung']}"


def _accuracy(row: Row) -> str:
    """Return the validation accuracy, with its interval unless the row is ranked by another one."""
    if row["confirm_accuracy"] is not None:
        return percent(row["val_accuracy"])
    return _with_interval(row["val_accuracy"], row)


def _metric_value(row: Row) -> str:
    """Return the value that a row is ranked by; empty if that is the validation accuracy."""
    metric, value = row["metric"], row["metric_value"]
    return "" if metric in (None, "val_accuracy") or value is None else metric_cell(metric, value)


def _test_accuracy(row: Row) -> str:
    """Return the test accuracy, with its interval if the row is ranked by it."""
    tested = row["test_accuracy"]
    return percent(tested) if row["val_accuracy"] is not None else _with_interval(tested, row)


def _with_interval(value: float | None, row: Row) -> str:
    low, high = row["ci_low"], row["ci_high"]
    text = percent(value)
    if text and low is not None and high is not None:
        return f"{text} ({percent(low)}–{percent(high)})"
    return f"{text} ({plural(row['replicates'], 'seed')})" if text and has_too_few_seeds(row) else text


def has_too_few_seeds(row: Row) -> bool:
    """Return whether the mean of a row has no interval because it has fewer than three seeds, and no other has more."""
    seeds = row["replicates"] or 0
    if row["val_accuracy"] is None and row["test_accuracy"] is None:
        return False
    return row["ci_low"] is None and bool(row["confirmed"] or seeds > 1) and 0 < seeds < 3


def _value(value: Any) -> str:
    return "" if value is None else short_value(value)


def _formatted(name: str) -> Callable[[Row], str]:
    """Return a function that formats this column of a row."""
    column = RECORD_COLUMNS[name]
    return lambda row: column.cell(row[name])
