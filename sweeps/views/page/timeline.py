"""What each slot did over the time: which trial it trained, and where it waited."""

from __future__ import annotations

from collections.abc import Sequence

from sweeps.formatting import duration, plural
from sweeps.views.page.clock import Clock, Span, clock_of, lanes_of, spans_of
from sweeps.views.page.content import Content, mark_of
from sweeps.views.page.scale import linear, time_unit
from sweeps.views.page.svg import figure, legend
from sweeps.views.page.text import safe

LANE, HEAD, BAR = 42.0, 16.0, 20.0
SHORTEST = 0.15
"""Percent of the width that a bar has at the least: one that is not seen was not there."""


def timeline_section(content: Content) -> str:
    """Return a lane a slot. Places across are percentages, so that text keeps its size at any width."""
    spans = spans_of(content.everything, now=content.now if content.is_running else None)
    if not spans:
        return "<p>Nothing has been trained here.</p>"
    clock, lanes = clock_of(spans), lanes_of(spans)
    busy = sum(end - begin for span in spans for begin, end in _epochs(span, clock))
    held = sum(clock.at(span.end) - clock.at(span.begin) for span in spans)
    whole = max(clock.seconds * len(lanes), 1e-9)
    says = (
        f"{plural(len(spans), 'trial')} in {duration(clock.seconds)} on {plural(len(lanes), 'slot')}: "
        f"{100 * busy / whole:.0f} % of the slots' time went into epochs, {100 * max(held - busy, 0) / whole:.0f} % "
        f"into starting and ending trials, {100 * max(whole - held, 0) / whole:.0f} % passed without a trial."
    )
    lane_rows = "".join(_lane(content, place, lane, clock) for place, lane in enumerate(lanes))
    height = LANE * len(lanes) + 34
    pauses = "".join(
        f'<line class="pause" x1="{x}%" x2="{x}%" y1="0" y2="{LANE * len(lanes)}"><title>{safe(words)}</title></line>'
        for x, words in _pauses(clock)
    )
    picture = (
        f'<svg class="lanes" role="img" aria-label="{safe("What each slot did. " + says)}" height="{height:.0f}">'
        f"{_axis(clock, LANE * len(lanes))}{lane_rows}{pauses}</svg>"
    )
    caption = (
        f"<p>{safe(says)} Which slot a trial had is not recorded: the lanes are put together from the times at which "
        "trials began and ended, so that no two overlap."
        + (
            f" Cut out at the dashed lines: {plural(len(clock.pauses), 'pause')} without any trial."
            if clock.pauses
            else ""
        )
        + (" Trials that are still running are drawn up to now." if content.is_running else "")
        + "</p>"
    )
    entries = [("line band", "epochs of a trial"), ("line band wait", "start and end: no epoch")]
    if content.replicates:
        entries.insert(1, ("line band confirm", "of a confirming run"))
    keys = legend(entries)
    return keys + figure(picture, caption=caption)


def _lane(content: Content, place: int, lane: Sequence[Span], clock: Clock) -> str:
    y = place * LANE
    parts = [f'<text class="name" x="0" y="{y + 12:g}">slot {place + 1}</text>']
    parts.append(f'<rect class="idle" x="0" y="{y + HEAD:g}" width="100%" height="{BAR:g}"/>')
    for span in lane:
        kind = "confirm" if span.record.replicate_of is not None else "train"
        begin, end = clock.at(span.begin), clock.at(span.end)
        tip = content.tip(span.record, more=f"from {duration(begin)} to {duration(end)}")
        epochs = _joined([(_percent(clock, a), _percent(clock, b)) for a, b in _epochs(span, clock)], gap=0.25)
        whole = (_percent(clock, begin), _percent(clock, end))
        bars = _bar("wait", whole, y) + "".join(_bar(kind, piece, y) for piece in epochs) + _bar("edge", whole, y)
        parts.append(f'<g data-t="{safe(mark_of(span.record))}"><title>{safe(tip)}</title>{bars}</g>')
    return "".join(parts)


def _bar(kind: str, ends: tuple[float, float], y: float) -> str:
    left, width = ends[0], max(ends[1] - ends[0], SHORTEST)
    return f'<rect class="{kind}" x="{left:.2f}%" y="{y + HEAD:g}" width="{width:.2f}%" height="{BAR:g}"/>'


def _epochs(span: Span, clock: Clock) -> list[tuple[float, float]]:
    """Return when a trial's epochs began and ended, in the clock's seconds; never before the trial itself."""
    return [
        (clock.at(max(epoch.finished_at - epoch.seconds, span.begin)), clock.at(epoch.finished_at))
        for epoch in span.record.epochs
    ]


def _joined(pieces: Sequence[tuple[float, float]], *, gap: float) -> list[tuple[float, float]]:
    joined: list[tuple[float, float]] = []
    for begin, end in pieces:
        if joined and begin - joined[-1][1] <= gap:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((begin, end))
    return joined


def _percent(clock: Clock, seconds: float) -> float:
    return 100 * seconds / max(clock.seconds, 1e-9)


def _pauses(clock: Clock) -> list[tuple[str, str]]:
    return [
        (f"{_percent(clock, clock.at(begin)):.2f}", f"a pause of {duration(end - begin)}")
        for begin, end in clock.pauses
    ]


def _axis(clock: Clock, y: float) -> str:
    per, unit = time_unit(clock.seconds)
    scale = linear([0.0, clock.seconds / per], zero=True)
    parts = []
    for value, name in scale.ticks:
        place = 100 * value * per / max(clock.seconds, 1e-9)
        if place > 100:
            continue
        anchor = "start" if place < 2 else "end" if place > 96 else "middle"
        parts.append(f'<line class="grid" x1="{place:.2f}%" x2="{place:.2f}%" y1="0" y2="{y:g}"/>')
        parts.append(f'<text x="{place:.2f}%" y="{y + 14:g}" text-anchor="{anchor}">{safe(name)}</text>')
    parts.append(f'<text class="name" x="100%" y="{y + 31:g}" text-anchor="end">wall time, {unit}</text>')
    return "".join(parts)
