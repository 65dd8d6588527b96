"""The front of a search with several objectives in the report: a chart for each known objective, and a table."""

from __future__ import annotations

from sweeps.analysis.known import known_of
from sweeps.core.formatting import metric_heading
from sweeps.record.columns import RECORD_COLUMNS
from sweeps.views.front import front_columns, front_sentence
from sweeps.views.html.content import Content, is_logarithmic, mark_of_row
from sweeps.views.html.figure import Marks, Row, brush, by_kind, fade, figure, layer, numeric, zoom
from sweeps.views.html.text import safe, scroll_box, table

PLAIN, FRONT = "ranked configuration", "on the front"
_MARKS: Marks = {PLAIN: ("circle", "var(--blue)", "var(--blue)"), FRONT: ("circle", "var(--paper)", "var(--green)")}


def has_front(content: Content) -> bool:
    """Return whether a search has several objectives and a ranked configuration."""
    return any(row["front"] for row in content.rows or ())


def front_section(content: Content) -> str:
    """Return the charts of the metric against each known objective, and the table of the front."""
    rows = [row for row in content.rows or () if row["front"] is not None]
    columns = front_columns(rows)
    lines = list(zip(*columns.values(), strict=True))
    sentence = front_sentence(rows) or ""
    shown = table(list(columns), lines, caption=sentence, numbers=range(1, len(columns)))
    names = [each.name for each in known_of(rows[0])]
    charts = "".join(_chart(content, name, index) for index, name in enumerate(names))
    count = f"{len(lines)} of {len(rows)} ranked configurations are {sentence}."
    return f'<p>{safe(count)}</p><div class="charts">{charts}</div>{scroll_box(shown, label=sentence)}'


def _chart(content: Content, name: str, index: int) -> str:
    """Return the chart of the metric against one known objective."""
    metric = metric_heading(content.metric)
    label = RECORD_COLUMNS[name].heading if name in RECORD_COLUMNS else name
    scale = 100 if "%" in metric else 1
    rows: list[Row] = [
        {
            "t": mark_of_row(row), "name": f"trial {row['trial']}", "cost": known_of(row)[index].value,
            "value": scale * float(row["metric_value"]), "kind": FRONT if row["front"] else PLAIN,
        }
        for row in content.rows or ()
        if row["front"] is not None and row["metric_value"] is not None
    ]  # fmt: skip
    x = numeric("cost", label, log=is_logarithmic(row["cost"] for row in rows))
    y = numeric("value", metric, ends=content.domain(row["value"] for row in rows))
    marks = layer(
        "found", {"type": "point", "size": 60}, brush("x", "y"), zoom("x", "y"),
        x=x, y=y, opacity=fade(), **by_kind("kind", _MARKS, rows, columns=1),
    )  # fmt: skip
    return figure(
        f"{metric} against {label}",
        f"{sum(row['kind'] == FRONT for row in rows)} of {len(rows)} configurations are on the front.",
        marks,
        height=250,
        rows={"found": rows},
        columns={"name": "configuration", "cost": label, "value": metric, "kind": "kind"},
    )
