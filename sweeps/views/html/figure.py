"""A chart with its words and its numbers: Vega-Lite, drawn by the page's script; one look for all of them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sweeps.core.trial import Outcome
from sweeps.views.html.text import clean, safe

Row = dict[str, Any]
Spec = Mapping[str, Any]
"""A part of a Vega-Lite specification: https://vega.github.io/vega-lite/docs."""
Marks = Mapping[str, tuple[str, str, str]]
"""Shape, fill and edge of a mark by the value of a field, in the legend's order: told apart without colour."""

REPLICATE = "confirming run, new seed"
OUTCOMES: Marks = {
    "complete": ("circle", "var(--blue)", "var(--blue)"),
    "stopped early": ("circle", "var(--paper)", "var(--orange)"),
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
"""The one look: colours are the style sheet's variables, so that a theme and a printer need no second drawing."""


def figure(
    title: str,
    says: str,
    *layers: Spec,
    height: int,
    rows: Mapping[str, Sequence[Row]],
    columns: Mapping[str, str],
    notes: Sequence[str] = (),
    heading: str = "",
    room: int = 4,
) -> str:
    """Return a chart that the page's script draws, with its words beneath it and a table of its numbers on demand.

    Args:
        title: what it shows: with `says` all that a screen reader tells before the table.
        says: its finding in words.
        layers: from `layer`.
        height: in pixels; it is as wide as there is room.
        rows: by the names that the layers ask for. Rows with a field `t` belong to the trial, or the rung, that is
            highlighted by this name in all charts.
        columns: headings of the fields of the first rows that the table shows.
        notes: how it was made.
        heading: above it, where several figures follow one another.
        room: at the right, in pixels, for names of curves.
    """
    spec = {
        "width": "container", "height": height, "layer": layers,
        "padding": {"left": 4, "top": 4, "bottom": 4, "right": room},
        # It is the script that sets the highlighted trials of all charts.
        "params": [{"name": "picked", "value": {}}, {"name": "any", "value": False}],
    }  # fmt: skip
    drawn = {"spec": spec, "rows": {name: columnar(each) for name, each in rows.items()}, "columns": columns}
    above = f"<h3>{safe(heading)}</h3>" if heading else ""
    words = "".join(f"<p>{safe(text)}</p>" for text in (says, *notes))
    return (
        f'<figure>{above}<div class="plot" tabindex="0" role="group" aria-roledescription="chart" '
        f'aria-label="{safe(title)}. {safe(says)}" aria-describedby="keys"></div>{json_script(drawn)}'
        f'<figcaption>{words}<details class="data"><summary>Numbers of this chart<span class="aside">: '
        f"{safe(title)}</span></summary></details></figcaption></figure>"
    )


def json_script(content: object, *, name: str = "") -> str:
    """Return data for the page's script, which no text in it can end."""
    text = json.dumps(_plain(content), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escape in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(character, escape)
    attribute = f' id="{name}"' if name else ""
    return f'<script type="application/json"{attribute}>{text}</script>'


def columnar(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """Return rows as columns, which say each name once."""
    return {name: [row.get(name) for row in rows] for name in dict.fromkeys(name for row in rows for name in row)}


def _plain(value: object) -> object:
    """Return what JSON can hold: numbers with five digits, None for one that is not finite, text that can be shown."""
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {clean(str(name)): _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def layer(rows: str, mark: Spec, *params: Spec, **encoding: Any) -> Spec:
    """Return the marks of the rows of this name.

    Args:
        rows: their name in the figure.
        mark: its `type` and what is the same for all.
        params: what dragging over it does.
        encoding: by channel.
    """
    return {"data": {"name": rows}, "mark": mark, "params": params, "encoding": encoding}


def numeric(
    name: str, title: str | None = None, *, ends: Sequence[float] = (), log: bool = False, **axis: Any
) -> dict[str, Any]:
    """Return an axis of numbers, with a little room at both ends.

    Args:
        name: the field.
        title: of the axis.
        ends: between them; none take those of the values.
        log: logarithmic.
        axis: further settings of the axis.
    """
    scale: dict[str, Any] = {"nice": False, "padding": 8} | ({"type": "log"} if log else {"zero": False})
    if ends:
        scale["domain"] = list(ends)
    return {"field": name, "type": "quantitative", "title": title, "scale": scale, "axis": axis}


def listed(name: str, title: str | None = None, *, names: Iterable[str], **axis: Any) -> dict[str, Any]:
    """Return an axis of names, in this order."""
    domain = list(dict.fromkeys(names))
    return {"field": name, "type": "nominal", "title": title, "sort": domain, "scale": {"domain": domain}, "axis": axis}


def by_kind(name: str, marks: Marks, rows: Iterable[Row], *, columns: int = 3) -> dict[str, Spec]:
    """Return shape, fill and edge by a field, with a legend of the kinds that are there, in so many columns."""
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
    """Return shape, fill and edge of marks by how their trials ended, for rows with an `outcome`."""
    return by_kind("outcome", OUTCOMES, rows)


def outcome_of(outcome: Outcome) -> str:
    """Return how a trial ended, as legends have it."""
    return "stopped early" if outcome is Outcome.PRUNED else outcome.value


def fade(full: float = 1.0) -> Spec:
    """Return the opacity of a mark: `full`, and almost none while others are highlighted."""
    return {"condition": {"test": "!any || picked[datum.t]", "value": full}, "value": 0.08}


def brush(*channels: str) -> Spec:
    """Return what selects trials by dragging over a chart: those with a mark in the rectangle."""
    drag = "[pointerdown[!event.shiftKey], window:pointerup] > window:pointermove!"
    look = {"fill": "var(--grey)", "fillOpacity": 0.15, "stroke": "var(--grey)"}
    return {"name": "brush", "select": {"type": "interval", "encodings": channels, "on": drag, "mark": look}}


def zoom(*channels: str) -> Spec:
    """Return what moves and zooms axes of numbers: dragging with Shift, the wheel with Ctrl, or keys."""
    drag = "[pointerdown[event.shiftKey], window:pointerup] > window:pointermove!"
    select = {"type": "interval", "encodings": channels, "zoom": "wheel![event.ctrlKey]", "translate": drag}
    return {"name": "zoom", "select": select, "bind": "scales"}
