"""The ladder as a table: in a terminal and as CSV. Both show `Gain.cells`, as the page and the picture do."""

from __future__ import annotations

import csv
import io
import os
import tempfile
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweeps.gains import CELLS, RECIPE_SEEDS, Finding, Gain

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 120
"""Columns of text that the table fits where nobody sees a terminal."""


STYLES = {
    Finding.START: "dim",
    Finding.HIGHER: "green",
    Finding.LOWER: "red",
    Finding.NOT_SHOWN: "yellow",
    Finding.NOT_COMPARED: "dim",
}


def print_ladder(gains: Sequence[Gain], console: Console) -> None:
    """Print a line of numbers a rung, and below it in words what the step brought and what was changed.

    Where the output is no terminal it is plain text of at most 120 columns. On a narrow terminal the last columns
    are left out, and a remark says so.
    """
    from rich.text import Text

    if not gains:
        console.print("no rung is recorded here yet", highlight=False)
        return
    width = console.width if console.is_terminal else WIDTH
    columns, left_out = _fitting(_columns(gains), width=width)
    lines = [Text(_joined(list(columns), columns), style="bold")]
    for place, gain in enumerate(gains):
        lines.append(Text(_joined([cells[place] for cells in columns.values()], columns)))
        lines[-1].stylize("bold", 0, len(gain.rung))
        for text, style in _words(gain):
            wrapped = textwrap.wrap(text, width, initial_indent="  ", subsequent_indent="    ")
            lines += [Text(line, style=style) for line in wrapped]
    lines += [Text(line, style="dim") for remark in _remarks(gains, left_out) for line in textwrap.wrap(remark, width)]
    for line in lines:
        if console.is_terminal:
            console.print(line, no_wrap=True, overflow="ignore", crop=False)
        else:
            console.out(line.plain.rstrip(), highlight=False)


def to_csv(gains: Sequence[Gain], path: Path) -> None:
    """Write one row a rung with every cell; a reader sees the old file or the new one, never half of one."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(CELLS), lineterminator="\n")
    writer.writeheader()
    writer.writerows(gain.cells() for gain in gains)
    write_whole(path, content=text.getvalue().encode())


def write_whole(path: Path, *, content: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        # mkstemp makes it readable by its owner alone.
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _columns(gains: Sequence[Gain]) -> dict[str, list[str]]:
    """Return header to one cell a rung."""
    cells = [gain.cells() for gain in gains]
    return {
        "rung": [gain.rung for gain in gains],
        "test accuracy %": [
            _with_interval(of["test_accuracy_percent"], gain.accuracy_interval())
            for of, gain in zip(cells, gains, strict=True)
        ],
        "difference": [
            _with_interval(of["difference_points"], gain.difference_interval())
            for of, gain in zip(cells, gains, strict=True)
        ],
        "p (Holm)": [of["p_holm"] for of in cells],
        "runs": [of["runs"] for of in cells],
        "params M": [of["parameters_millions"] for of in cells],
        "train s": [of["train_seconds"] for of in cells],
        "images/s": [of["images_per_second"] for of in cells],
    }


def _with_interval(value: str, interval: str) -> str:
    return f"{value} ({interval})" if interval else value


def _fitting(columns: dict[str, list[str]], *, width: int) -> tuple[dict[str, list[str]], list[str]]:
    """Return the first columns that fit side by side, three at the least, and the names of the others."""
    fitting: dict[str, list[str]] = {}
    for name, cells in columns.items():
        if len(fitting) >= 3 and len(_joined(list(columns), {**fitting, name: cells})) > width:
            break
        fitting[name] = cells
    return fitting, [name for name in columns if name not in fitting]


def _joined(cells: Sequence[str], columns: dict[str, list[str]]) -> str:
    widths = [max(map(len, (name, *column))) for name, column in columns.items()]
    texts = [
        cell.ljust(width) if place == 0 else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(cells, widths, strict=False))
    ]
    return "  ".join(texts)


def _words(gain: Gain) -> list[tuple[str, str]]:
    """Return the lines below a rung's numbers, each with its style on a terminal."""
    tested = f" ({gain.test})" if gain.test else ""
    lines = [(gain.verdict + tested, STYLES[gain.finding])]
    if gain.came_from is not None:
        lines.append((f"from {gain.came_from}" + (f": {gain.change}" if gain.change else ""), "dim"))
    if gain.reduced is not None:
        lines.append((gain.cells()["budget"], "magenta"))
    if gain.seeds and gain.status != "complete":
        lines.append((gain.status, "yellow"))
    return lines


def _remarks(gains: Sequence[Gain], left_out: Sequence[str]) -> list[str]:
    remarks = [
        "Accuracy in percent, difference in points, each with its 95 % interval; p over all comparisons of its kind."
    ]
    if any(gain.test and gain.test.startswith("McNemar") for gain in gains):
        remarks.append(
            f"One run each compares two runs, not two recipes: that takes {RECIPE_SEEDS} seeds or more of both rungs."
        )
    cut = sorted({gain.reduced for gain in gains if gain.reduced is not None})
    remarks += [f"Reduced budget ({text}): not what the full ladder gives." for text in cut]
    if left_out:
        remarks.append(f"columns that do not fit: {', '.join(left_out)} (all are in the CSV and the page)")
    return remarks
