"""What each slot did over the time: which trial it trained, and where it waited."""

from __future__ import annotations

from collections.abc import Iterable

from sweeps.core.formatting import duration, plural
from sweeps.views.html.clock import Clock, Span, clock_of, lanes_of, spans_of, time_unit
from sweeps.views.html.content import Content, mark_of
from sweeps.views.html.figure import Row, brush, fade, figure, layer, numeric, zoom

WAIT, EPOCHS, CONFIRM = "start and end: no epoch", "epochs of a trial", "of a confirming run"
GAP = 0.0025
"""Of the whole time: epochs that are nearer to one another are drawn as one."""
LANE = 40


def timeline_section(content: Content) -> str:
    """Return a lane a slot."""
    spans = spans_of(content.all_records, now=content.now if content.is_running else None)
    if not spans:
        return "<p>Nothing has been trained here.</p>"
    clock, lanes = clock_of(spans), lanes_of(spans)
    busy = sum(end - begin for span in spans for begin, end in _epochs(span, clock))
    held = sum(clock.at(span.end) - clock.at(span.begin) for span in spans)
    whole = max(clock.seconds * len(lanes), 1e-9)
    notes = [
        "Which slot a trial had is not recorded: the lanes are put together from the times at which trials began and "
        "ended, so that no two overlap."
        + (
            f" Cut out at the dashed lines: {plural(len(clock.pauses), 'pause')} without any trial."
            if clock.pauses
            else ""
        )
        + (" Trials that are still running are drawn up to now." if content.is_running else "")
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
        "What each slot did",
        f"{plural(len(spans), 'trial')} in {duration(clock.seconds)} on {plural(len(lanes), 'slot')}: "
        f"{100 * busy / whole:.0f} % of the slots' time went into epochs, {100 * max(held - busy, 0) / whole:.0f} % "
        f"into starting and ending trials, {100 * max(whole - held, 0) / whole:.0f} % passed without a trial.",
        layer("bars", bar, brush("x"), zoom("x"), x=x, x2={"field": "end"}, y=y, fill=kind, opacity=fade()),
        layer("pauses", pause, x=x),
        height=LANE * len(lanes),
        rows={"bars": bars, "pauses": [{"begin": clock.at(begin) / per} for begin, _ in clock.pauses]},
        columns={"name": "trial", "slot": "slot", "kind": "what", "begin": f"from, {unit}", "end": f"to, {unit}"},
        notes=notes,
    )


def bars_of(lanes: Iterable[Iterable[Span]], clock: Clock) -> list[Row]:
    """Return for each trial the time that it held its slot, and over it that of its epochs, in the clock's unit."""
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
    """Return when a trial's epochs began and ended, in the clock's seconds; never before the trial itself."""
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
