"""Tables as wide as the screen: which columns fit side by side, and which are only named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

GAP = 2
"""Blanks between two columns."""

Columns = Mapping[str, Sequence[str]]
"""Heading to one cell a row."""


def columns_that_fit(columns: Columns, *, width: int, at_least: int = 0) -> tuple[dict[str, Sequence[str]], list[str]]:
    """Return the columns that fit side by side, in order, and the headings of the others.

    Args:
        columns: the most important first.
        width: of the screen, in characters.
        at_least: so many of the first ones are kept whether they fit or not.
    """
    fitting: dict[str, Sequence[str]] = {}
    left_out: list[str] = []
    used = 0
    for heading, cells in columns.items():
        needed = column_width(heading, cells) + (GAP if fitting else 0)
        if used + needed <= width or len(fitting) < at_least:
            fitting[heading] = cells
            used += needed
        else:
            left_out.append(heading)
    return fitting, left_out


def column_width(heading: str, cells: Sequence[str]) -> int:
    """Return the characters of a column's longest cell, its heading included."""
    return max(map(len, (heading, *cells)))
