"""Print any table: a query result, selected columns, or results by value of a setting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sweeps.core.formatting import percent, plural, print_sentence, truncated
from sweeps.record.columns import Column, Unit, column_of
from sweeps.record.table import Table
from sweeps.tasks.values import value_text
from sweeps.views.tables import columns_that_fit, print_columns, screen_width

if TYPE_CHECKING:
    from rich.console import Console

LONGEST = 60
"""Characters of a printed cell; files are not truncated."""


def result_cells(table: Table, *, of_board: bool = False) -> tuple[dict[str, list[str]], set[str]]:
    """Return heading → cells, and the headings of text columns.

    Args:
        table: any table; columns with the same heading get their position as a suffix.
        of_board: whether to format columns of the record as on the leaderboard. A query result is not reformatted.
    """
    cells: dict[str, list[str]] = {}
    left: set[str] = set()
    for position, name in enumerate(table.columns):
        values = table.values(name)
        column = column_of(name) if of_board else Column(name=name)
        heading = column.heading
        while heading in cells:
            heading += f" ({position + 1})"
        cells[heading] = [_cell(value, column) for value in values]
        if any(isinstance(value, str | bool | list | dict) for value in values):
            left.add(heading)
    return cells, left


def _cell(value: Any, column: Column) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}" if column.unit is Unit.NONE else column.cell(value)
    return truncated(str(value) if isinstance(value, list | dict) else value_text(value), LONGEST)


def print_cells(table: Table, cells: dict[str, list[str]], left: set[str], console: Console) -> None:
    """Print a table as wide as the screen, followed by its remarks."""
    columns, left_out = columns_that_fit(cells, width=screen_width(console), at_least=1)
    print_columns(columns, console, left=left)
    for line in result_remarks(table, left_out=left_out):
        print_sentence(console, line, style="dim")


def result_remarks(table: Table, *, left_out: list[str]) -> list[str]:
    """Return the remarks below a table."""
    remarks, rows = list(table.how), len(table.rows)
    hidden = table.rows_in_all - rows
    if hidden > 0:
        remarks.append(f"{hidden} of {hidden + rows} rows hidden")
    if left_out:
        remarks.append(f"columns that do not fit: {', '.join(left_out)} (CSV and JSON output have all columns)")
    if not rows:
        remarks.append(table.why_empty or plural(0, "row"))
    return remarks


def by_value_cells(table: Table) -> tuple[dict[str, list[str]], set[str]]:
    """Return the cells of a table from `by_value`, and the headings of text columns."""
    cells, left = result_cells(table)
    for name in ("best", "median"):
        cells[f"{name} acc %"] = [*map(percent, table.values(name))]
    shown = {next(iter(cells)): cells[next(iter(cells))], "count": cells["count"]}
    shown |= {heading: cells[heading] for heading in ("best acc %", "median acc %")}
    return shown, left & set(shown)
