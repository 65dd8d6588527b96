"""Charts of two parameters: a smooth estimate over two numeric ones, or a heat map of means."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, pairwise

from sweeps.core.formatting import plural
from sweeps.views.html.content import Content, VaryingParameter, mark_of
from sweeps.views.html.figure import HEAT, Row, brush, fade, figure, layer, listed, numeric

COLUMNS, ROWS = 42, 28
MIN_VALUES = 4
"""Distinct values that a numeric parameter needs for a smooth estimate."""
MIN_TRIALS = 8
"""Trials that a smooth estimate needs."""
REACH = 1.5
"""The estimate is drawn within this many bandwidths of a trial."""
BINS = 4


def surfaces(content: Content) -> str:
    """Return a smooth estimate over the first two numeric parameters, and a heat map of the first other pair."""
    numbers = [v for v in content.varying if v.is_numeric and len(set(v.values.values())) >= MIN_VALUES]
    pairs = combinations(content.varying, 2)
    first = next((pair for pair in pairs if not (pair[0].is_numeric and pair[1].is_numeric)), None)
    shown = [
        _contour(content, numbers[0], numbers[1]) if len(numbers) > 1 else "",
        _heat_map(content, *first) if first is not None else "",
    ]
    return f'<h3>Pairs of parameters</h3><div class="charts">{"".join(shown)}</div>' if any(shown) else ""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The weighted mean of the trials around each point.

    Sources: Nadaraya, Theory of Probability and its Applications 9 (1964) 141-142; for the bandwidths Scott,
    Multivariate Density Estimation (1992).
    """

    trials: list[Row]
    cells: list[Row]
    """Cells near a trial."""
    bandwidths: tuple[float, float]
    """As shares of the axes."""


