"""Format numbers and words for screens, pages and logs, each kind of value in one way.

An accuracy is a share from 0 to 1 in files and records, and percent with two decimals on screens.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeps.core.trial import Outcome

if TYPE_CHECKING:
    from typing import IO

    from rich.console import Console


def plain_width(environment: Mapping[str, str]) -> int:
    """Return the line width in characters without a terminal: `COLUMNS`, else 100."""
    columns = environment.get("COLUMNS", "")
    return int(columns) if columns.isdecimal() and int(columns) else 100


PLAIN_WIDTH = plain_width(os.environ)
"""Line width in characters of a file or a pipe."""

OUTCOME_STYLES = {
    Outcome.COMPLETE: "green",
    Outcome.PAUSED: "blue",
    Outcome.PRUNED: "yellow",
    Outcome.DIVERGED: "magenta",
    Outcome.FAILED: "red",
    Outcome.INTERRUPTED: "dim",
    Outcome.RUNNING: "cyan",
}
"""Rich styles."""


def make_console(
    file: IO[str] | None = None, *, width: int | None = None, force_terminal: bool | None = None, **settings: Any
) -> Console:
    """Return a Rich console without markup: `[red]` or `:dog:` in a value or a file name is printed literally.

    Args:
        file: the output; None for standard output.
        width: characters per line; None for the width of the terminal.
        force_terminal: whether `file` is a terminal; None lets Rich detect it.
        settings: other arguments of Rich's `Console`.
    """
    from rich.console import Console

    return Console(
        file=file, width=width, force_terminal=force_terminal, markup=False, emoji=False, highlight=False, **settings
    )


def print_sentence(console: Console, text: str, *, style: str | None = None) -> None:
    """Print text without markup: wrapped between words on a terminal, on one line elsewhere."""
    console.print(text, style=style, highlight=style is None, markup=False, soft_wrap=not console.is_terminal)


def relative_to(path: Path, folder: Path) -> str:
    """Return a path relative to a folder, or unchanged if it is not inside the folder."""
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


def log_path(log: str | None, runs: Path) -> str:
    """Return the path of a trial's log, relative to the current folder if it is inside it.

    Args:
        log: the recorded path, relative to the runs folder, or a URL; None if the trial has no log.
        runs: the runs folder.
    """
    if log is None:
        return "none"
    if "://" in log:
        return log
    path, here = runs / log, Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def percent(share: float | None) -> str:
    """Return `64.65` for a share of 0.6465, for a column headed in percent; empty for None."""
    return "" if share is None else f"{100 * share:.2f}"


def accuracy(share: float | None) -> str:
    """Return `64.65 %` for a share of 0.6465, for a sentence; empty for None."""
    return "" if share is None else f"{percent(share)} %"


def points(difference: float) -> str:
    """Return a difference of two accuracies in points: `+4.12`, `-0.30`, and `+0.00` for what rounds to zero."""
    return f"{round(difference, 2) + 0.0:+.2f}"


def p_value(value: float) -> str:
    """Return a p-value with two significant digits, `0.012`, or `< 0.001`."""
    return "< 0.001" if value < 0.001 else f"{value:.2g}"


def p_in_words(value: float) -> str:
    """Return a p-value for a sentence: `p = 0.012`, `p < 0.001`."""
    text = p_value(value)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def loss(value: float | None) -> str:
    """Return a loss in nats with four decimals; empty for None."""
    return "" if value is None else f"{value:.4f}"


_ACCURACIES = frozenset(
    {"val_accuracy", "train_accuracy", "test_accuracy", "best_val_accuracy", "search_accuracy", "confirm_accuracy"}
)
"""Metrics and columns that are always shares. A custom training may use other names for any number."""


def is_accuracy(metric: str) -> bool:
    """Return whether a metric or a column is an accuracy, a share from 0 to 1."""
    return metric in _ACCURACIES


def metric_heading(metric: str) -> str:
    """Return the column heading of a metric, with its unit."""
    return f"{metric} %" if is_accuracy(metric) else metric


def metric_cell(metric: str, value: float | None) -> str:
    """Return a metric's value for a table cell under `metric_heading`."""
    return percent(value) if is_accuracy(metric) else metric_number(value)


def metric_text(metric: str, value: float | None) -> str:
    """Return a metric's value for a sentence."""
    return accuracy(value) if is_accuracy(metric) else metric_number(value)


def metric_number(value: float | None, *, sign: str = "") -> str:
    """Return a number of any size with four decimals, or four digits if it is very small or large; empty for None.

    Args:
        value: the number.
        sign: `+` to write the sign of a positive number too.
    """
    if value is None:
        return ""
    is_common = value == 0 or 1e-3 <= abs(value) < 1e6
    return f"{value:{sign}.4f}" if is_common else f"{value:{sign}.4g}"


def number(value: float) -> str:
    """Return a hyperparameter's value with three significant digits."""
    return f"{value:.3g}"


def duration(seconds: float) -> str:
    """Return `9.4 s`, `45 s`, `2 min 45 s`, `25 min` or `3 h 05 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    rounded = round(seconds)
    if rounded < 60:
        return f"{rounded} s"
    minutes, rest = divmod(rounded, 60)
    if minutes < 10:
        return f"{minutes} min {rest:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def time_of_day(seconds: float) -> str:
    """Return a Unix time as local time, with the date if it is not today."""
    moment = time.localtime(seconds)
    is_today = moment[:3] == time.localtime()[:3]
    return time.strftime("%H:%M" if is_today else "%Y-%m-%d %H:%M", moment)


def bytes_in_words(count: int) -> str:
    """Return `512 bytes`, `1.5 kB`, `20.1 MB` or `3.2 GB`, in powers of 1,000."""
    if count < 1000:
        return plural(count, "byte")
    power = next((power for power in (1, 2, 3) if count < 999.95 * 1000**power), 4)
    return f"{count / 1000**power:,.1f} {('kB', 'MB', 'GB', 'TB')[power - 1]}"


def truncated(text: str, length: int) -> str:
    """Return a text cut to `length` characters, with `…` at the end if it was longer."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def plural(count: int, noun: str) -> str:
    """Return `1 slot`, `2 slots`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def escaped(name: str) -> str:
    """Return a file name for printing and storing: invalid UTF-8 and control characters as `\\xff` or `\\x1b`."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def listed(words: Iterable[str], *, most: int | None = None) -> str:
    """Return words joined with commas and a final `and`. If there are more than `most`, the rest becomes `N more`."""
    words = list(words)
    if most is not None and len(words) > most:
        words = [*words[: most - 1], f"{len(words) - most + 1} more"]
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def short_names(paths: Sequence[str]) -> list[str]:
    """Return a heading for each dotted path: `model` for `model.name`, else its last part, if that is unique."""
    parts = [path.rpartition(".") for path in paths]
    short = [block if block and field == "name" else field for block, _, field in parts]
    return [name if short.count(name) == 1 else path for name, path in zip(short, paths, strict=True)]
