"""Export tables as CSV, JSON, Parquet, Markdown and HTML."""

from __future__ import annotations

import csv
import datetime
import html
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cifar_core.common.files import atomic_path, atomic_write
from sweeps.record.table import Table

Cells = Mapping[str, Sequence[str]]
"""Heading → formatted cells."""


def csv_text(table: Table) -> str:
    """Return a table as CSV: a missing value is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows([row[name] for name in table.columns] for row in table.rows)
    return text.getvalue().rstrip("\n")


def to_csv(table: Table, path: Path) -> None:
    """Write a table as CSV, atomically."""
    to_text(csv_text(table), path)


def to_parquet(table: Table, path: Path) -> None:
    """Write a table with typed columns as Parquet, atomically."""
    import pyarrow.parquet

    from sweeps.views.arrow_tables import arrow_of

    with atomic_path(path) as temporary:
        pyarrow.parquet.write_table(arrow_of(table), temporary)


def to_text(text: str, path: Path) -> None:
    """Write a text file atomically."""
    with atomic_write(path) as file:
        file.write((text + "\n").encode())


def to_json(table: Table) -> str:
    """Return a JSON list with one object per row; missing and non-finite values are null."""
    rows = [{name: plain_value(row[name]) for name in table.columns} for row in table.rows]
    return json.dumps(rows, indent=2, ensure_ascii=False, allow_nan=False)


def plain_value(value: Any) -> Any:
    """Return a cell as a JSON value."""
    if isinstance(value, dict):
        return {str(key): plain_value(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain_value(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    return value if value is None or isinstance(value, str | int) else str(value)


def in_markdown(cell: str) -> str:
    """Return text for a cell of a Markdown table, on one line and with its special characters escaped."""
    escaped = html.escape(cell.replace("\\", "\\\\"), quote=False)
    return " ".join(escaped.replace("|", "\\|").replace("`", "\\`").split())


_STYLE = (
    ".sweeps-board{border-collapse:collapse;font:14px/1.4 system-ui,sans-serif;font-variant-numeric:tabular-nums}"
    ".sweeps-board th,.sweeps-board td{padding:3px 10px;text-align:right;border-bottom:1px solid #8883;"
    "white-space:nowrap}"
    ".sweeps-board th{border-bottom:2px solid #888}"
    ".sweeps-board .text{text-align:left}"
    ".sweeps-board caption{caption-side:bottom;text-align:left;padding:6px 10px;opacity:.7}"
)


def html_table(cells: Cells, *, left: Sequence[str] = (), remarks: Sequence[str] = ()) -> str:
    """Return a `<table>` with embedded style that loads no resource.

    Args:
        cells: heading → cells.
        left: headings of the left-aligned columns.
        remarks: sentences below it.
    """
    kind = {heading: ' class="text"' if heading in left else "" for heading in cells}
    head = "".join(f'<th scope="col"{kind[heading]}>{html.escape(heading)}</th>' for heading in cells)
    rows = [
        "<tr>" + "".join(f"<td{kind[name]}>{html.escape(cell)}</td>" for name, cell in zip(cells, row, strict=True))
        + "</tr>"
        for row in zip(*cells.values(), strict=True)
    ]  # fmt: skip
    caption = "<caption>" + "<br>".join(map(html.escape, remarks)) + "</caption>" if remarks else ""
    body = "\n".join(rows)
    return (
        f'<table class="sweeps-board"><style>{_STYLE}</style>{caption}\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table>"
    )
