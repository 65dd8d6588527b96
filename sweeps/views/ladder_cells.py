"""Format the numbers of a ladder in one place, so that terminal, CSV, report and figure agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sweeps.analysis.comparison import RungComparison
from sweeps.core.formatting import p_value, percent, points


def cells_of(rung: RungComparison) -> dict[str, str]:
    """Return all values as text; empty without a value."""
    return {name: cell(rung) for name, cell in CELLS.items()}


def accuracy_interval(rung: RungComparison) -> str:
    """Return `65.17–67.02`, in percent; empty without an interval."""
    return f"{percent(rung.ci_low)}–{percent(rung.ci_high)}" if rung.ci_low is not None else ""


def difference_text(rung: RungComparison) -> str:
    """Return `+2.20`, in points, or `+0.70, -4.02` for each common seed without a test."""
    return ", ".join(map(points, rung.by_seed)) or _format(rung.difference, points)


def difference_interval(rung: RungComparison) -> str:
    """Return `+1.30 to +3.10`, in points; empty without an interval."""
    if rung.difference_low is None or rung.difference_high is None:
        return ""
    return f"{points(rung.difference_low)} to {points(rung.difference_high)}"


def _format(value: float | None, pattern: Callable[[float], str]) -> str:
    return "" if value is None else pattern(value)


ACCURACY = "accuracy_percent"
"""Cell that the CSV file names `test_accuracy_percent` or `val_accuracy_percent`, because no column holds both."""

CELLS: Mapping[str, Callable[[RungComparison], str]] = {
    "rung": lambda rung: rung.rung,
    "from": lambda rung: rung.parent or "",
    "change": lambda rung: rung.change,
    "budget": lambda rung: "full" if rung.reduced is None else f"reduced: {rung.reduced}",
    "status": lambda rung: rung.status,
    "runs": lambda rung: str(rung.seeds),
    ACCURACY: lambda rung: _format(rung.accuracy, percent),
    "ci_low_percent": lambda rung: _format(rung.ci_low, percent),
    "ci_high_percent": lambda rung: _format(rung.ci_high, percent),
    "interval": lambda rung: rung.ci_kind,
    "difference_points": lambda rung: _format(rung.difference, points),
    "difference_low": lambda rung: _format(rung.difference_low, points),
    "difference_high": lambda rung: _format(rung.difference_high, points),
    "differences_by_seed": lambda rung: ", ".join(map(points, rung.by_seed)),
    "p_value": lambda rung: _format(rung.p_value, p_value),
    "p_holm": lambda rung: _format(rung.p_holm, p_value),
    "test": lambda rung: rung.test or "",
    "verdict": lambda rung: rung.verdict,
    "parameters_millions": lambda rung: _format(rung.parameters_millions, "{:.3f}".format),
    "train_seconds": lambda rung: _format(rung.train_seconds, "{:.0f}".format),
    "images_per_second": lambda rung: _format(rung.images_per_second, "{:.0f}".format),
}
"""Columns of `ladder.csv` in order, each with its formatter; see `ACCURACY`."""
