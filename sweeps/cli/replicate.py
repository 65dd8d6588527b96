"""`sweeps replicate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sweeps.cli.options import A_SEARCH, report_option, run_options
from sweeps.cli.param_types import SweepName

if TYPE_CHECKING:
    from sweeps.driver.options import RunKeywords


@click.command()
@click.argument("sweep", type=SweepName(), help=A_SEARCH)
@click.option(
    "--top", type=click.IntRange(min=1), default=3, show_default=True, help="Number of configurations, best first."
)
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="New seeds per configuration.")
@run_options
@report_option
def replicate(sweep: str, top: int, seeds: int, runs: Path, report: bool, how: RunKeywords) -> None:
    """Train the best configurations of a search again under new seeds, and rank them by these only.

    The best of many trials is partly luck. All configurations get the same new seeds. A promising configuration that
    was stopped early is trained to its full length first. The sampler does not receive the results. Running it again
    trains nothing that is recorded; a larger --seeds adds runs.

    \b
    Example:
      sweeps replicate quick --top 3 --seeds 3
    """
    from sweeps.cli.run import finish, show_result, summary_of
    from sweeps.system.output import stage, terminal_copy

    with terminal_copy() as console, stage(console, f"reading {sweep}"):
        from sweeps._api.functions import replicate as replicate_best

    summary = summary_of(replicate_best, sweep, top=top, seeds=seeds, runs=runs, on_start=click.echo, **how)
    show_result(runs, sweep, summary, report=report)
    finish(summary, f"{sweep} replicates", runs=runs)
