"""Find columns by the headings of tables, so that these can be typed into filters and sort options."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sweeps.core.errors import LeaderboardError
from sweeps.core.formatting import plural, short_names
from sweeps.record.columns import RECORD_COLUMNS


def status_text(row: Mapping[str, Any]) -> str:
    """Return the status of a row, or that it violates a condition, or some of its runs did not learn."""
    if row["violated"]:
        return "violates where"
    count, runs = row["did_not_learn"], row["replicates"]
    if not count:
        return str(row["status"])
    return "did not learn" if row["seed"] is not None or not runs else f"{plural(count, 'run')} did not learn"


MAX_SUGGESTIONS = 3
"""Suggestions for an unknown column."""


def column_named(name: str, columns: Iterable[str], *, note: str = "") -> str:
    """Return the column with this name, this heading, or this last part of a dotted name.

    Args:
        name: as typed.
        columns: names of the existing columns.
        note: text after the name in an error.

    Raises:
        LeaderboardError: no column matches, or several do; names the closest ones.
    """
    columns = list(columns)
    if name in columns:
        return name
    known = column_aliases(columns)
    found = list(dict.fromkeys(known.get(_alias(name), [])))
    if len(found) == 1:
        return found[0]
    if found:
        raise LeaderboardError(f"{name!r} is ambiguous: {', '.join(found)}. Name one of them")
    raise LeaderboardError(f"unknown column {name!r}{note}: {closest_columns(name, columns)}")


def closest_columns(name: str, columns: Sequence[str]) -> str:
    """Return `did you mean 'x'?` with the closest columns."""
    known = {**{column.lower(): column for column in columns}, **{k: v[0] for k, v in column_aliases(columns).items()}}
    near = difflib.get_close_matches(_alias(name), known, n=MAX_SUGGESTIONS, cutoff=0.5)
    near = list(dict.fromkeys(known[text] for text in near))
    if not near:
        return "`sweeps leaderboard --json` lists all columns"
    return f"did you mean {near[0]!r}?" + (f" Or {' or '.join(map(repr, near[1:]))}?" if near[1:] else "")


def column_aliases(columns: Sequence[str]) -> dict[str, list[str]]:
    """Return alias → columns with this alias: headings, other words, and last parts of dotted names."""
    configuration = [column for column in columns if column not in RECORD_COLUMNS]
    aliases: dict[str, list[str]] = {}
    for name in filter(RECORD_COLUMNS.__contains__, columns):
        for word in {_alias(RECORD_COLUMNS[name].heading), *RECORD_COLUMNS[name].words} - {name}:
            aliases.setdefault(word, []).append(name)
    for column, heading in zip(configuration, short_names(configuration), strict=True):
        for word in {heading, column.rpartition(".")[2]} - {column}:
            aliases.setdefault(_alias(word), []).append(column)
    return aliases


def _alias(heading: str) -> str:
    """Return a heading as it may be typed, without its unit: `val_acc` for `val acc %`."""
    words = heading.lower().replace("±", "").split()
    return "_".join(word for word in words if word not in ("%", "m"))
