"""Draw the live state of a sweep as lines of text that fit the screen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
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
"""Characters of a curve, which shows the last epochs."""
BAR_WIDTH = 6
MIN_SETTINGS, MIN_RUNG_SETTINGS = 20, 12
"""Minimum width of the settings of a trial and of a rung."""
_OPEN_WIDTH = 4
"""Characters of a number of epochs without a known end."""
_VALUE_WIDTH, _END_WIDTH = len("100.00 %"), len("10 min 00 s")
MIN_ENDED = 3
"""Ended trials that are shown on a low screen even if there are many running ones."""


def draw(state: LiveState, *, width: int, height: int, unicode: bool = True) -> Text:
    """Return the header of a sweep, its running trials, and those that ended last.

    Args:
        state: state to draw.
        width: maximum number of terminal cells per line.
        height: maximum number of lines.
        unicode: whether the terminal supports more than ASCII.
    """
    if state.footer and height > 2:
        drawn = draw(replace(state, footer=""), width=width, height=height - 1, unicode=unicode)
        return drawn.append(f"\n{_truncated(state.footer, width, unicode=unicode)}", style="dim")
    header = _header(state, width)[: max(1, height)]
    shown = [Text(line, style="bold" if index == 0 else "") for index, line in enumerate(header)]
    blanks = 0 if height < 12 else 1
    free = height - len(header) - blanks - 1  # the line of headings
    # A few lines are reserved for the newest ended trials.
    reserved = min(MIN_ENDED, len(state.ended), max(0, free // 3 - blanks))
    running, hidden = _fitting(state.running, free - (reserved + blanks if reserved else 0))
    free -= len(running) + (1 if hidden else 0)
    ended = state.ended[: max(0, free - (blanks if running else 0))]
    trials = (*running, *ended)
    if not trials:
        return Text("\n", no_wrap=True, overflow="crop").join(shown)
    columns = _columns(trials, state, _Curves(state, unicode=unicode), unicode=unicode)
    # The name of a rung describes its settings.
    least = MIN_RUNG_SETTINGS if state.is_ladder else MIN_SETTINGS
    headings, *lines = _aligned(columns, width, least=least, unicode=unicode)
    styled = [Text(line) for line in lines]
    for line, trial in zip(styled, trials, strict=True):
        if trial.name == state.selected and trial.outcome is Outcome.RUNNING:
            line.stylize("reverse")
        line.stylize(OUTCOME_STYLES[trial.outcome] if trial.outcome is not Outcome.RUNNING else "")
    shown += [*[Text("")] * blanks, Text(headings, style="dim")]
    shown += styled[: len(running)]
    shown += [Text(_truncated(f"and {hidden} more", width, unicode=unicode))] if hidden else []
    shown += [*[Text("")] * (blanks if running and ended else 0), *styled[len(running) :]]
    return Text("\n", no_wrap=True, overflow="crop").join(shown[: max(1, height)])


def _fitting(trials: Sequence[LiveTrial], lines: int) -> tuple[Sequence[LiveTrial], int]:
    """Return the trials that fit into the lines, and the number of hidden ones, whose count takes a line."""
    if len(trials) <= lines:
        return trials, 0
    shown = trials[: max(0, lines - 1)]
    return shown, len(trials) - len(shown) if lines > 0 else 0


def _header(state: LiveState, width: int) -> list[str]:
    """Return the lines on the progress of the sweep and on its best trial."""
    of = "" if state.target is None else f" of {state.target}"
    parts = [f"{state.title}: {state.done}{of} trials done"]
    if state.measuring is not None:
        parts.append(str(state.measuring))
    elif not state.running and state.done != state.target and not state.is_paused:
        parts.append("starting trials")
    elif state.slots is not None:
        parts.append(f"{min(len(state.running), state.slots)} of {state.slots} slots busy")
    if state.time_left is None or state.limit is not None:
        parts.append(duration(state.elapsed) + ("" if state.limit is None else f" of {duration(state.limit)}"))
    if state.time_left is not None:
        parts.append(state.time_left)
    if state.seconds_left is not None and state.time_left is None:
        parts.append(f"about {duration(state.seconds_left)} left")
    lines = _joined(parts, width)
    lines += [line for sentence in state.steering for line in _joined(sentence.split(", "), width)]
    if state.best is not None:
        value = metric_text(state.metric, state.best.value)
        best = f"best {state.metric} {value}: {state.best.name}"
        lines += _joined([best, *state.best.settings.split(", ")], width)[:2]
    return lines


def _joined(parts: Sequence[str], width: int) -> list[str]:
    """Return the parts joined with commas, in lines of at most `width` characters."""
    lines: list[str] = []
    for index, part in enumerate(parts):
        text = _printable(part) + ("," if index < len(parts) - 1 else "")
        if lines and cell_len(lines[-1]) + 1 + cell_len(text) <= width:
            lines[-1] += f" {text}"
        else:
            lines.append(_truncated(text, width))
    return lines


class _Curves:
    """Small curves on a common scale."""

    def __init__(self, state: LiveState, *, unicode: bool) -> None:
        values = [value for trial in (*state.running, *state.ended) for value in trial.curve if _is_real(value)]
        self._low, self._high = min(values, default=0.0), max(values, default=1.0)
        self._glyphs = SPARKS if unicode else ASCII_SPARKS

    def of(self, trial: LiveTrial) -> str:
        return "".join(self._glyph(value) for value in trial.curve[-SPARK_WIDTH:])

    def _glyph(self, value: float | None) -> str:
        if not _is_real(value):
            return " "
        span = self._high / 2 - self._low / 2  # halved, because the difference of two huge losses may be infinite
        share = 0.5 if span == 0 else (value / 2 - self._low / 2) / span
        return self._glyphs[min(int(share * len(self._glyphs)), len(self._glyphs) - 1)]


def _is_real(value: float | None) -> TypeIs[float]:
    return value is not None and math.isfinite(value)


def _epochs(trial: LiveTrial) -> str:
    if not trial.epochs:
        return str(trial.epochs_done).rjust(_OPEN_WIDTH)
    return f"{trial.epochs_done}/{trial.epochs}".rjust(2 * len(str(trial.epochs)) + 1)


def _columns(trials: Sequence[LiveTrial], state: LiveState, curves: _Curves, *, unicode: bool) -> dict[str, list[str]]:
    """Return heading → cells, one per trial. The last column may be truncated."""
    longest = max(each.epochs or each.epochs_done for each in (*state.running, *state.ended))
    # Padded to their final widths, so that columns do not move.
    columns = {
        "rung" if state.is_ladder else "trial": [trial.name for trial in trials],
        SEED: ["" if trial.seed is None else str(trial.seed) for trial in trials],
        EPOCHS: [_epochs(trial) for trial in trials],
        PROGRESS: [_bar(trial.epoch_progress, unicode=unicode) for trial in trials],
        _short_metric(state.metric).rjust(_VALUE_WIDTH): [
            (metric_text(state.metric, trial.value) if _is_real(trial.value) else "").rjust(_VALUE_WIDTH)
            for trial in trials
        ],
        CURVE: [curves.of(trial).ljust(min(SPARK_WIDTH, longest)) for trial in trials],
        END: [_time_or_outcome(trial).ljust(_END_WIDTH) for trial in trials],
        CONFIGURATION: [trial.settings for trial in trials],
    }
    # Columns that are still empty stay, so that columns do not move.
    left_out = {SEED: not any(columns[SEED]), PROGRESS: not state.running}
    return {heading: cells for heading, cells in columns.items() if not left_out.get(heading)}


SEED, EPOCHS, PROGRESS, CURVE, END, CONFIGURATION = "seed", "epochs", "epoch", "curve", "time/end", "configuration"


def _short_metric(metric: str) -> str:
    return metric.replace("accuracy", "acc").replace("_", " ")


def _time_or_outcome(trial: LiveTrial) -> str:
    return duration(trial.seconds) if trial.outcome is Outcome.RUNNING else trial.outcome.value


def _bar(share: float | None, *, unicode: bool) -> str:
    """Return a bar for the progress of an epoch; blanks if unknown."""
    if share is None:
        return " " * BAR_WIDTH
    done, todo = ("━", "┄") if unicode else ("#", "-")
    filled = int(share * BAR_WIDTH)
    return done * filled + todo * (BAR_WIDTH - filled)


def _aligned(columns: dict[str, list[str]], width: int, *, least: int, unicode: bool) -> list[str]:
    """Return the lines of headings and rows. Columns in the middle are left out if they do not fit."""
    settings = columns[CONFIGURATION]
    fixed = {heading: [heading, *cells] for heading, cells in columns.items() if heading != CONFIGURATION}
    for heading in (CURVE, PROGRESS, END, EPOCHS):
        if len(fixed) > 2 and _width_of(list(fixed.values())) + GAP + least > width:
            fixed.pop(heading, None)
    widths = [max(map(cell_len, column)) for column in fixed.values()]
    lines = []
    for index, text in enumerate([CONFIGURATION if any(settings) else "", *settings]):
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
