"""A picture as a self-contained HTML file with light and dark colours."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

_STYLE = """
:root { color-scheme: light dark; --ink: #222; --grey: #5f5f5f; --page: #fff; --line: #ddd; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --grey: #a8a8a8; --page: #16181c; --line: #3a3d44; } }
body { margin: 2rem auto; max-width: 75rem; padding: 0 1rem; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.3rem; }
p, figcaption { color: var(--grey); }
figure { margin: 1.5rem 0; overflow-x: auto; }
img { max-width: 100%; height: auto; background: #fff; border-radius: 6px; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.25rem 0.8rem 0.25rem 0; text-align: left; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
th.number, td.number { text-align: right; }
"""


def picture_page(
    png: bytes,
    *,
    title: str,
    alt: str,
    notes: Sequence[str] = (),
    headings: Sequence[str] = (),
    rows: Sequence[Sequence[str]] = (),
) -> str:
    """Return an HTML page with a picture and, if there are rows, a table.

    Args:
        png: the picture.
        title: of the page.
        alt: description of the picture for screen readers.
        notes: paragraphs under the picture.
        headings: of the table's columns.
        rows: of the table; columns of numbers are aligned to the right.
    """
    data = base64.b64encode(png).decode("ascii")
    paragraphs = "\n".join(f"<p>{escape(note)}</p>" for note in notes)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{escape(title)}</h1>
<figure><img src="data:image/png;base64,{data}" alt="{escape(alt, quote=True)}"></figure>
{paragraphs}
{_table(headings, rows)}
</body>
</html>
"""


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    right = [all(_is_number(row[column]) for row in rows) for column in range(len(headings))]
    kinds = [' class="number"' if each else "" for each in right]
    head = "".join(f'<th scope="col"{kind}>{escape(text)}</th>' for kind, text in zip(kinds, headings, strict=True))
    body = "\n".join(
        "<tr>" + "".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(kinds, row, strict=True)) + "</tr>"
        for row in rows
    )
    return f'<div class="table"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>'


def _is_number(cell: str) -> bool:
    return not cell or cell[0].isdigit()
