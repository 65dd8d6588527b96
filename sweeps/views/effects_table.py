"""Parameter effects in a terminal and as files."""

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
from sweeps.core.formatting import PLAIN_WIDTH, metric_number, plural, print_sentence, truncated

if TYPE_CHECKING:
    from rich.console import Console

_GAP = "  "
_MAX_LABEL = 24
_PLOT_WIDTH, _MIN_PLOT_WIDTH = 40, 16
"""Most and least characters of the drawn intervals."""


def print_effects(effects: Effects, console: Console) -> None:
    """Print one line per parameter with importance and verdict, then one per value with its effect and interval.

    As wide as the terminal, or `PLAIN_WIDTH` without one. Intervals are drawn if they fit.
    """
    width = console.width if console.is_terminal else PLAIN_WIDTH
    if not effects.parameters:
        print_sentence(console, f"{effects.sweep} searched no parameter")
    for line in _lines(effects, width=width):
        console.out(line.rstrip(), highlight=False)
    console.out("")
    for sentence in _remarks(effects):
        print_sentence(console, sentence, style="dim")


def effects_to_json(effects: Effects) -> str:
    """Return the effects as JSON."""
    return json.dumps(asdict(effects), indent=2, ensure_ascii=False, allow_nan=False)


def effects_to_csv(effects: Effects, path: Path) -> int:
    """Write one row per value atomically, with the columns of its parameter repeated; return the number of rows."""
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
            "is_conclusive": parameter.is_conclusive,
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
    """Return `+2.1` for points, `-0.034` for nats, `-0.0123` for another metric; 0 has no sign."""
    if unit not in ("points", "nats"):
        return metric_number(value, sign="+")
    digits = 1 if unit == "points" else 3
    rounded = round(value, digits)
    return f"{rounded:+.{digits}f}" if rounded else f"{0:.{digits}f}"


def unit_and_epoch(effects: Effects) -> str:
    """Return the unit of an effect and its epoch: `points after epoch 1`."""
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
        # The verdict is wrapped in the effect column, or below the name if that column is too narrow.
        verdict = _wrapped(_verdict(parameter), width=width, indent=indent if width - indent >= 30 else 4)
        if width - indent >= 30:
            yield cells + verdict[0]
            yield from (" " * indent + line for line in verdict[1:])
        else:
            yield cells
            yield from (" " * 4 + line for line in verdict)
        for level in parameter.levels:
            drawn = "" if scale is None else scale.draw(level)
            label = f"  {_label(level)}".ljust(indent)
            yield f"{label}{spans[id(level)]:{effect}}{_GAP}{level.trials:>6}{_GAP}{drawn}"


def _verdict(parameter: ParameterEffect) -> str:
    return parameter.verdict + (f" (active where {parameter.condition})" if parameter.condition else "")


def _remarks(effects: Effects) -> Iterator[str]:
    yield effects.method
    if effects.unit != "points" or not effects.maximize:
        better = "higher" if effects.maximize else "lower"
        yield f"An effect is a change of {effects.metric}: {better} is better."
    if any(parameter.ped_anova is not None for parameter in effects.parameters):
        yield "The column Optuna's shows the PED-ANOVA importance for the best tenth of the complete trials."
    if effects.more_trials is not None:
        yield f"The next conclusive verdict needs about {plural(effects.more_trials, 'more trial')}."


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
    """Draws intervals on a common scale: `|` is no effect, `o` the effect, dashes its interval."""

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
