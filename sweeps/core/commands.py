"""The line that a person is told to type about a sweep: it has to find the sweep from where one is."""

from __future__ import annotations

import shlex
from pathlib import Path

DEFAULT_RUNS = Path("runs")
"""The runs folder that every verb takes where it is told of none."""


def command_on(verb: str, sweep: str, *, runs: Path) -> str:
    """Return the command line of a verb on a sweep in a runs folder, which is named where it is not the usual one."""
    elsewhere = [] if runs == DEFAULT_RUNS else ["--runs", str(runs)]
    return shlex.join(["sweeps", verb, sweep, *elsewhere])
