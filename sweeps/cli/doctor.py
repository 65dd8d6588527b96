"""`sweeps doctor`: what a crash, a copy or another environment has left wrong, and the mending of it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from sweeps.cli.options import runs_option


@click.command()
@runs_option
@click.option("--fix", is_flag=True, help="Mend what can be mended. Without it nothing is written.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with machine and versions: for a report of a fault.")
def doctor(runs: Path, fix: bool, as_json: bool) -> None:
    """Look for what a killed driver, a copied folder or another environment has left wrong; say what to do.

    A line a check: ok, note (well to know), problem (with what to do), mended. A sweep that is being run is left
    alone. Exit code 0 when all is well, or all could be mended; 1 when something is wrong still.

    \b
    Example:
      sweeps doctor
      sweeps doctor --fix
      sweeps doctor --json
    """
    from sweeps.upkeep.doctor import Verdict, examine, report

    lines = []
    for line in examine(runs, fix=fix):
        lines.append(line)
        if not as_json:
            click.echo(f"{line.verdict:<8} {line.check}: {line.text}")
    if as_json:
        click.echo(json.dumps(report(lines), indent=2, ensure_ascii=False))
    click.get_current_context().exit(any(line.verdict is Verdict.PROBLEM for line in lines))
