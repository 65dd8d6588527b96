"""Parallel coordinates with horizontal axes: each trial is a line from its values to its result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sweeps.views.html.content import Content, VaryingParameter, mark_of
from sweeps.views.html.figure import Row, brush, fade, figure, layer, listed
from sweeps.views.html.slices import NOTHING_TO_COMPARE

QUARTERS = {
    "best quarter": ("var(--green)", [1, 0], 2.4),
    "second quarter": ("var(--blue)", [1, 0], 1.4),
    "third quarter": ("var(--orange)", [6, 3], 1.0),
    "worst quarter": ("var(--grey)", [2, 3], 0.8),
}
"""Colour, dashes and width of their lines."""
MAX_PARAMETERS = 12
STEP = 64
"""Pixels between axes."""


def parallel_section(content: Content) -> str:
    """Return the chart. The worst trials are drawn first, so that the best are on top."""
    values, parameters = content.shared_values, content.varying[:MAX_PARAMETERS]
    if len(values) < 2 or not parameters:
        return NOTHING_TO_COMPARE
    axes = axes_of(content)
    x = {"field": "position", "type": "quantitative", "axis": None, "scale": {"domain": [-0.06, 1.06], "nice": False}}
    rail: dict[str, Any] = {"labels": False, "ticks": False, "domain": False, "grid": True, "gridColor": "var(--grey)"}
    y = listed("axis", names=[axis.label for axis in axes], **rail)
    y["scale"]["padding"] = 0.45
    channels = zip(("color", "strokeDash", "strokeWidth"), zip(*QUARTERS.values(), strict=True), strict=True)
    style: dict[str, Any] = {
        channel: {"field": "quarter", "type": "ordinal", "scale": {"domain": list(QUARTERS), "range": list(found)}}
        for channel, found in channels
    }
    style["order"] = {"field": "order", "type": "quantitative"}
    head = {"type": "text", "dy": -10, "align": "left", "color": "var(--ink)"}
    return figure(
        "Parallel coordinates",
        finding(content, parameters),
        layer(
            "lines", {"type": "line"}, brush("x", "y"),
            x=x, y=y, detail={"field": "t"}, opacity=fade(0.5 if len(values) > 100 else 0.9), **style,
        ),
        layer("ticks", {"type": "text", "dy": 13, "limit": 100}, x=x, y=y, text={"field": "label"}),
        layer("heads", head, x={"value": 0}, y=y, text={"field": "axis"}),
        height=STEP * len(axes),
        rows={
            "lines": lines_of(content, axes),
            "ticks": [{"axis": axis.label, "position": position, "label": label}
                for axis in axes
                for position, label in axis.ticks],
            "heads": [{"axis": axis.label} for axis in axes],
        },
        columns={"trial": "trial", "axis": "parameter", "text": "value", "quarter": "quarter"},
        notes=[
            f"Each line connects the parameter values of a trial with its {content.metric} after epoch "
            f"{content.shared_epoch}. That is the last epoch that at least two thirds of the trials with an epoch "
            f"reached ({len(values)} of {len(content.trials)} trials). A line skips parameters that its trial does not "
            "have."
        ],
    )  # fmt: skip


def axes_of(content: Content) -> list[VaryingParameter]:
    """Return the axes: the parameters, then the result."""
    name, values = f"{content.metric_label} after epoch {content.shared_epoch}", content.shared_values
    return [
        *content.varying[:MAX_PARAMETERS],
        VaryingParameter(path=name, name=name, values=values, is_numeric=True, max_levels=0),
    ]


def lines_of(content: Content, axes: Sequence[VaryingParameter]) -> list[Row]:
    """Return the positions of each trial on the axes, 0 to 1, the worst trials first."""
    order, quarters = content.worst_first, list(reversed(QUARTERS))
    records = {record.number: record for record in content.trials}
    return [
        {
            "t": mark_of(records[number]), "trial": records[number].trial, "axis": axis.label, "order": index,
            "position": axis.position(number), "text": axis.text(number), "quarter": quarters[4 * rank // len(order)],
        }
        for rank, number in enumerate(order)
        for index, axis in enumerate(axes)
        if number in axis.values
    ]  # fmt: skip


def finding(content: Content, parameters: list[VaryingParameter]) -> str:
    """Return the parameter values that the best quarter has in common, as a sentence."""
    order = content.worst_first
    best = order[-max(1, len(order) // len(QUARTERS)) :]
    same = []
    for parameter in parameters:
        texts = {parameter.text(number) for number in best if number in parameter.values}
        if len(texts) == 1 and all(number in parameter.values for number in best):
            same.append(f"{parameter.name} {texts.pop()}")
    subject = f"The best quarter ({len(best)} trials)" if len(best) > 1 else "The best trial"
    if not same:
        return f"{subject} has no parameter value in common."
    return f"{subject} has {'in common: ' if len(best) > 1 else ''}{', '.join(same)}."
