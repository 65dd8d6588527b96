"""Slices: the metric of the trials against one parameter at a time, at the shared epoch."""

from __future__ import annotations

import statistics
from typing import Any

from sweeps.core.formatting import plural
from sweeps.views.html.content import Content, VaryingParameter, format_number, mark_of
from sweeps.views.html.figure import (
    Row,
    brush,
    by_outcome,
    fade,
    figure,
    layer,
    listed,
    numeric,
    zoom,
)
from sweeps.views.html.surface import surfaces
from sweeps.views.html.text import safe

MAX_PARAMETERS = 12
CROWDED = 60
"""With more trials than this, those with the same value are drawn side by side."""
NOTHING_TO_COMPARE = (
    "<p>Nothing can be compared yet. That needs two trials with a result and a parameter with different values.</p>"
)


def slices_section(content: Content) -> str:
    """Return one chart per parameter, and charts of two parameters."""
    values = content.shared_values
    if len(values) < 2 or not content.varying:
        return NOTHING_TO_COMPARE
    by_importance = content.effects is not None and content.effects.parameters
    left_out = len(content.varying) - MAX_PARAMETERS
    intro = (
        f"All charts show {content.metric} after epoch {content.shared_epoch}, which {len(values)} of "
        f"{len(content.trials)} trials reached. Later epochs have fewer trials, selected by early stopping. Parameters "
        f"are in the order of {'their importance' if by_importance else 'the file'}."
        + (f" {left_out} more {'is' if left_out == 1 else 'are'} not shown." if left_out > 0 else "")
    )
    charts = "".join(_slice(content, parameter) for parameter in content.varying[:MAX_PARAMETERS])
    return f'<p>{safe(intro)}</p><div class="charts small">{charts}</div>{surfaces(content)}'


def slice_of(content: Content, varying: VaryingParameter) -> list[Row]:
    """Return value and result of each trial that has the parameter and reached the shared epoch."""
    values = content.shared_values
    return [
        {
            "t": mark_of(record), "trial": record.trial, "outcome": record.outcome.value,
            "at": varying.text(record.number) if varying.is_categorical else float(varying.values[record.number]),
            "value": values[record.number], "aside": record.number * 0.618 % 1,
        }
        for record in content.trials
        if record.number in values and record.number in varying.values
    ]  # fmt: skip


def _slice(content: Content, varying: VaryingParameter) -> str:
    rows = slice_of(content, varying)
    if len({row["at"] for row in rows}) < 2:
        return ""
    y = numeric("value", content.metric_label, ends=content.domain(row["value"] for row in rows))
    marks: dict[str, Any] = {"y": y, "opacity": fade(), **by_outcome(rows)}
    params, layers, notes = [brush("x", "y")], [], []
    if varying.is_categorical:
        tried = {row["at"] for row in rows}
        x = listed("at", varying.label, names=[level for level in varying.levels if level in tried])
        median = {"field": "value", "type": "quantitative", "aggregate": "median"}
        layers = [layer("slice", {"type": "tick", "size": 24}, x=x, y=median)]
        if len(rows) > CROWDED:
            marks["xOffset"] = {"field": "aside", "type": "quantitative", "scale": {"domain": [-0.5, 1.5]}}
            notes = ["Trials with the same value are drawn side by side."]
    else:
        x, params = numeric("at", varying.label, log=varying.is_log), [*params, zoom("x", "y")]
    return figure(
        f"{content.metric} against {varying.name}",
        finding(content, varying, rows),
        layer("slice", {"type": "point", "size": 40}, *params, x=x, **marks),
        *layers,
        height=180,
        rows={"slice": rows},
        columns={"trial": "trial", "at": varying.path, "value": content.metric_label, "outcome": "outcome"},
        notes=notes,
        heading=varying.path,
    )


def finding(content: Content, varying: VaryingParameter, rows: list[Row]) -> str:
    """Return the value with the best median, or the range of the best quarter of the trials, as a sentence."""
    if varying.is_categorical:
        groups: dict[str, list[float]] = {}
        for row in rows:
            groups.setdefault(row["at"], []).append(row["value"])
        medians = {level: statistics.median(group) for level, group in groups.items()}
        best = (max if content.maximize else min)(medians, key=lambda level: medians[level])
        return (
            f"Best median: {best}, {content.format_value(medians[best])} over {plural(len(groups[best]), 'trial')} "
            "(bars are medians)."
        )
    order = sorted(rows, key=lambda row: row["value"], reverse=content.maximize)
    values = [row["at"] for row in order[: max(2, len(order) // 4)]]
    return (
        f"The best {len(values)} trials have values from {format_number(min(values))} to {format_number(max(values))}."
    )
