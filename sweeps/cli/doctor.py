"""`sweeps doctor`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from sweeps.cli.options import runs_option
from sweeps.core.exit_codes import ExitCode


@click.command()
@runs_option
@click.option("--fix", is_flag=True, help="Repair what can be repaired. Without it nothing is written.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON with machine and versions, for a bug report.")
def doctor(runs: Path, fix: bool, as_json: bool) -> None:
    """Check the runs folder, the record and the environment, and print what to do.

    It prints one line per check. Each line starts with ok, note, problem (with the next step) or repaired (with --fix).
    Running sweeps are skipped. The exit code is 0 if no problem remains, else 1.

    \b
    Example:
      sweeps doctor
      sweeps doctor --fix
      sweeps doctor --json
    """
    from sweeps.cli.terminal import console
    from sweeps.core.formatting import print_sentence
    from sweeps.upkeep.doctor import Verdict, examine, report

    lines, output = [], console()
    for line in examine(runs, fix=fix):
        lines.append(line)
        if not as_json:
            print_sentence(output, f"{line.verdict:<8} {line.check}: {line.text}")
    if as_json:
        click.echo(json.dumps(report(lines), indent=2, ensure_ascii=False))
    has_problem = any(line.verdict is Verdict.PROBLEM for line in lines)
    click.get_current_context().exit(ExitCode.FAILED if has_problem else ExitCode.DONE)
