"""Words and numbers as people read them: every screen, page and log writes an accuracy or a duration in one way.

An accuracy is a share from 0 to 1 in every file and in every record, and percent with two decimals on every screen.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeps.core.trial import Outcome

if TYPE_CHECKING:
    from typing import IO

    from rich.console import Console


def plain_width(environment: Mapping[str, str]) -> int:
    """Return the characters of a line where there is no terminal: a user's `COLUMNS`, else 100."""
    columns = environment.get("COLUMNS", "")
    return int(columns) if columns.isdecimal() and int(columns) else 100


PLAIN_WIDTH = plain_width(os.environ)
"""Characters of a line where nobody sees a terminal: a file, a pipe."""

OUTCOME_STYLES = {
    Outcome.COMPLETE: "green",
    Outcome.PRUNED: "yellow",
    Outcome.DIVERGED: "magenta",
    Outcome.FAILED: "red",
    Outcome.INTERRUPTED: "dim",
    Outcome.RUNNING: "cyan",
}
"""Styles of rich."""


def make_console(
    file: IO[str] | None = None, *, width: int | None = None, force_terminal: bool | None = None, **settings: Any
) -> Console:
    """Return a console of rich that prints every text as it is: `[red]` or `:dog:` in a value or a file name is text.

    Args:
        file: where to; standard output where None.
        width: characters of a line; those of the terminal where None.
        force_terminal: whether `file` is a terminal; rich's own guess where None.
        settings: others of rich's.
    """
    from rich.console import Console

    return Console(
        file=file, width=width, force_terminal=force_terminal, markup=False, emoji=False, highlight=False, **settings
    )


def print_sentence(console: Console, text: str, *, style: str | None = None) -> None:
    """Print text as it is: broken between words on a terminal, which itself breaks within them; elsewhere one line."""
    console.print(text, style=style, highlight=style is None, markup=False, soft_wrap=not console.is_terminal)


def relative_to(path: Path, folder: Path) -> str:
    """Return a path as it is named from a folder, or the whole of it where it lies elsewhere."""
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


def log_path(log: str | None, runs: Path) -> str:
    """Return a trial's log as one would type it: from the folder one is in, where it lies below it.

    Args:
        log: the path in the record, from the runs folder, or a URL; None where the trial never had one.
        runs: the runs folder.
    """
    if log is None:
        return "none"
    if "://" in log:
        return log
    path, here = runs / log, Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def percent(share: float | None) -> str:
    """Return `64.65` for a share of 0.6465, for a column whose heading says percent; empty for None."""
    return "" if share is None else f"{100 * share:.2f}"


def accuracy(share: float | None) -> str:
    """Return `64.65 %` for a share of 0.6465, for a sentence; empty for None."""
    return "" if share is None else f"{percent(share)} %"


def points(difference: float) -> str:
    """Return a difference of two accuracies in points: `+4.12`, `-0.30`, and `+0.00` for what rounds to nothing."""
    return f"{round(difference, 2) + 0.0:+.2f}"


def p_value(value: float) -> str:
    """Return a p-value of two digits: `0.012`, and `< 0.001` for a smaller one than that."""
    return "< 0.001" if value < 0.001 else f"{value:.2g}"


def p_in_words(value: float) -> str:
    """Return a p-value for a sentence: `p = 0.012`, `p < 0.001`."""
    text = p_value(value)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def loss(value: float | None) -> str:
    """Return a loss in nats with four decimals; empty for None."""
    return "" if value is None else f"{value:.4f}"


def is_accuracy(metric: str) -> bool:
    """Return whether a metric or a column holds shares of right answers."""
    return metric.endswith("accuracy")


def metric_heading(metric: str) -> str:
    """Return a metric's name for a column, with its unit."""
    return f"{metric} %" if is_accuracy(metric) else metric


def metric_cell(metric: str, value: float | None) -> str:
    """Return a metric's value for a column under `metric_heading`."""
    return percent(value) if is_accuracy(metric) else loss(value)


def metric_text(metric: str, value: float | None) -> str:
    """Return a metric's value for a sentence."""
    return accuracy(value) if is_accuracy(metric) else loss(value)


def number(value: float) -> str:
    """Return a hyper-parameter's value, three digits of it."""
    return f"{value:.3g}"


def duration(seconds: float) -> str:
    """Return `9.4 s`, `45 s`, `2 min 45 s`, `25 min` or `3 h 05 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 10:
        return f"{minutes} min {rest:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def bytes_in_words(count: int) -> str:
    """Return `512 bytes`, `1.5 kB`, `20.1 MB` or `3.2 GB`: powers of 1,000, as disks are sold."""
    if count < 1000:
        return plural(count, "byte")
    power = next((power for power in (1, 2, 3) if count < 999.95 * 1000**power), 4)
    return f"{count / 1000**power:,.1f} {('kB', 'MB', 'GB', 'TB')[power - 1]}"


def truncated(text: str, length: int) -> str:
    """Return a text of at most `length` characters, with `…` at its end where something was cut off."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def plural(count: int, noun: str) -> str:
    """Return `1 slot`, `2 slots`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def escaped(name: str) -> str:
    """Return a file's name to print and to store: what is not UTF-8, or moves a cursor, as `\\xff` or `\\x1b`."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def listed(words: Iterable[str], *, most: int | None = None) -> str:
    """Return words with commas and an `and` between them; of more than `most` the first ones and how many more."""
    words = list(words)
    if most is not None and len(words) > most:
        words = [*words[: most - 1], f"{len(words) - most + 1} more"]
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def short_names(paths: Sequence[str]) -> list[str]:
    """Return a heading for each dotted path: `model` for `model.name`, else its last part where that is unique."""
    parts = [path.rpartition(".") for path in paths]
    short = [block if block and field == "name" else field for block, _, field in parts]
    return [name if short.count(name) == 1 else path for name, path in zip(short, paths, strict=True)]
