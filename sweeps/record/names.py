"""Names of the recorded runs for tab completion, read within milliseconds."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from sweeps.core.errors import RecordError
from sweeps.record.store import sqlite_file, store_uri

_WAIT_SECONDS = 0.1
"""Maximum wait for a driver that writes: a missing name is better than a prompt that hangs."""

_QUERY = """
    SELECT (SELECT value FROM tags WHERE run_uuid = runs.run_uuid AND key = 'sweep'),
           (SELECT value FROM tags WHERE run_uuid = runs.run_uuid AND key = 'rung'),
           (SELECT value FROM tags WHERE run_uuid = runs.run_uuid AND key = 'seed'),
           runs.name
    FROM runs JOIN tags AS kinds USING (run_uuid)
    WHERE runs.lifecycle_stage = 'active' AND kinds.key = 'kind' AND kinds.value = 'trial'
    ORDER BY runs.name
"""


def run_names(runs: Path) -> list[str]:
    """Return the names of the recorded runs in order: `quick-003`, `quick-003-s1`, `ladder/deep`, `ladder/deep-s0`.

    The list is empty if the record is not a SQLite file or cannot be read at once.
    """
    try:
        path = sqlite_file(store_uri(runs))
    except RecordError:  # reported by verbs, not by a prompt
        return []
    if path is None or not path.is_file():
        return []
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=_WAIT_SECONDS)
        ) as database:
            found = database.execute(_QUERY).fetchall()
    except sqlite3.Error:
        return []
    names = [f"{sweep}/{rung}" if rung else str(name) for sweep, rung, _, name in found]
    names += [f"{sweep}/{rung}-s{seed}" for sweep, rung, seed, _ in found if rung]
    return list(dict.fromkeys(names))
