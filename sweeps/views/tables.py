"""Tables as wide as the screen: select the columns that fit, and print them."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from sweeps.core.formatting import PLAIN_WIDTH, print_sentence

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from sweeps.files.space import SearchSpace

GAP = 2
"""Spaces between two columns."""

Columns = Mapping[str, Sequence[str]]
"""Heading → cells, one per row."""


def columns_that_fit(
    columns: Columns, *, width: int, at_least: int = 0, first: Sequence[str] = ()
) -> tuple[dict[str, Sequence[str]], list[str]]:
    """Return the columns that fit side by side, in order, and the headings of the others.

    Args:
        columns: in the order of display.
        width: width of the screen in characters.
        at_least: number of columns that are kept even if they do not fit.
        first: headings that have priority over the others.
    """
    fitting: set[str] = set()
    used = 0
    for heading in dict.fromkeys([*first, *columns]):
        needed = column_width(heading, columns[heading]) + (GAP if fitting else 0)
        if used + needed <= width or len(fitting) < at_least:
            fitting.add(heading)
            used += needed
    shown = {heading: cells for heading, cells in columns.items() if heading in fitting}
    return shown, [heading for heading in columns if heading not in fitting]


def column_width(heading: str, cells: Sequence[str]) -> int:
    """Return the width of a column in characters, including its heading."""
    return max(map(_width, (heading, *cells)))


def screen_width(console: Console) -> int:
    """Return the width of the terminal in characters, or `PLAIN_WIDTH` without one."""
    return console.width if console.is_terminal else PLAIN_WIDTH


def print_columns(
    columns: Columns, console: Console, *, left: Collection[str] = (), dim: Sequence[bool] | None = None
) -> None:
    """Print columns side by side: with a bold heading on a terminal, else as plain text.

    rich's table would take seconds for ten thousand rows.

    Args:
        columns: columns that fit the screen.
        console: where to print.
        left: headings of the left-aligned columns.
        dim: whether to dim each row; None dims none.
    """
    widths = {heading: column_width(heading, cells) for heading, cells in columns.items()}
    gap = " " * GAP
    padded = [
        [_padded(cell, widths[heading], left=heading in left) for cell in (heading, *cells)]
        for heading, cells in columns.items()
    ]
    heading, *lines = (gap.join(row).rstrip() for row in zip(*padded, strict=True))
    _print_lines([heading], console, style="bold")
    for is_dim, rows in itertools.groupby(zip(lines, dim or [False] * len(lines), strict=True), key=lambda row: row[1]):
        _print_lines([line for line, _ in rows], console, style="dim" if is_dim else None)


def space_table(space: SearchSpace) -> Table:
    """Return a table of the parameters of a search space; with a third column if any has a condition."""
    from rich.table import Table
    from rich.text import Text

    rows = space.describe()
    headings = ("parameter", "values", "active when")[: 3 if any(when for _, _, when in rows) else 2]
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row[: len(headings)]))
    return table


def print_space(space: SearchSpace, console: Console) -> None:
    """Print the parameters of a search space; cells wrap on a terminal."""
    if console.is_terminal:
        console.print(space_table(space))
        return
    headings = ("parameter", "values", "active when")
    columns = {heading: [row[index] for row in space.describe()] for index, heading in enumerate(headings)}
    print_columns({heading: cells for heading, cells in columns.items() if any(cells)}, console, left=headings)


def print_fitting(columns: Columns, console: Console, *, left: Collection[str], at_least: int = 2) -> None:
    """Print the columns that fit the screen, and the headings of the others below them."""
    shown, left_out = columns_that_fit(columns, width=screen_width(console), at_least=at_least)
    print_columns(shown, console, left=left)
    if left_out:
        print_sentence(console, f"columns that do not fit: {', '.join(left_out)}", style="dim")


def _print_lines(lines: Sequence[str], console: Console, *, style: str | None) -> None:
    if not console.is_terminal:
        console.out("\n".join(lines), highlight=False)
        return
    for first in range(0, len(lines), _LINES_AT_ONCE):
        console.out("\n".join(lines[first : first + _LINES_AT_ONCE]), style=style, highlight=False)


_LINES_AT_ONCE = 100


def _padded(cell: str, width: int, *, left: bool) -> str:
    text = _printable(cell)
    blanks = " " * (width - _width(text))
    return text + blanks if left else blanks + text


def _printable(cell: str) -> str:
    """Return a text with control characters replaced by spaces."""
    return cell if cell.isprintable() else "".join(char if char.isprintable() else " " for char in cell)


def _width(cell: str) -> int:
    if cell.isascii():
        return len(cell)
    from rich.cells import cell_len

    return cell_len(_printable(cell))
