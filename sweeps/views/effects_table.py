"""What helped, as people see it in a terminal, and as files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from cifar_core.common.files import atomic_write
from sweeps.analysis.effects import Effects, Level, ParameterEffect
from sweeps.core.formatting import PLAIN_WIDTH, plural, print_sentence, truncated

if TYPE_CHECKING:
    from rich.console import Console

_GAP = "  "
_MAX_LABEL = 24
_PLOT_WIDTH, _MIN_PLOT_WIDTH = 40, 16
"""Characters of the drawing of an interval, where there is room for it, and the fewest that are worth it."""


def print_effects(effects: Effects, console: Console) -> None:
    """Print one line a parameter with its importance and verdict, below it one a value with its effect and interval.

    As wide as the terminal; `PLAIN_WIDTH` where the output is none. Where there is room, each interval is drawn too.
    """
    width = console.width if console.is_terminal else PLAIN_WIDTH
    if not effects.parameters:
        print_sentence(console, f"{effects.sweep}: nothing was searched")
    for line in _lines(effects, width=width):
        console.out(line.rstrip(), highlight=False)
    console.out("")
    for sentence in _remarks(effects):
        print_sentence(console, sentence, style="dim")


def effects_to_json(effects: Effects) -> str:
    """Return the whole record as JSON."""
    return json.dumps(asdict(effects), indent=2, ensure_ascii=False, allow_nan=False)


def effects_to_csv(effects: Effects, path: Path) -> int:
    """Write one row a value, the parameter's own columns repeated; return the number of rows.

    A reader sees the old file or the new one, never half of one.
    """
    text = io.StringIO(newline="")
    rows = [
        {
            "parameter": parameter.name,
            "importance": parameter.importance,
            "importance_low": parameter.importance_low,
            "importance_high": parameter.importance_high,
            "ped_anova": parameter.ped_anova,
            "value": level.label,
            f"effect_{effects.unit}": level.effect,
            "low": level.low,
            "high": level.high,
            "trials": level.trials,
            "verdict": parameter.verdict,
            "is_sure": parameter.is_sure,
            "more_trials": parameter.more_trials,
            "condition": parameter.condition,
        }
        for parameter in effects.parameters
        for level in parameter.levels
    ]
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else ["parameter"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with atomic_write(path) as file:
        file.write(text.getvalue().encode())
    return len(rows)


def effect_text(value: float, *, unit: str) -> str:
    """Return `+2.1` of points, `-0.034` of nats; never a signed nought."""
    digits = 1 if unit == "points" else 3
    rounded = round(value, digits)
    return f"{rounded:+.{digits}f}" if rounded else f"{0:.{digits}f}"


def unit_and_epoch(effects: Effects) -> str:
    """Return what an effect is counted in, and when it was seen: `points after epoch 1`."""
    return effects.unit + (f" after epoch {effects.epochs_used[-1]}" if effects.epochs_used else "")


def _lines(effects: Effects, *, width: int) -> Iterator[str]:
    levels = [level for parameter in effects.parameters for level in parameter.levels]
    first = max([len("parameter"), *(len(p.name) for p in effects.parameters), *(len(_label(v)) + 2 for v in levels)])
    spans = {id(level): _span(level, unit=effects.unit) for level in levels}
    effect = max([len(unit_and_epoch(effects)), *map(len, spans.values())])
    is_compared = any(parameter.ped_anova is not None for parameter in effects.parameters)
    head = f"{'parameter':{first}}{_GAP}importance{_GAP}" + (f"Optuna's{_GAP}" if is_compared else "")
    indent = len(head)
    strip = min(width - indent - effect - len(f"{_GAP}trials{_GAP}"), _PLOT_WIDTH)
    scale = _Scale(levels, strip) if strip >= _MIN_PLOT_WIDTH else None
    yield f"{head}{unit_and_epoch(effects):{effect}}{_GAP}trials"
    for parameter in effects.parameters:
        cells = f"{parameter.name:{first}}{_GAP}{_share(parameter.importance):>10}{_GAP}"
        if is_compared:
            cells += f"{_share(parameter.ped_anova):>8}{_GAP}"
        # The verdict begins below `effect` and goes on there; where that is too narrow, below the name.
        said = _wrapped(_verdict(parameter), width=width, indent=indent if width - indent >= 30 else 4)
        if width - indent >= 30:
            yield cells + said[0]
            yield from (" " * indent + line for line in said[1:])
        else:
            yield cells
            yield from (" " * 4 + line for line in said)
        for level in parameter.levels:
            drawn = "" if scale is None else scale.draw(level)
            label = f"  {_label(level)}".ljust(indent)
            yield f"{label}{spans[id(level)]:{effect}}{_GAP}{level.trials:>6}{_GAP}{drawn}"


def _verdict(parameter: ParameterEffect) -> str:
    return parameter.verdict + (f" (active where {parameter.condition})" if parameter.condition else "")


def _remarks(effects: Effects) -> Iterator[str]:
    yield effects.method
    if effects.unit != "points" or not effects.maximize:
        better = "more" if effects.maximize else "less"
        yield f"An effect is what a value adds to {effects.metric}: {better} is better."
    if any(parameter.ped_anova is not None for parameter in effects.parameters):
        yield "Optuna's: PED-ANOVA, the share in what sets the best tenth of the complete trials apart."
    if effects.more_trials is not None:
        yield f"About {plural(effects.more_trials, 'more trial')} would tell of the next parameter."


def _label(level: Level) -> str:
    return truncated(level.label, _MAX_LABEL)


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.0f} %"


def _span(level: Level, *, unit: str) -> str:
    if level.effect is None or level.low is None or level.high is None:
        return "–" if level.trials else "not tried"
    ends = f"({effect_text(level.low, unit=unit)} to {effect_text(level.high, unit=unit)})"
    return f"{effect_text(level.effect, unit=unit):>6} {ends}"


def _wrapped(text: str, *, width: int, indent: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, max(width - indent, 20)) or [""]


class _Scale:
    """Draws intervals side by side: `|` is no effect, `o` the effect, dashes its interval."""

    def __init__(self, levels: list[Level], characters: int) -> None:
        ends = [end for level in levels for end in (level.low, level.high) if end is not None]
        self._low, self._high = min([0.0, *ends]), max([0.0, *ends])
        self._characters = characters

    def draw(self, level: Level) -> str:
        if level.effect is None or level.low is None or level.high is None or self._low == self._high:
            return ""
        low, middle, high = (self._column(value) for value in (level.low, level.effect, level.high))
        drawn = [" "] * self._characters
        drawn[low : high + 1] = "-" * (high + 1 - low)
        drawn[self._column(0.0)] = "|"
        drawn[middle] = "o"
        return "".join(drawn)

    def _column(self, value: float) -> int:
        return round((value - self._low) / (self._high - self._low) * (self._characters - 1))
