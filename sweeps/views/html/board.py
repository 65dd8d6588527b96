"""The leaderboard as a table that can be sorted and filtered on the page."""

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
"""What is shown, as HTML, and what it is sorted by."""
NOTHING: Cell = ("", "")
SHOWN = (
    "rank", "trial", "status", "metric_value", "val_accuracy", "val_std", "replicates", "p_holm", "search_accuracy",
    "test_accuracy", "epochs", "train_seconds", "parameters_millions",
)  # fmt: skip
"""Columns of the record, in this order; one without a value in any row is left out."""


def board_section(content: Content) -> str:
    """Return the table, one row a configuration, and above it what filters it."""
    if content.rows is None:
        return f"<p>The leaderboard cannot be shown: {safe(content.rows_error)}</p>"
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
    """Return heading to what makes a row's cell: of the record's columns, then of the parameters that vary."""
    metric = content.state.metric
    own: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "trial": _trial_button,
        "status": lambda row: safe(status_text(row)),
        "val_accuracy": lambda row: percent(row["val_accuracy"]) + _interval(row),
        "p_holm": lambda row: safe(p_value(row["p_holm"])),
        "metric_value": lambda row: safe(metric_cell(metric, row["metric_value"])),
    }
    headings = {name: RECORD_COLUMNS[name].heading for name in SHOWN}
    headings["metric_value"] = metric_heading(metric)
    if metric == "val_accuracy":
        del headings["metric_value"]
    columns = {heading: _cell(name, own.get(name)) for name, heading in headings.items()}
    for varying in content.varying:
        columns[varying.name if varying.name not in columns else varying.path] = _cell(varying.path)
    return columns


def _cell(name: str, own: Callable[[Mapping[str, Any]], str] | None = None) -> Callable[[Mapping[str, Any]], Cell]:
    """Return what makes a row's cell of a column: as the registry of columns shows it, or in a way of its own."""
    column = RECORD_COLUMNS.get(name)

    def cell(row: Mapping[str, Any]) -> Cell:
        value = row.get(name)
        if value is None:
            return NOTHING
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if own is not None:
            shown = own(row)
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
