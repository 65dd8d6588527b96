"""The command lines that messages suggest."""

from __future__ import annotations

import shlex
from pathlib import Path

DEFAULT_RUNS = Path("runs")
"""The runs folder of every verb without `--runs`."""


def command_on(verb: str, sweep: str, *, runs: Path) -> str:
    """Return the command line of a verb on a sweep, with `--runs` unless the runs folder is the default."""
    elsewhere = [] if runs == DEFAULT_RUNS else ["--runs", str(runs)]
    return shlex.join(["sweeps", verb, sweep, *elsewhere])
