"""A sweep as lines of text: never wider than the screen, never more of them than it has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from sweeps.core.formatting import OUTCOME_STYLES, duration, metric_text
from sweeps.core.trial import Outcome
from sweeps.views.live.live_state import LiveState, LiveTrial

if TYPE_CHECKING:
    from typing_extensions import TypeIs

GAP = 2
SPARKS, ASCII_SPARKS = "▁▂▃▄▅▆▇█", "_.-=*#"
SPARK_WIDTH = 10
"""Characters of a curve: longer ones show their last epochs."""
BAR_WIDTH = 6
MIN_SETTINGS, MIN_RUNG_SETTINGS = 20, 12
"""Characters below which there is no room for what distinguishes a trial."""
_VALUE_WIDTH, _END_WIDTH = len("100.00 %"), len("10 min 00 s")
MIN_ENDED = 3
"""Trials that ended for which the running ones make room on a low screen."""


def draw(seen: LiveState, *, width: int, height: int, unicode: bool = True) -> Text:
    """Return a sweep's header, its running trials, and those that ended last.

    Args:
        seen: what is seen of it.
        width: most characters of a line, as a terminal counts them.
        height: most lines.
        unicode: whether the terminal shows more than ASCII.
    """
    header = _header(seen, width)[: max(1, height)]
    shown = [Text(line, style="bold" if index == 0 else "") for index, line in enumerate(header)]
    blanks = 0 if height < 12 else 1
    room = height - len(header) - blanks - 1  # the line of headings
    # The newest ended trials keep a few lines, where there are any.
    kept = min(MIN_ENDED, len(seen.ended), max(0, room // 3 - blanks))
    running, hidden = _fitting(seen.running, room - (kept + blanks if kept else 0))
    room -= len(running) + (1 if hidden else 0)
    ended = seen.ended[: max(0, room - (blanks if running else 0))]
    trials = (*running, *ended)
    if not trials:
        return Text("\n", no_wrap=True, overflow="crop").join(shown)
    columns = _columns(trials, seen, _Curves(seen, unicode=unicode), unicode=unicode)
    # A rung's name says what differs.
    least = MIN_RUNG_SETTINGS if seen.is_ladder else MIN_SETTINGS
    headings, *lines = _aligned(columns, width, least=least, unicode=unicode)
    styled = [Text(line) for line in lines]
    for line, trial in zip(styled, trials, strict=True):
        line.stylize(OUTCOME_STYLES[trial.outcome] if trial.outcome is not Outcome.RUNNING else "")
    shown += [*[Text("")] * blanks, Text(headings, style="dim")]
    shown += styled[: len(running)]
    shown += [Text(_truncated(f"and {hidden} more", width, unicode=unicode))] if hidden else []
    shown += [*[Text("")] * (blanks if running and ended else 0), *styled[len(running) :]]
    return Text("\n", no_wrap=True, overflow="crop").join(shown[: max(1, height)])


def _fitting(trials: Sequence[LiveTrial], room: int) -> tuple[Sequence[LiveTrial], int]:
    """Return the trials for which there is room, and how many a line has to speak for."""
    if len(trials) <= room:
        return trials, 0
    shown = trials[: max(0, room - 1)]
    return shown, len(trials) - len(shown) if room > 0 else 0


def _header(seen: LiveState, width: int) -> list[str]:
    """Return the sweep and its budget; the best trial. Parts that do not fit go on below, uncut as far as can be."""
    of = "" if seen.target is None else f" of {seen.target}"
    parts = [f"{seen.title}: {seen.done}{of} trials done"]
    if seen.measuring is not None:
        parts.append(str(seen.measuring))
    elif not seen.running and seen.done != seen.target:
        parts.append("starting trials")
    elif seen.slots is not None:
        parts.append(f"{min(len(seen.running), seen.slots)} of {seen.slots} slots busy")
    parts.append(duration(seen.elapsed) + ("" if seen.limit is None else f" of {duration(seen.limit)}"))
    if seen.left is not None:
        parts.append(f"about {duration(seen.left)} left")
    lines = _joined(parts, width)
    if seen.best is not None:
        value = metric_text(seen.metric, seen.best.value)
        lines += _joined([f"best {seen.metric} {value}: {seen.best.name}", *seen.best.words.split(", ")], width)[:2]
    return lines


def _joined(parts: Sequence[str], width: int) -> list[str]:
    """Return parts with commas between them, in lines of at most `width` characters."""
    lines: list[str] = []
    for index, part in enumerate(parts):
        text = _printable(part) + ("," if index < len(parts) - 1 else "")
        if lines and cell_len(lines[-1]) + 1 + cell_len(text) <= width:
            lines[-1] += f" {text}"
        else:
            lines.append(_truncated(text, width))
    return lines


class _Curves:
    """Small curves on one scale, so that trials can be compared by eye."""

    def __init__(self, seen: LiveState, *, unicode: bool) -> None:
        values = [value for trial in (*seen.running, *seen.ended) for value in trial.curve if _is_real(value)]
        self._low, self._high = min(values, default=0.0), max(values, default=1.0)
        self._glyphs = SPARKS if unicode else ASCII_SPARKS

    def of(self, trial: LiveTrial) -> str:
        return "".join(self._glyph(value) for value in trial.curve[-SPARK_WIDTH:])

    def _glyph(self, value: float | None) -> str:
        if not _is_real(value):
            return " "
        span = self._high / 2 - self._low / 2  # halves: the difference of two huge losses is infinite
        share = 0.5 if span == 0 else (value / 2 - self._low / 2) / span
        return self._glyphs[min(int(share * len(self._glyphs)), len(self._glyphs) - 1)]


def _is_real(value: float | None) -> TypeIs[float]:
    return value is not None and math.isfinite(value)


def _columns(trials: Sequence[LiveTrial], seen: LiveState, curves: _Curves, *, unicode: bool) -> dict[str, list[str]]:
    """Return heading to cells, a row a trial; those that no trial fills are left out. The last one may be cut."""
    longest = max(each.epochs for each in (*seen.running, *seen.ended))
    # As wide as they may become: columns that jump cannot be read.
    columns = {
        "rung" if seen.is_ladder else "trial": [trial.name for trial in trials],
        SEED: ["" if trial.seed is None else str(trial.seed) for trial in trials],
        EPOCHS: [f"{trial.epochs_done}/{trial.epochs}".rjust(2 * len(str(trial.epochs)) + 1) for trial in trials],
        PROGRESS: [_bar(trial.epoch_progress, unicode=unicode) for trial in trials],
        _short_metric(seen.metric).rjust(_VALUE_WIDTH): [
            (metric_text(seen.metric, trial.value) if _is_real(trial.value) else "").rjust(_VALUE_WIDTH)
            for trial in trials
        ],
        CURVE: [curves.of(trial).ljust(min(SPARK_WIDTH, longest)) for trial in trials],
        END: [_time_or_outcome(trial).ljust(_END_WIDTH) for trial in trials],
        CONFIGURATION: [trial.words for trial in trials],
    }
    # What an epoch will fill is there before it: columns that come and go cannot be read either.
    left_out = {SEED: not any(columns[SEED]), PROGRESS: not seen.running}
    return {heading: cells for heading, cells in columns.items() if not left_out.get(heading)}


SEED, EPOCHS, PROGRESS, CURVE, END, CONFIGURATION = "seed", "epochs", "epoch", "curve", "time/end", "configuration"


def _short_metric(metric: str) -> str:
    return metric.replace("accuracy", "acc").replace("_", " ")


def _time_or_outcome(trial: LiveTrial) -> str:
    return duration(trial.seconds) if trial.outcome is Outcome.RUNNING else trial.outcome.value


def _bar(share: float | None, *, unicode: bool) -> str:
    """Return how much of an epoch has passed; blanks where that is not known."""
    if share is None:
        return " " * BAR_WIDTH
    done, left = ("━", "┄") if unicode else ("#", "-")
    filled = int(share * BAR_WIDTH)
    return done * filled + left * (BAR_WIDTH - filled)


def _aligned(columns: dict[str, list[str]], width: int, *, least: int, unicode: bool) -> list[str]:
    """Return the headings and the rows below one another; what there is no room for is left out from the middle."""
    words = columns[CONFIGURATION]
    fixed = {heading: [heading, *cells] for heading, cells in columns.items() if heading != CONFIGURATION}
    for heading in (CURVE, PROGRESS, END, EPOCHS):
        if len(fixed) > 2 and _width_of(list(fixed.values())) + GAP + least > width:
            fixed.pop(heading, None)
    widths = [max(map(cell_len, column)) for column in fixed.values()]
    lines = []
    for index, text in enumerate([CONFIGURATION if any(words) else "", *words]):
        cells = [set_cell_size(column[index], size) for column, size in zip(fixed.values(), widths, strict=True)]
        lines.append(_truncated((" " * GAP).join([*cells, text]).rstrip(), width, unicode=unicode))
    return lines


def _width_of(columns: Sequence[Sequence[str]]) -> int:
    return sum(max(map(cell_len, column)) + GAP for column in columns) - GAP


def _truncated(text: str, width: int, *, unicode: bool = True) -> str:
    text = _printable(text)
    if cell_len(text) <= width:
        return text
    end = "…" if unicode else "..."
    return set_cell_size(text, max(0, width - len(end))).rstrip() + end[:width]


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)
