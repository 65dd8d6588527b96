"""All files of a ladder in one folder: its table as CSV, and its pictures. Its page is `sweeps report`'s."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cifar_core.common.files import atomic_write
from sweeps.analysis.comparison import RungComparison
from sweeps.analysis.rungs import RungRuns
from sweeps.views.ladder_plots import curves_figure, ladder_figure, png_bytes
from sweeps.views.ladder_table import to_csv

CSV, LADDER, CURVES = "ladder.csv", "ladder.png", "curves.png"


def write_ladder(comparisons: Sequence[RungComparison], rungs: Sequence[RungRuns], *, folder: Path) -> tuple[Path, ...]:
    """Write `ladder.csv`, `ladder.png` and `curves.png`, each whole or not at all; return their paths.

    Args:
        comparisons: what the table and the first picture show.
        rungs: whose curves the second picture shows.
        folder: created where it is not there.
    """
    pictures = ((LADDER, png_bytes(ladder_figure(comparisons))), (CURVES, png_bytes(curves_figure(rungs))))
    to_csv(comparisons, folder / CSV)
    for name, content in pictures:
        with atomic_write(folder / name) as file:
            file.write(content)
    return tuple(folder / name for name in (CSV, LADDER, CURVES))
