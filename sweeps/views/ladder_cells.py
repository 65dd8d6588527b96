"""Format the numbers of a ladder in one place, so that terminal, CSV, report and figure agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sweeps.analysis.comparison import RungComparison
from sweeps.core.formatting import metric_cell, p_value
from sweeps.core.measure import Measure


def cells_of(rung: RungComparison) -> dict[str, str]:
    """Return all values as text; empty without a value."""
    return {name: cell(rung) for name, cell in CELLS.items()}


def value_interval(rung: RungComparison) -> str:
    """Return `65.17–67.02`, accuracies in percent; empty without an interval."""
    if rung.ci_low is None or rung.ci_high is None:
        return ""
    low, high = (metric_cell(rung.metric, end) for end in (rung.ci_low, rung.ci_high))
    return f"{low}–{high}" if rung.measure.is_share else f"{low} to {high}"


def difference_text(rung: RungComparison) -> str:
    """Return `+2.20`, of accuracies in points, or `+0.70, -4.02` for each common seed without a test."""
    return ", ".join(map(rung.measure.signed, rung.by_seed)) or _format(rung.difference, rung.measure.signed)


def difference_interval(rung: RungComparison) -> str:
    """Return `+1.30 to +3.10`, of accuracies in points; empty without an interval."""
    if rung.difference_low is None or rung.difference_high is None:
        return ""
    return f"{rung.measure.signed(rung.difference_low)} to {rung.measure.signed(rung.difference_high)}"


def _format(value: float | None, pattern: Callable[[float], str]) -> str:
    return "" if value is None else pattern(value)


VALUE = "value"
"""Cell that the CSV file names `test_accuracy_percent`, `val_accuracy_percent`, or by the metric of a training."""
_OF_SHARES = {"ci_low": "ci_low_percent", "ci_high": "ci_high_percent", "difference": "difference_points"}
"""Names of cells in the CSV file with the unit of accuracies."""


def csv_name(cell: str, measure: Measure) -> str:
    """Return the name of a cell in the CSV file."""
    if cell == VALUE:
        return f"{measure.name}_percent" if measure.is_share else measure.name
    return _OF_SHARES.get(cell, cell) if measure.is_share else cell


CELLS: Mapping[str, Callable[[RungComparison], str]] = {
    "rung": lambda rung: rung.rung,
    "from": lambda rung: rung.parent or "",
    "change": lambda rung: rung.change,
    "budget": lambda rung: "full" if rung.reduced is None else f"reduced: {rung.reduced}",
    "status": lambda rung: rung.status,
    "runs": lambda rung: str(rung.seeds),
    VALUE: lambda rung: metric_cell(rung.metric, rung.value),
    "ci_low": lambda rung: metric_cell(rung.metric, rung.ci_low),
    "ci_high": lambda rung: metric_cell(rung.metric, rung.ci_high),
    "interval": lambda rung: rung.ci_kind,
    "difference": lambda rung: _format(rung.difference, rung.measure.signed),
    "difference_low": lambda rung: _format(rung.difference_low, rung.measure.signed),
    "difference_high": lambda rung: _format(rung.difference_high, rung.measure.signed),
    "differences_by_seed": lambda rung: ", ".join(map(rung.measure.signed, rung.by_seed)),
    "p_value": lambda rung: _format(rung.p_value, p_value),
    "p_holm": lambda rung: _format(rung.p_holm, p_value),
    "test": lambda rung: rung.test or "",
    "verdict": lambda rung: rung.verdict,
    "parameters_millions": lambda rung: _format(rung.parameters_millions, "{:.3f}".format),
    "train_seconds": lambda rung: _format(rung.train_seconds, "{:.0f}".format),
    "images_per_second": lambda rung: _format(rung.images_per_second, "{:.0f}".format),
}
"""Columns of `ladder.csv` in order, each with its formatter; see `csv_name`."""
