"""`sweeps doctor`: what a crash, a copy or another environment has left wrong, and the mending of it."""

from __future__ import annotations

from pathlib import Path

import click

from sweeps.cli.options import runs_option


@click.command()
@runs_option
@click.option("--fix", is_flag=True, help="Mend what can be mended. Without it nothing is written.")
def doctor(runs: Path, fix: bool) -> None:
    """Look for what a killed driver, a copied folder or another environment has left wrong; say what to do.

    A line a check: ok, note (well to know), problem (with what to do), mended. A sweep that is being run is left
    alone. Exit code 0 when all is well, or all could be mended; 1 when something is wrong still.

    \b
    Example:
      sweeps doctor
      sweeps doctor --fix
    """
    from sweeps.upkeep.doctor import Verdict, examine

    problems = 0
    for line in examine(runs, fix=fix):
        problems += line.verdict is Verdict.PROBLEM
        click.echo(f"{line.verdict:<8} {line.check}: {line.text}")
    click.get_current_context().exit(1 if problems else 0)
