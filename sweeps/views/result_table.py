"""Any table on a screen: an answer in SQL, the columns that a person chose, the values of a setting."""

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
"""Characters of a cell on a screen; files have all of it."""


def result_cells(table: Table, *, of_board: bool = False) -> tuple[dict[str, list[str]], set[str]]:
    """Return heading to cells, and the headings of the columns that hold text.

    Args:
        table: any table; columns of one heading are told apart by their position.
        of_board: it has columns of the record, which are shown as the leaderboard shows them. An answer in SQL is
            shown as it is.
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
    """Print the cells of a table as wide as the screen, and below it what it leaves out."""
    columns, left_out = columns_that_fit(cells, width=screen_width(console), at_least=1)
    print_columns(columns, console, left=left)
    for line in result_remarks(table, left_out=left_out):
        print_sentence(console, line, style="dim")


def result_remarks(table: Table, *, left_out: list[str]) -> list[str]:
    """Return what is said below a table."""
    said, rows = list(table.how), len(table.rows)
    hidden = table.rows_in_all - rows
    if hidden > 0:
        said.append(f"{hidden} of {hidden + rows} rows hidden")
    if left_out:
        said.append(f"columns that do not fit: {', '.join(left_out)} (all are in the CSV and JSON output)")
    if not rows:
        said.append(table.why_empty or plural(0, "row"))
    return said


def by_value_cells(table: Table) -> tuple[dict[str, list[str]], set[str]]:
    """Return the table of `by_value` as a screen shows it."""
    cells, left = result_cells(table)
    for name in ("best", "median"):
        cells[f"{name} acc %"] = [*map(percent, table.values(name))]
    shown = {next(iter(cells)): cells[next(iter(cells))], "count": cells["count"]}
    shown |= {heading: cells[heading] for heading in ("best acc %", "median acc %")}
    return shown, left & set(shown)