def estimate_of(content: Content, across: VaryingParameter, up: VaryingParameter) -> Estimate | None:
    """Return the estimate over two numeric parameters; None if too few trials have both and a result."""
    import numpy as np

    values = content.shared_values
    both = [r for r in content.trials if r.number in values and r.number in across.values and r.number in up.values]
    if len(both) < MIN_TRIALS:
        return None
    given = [(float(across.values[record.number]), float(up.values[record.number])) for record in both]
    points = np.array([(across.share(x), up.share(y)) for x, y in given])
    results = np.array([values[record.number] for record in both])
    widths = np.maximum(points.std(axis=0, ddof=1) * len(points) ** (-1 / 6), 0.05)

    def smooth(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        squared = (((at[:, None, :] - points[None, :, :]) / widths) ** 2).sum(axis=2)
        weights = np.exp(-squared / 2)
        return (weights * results).sum(axis=1) / np.maximum(weights.sum(axis=1), 1e-300), squared.min(
            axis=1
        ) <= REACH**2

    corners = [(x / COLUMNS, y / ROWS) for y in range(ROWS) for x in range(COLUMNS)]
    tried, _ = smooth(points)
    means, is_near = smooth(np.array(corners) + np.array((0.5 / COLUMNS, 0.5 / ROWS)))
    trials = [
        {
            "t": mark_of(r),
            "trial": r.trial,
            "number": r.number,
            "x": x,
            "y": y,
            "value": values[r.number],
            "estimate": mean,
        }
        for r, (x, y), mean in zip(both, given, tried.tolist(), strict=True)
    ]
    cells = [
        {"x": across.at(x), "x2": across.at(x + 1 / COLUMNS), "y": up.at(y), "y2": up.at(y + 1 / ROWS), "estimate": z}
        for (x, y), z, near in zip(corners, means.tolist(), is_near.tolist(), strict=True)
        if near
    ]
    return Estimate(trials=trials, cells=cells, bandwidths=(float(widths[0]), float(widths[1])))


def _contour(content: Content, across: VaryingParameter, up: VaryingParameter) -> str:
    found = estimate_of(content, across, up)
    if found is None:
        return ""
    x, y = (
        numeric(
            name, each.label, ends=each.ends, log=each.is_log,
            **({"values": sorted(set(map(float, each.values.values())))} if each.is_categorical else {}),
        )
        for name, each in (("x", across), ("y", up))
    )  # fmt: skip
    ends = [end(cell["estimate"] for cell in found.cells) for end in (min, max)]
    colour = {
        "field": "estimate", "type": "quantitative", "scale": {"type": "quantize", "domain": ends, "range": HEAT},
        "legend": {"title": content.metric_label, "format": ".3~g", "gradientLength": 260},
    }  # fmt: skip
    dot = {"type": "circle", "fill": "var(--paper)", "stroke": "var(--ink)", "strokeWidth": 1.3, "size": 34}
    best = (max if content.maximize else min)(found.trials, key=lambda row: row["estimate"])
    where = " and ".join(f"{each.name} {each.text(best['number'])}" for each in (across, up))
    return figure(
        f"Estimated {content.metric} over {across.name} and {up.name}",
        f"Among the tried values, the estimate is best at {where}, with {content.format_value(best['estimate'])}.",
        layer("cells", {"type": "rect"}, x=x, y=y, x2={"field": "x2"}, y2={"field": "y2"}, fill=colour),
        layer("trials", dot, brush("x", "y"), x=x, y=y, opacity=fade()),
        height=260,
        rows={"trials": found.trials, "cells": found.cells},
        columns={
            "trial": "trial",
            "x": across.path,
            "y": up.path,
            "value": content.metric_label,
            "estimate": "estimate",
        },
        notes=[
            f"Gaussian-weighted mean of the {len(found.trials)} trials around each point (Nadaraya and Watson; "
            f"bandwidths {found.bandwidths[0]:.2f} and {found.bandwidths[1]:.2f} of the axes by Scott's rule), drawn "
            f"within {REACH} bandwidths of a trial. Other parameters vary too."
        ],
        heading=f"{across.path} × {up.path}",
    )


def cells_of(content: Content, across: VaryingParameter, up: VaryingParameter) -> list[Row]:
    """Return the mean and the number of trials of each pair of values or ranges."""
    values = content.shared_values
    (_, columns), (_, rows) = _bins(across, values), _bins(up, values)
    cells: dict[tuple[str, str], list[float]] = {}
    for number, value in values.items():
        if number in columns and number in rows:
            cells.setdefault((columns[number], rows[number]), []).append(value)
    return [
        {"x": x, "y": y, "mean": statistics.fmean(group), "n": len(group), "label": f"n {len(group)}"}
        for (x, y), group in cells.items()
    ]


def _heat_map(content: Content, first: VaryingParameter, second: VaryingParameter) -> str:
    across, up = (first, second) if not first.is_numeric else (second, first)
    cells = cells_of(content, across, up)
    if len(cells) < 2:
        return ""
    low, high = (end(cell["mean"] for cell in cells) for end in (min, max))
    x, y = (
        listed(name, each.label, names=_bins(each, content.shared_values)[0], grid=False)
        for name, each in (("x", across), ("y", up))
    )
    scale = {"type": "quantize", "domain": [low, high], "range": HEAT}
    colour = {"field": "mean", "type": "quantitative", "scale": scale, "legend": None}
    # The upper three of seven shades need the other text colour.
    dark = {"test": f"datum.mean > {low + 4 / 7 * (high - low)}", "value": "var(--over)"}
    labels = {"x": x, "y": y, "color": {"condition": dark, "value": "var(--under)"}}
    best = (max if content.maximize else min)(cells, key=lambda cell: cell["mean"])
    return figure(
        f"Mean {content.metric} by {across.name} and {up.name}",
        f"The {'highest' if content.maximize else 'lowest'} mean is that of {best['x']} with {best['y']}: "
        f"{content.format_value(best['mean'])} over {plural(best['n'], 'trial')}.",
        layer("cells", {"type": "rect"}, x=x, y=y, fill=colour),
        layer("cells", {"type": "text", "dy": -6}, text={"field": "mean", "format": ".3~g"}, **labels),
        layer("cells", {"type": "text", "dy": 8, "fontSize": 10}, text={"field": "label"}, **labels),
        height=40 * len(y["sort"]),
        rows={"cells": cells},
        columns={"x": across.path, "y": up.path, "mean": f"mean {content.metric_label}", "n": "trials"},
        notes=[
            "Each cell shows the mean and the number of trials. Cells without a trial are empty. Other parameters vary "
            "too, and a sampler tries good cells more often."
        ],
        heading=f"{across.path} × {up.path}",
    )


def _bins(varying: VaryingParameter, values: Mapping[int, float]) -> tuple[list[str], dict[int, str]]:
    """Return the labels of a parameter's values or ranges in order, and trial number → label."""
    found = {number: varying.values[number] for number in values if number in varying.values}
    if varying.is_categorical:
        names = {number: varying.text(number) for number in found}
        return [level for level in varying.levels if level in names.values()], names
    cuts = statistics.quantiles(map(float, found.values()), n=BINS)
    ends = [min(found.values()), *cuts, max(found.values())]
    quarters = [f"{low:.2g}–{high:.2g}" for low, high in pairwise(ends)]
    return quarters, {number: quarters[sum(value > cut for cut in cuts)] for number, value in found.items()}
