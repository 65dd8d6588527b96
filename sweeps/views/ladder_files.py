"""Write the table of a ladder as CSV and its figures into a folder. `sweeps report` writes its HTML report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cifar_core.common.files import atomic_write
from sweeps.analysis.comparison import RungComparison
from sweeps.analysis.rungs import RungRuns
from sweeps.views.ladder_plots import curves_figure, figure_bytes, ladder_figure
from sweeps.views.ladder_table import to_csv

CSV, LADDER, CURVES = "ladder.csv", "ladder.png", "curves.png"


def write_ladder(comparisons: Sequence[RungComparison], rungs: Sequence[RungRuns], *, folder: Path) -> tuple[Path, ...]:
    """Write `ladder.csv`, `ladder.png` and `curves.png`, each atomically; return their paths.

    Args:
        comparisons: content of the table and the first figure.
        rungs: content of the second figure.
        folder: created if missing.
    """
    pictures = ((LADDER, figure_bytes(ladder_figure(comparisons))), (CURVES, figure_bytes(curves_figure(rungs))))
    to_csv(comparisons, folder / CSV)
    for name, content in pictures:
        with atomic_write(folder / name) as file:
            file.write(content)
    return tuple(folder / name for name in (CSV, LADDER, CURVES))
