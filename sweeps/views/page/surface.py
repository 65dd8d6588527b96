"""Two parameters together: a smooth estimate over two numeric ones, or the mean in each cell of a heat map."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise

from sweeps.formatting import plural, truncated
from sweeps.views.page.content import Content, Varied, mark_of
from sweeps.views.page.scale import categories, plain
from sweeps.views.page.svg import Chart, figure, num, shape, text
from sweeps.views.page.text import safe

COLUMNS, ROWS = 42, 28
BANDS = 7
DISTINCT = 4
"""Values of a numeric parameter that an estimate between them takes at the least."""
LEAST = 8
"""Trials that an estimate of two numeric parameters takes at the least."""
REACH = 1.5
"""Bandwidths within which a trial must lie for the estimate to be drawn there."""
BINS = 4


def surfaces(content: Content, values: Mapping[int, float]) -> str:
    """Return a smooth estimate over the first two numeric parameters, and a heat map with the first that is not one.

    Args:
        content: of the page; its parameters come in the order of their importance.
        values: the metric by the trial's number.
    """
    numeric = [v for v in content.varied if v.is_numeric and len(set(v.values.values())) >= DISTINCT]
    pairs: list[str] = []
    first = next(
        (pair for pair in combinations(content.varied, 2) if not (pair[0].is_numeric and pair[1].is_numeric)), None
    )
    if len(numeric) > 1:
        pairs.append(_contour(content, numeric[0], numeric[1], values))
    if first is not None:
        pairs.append(_heat_map(content, *first, values))
    return f'<h3>Two parameters together</h3><div class="charts">{"".join(pairs)}</div>' if any(pairs) else ""


def _contour(content: Content, across: Varied, up: Varied, values: Mapping[int, float]) -> str:
    both = [number for number in values if number in across.values and number in up.values]
    if len(both) < LEAST:
        return ""
    points = [(across.scale.place(_at(across, n)), up.scale.place(_at(up, n)), values[n]) for n in both]
    widths = _bandwidths(points)
    cells = [((x + 0.5) / COLUMNS, (y + 0.5) / ROWS) for y in range(ROWS) for x in range(COLUMNS)]
    drawn = _smooth(points, widths, at=cells)
    estimate = [drawn[row * COLUMNS : (row + 1) * COLUMNS] for row in range(ROWS)]
    seen = [value for row in estimate for value in row if value is not None]
    low, high = min(seen), max(seen)
    chart = Chart(x=across.scale, y=up.scale, x_label=_label(across), y_label=_label(up), grid=False, left=54)
    cell_x = (chart.width - chart.left - chart.right) / COLUMNS
    cell_y = (chart.height - chart.top - chart.bottom) / ROWS
    for place, row in enumerate(estimate):
        y = chart.height - chart.bottom - (place + 1) * cell_y
        for begin, end, band in _stretches(row, low=low, high=high):
            x = chart.left + begin * cell_x
            chart.add(
                f'<rect class="h{band}" x="{num(x)}" y="{num(y)}" width="{num((end - begin) * cell_x + 0.4)}" '
                f'height="{num(cell_y + 0.4)}"/>'
            )
    records = {record.number: record for record in content.trials}
    for number in both:
        x, y = chart.at(_at(across, number), _at(up, number))
        chart.add(shape("dot", x, y, trial=mark_of(records[number]), tip=content.tip(records[number]), kind="on-map"))
    # Of what was tried: between two values of a list there is none.
    tried = dict(zip(both, _smooth(points, widths, at=[point[:2] for point in points]), strict=True))
    best = (max if content.maximize else min)(tried, key=lambda number: tried[number] or 0.0)
    where = f"{across.name} {across.text(best)} and {up.name} {up.text(best)}"
    says = f"Of what was tried the estimate is best at {where}, with {content.in_words(tried[best] or 0.0)}."
    steps = [low + (high - low) * k / BANDS for k in range(BANDS + 1)]
    key = "".join(
        f'<li><span class="swatch b{band}"></span>{content.in_words(steps[band])}</li>' for band in range(BANDS)
    )
    caption = (
        f'<h4>{safe(across.path)} × {safe(up.path)}</h4><p>{safe(says)}</p><ul class="legend" aria-label="Bands, from">'
        f"{key}</ul><p>A Gaussian-weighted mean of the {len(both)} trials around each point (Nadaraya and Watson; "
        f"bandwidth {widths[0]:.2f} and {widths[1]:.2f} of the axes, Scott's rule), drawn only where a trial lies "
        f"within {REACH} bandwidths. It says nothing of the other parameters, which vary too.</p>"
    )
    return figure(
        chart.render(label=f"Estimated {content.metric} over {across.name} and {up.name}. {says}"), caption=caption
    )


def _bandwidths(points: Sequence[tuple[float, float, float]]) -> tuple[float, float]:
    """Return the two bandwidths as shares of the axes. Source: Scott, Multivariate Density Estimation (1992)."""
    import numpy as np

    spread = np.array(points)[:, :2].std(axis=0, ddof=1)
    across, up = np.maximum(spread * len(points) ** (-1 / 6), 0.05)
    return float(across), float(up)


def _smooth(
    points: Sequence[tuple[float, float, float]], widths: tuple[float, float], *, at: Sequence[tuple[float, float]]
) -> list[float | None]:
    """Return the weighted mean at each place; None where no trial is near.

    Source: Nadaraya, Theory of Probability and its Applications 9 (1964) 141-142.
    """
    import numpy as np

    found = np.array(points)
    squared = (((np.array(at)[:, None, :] - found[None, :, :2]) / widths) ** 2).sum(axis=2)
    weights = np.exp(-squared / 2)
    means = (weights * found[:, 2]).sum(axis=1) / np.maximum(weights.sum(axis=1), 1e-300)
    is_near = squared.min(axis=1) <= REACH**2
    return [float(mean) if near else None for mean, near in zip(means, is_near, strict=True)]


def _stretches(row: Sequence[float | None], *, low: float, high: float) -> list[tuple[int, int, int]]:
    """Return where cells of one band begin and end."""
    found: list[tuple[int, int, int]] = []
    for place, value in enumerate(row):
        if value is None:
            continue
        band = _band(value, low=low, high=high)
        if found and found[-1][1] == place and found[-1][2] == band:
            found[-1] = (found[-1][0], place + 1, band)
        else:
            found.append((place, place + 1, band))
    return found


def _heat_map(content: Content, first: Varied, second: Varied, values: Mapping[int, float]) -> str:
    across, up = (first, second) if not first.is_numeric else (second, first)
    columns, rows = _bins(across, values), _bins(up, values)
    cells: dict[tuple[int, int], list[float]] = {}
    for number, value in values.items():
        if number in columns[1] and number in rows[1]:
            cells.setdefault((columns[1][number], rows[1][number]), []).append(value)
    if len(cells) < 2:
        return ""
    means = {cell: statistics.fmean(group) for cell, group in cells.items()}
    low, high = min(means.values()), max(means.values())
    chart = Chart(
        x=categories([truncated(name, 14) for name in columns[0]]),
        y=categories([truncated(name, 13) for name in rows[0]]),
        x_label=across.name,
        y_label=up.name,
        grid=False,
        left=96,
        height=max(150, 70 + 38 * len(rows[0])),
    )
    for (x, y), mean in means.items():
        (left, bottom), (right, top) = chart.at(x - 0.47, y - 0.47), chart.at(x + 0.47, y + 0.47)
        band, many = _band(mean, low=low, high=high), len(cells[x, y])
        chart.add(
            f'<rect class="h{band}" x="{num(left)}" y="{num(top)}" width="{num(right - left)}" '
            f'height="{num(bottom - top)}"><title>{safe(columns[0][x])}, {safe(rows[0][y])}: '
            f"{safe(content.in_words(mean))} of {many}</title></rect>"
        )
        middle, level = chart.at(x, y)
        kind = "over" if band > BANDS // 2 else "under"
        chart.add(text(f"{mean:.1f}" if mean >= 10 else f"{mean:.3g}", middle, level + 1, anchor="middle", kind=kind))
        chart.add(text(f"n {many}", middle, level + 13, anchor="middle", kind=f"{kind} tiny"))
    best = (max if content.maximize else min)(means, key=lambda cell: means[cell])
    says = (
        f"The {'highest' if content.maximize else 'lowest'} mean is that of {columns[0][best[0]]} with "
        f"{rows[0][best[1]]}: {content.in_words(means[best])} of {plural(len(cells[best]), 'trial')}."
    )
    caption = (
        f"<h4>{safe(across.path)} × {safe(up.path)}</h4><p>{safe(says)}</p><p>The mean of each cell, with the number "
        "of trials beneath it; a cell without a trial is empty. The other parameters vary too, and a sampler tries the "
        "good cells more often.</p>"
    )
    return figure(chart.render(label=f"Mean {content.metric} by {across.name} and {up.name}. {says}"), caption=caption)


def _bins(varied: Varied, values: Mapping[int, float]) -> tuple[list[str], dict[int, int]]:
    """Return the names of a parameter's values, or of its quarters where there are many, and each trial's place."""
    numbers = [number for number in values if number in varied.values]
    if not varied.is_numeric:
        names = [level for level in varied.levels if any(varied.text(n) == level for n in numbers)]
        return names, {number: names.index(varied.text(number)) for number in numbers}
    distinct = sorted({_at(varied, number) for number in numbers})
    if len(distinct) <= BINS + 2:
        return [plain(value) for value in distinct], {n: distinct.index(_at(varied, n)) for n in numbers}
    cuts = statistics.quantiles([_at(varied, number) for number in numbers], n=BINS)
    ends = [distinct[0], *cuts, distinct[-1]]
    names = [f"{low:.2g}–{high:.2g}" for low, high in pairwise(ends)]
    return names, {number: sum(_at(varied, number) > cut for cut in cuts) for number in numbers}


def _at(varied: Varied, number: int) -> float:
    place = varied.place(number)
    assert place is not None
    return place


def _band(value: float, *, low: float, high: float) -> int:
    return 0 if high <= low else min(BANDS - 1, int(BANDS * (value - low) / (high - low)))


def _label(varied: Varied) -> str:
    return varied.name + (" (logarithmic)" if varied.scale.log else "")
