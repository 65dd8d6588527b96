"""Escape text for the page: names, errors and log lines are shown unchanged and never become markup."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
"""Terminal escape sequences."""
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
"""Characters that HTML forbids, surrogates, and direction overrides."""


def safe(text: object) -> str:
    """Return a text escaped for elements and quoted attributes. Characters that cannot be shown become `�`."""
    return html.escape(clean(str(text)))


def clean(text: str) -> str:
    """Return a text without escape sequences, and with `�` for characters that cannot be shown."""
    return _CONTROLS.sub("\ufffd", _ESCAPES.sub("", text))


def table(
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    caption: str,
    numbers: Sequence[int] = (),
    trials: Sequence[str] = (),
) -> str:
    """Return a table whose rows fold on a narrow screen. The first cell of each row is its header.

    Args:
        heads: headings, as plain text.
        rows: cells, as HTML.
        caption: plain text for screen readers; not visible.
        numbers: indices of the columns with numbers, from 0.
        trials: key for highlighting of each row.
    """
    head = "".join(f'<th scope="col"{_aligned(index, numbers)}>{safe(name)}</th>' for index, name in enumerate(heads))
    body = []
    for index, (first, *rest) in enumerate(rows):
        cells = "".join(
            f'<td{_aligned(column, numbers)} data-h="{safe(heads[column])}">{cell}</td>'
            for column, cell in enumerate(rest, start=1)
        )
        mark = f' data-t="{safe(trials[index])}"' if trials else ""
        body.append(f'<tr{mark}><th scope="row">{first}</th>{cells}</tr>')
    return scroll_box(
        f'<table class="stack"><caption class="aside">{safe(caption)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table>",
        label=caption,
    )


def scroll_box(content: str, *, label: str) -> str:
    """Return content in a box that scrolls, also with the keyboard, if it is wider than the page."""
    return f'<div class="wide" role="region" tabindex="0" aria-label="{safe(label)}">{content}</div>'


def _aligned(column: int, numbers: Sequence[int]) -> str:
    return ' class="n"' if column in numbers else ""
