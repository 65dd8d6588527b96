"""Charts of the report: Vega-Lite specifications with a caption and a table of their data, in a common style."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sweeps.views.html.text import clean, safe

Row = dict[str, Any]
Spec = Mapping[str, Any]
"""A part of a Vega-Lite specification: https://vega.github.io/vega-lite/docs."""
Marks = Mapping[str, tuple[str, str, str]]
"""Value of a field → shape, fill and edge of its mark, in the order of the legend. Distinguishable without colour."""

REPLICATE = "replicate (new seed)"
OUTCOMES: Marks = {
    "complete": ("circle", "var(--blue)", "var(--blue)"),
    "paused": ("circle", "var(--paper)", "var(--blue)"),
    "pruned": ("circle", "var(--paper)", "var(--orange)"),
    "diverged": ("diamond", "var(--paper)", "var(--purple)"),
    "failed": ("cross", "var(--orange)", "var(--orange)"),
    "interrupted": ("stroke", "var(--grey)", "var(--grey)"),
    "running": ("triangle-up", "var(--green)", "var(--green)"),
    REPLICATE: ("square", "var(--green)", "var(--green)"),
}
HEAT = [f"var(--h{band})" for band in range(7)]
QUIET, INK = "var(--quiet)", "var(--ink)"
ZERO: Spec = {"type": "rule", "stroke": "var(--grey)", "strokeDash": [3, 3], "strokeWidth": 1}

CONFIG: Spec = {
    "background": "transparent",
    "font": "system-ui, Segoe UI, Roboto, Helvetica Neue, Arial, sans-serif",
    "padding": 4,
    "view": {"stroke": None, "cursor": "crosshair"},
    "axis": {
        "labelColor": QUIET, "titleColor": INK, "gridColor": "var(--line)", "domainColor": "var(--grey)",
        "tickColor": "var(--grey)", "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal",
        "labelLimit": 150, "titleLimit": 320, "tickCount": 6,
    },
    "axisX": {"labelAngle": 0, "labelOverlap": "greedy", "titleAnchor": "end", "grid": False},
    "axisY": {"titleAngle": 0, "titleAlign": "left", "titleAnchor": "start", "titleX": -38, "titleY": -8},
    "legend": {
        "orient": "top", "offset": 22, "direction": "horizontal", "columns": 3, "title": None, "labelColor": QUIET,
        "titleColor": INK, "labelFontSize": 12, "labelLimit": 300, "symbolSize": 60, "rowPadding": 3,
        "layout": {"top": {"direction": "vertical", "anchor": "start"}},
    },
    "line": {"strokeWidth": 1.6, "strokeJoin": "round"},
    "point": {"opacity": 1},
    "rule": {"color": INK, "strokeWidth": 2},
    "tick": {"color": INK, "thickness": 2},
    "text": {"color": QUIET, "fontSize": 12},
}  # fmt: skip
"""Common style. Colours are variables of the style sheet, so that a theme or a printer needs no redrawing."""


def figure(
    title: str,
    summary: str,
    *layers: Spec,
    height: int,
    rows: Mapping[str, Sequence[Row]],
    columns: Mapping[str, str],
    notes: Sequence[str] = (),
    heading: str = "",
    margin: int = 4,
) -> str:
    """Return a chart that the script of the page draws, with a caption and a table of its data on demand.

    Args:
        title: content of the chart. A screen reader reads it with `summary` before the table.
        summary: the finding, as a sentence.
        layers: from `layer`.
        height: in pixels; the width is that of the container.
        rows: name of a data set, as used by the layers → its rows. The field `t` is the key of a trial or rung for
            highlighting in all charts.
        columns: field → heading in the table, which shows the first data set.
        notes: notes on the method.
        heading: heading above the chart.
        margin: right margin in pixels, for the names of curves.
    """
    spec = {
        "width": "container", "height": height, "layer": layers,
        "padding": {"left": 4, "top": 4, "bottom": 4, "right": margin},
        # The script sets the highlighted trials of all charts.
        "params": [{"name": "picked", "value": {}}, {"name": "any", "value": False}],
    }  # fmt: skip
    drawn = {"spec": spec, "rows": {name: columnar(each) for name, each in rows.items()}, "columns": columns}
    above = f"<h3>{safe(heading)}</h3>" if heading else ""
    caption = "".join(f"<p>{safe(text)}</p>" for text in (summary, *notes))
    return (
        f'<figure>{above}<div class="plot" tabindex="0" role="group" aria-roledescription="chart" '
        f'aria-label="{safe(title)}. {safe(summary)}" aria-describedby="keys"></div>{json_script(drawn)}'
        f'<figcaption>{caption}<details class="data"><summary>Data of this chart<span class="aside">: '
        f"{safe(title)}</span></summary></details></figcaption></figure>"
    )


