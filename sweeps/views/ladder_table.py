"""Print the table of a ladder, or write it as CSV. The cells come from `ladder_cells`."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cifar_core.common.files import atomic_write
from sweeps.analysis.comparison import Finding, RungComparison
from sweeps.analysis.pairs import MIN_RECIPE_SEEDS
from sweeps.core.formatting import PLAIN_WIDTH
from sweeps.views.ladder_cells import (
    CELLS,
    VALUE,
    cells_of,
    csv_name,
    difference_interval,
    difference_text,
    value_interval,
)
from sweeps.views.ladder_terms import INTERVAL_NOTE, LadderTerms, terms_of
from sweeps.views.tables import GAP, Columns, column_width, columns_that_fit

if TYPE_CHECKING:
    from rich.console import Console

STYLES = {
    Finding.START: "dim",
    Finding.BETTER: "green",
    Finding.WORSE: "red",
    Finding.NOT_SIGNIFICANT: "yellow",
    Finding.NOT_COMPARED: "dim",
}


def print_ladder(comparisons: Sequence[RungComparison], console: Console) -> None:
    """Print a row of numbers per rung, with its verdict and its change below.

    Without a terminal the output is plain text of `PLAIN_WIDTH`. Columns that do not fit are left out and named in a
    remark.
    """
    from rich.text import Text

    if not comparisons:
        console.print("no rung is recorded yet", highlight=False)
        return
    terms = terms_of(comparisons)
    width = console.width if console.is_terminal else PLAIN_WIDTH
    columns, left_out = columns_that_fit(_columns(comparisons, terms), width=width, at_least=3)
    lines = [Text(_joined(list(columns), columns), style="bold")]
    for index, rung in enumerate(comparisons):
        lines.append(Text(_joined([cells[index] for cells in columns.values()], columns)))
        lines[-1].stylize("bold", 0, len(rung.rung))
        for text, style in _lines_below(rung):
            wrapped = textwrap.wrap(text, width, initial_indent="  ", subsequent_indent="    ")
            lines += [Text(line, style=style) for line in wrapped]
    for remark in _remarks(comparisons, left_out, terms):
        lines += [Text(line, style="dim") for line in textwrap.wrap(remark, width)]
    for line in lines:
        if console.is_terminal:
            console.print(line, no_wrap=True, overflow="ignore", crop=False)
        else:
            console.out(line.plain.rstrip(), highlight=False)


def to_csv(comparisons: Sequence[RungComparison], path: Path) -> None:
    """Write one row per rung with all cells, atomically."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    measure = terms_of(comparisons).measure
    writer.writerow(csv_name(name, measure) for name in CELLS)
    writer.writerows(cells_of(rung).values() for rung in comparisons)
    with atomic_write(path) as file:
        file.write(text.getvalue().encode())


def _columns(comparisons: Sequence[RungComparison], terms: LadderTerms) -> dict[str, list[str]]:
    """Return heading → cells, one per rung."""
    cells = [cells_of(rung) for rung in comparisons]
    costs = {
        "params M": [of["parameters_millions"] for of in cells],
        "train s": [of["train_seconds"] for of in cells],
        "images/s": [of["images_per_second"] for of in cells],
    }
    return {
        terms.row: [rung.rung for rung in comparisons],
        f"{terms.value} %" if terms.measure.is_share else terms.value: [
            _with_interval(of[VALUE], value_interval(rung)) for of, rung in zip(cells, comparisons, strict=True)
        ],
        "difference": [_with_interval(difference_text(rung), difference_interval(rung)) for rung in comparisons],
        "p (Holm)": [of["p_holm"] for of in cells],
        "runs": [of["runs"] for of in cells],
        **{heading: column for heading, column in costs.items() if any(column) or terms.measure.is_share},
    }


def _with_interval(value: str, interval: str) -> str:
    return f"{value} ({interval})" if interval else value


def _joined(cells: Sequence[str], columns: Columns) -> str:
    widths = [column_width(heading, column) for heading, column in columns.items()]
    first, *others = (
        cell.ljust(width) if index == 0 else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return (" " * GAP).join([first, *others])


def _lines_below(rung: RungComparison) -> list[tuple[str, str]]:
    """Return the lines below the numbers of a rung, each with its terminal style."""
    tested = f" ({rung.test})" if rung.test else ""
    lines = [(rung.verdict + tested, STYLES[rung.finding])]
    if rung.parent is not None:
        lines.append((f"from {rung.parent}" + (f": {rung.change}" if rung.change else ""), "dim"))
    if rung.reduced is not None:
        lines.append((cells_of(rung)["budget"], "magenta"))
    if rung.seeds and rung.status != "complete":
        lines.append((rung.status, "yellow"))
    return lines


def _remarks(comparisons: Sequence[RungComparison], left_out: Sequence[str], terms: LadderTerms) -> list[str]:
    counts = sorted({rung.images for rung in comparisons if rung.images is not None})
    kind = terms.value.partition(" ")[0]
    on = f" on {' or '.join(f'{count:,}' for count in counts)} {kind} images" if counts else ""
    shown = f"Accuracy in percent{on} with 95 % interval, difference in points"
    if not terms.measure.is_share:
        better = "higher" if terms.measure.maximize else "lower"
        shown = f"{terms.value} after the last epoch with 95 % interval over the seeds ({better} is better), difference"
    remarks = [f"{shown}, p adjusted for the number of comparisons."]
    if any(rung.difference_low is not None for rung in comparisons):
        remarks.append(INTERVAL_NOTE)
    if any(rung.test and rung.test.startswith("McNemar") for rung in comparisons):
        remarks.append(
            f"One run each compares two runs, not two recipes. To compare recipes, train {MIN_RECIPE_SEEDS} or more "
            f"seeds of both {terms.row}s."
        )
    cut = sorted({rung.reduced for rung in comparisons if rung.reduced is not None})
    if cut:
        remarks.append(f"Reduced budget ({'; '.join(cut)}): these are not results of the full {terms.kind}.")
    if left_out:
        remarks.append(f"columns that do not fit: {', '.join(left_out)} (the CSV file and the report have all columns)")
    return remarks
