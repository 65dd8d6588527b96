"""The objectives of a recorded run that were known before its training, and the rows on the front."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sweeps.core.front import KnownValue


def known_of(row: Mapping[str, Any]) -> list[KnownValue]:
    """Return the known objectives of a run; none for a search with one objective, or if its tag was edited."""
    try:
        return [
            KnownValue(name=str(name), goal=goal, value=float(value))
            for name, goal, value in json.loads(row["known"] or "[]")
        ]
    except (ValueError, TypeError):
        return []


def on_front(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the rows on a front, by their first known objective."""
    return sorted((row for row in rows if row["front"]), key=lambda row: [each.cost for each in known_of(row)])
