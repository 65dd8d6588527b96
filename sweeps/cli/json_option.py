"""The option `--json`."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sweeps.core.exit_codes import ExitCode
    from sweeps.driver.options import RunSummary

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON instead (`sweeps schema json` prints its schema)."
)
_FINISHED = "sweeps.finished"


def note_summary(sweep: str, summary: RunSummary, code: ExitCode) -> None:
    """Keep the summary of a start for `json_summary`."""
    click.get_current_context().meta[_FINISHED] = sweep, summary, code


def json_summary(command: Callable[..., None], *, is_ladder: bool = False) -> Callable[..., None]:
    """Add `--json` to a command that trains and ends with `sweeps.cli.run.finish`.

    With it, standard output has the summary as JSON, and everything else is printed to standard error.

    Args:
        command: The command.
        is_ladder: Whether the output contains the gains of a ladder.
    """

    @functools.wraps(command)
    def with_json(*, as_json: bool, runs: Path, **given: Any) -> None:
        if not as_json:
            command(runs=runs, **given)
            return
        from sweeps.system.output import stdout_to_stderr
        from sweeps.views.json_output import LadderOutput, RungOutput, SummaryOutput

        with stdout_to_stderr():
            try:
                command(runs=runs, **given)
            except SystemExit:
                if _FINISHED not in click.get_current_context().meta:
                    raise
        sweep, summary, code = click.get_current_context().meta[_FINISHED]
        output: SummaryOutput | LadderOutput = SummaryOutput.of(summary, sweep=sweep, exit_code=int(code))
        if is_ladder:
            from sweeps._api.verbs import read_ladder

            rungs = [RungOutput.of(each) for each in read_ladder(sweep, runs=runs).comparisons]
            output = LadderOutput(ladder=sweep, rungs=rungs, summary=output)
        click.echo(output.json_text())
        sys.exit(code)

    return json_option(with_json)


def json_ladder(command: Callable[..., None]) -> Callable[..., None]:
    """As `json_summary`, with the gains of a ladder."""
    return json_summary(command, is_ladder=True)
