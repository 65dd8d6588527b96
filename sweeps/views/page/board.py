"""The leaderboard as a table that can be sorted and filtered on the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sweeps.formatting import duration, metric_cell, metric_heading, number, p_value, percent, value_text
from sweeps.views.columns import status_text
from sweeps.views.page.content import Content, mark_of_row, plain
from sweeps.views.page.text import safe, scroll_box

Cell = tuple[str, float | str]
"""What is shown, as HTML, and what it is sorted by."""
NOTHING: Cell = ("", "")


def board_section(content: Content) -> str:
    """Return the table, one row a configuration, and above it what filters it."""
    if content.rows is None:
        return f"<p>The leaderboard cannot be shown: {safe(content.why_no_rows)}</p>"
    if not content.rows:
        return "<p>No run is recorded yet.</p>"
    columns = _columns(content)
    every = {name: [cell(row) for row in content.rows] for name, cell in columns.items()}
    built = {name: cells for name, cells in every.items() if name == "rank" or any(shown for shown, _ in cells)}
    heads = "".join(
        f'<th scope="col" aria-sort="{"ascending" if name == "rank" else "none"}">'
        f'<button type="button" class="sort">{safe(name)}</button></th>'
        for name in built
    )
    rows = [_row(content, index, built) for index in range(len(content.rows))]
    caption = f"Leaderboard of {content.state.sweep}: one row a configuration, accuracies in percent"
    table = (
        f'<table id="board"><caption class="aside">{safe(caption)}</caption><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )
    return f"""<p>One row a configuration, ranked by the mean of its seeds; in brackets the 95 % interval. Those that
were confirmed under new seeds stand first, each with the p-value of Welch's t-test against the best of them. A trial's
name highlights it in every chart.</p>
<form class="controls" id="filter-form" role="search" hidden>
<label for="filter">Filter</label>
<input id="filter" type="search" autocomplete="off" spellcheck="false" aria-describedby="filter-help">
<output id="filter-count" for="filter"></output>
<button type="button" id="highlight">Highlight these in every chart</button>
<label><input type="checkbox" id="only"> only highlighted rows</label>
<p id="filter-help">Words that a row must hold, or a column and a number: <code>resnet</code>, <code>lr&lt;0.02</code>,
<code>epochs=7</code>. All must hold.</p>
</form>
{scroll_box(table, label=caption)}"""


def _row(content: Content, index: int, built: Mapping[str, list[Cell]]) -> str:
    assert content.rows is not None
    row = content.rows[index]
    cells = []
    for name, column in built.items():
        shown, key = column[index]
        sorts = f' data-v="{safe(key)}"' if isinstance(key, float) else ""
        if name == "trial":
            cells.append(f'<th scope="row" data-v="{safe(key)}">{shown}</th>')
        else:
            kind = ' class="n"' if isinstance(key, float) else ""
            cells.append(f"<td{kind}{sorts}>{shown}</td>")
    return f'<tr data-t="{safe(mark_of_row(row))}">{"".join(cells)}</tr>'


def _columns(content: Content) -> dict[str, Callable[[Mapping[str, Any]], Cell]]:
    columns: dict[str, Callable[[Mapping[str, Any]], Cell]] = {
        "rank": _whole("rank"),
        "trial": lambda row: (_trial_button(row), float(row["trial"])),
        "status": lambda row: (safe(status_text(row)), status_text(row)),
        **_metric_column(content),
        "val acc %": _accuracy,
        "± sd": _percent("val_std"),
        "runs": _whole("replicates"),
        "p (Holm)": _real("p_holm", p_value),
        "search acc %": _percent("search_accuracy"),
        "test acc %": _percent("test_accuracy"),
        "epochs": _whole("epochs"),
        "time": _real("train_seconds", duration),
        "params M": _real("parameters_millions", number),
    }
    for varied in content.varied:
        name = varied.name if varied.name not in columns else varied.path
        columns[name] = _configured(varied.path)
    return columns


def _metric_column(content: Content) -> dict[str, Callable[[Mapping[str, Any]], Cell]]:
    """Return the column that rows are ranked by where that is another metric than the validation accuracy."""
    metric = content.state.metric
    if metric == "val_accuracy":
        return {}
    return {metric_heading(metric): _real("metric_value", lambda value: metric_cell(metric, value))}


def _trial_button(row: Mapping[str, Any]) -> str:
    name = str(row["rung"]) if row["rung"] is not None else f"trial {row['trial']}"
    return (
        f'<button type="button" class="pick" aria-pressed="false" data-pick="{safe(mark_of_row(row))}" '
        f'title="highlight in every chart">{safe(name)}</button>'
    )


def _accuracy(row: Mapping[str, Any]) -> Cell:
    value = row["val_accuracy"]
    if value is None:
        return NOTHING
    ends = "" if row["ci_low"] is None else f" <small>({percent(row['ci_low'])}–{percent(row['ci_high'])})</small>"
    return percent(value) + ends, 100 * float(value)


def _percent(column: str) -> Callable[[Mapping[str, Any]], Cell]:
    return lambda row: NOTHING if row[column] is None else (percent(row[column]), 100 * float(row[column]))


def _whole(column: str) -> Callable[[Mapping[str, Any]], Cell]:
    return lambda row: NOTHING if row[column] is None else (f"{int(row[column])}", float(row[column]))


def _real(column: str, shown: Callable[[float], str]) -> Callable[[Mapping[str, Any]], Cell]:
    return lambda row: NOTHING if row[column] is None else (safe(shown(float(row[column]))), float(row[column]))


def _configured(path: str) -> Callable[[Mapping[str, Any]], Cell]:
    def cell(row: Mapping[str, Any]) -> Cell:
        value = row.get(path)
        if value is None:
            return NOTHING
        if isinstance(value, int | float) and not isinstance(value, bool):
            return plain(value), float(value)
        return safe(value_text(value)), value_text(value)

    return cell
