"""The command lines that messages suggest."""

from __future__ import annotations

import shlex
from pathlib import Path

DEFAULT_RUNS = Path("runs")
"""The runs folder of every verb without `--runs`."""


def command_on(verb: str, *arguments: str, runs: Path) -> str:
    """Return the command line of a verb, with `--runs` unless the runs folder is the default."""
    elsewhere = [] if runs.resolve() == DEFAULT_RUNS.resolve() else ["--runs", str(runs)]
    return shlex.join(["sweeps", verb, *arguments, *elsewhere])
