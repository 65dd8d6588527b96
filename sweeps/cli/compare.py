"""`sweeps compare`."""

from __future__ import annotations

from pathlib import Path

import click

from sweeps.cli.json_option import json_option
from sweeps.cli.options import A_RUN, runs_option
from sweeps.cli.param_types import RUN


@click.command()
@click.argument("first", type=RUN, metavar="RUN", help=A_RUN)
@click.argument("second", type=RUN, metavar="RUN", help="The run to compare it with.")
@runs_option
@json_option
def compare(first: str, second: str, runs: Path, as_json: bool) -> None:
    """Show two runs side by side: differences, results, curves, and a statistical test of their test accuracy.

    Runs are named as in `sweeps show`. Two configurations are compared by the means over their seeds.

    \b
    Example:
      sweeps compare quick-003 quick-007
    """
    from sweeps._api.verbs import compare as compared
    from sweeps.cli.terminal import console

    found = compared(first, second, runs=runs)
    if as_json:
        click.echo(found.to_json())
    else:
        found.print_to(console())