def json_script(content: object, *, name: str = "") -> str:
    """Return data as a JSON script element, escaped so that no text can end the element."""
    text = json.dumps(_plain(content), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escape in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(character, escape)
    attribute = f' id="{name}"' if name else ""
    return f'<script type="application/json"{attribute}>{text}</script>'


def columnar(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """Return rows as columns, to write each name only once."""
    return {name: [row.get(name) for row in rows] for name in dict.fromkeys(name for row in rows for name in row)}


def _plain(value: object) -> object:
    """Return a value for JSON: numbers with five digits, None if not finite, text without control characters."""
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {clean(str(name)): _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def layer(rows: str, mark: Spec, *params: Spec, **encoding: Any) -> Spec:
    """Return a layer of marks.

    Args:
        rows: name of the data set in the figure.
        mark: type and constant properties of the marks.
        params: interactions, from `brush` and `zoom`.
        encoding: channel → encoding.
    """
    return {"data": {"name": rows}, "mark": mark, "params": params, "encoding": encoding}


def numeric(
    name: str, title: str | None = None, *, ends: Sequence[float] = (), log: bool = False, **axis: Any
) -> dict[str, Any]:
    """Return a numeric axis with padding.

    Args:
        name: field.
        title: title of the axis.
        ends: range of the axis; empty for that of the values.
        log: whether it is logarithmic.
        axis: further properties of the axis.
    """
    scale: dict[str, Any] = {"nice": False, "padding": 8} | ({"type": "log"} if log else {"zero": False})
    if ends:
        scale["domain"] = list(ends)
    return {"field": name, "type": "quantitative", "title": title, "scale": scale, "axis": axis}


def listed(name: str, title: str | None = None, *, names: Iterable[str], **axis: Any) -> dict[str, Any]:
    """Return a categorical axis with the names in this order."""
    domain = list(dict.fromkeys(names))
    return {"field": name, "type": "nominal", "title": title, "sort": domain, "scale": {"domain": domain}, "axis": axis}


def by_kind(name: str, marks: Marks, rows: Iterable[Row], *, columns: int = 3) -> dict[str, Spec]:
    """Return encodings of shape, fill and edge by a field, with a legend of the values in the rows."""
    found = {row[name] for row in rows}
    domain = [kind for kind in marks if kind in found]
    return {
        channel: {
            "field": name, "type": "nominal", "legend": {"columns": columns},
            "scale": {"domain": domain, "range": [marks[kind][index] for kind in domain]},
        }
        for index, channel in enumerate(("shape", "fill", "stroke"))
    }  # fmt: skip


def by_outcome(rows: Iterable[Row]) -> dict[str, Spec]:
    """Return encodings of shape, fill and edge by the field `outcome`."""
    return by_kind("outcome", OUTCOMES, rows)


def fade(full: float = 1.0) -> Spec:
    """Return the opacity of a mark: `full`, or almost transparent while other trials are highlighted."""
    return {"condition": {"test": "!any || picked[datum.t]", "value": full}, "value": 0.08}


def brush(*channels: str) -> Spec:
    """Return the selection of trials by dragging a rectangle over their marks."""
    drag = "[pointerdown[!event.shiftKey], window:pointerup] > window:pointermove!"
    style = {"fill": "var(--grey)", "fillOpacity": 0.15, "stroke": "var(--grey)"}
    return {"name": "brush", "select": {"type": "interval", "encodings": channels, "on": drag, "mark": style}}


def zoom(*channels: str) -> Spec:
    """Return the panning and zooming of numeric axes: Shift-drag, Ctrl with the wheel, or keys."""
    drag = "[pointerdown[event.shiftKey], window:pointerup] > window:pointermove!"
    select = {"type": "interval", "encodings": channels, "zoom": "wheel![event.ctrlKey]", "translate": drag}
    return {"name": "zoom", "select": select, "bind": "scales"}
