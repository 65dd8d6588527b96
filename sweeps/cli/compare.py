"""`sweeps compare`: two runs side by side."""

from __future__ import annotations

from pathlib import Path

import click

from sweeps.cli.options import runs_option
from sweeps.cli.param_types import RUN


@click.command()
@click.argument("first", type=RUN, metavar="RUN")
@click.argument("second", type=RUN, metavar="RUN")
@runs_option
def compare(first: str, second: str, runs: Path) -> None:
    """Show two runs side by side: what they differ in, results, curves, and a test where both were tested.

    A RUN is named as in `sweeps show`; two configurations are compared by the means of their seeds.

    \b
    Example:
      sweeps compare quick-003 quick-007
    """
    from sweeps._api.verbs import compare as compared
    from sweeps.cli.terminal import console

    compared(first, second, runs=runs).print_to(console())
