"""The leaderboard as a sortable and filterable table of the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sweeps.core.formatting import metric_cell, metric_heading, p_value, percent
from sweeps.record.columns import RECORD_COLUMNS, Unit
from sweeps.tasks.values import value_text
from sweeps.views.columns import status_text
from sweeps.views.html.content import Content, format_number, mark_of_row
from sweeps.views.html.text import safe, scroll_box

Cell = tuple[str, float | str]
"""Shown HTML and sort key."""
NOTHING: Cell = ("", "")
SHOWN = (
    "rank", "front", "trial", "status", "metric_value", "metric_std", "val_accuracy",
    "confirm_accuracy", "val_std", "replicates", "p_holm",
    "search_accuracy", "test_accuracy", "epochs", "train_seconds", "parameters_millions",
    "multiply_adds_millions", "tags", "note",
)  # fmt: skip
"""Columns of the record in order; empty ones are left out."""


def board_section(content: Content) -> str:
    """Return the filter form and the table, one row per configuration."""
    if content.rows is None:
        return f"<p>The leaderboard cannot be shown: {safe(content.rows_error)}</p>"
    if not content.rows:
        return "<p>No run is recorded yet.</p>"
    columns = _columns(content)
    cells_by_column = {name: [cell(row) for row in content.rows] for name, cell in columns.items()}
    built = {
        name: cells for name, cells in cells_by_column.items() if name == "rank" or any(shown for shown, _ in cells)
    }
    heads = "".join(
        f'<th scope="col" aria-sort="{"ascending" if name == "rank" else "none"}">'
        f'<button type="button" class="sort">{safe(name)}</button></th>'
        for name in built
    )
    rows = [_row(content, index, built) for index in range(len(content.rows))]
    caption = f"Leaderboard of {content.state.sweep}: one row per configuration, accuracies in percent"
    table = (
        f'<table id="board"><caption class="aside">{safe(caption)}</caption><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )
    return f"""<p>One row per configuration, ranked by the mean of its seeds, with the 95 % interval in parentheses.
Configurations that were confirmed under new seeds come first. Their p-value is that of Welch's t-test against the best
of them. Click the name of a trial to highlight it in every chart.</p>
<form class="controls" id="filter-form" role="search" hidden>
<label for="filter">Filter</label>
<input id="filter" type="search" autocomplete="off" spellcheck="false" aria-describedby="filter-help">
<output id="filter-count" for="filter"></output>
<button type="button" id="highlight">Highlight these in every chart</button>
<label><input type="checkbox" id="only"> only highlighted rows</label>
<p id="filter-help">Type words that a row must contain, or comparisons: <code>resnet</code>, <code>lr&lt;0.02</code>,
<code>epochs=7</code>. A row is shown if all of them match.</p>
</form>
{scroll_box(table, label=caption)}"""


def _row(content: Content, index: int, built: Mapping[str, list[Cell]]) -> str:
    assert content.rows is not None
    cells = []
    for name, column in built.items():
        shown, key = column[index]
        sorts = f' data-v="{safe(key)}"' if isinstance(key, float) else ""
        if name == "trial":
            cells.append(f'<th scope="row"{sorts}>{shown}</th>')
        else:
            kind = ' class="n"' if isinstance(key, float) else ""
            cells.append(f"<td{kind}{sorts}>{shown}</td>")
    return f'<tr data-t="{safe(mark_of_row(content.rows[index]))}">{"".join(cells)}</tr>'


def _columns(content: Content) -> dict[str, Callable[[Mapping[str, Any]], Cell]]:
    """Return heading → function that builds the cell of a row: columns of the record, then varying parameters."""
    metric = content.state.metric
    formatters: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "trial": _trial_button,
        "status": lambda row: safe(status_text(row)),
        "val_accuracy": lambda row: percent(row["val_accuracy"]) + _interval(row),
        "p_holm": lambda row: safe(p_value(row["p_holm"])),
        "metric_value": lambda row: safe(metric_cell(metric, row["metric_value"])),
        "metric_std": lambda row: safe(metric_cell(metric, row["metric_std"])),
    }
    headings = {name: RECORD_COLUMNS[name].heading for name in SHOWN}
    headings["metric_value"] = metric_heading(metric)
    if metric == "val_accuracy":
        del headings["metric_value"], headings["metric_std"]
    columns = {heading: _cell(name, formatters.get(name)) for name, heading in headings.items()}
    for parameter in content.varying:
        columns[parameter.name if parameter.name not in columns else parameter.path] = _cell(parameter.path)
    return columns


def _cell(
    name: str, formatter: Callable[[Mapping[str, Any]], str] | None = None
) -> Callable[[Mapping[str, Any]], Cell]:
    """Return a function that builds the cell of a row, with this formatter or that of the column."""
    column = RECORD_COLUMNS.get(name)

    def cell(row: Mapping[str, Any]) -> Cell:
        value = row.get(name)
        if value is None:
            return NOTHING
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if formatter is not None:
            shown = formatter(row)
        elif column is None and is_number:
            shown = format_number(value)
        else:
            shown = safe(value_text(value) if column is None else column.cell(value))
        is_share = column is not None and column.unit is Unit.SHARE
        return shown, (100 if is_share else 1) * float(value) if is_number else value_text(value)

    return cell


def _trial_button(row: Mapping[str, Any]) -> str:
    name = str(row["rung"]) if row["rung"] is not None else f"trial {row['trial']}"
    return (
        f'<button type="button" class="pick" aria-pressed="false" data-pick="{safe(mark_of_row(row))}" '
        f'title="highlight in every chart">{safe(name)}</button>'
    )


def _interval(row: Mapping[str, Any]) -> str:
    return "" if row["ci_low"] is None else f" <small>({percent(row['ci_low'])}–{percent(row['ci_high'])})</small>"
