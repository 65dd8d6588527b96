"""Use of the slots over time: trials and idle times."""

from __future__ import annotations

from collections.abc import Iterable

from sweeps.core.formatting import duration, plural
from sweeps.views.html.clock import Clock, Span, clock_of, lanes_of, spans_of, time_unit
from sweeps.views.html.content import Content, mark_of
from sweeps.views.html.figure import Row, brush, fade, figure, layer, numeric, zoom

WAIT, EPOCHS, CONFIRM = "starting or ending", "epochs of a trial", "epochs of a replicate"
GAP = 0.0025
"""Epochs with a smaller gap, as a share of the total time, are drawn as one bar."""
LANE = 40


def timeline_section(content: Content) -> str:
    """Return a chart with one lane per slot."""
    spans = spans_of(content.all_records, now=content.now if content.is_running else None)
    if not spans:
        return "<p>Nothing has been trained here.</p>"
    clock, lanes = clock_of(spans), lanes_of(spans)
    busy = sum(end - begin for span in spans for begin, end in _epochs(span, clock))
    held = sum(clock.at(span.end) - clock.at(span.begin) for span in spans)
    total = max(clock.seconds * len(lanes), 1e-9)
    pauses = len(clock.pauses)
    notes = [
        "The slot of a trial is not recorded. The lanes are reconstructed from start and end times without overlaps."
        + (f" Removed at the dashed lines: {plural(pauses, 'pause')} without a trial." if pauses else "")
        + (" Running trials are drawn up to now." if content.is_running else "")
    ]
    per, unit = time_unit(clock.seconds)
    bars = bars_of(lanes, clock)
    kinds = [kind for kind in (EPOCHS, CONFIRM, WAIT) if any(bar["kind"] == kind for bar in bars)]
    colours = {EPOCHS: "var(--blue)", CONFIRM: "var(--green)", WAIT: "var(--grey)"}
    x = numeric("begin", f"wall time, {unit}", ends=(0, clock.seconds / per))
    y = {"field": "slot", "type": "ordinal", "title": None, "axis": {"labelExpr": "'slot ' + datum.value"}}
    scale = {"domain": kinds, "range": [colours[kind] for kind in kinds]}
    kind = {"field": "kind", "type": "nominal", "scale": scale, "legend": {"symbolType": "square", "columns": 2}}
    bar = {"type": "bar", "stroke": "var(--paper)", "strokeWidth": 0.6}
    pause = {"type": "rule", "stroke": "var(--orange)", "strokeDash": [4, 3], "strokeWidth": 1}
    return figure(
        "Use of the slots",
        f"{plural(len(spans), 'trial')} in {duration(clock.seconds)} on {plural(len(lanes), 'slot')}: "
        f"{100 * busy / total:.0f} % of the slot time was spent on epochs, {100 * max(held - busy, 0) / total:.0f} % "
        f"on starting and ending trials, {100 * max(total - held, 0) / total:.0f} % was idle.",
        layer("bars", bar, brush("x"), zoom("x"), x=x, x2={"field": "end"}, y=y, fill=kind, opacity=fade()),
        layer("pauses", pause, x=x),
        height=LANE * len(lanes),
        rows={"bars": bars, "pauses": [{"begin": clock.at(begin) / per} for begin, _ in clock.pauses]},
        columns={"name": "trial", "slot": "slot", "kind": "phase", "begin": f"from, {unit}", "end": f"to, {unit}"},
        notes=notes,
    )


def bars_of(lanes: Iterable[Iterable[Span]], clock: Clock) -> list[Row]:
    """Return bars for the time in which each trial held its slot, and for its epochs, in the unit of the clock."""
    per, _ = time_unit(clock.seconds)
    rows: list[Row] = []
    for slot, lane in enumerate(lanes, start=1):
        for span in lane:
            epochs = EPOCHS if span.record.replicate_of is None else CONFIRM
            pieces = [(WAIT, (clock.at(span.begin), clock.at(span.end)))]
            pieces += [(epochs, piece) for piece in _joined(_epochs(span, clock), gap=GAP * clock.seconds)]
            rows += [
                {"t": mark_of(span.record), "name": span.record.name, "slot": slot, "kind": kind,
                 "begin": begin / per, "end": end / per}
                for kind, (begin, end) in pieces
            ]  # fmt: skip
    return rows


def _epochs(span: Span, clock: Clock) -> list[tuple[float, float]]:
    """Return start and end of a trial's epochs in seconds of the clock, not before the start of the trial."""
    return [
        (clock.at(max(epoch.finished_at - epoch.seconds, span.begin)), clock.at(epoch.finished_at))
        for epoch in span.record.epochs
    ]


def _joined(pieces: Iterable[tuple[float, float]], *, gap: float) -> list[tuple[float, float]]:
    joined: list[tuple[float, float]] = []
    for begin, end in pieces:
        if joined and begin - joined[-1][1] <= gap:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((begin, end))
    return joined
