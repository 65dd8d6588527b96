"""One parameter at a time: the metric of all trials against each value, at an epoch that nearly all reached."""

from __future__ import annotations

import statistics

from sweeps.views.page.content import Content, Varied, mark_of
from sweeps.views.page.scale import plain
from sweeps.views.page.surface import surfaces
from sweeps.views.page.svg import SHAPES, Chart, figure, outcome_legend, shape
from sweeps.views.page.text import safe

SHOWN = 12
"""Parameters, the first ones."""
MEDIANS = 8
"""Values of a numeric parameter up to which each has its median."""
CROWDED, SPREAD = 60, 18.0
"""Trials from which on those of one value are drawn side by side, within so many pixels."""


_ASIDE = " Trials of one value are drawn side by side."


def slices_section(content: Content) -> str:
    """Return a chart a parameter, then what two of them do together."""
    epoch = content.shared_epoch
    values = {
        record.number: value for record in content.trials if (value := content.at_epoch(record, epoch)) is not None
    }
    if len(values) < 2 or not content.varied:
        return "<p>There is nothing to compare: it takes two trials with a result, and a parameter that differs.</p>"
    order = (
        "in the order of their importance"
        if content.effects is not None and content.effects.parameters
        else "in the order of the file"
    )
    left_out = len(content.varied) - SHOWN
    intro = (
        f"All charts show {safe(content.metric)} after epoch {epoch}, which {len(values)} of {len(content.trials)} "
        f"trials reached: a later epoch would compare those that were stopped with those that went on. "
        f"Parameters are {order}." + (f" {left_out} more are left out." if left_out > 0 else "")
    )
    keys = outcome_legend({record.outcome for record in content.trials if record.number in values})
    charts = "".join(_slice(content, varied, values) for varied in content.varied[:SHOWN])
    return f'<p>{intro}</p>{keys}<div class="charts small">{charts}</div>{surfaces(content, values)}'


def _slice(content: Content, varied: Varied, values: dict[int, float]) -> str:
    shown = [record for record in content.trials if record.number in values and record.number in varied.values]
    if not shown:
        return ""
    label = varied.name + (" (logarithmic)" if varied.is_numeric and varied.scale.log else "")
    chart = Chart(
        x=varied.scale,
        y=content.axis(values.values()),
        x_label=label,
        y_label=content.metric_label,
        height=230,
        width=340,
    )
    groups: dict[float, list[float]] = {}
    is_crowded = _is_grouped(varied) and len(shown) > CROWDED
    for record in shown:
        place = varied.place(record.number)
        assert place is not None
        groups.setdefault(place, []).append(values[record.number])
        tip = content.tip(record, more=f"{varied.name} {varied.text(record.number)}")
        x, y = chart.at(place, values[record.number])
        aside = SPREAD * (record.number * 0.618 % 1 - 0.5) if is_crowded else 0.0
        chart.add(shape(SHAPES[record.outcome], x + aside, y, trial=mark_of(record), tip=tip))
    says = _finding(content, varied, groups)
    if _is_grouped(varied):
        for place, group in groups.items():
            x, y = chart.at(place, statistics.median(group))
            chart.add(f'<path class="line median" d="M{x - 11:.1f} {y:.1f}h22"/>')
    return figure(
        chart.render(label=f"{content.metric} against {varied.name}. {says}"),
        caption=f"<h3>{safe(varied.path)}</h3><p>{safe(says)}{_ASIDE if is_crowded else ''}</p>",
    )


def _is_grouped(varied: Varied) -> bool:
    """Return whether there are few enough values for a median of each to say something."""
    return not varied.is_numeric or len({float(value) for value in varied.values.values()}) <= MEDIANS


def _finding(content: Content, varied: Varied, groups: dict[float, list[float]]) -> str:
    if _is_grouped(varied):
        medians = {place: statistics.median(group) for place, group in groups.items()}
        best = (max if content.maximize else min)(medians, key=lambda place: medians[place])
        name = varied.levels[int(best)] if not varied.is_numeric else plain(best)
        trials = len(groups[best])
        return (
            f"Best median: {name}, {content.in_words(medians[best])} of {trials} trial{'s' if trials > 1 else ''} "
            "(the bar at each value is its median)."
        )
    pairs = sorted((value, place) for place, group in groups.items() for value in group)
    quarter = max(2, len(pairs) // 4)
    best_places = sorted(place for _, place in (pairs[-quarter:] if content.maximize else pairs[:quarter]))
    return f"The best {quarter} trials lie between {best_places[0]:.3g} and {best_places[-1]:.3g}."
