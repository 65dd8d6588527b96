"""`sweeps replicate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from sweeps.cli.json_option import json_summary
from sweeps.cli.options import A_SEARCH, report_option, run_options, seconds_of
from sweeps.cli.param_types import SweepName

if TYPE_CHECKING:
    from sweeps.driver.options import RunKeywords


@click.command()
@click.argument("sweep", type=SweepName(), help=A_SEARCH)
@click.option(
    "--top", type=click.IntRange(min=1), default=3, show_default=True, help="Number of configurations, best first."
)
@click.option(
    "--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="New seeds per configuration, the same."
)
@click.option(
    "--until",
    type=click.FloatRange(0.5, 1, min_open=True, max_open=True),
    metavar="PROBABILITY",
    help="Race instead: train seeds one by one until one configuration is the best with this probability: 0.95.",
)
@click.option(
    "--at-most",
    callback=seconds_of,
    metavar="TIME",
    default="15m",
    show_default=True,
    help="Time of the race over all its starts.",
)
@click.option(
    "--images",
    type=click.IntRange(min=0),
    help="Images that the search did not use, on which the runs are compared. By default as many as are left, at most "
    "10,000; 0 for the validation images of the search.",
)
@run_options
@report_option
@json_summary
@click.pass_context
def replicate(
    context: click.Context,
    sweep: str,
    top: int,
    seeds: int,
    until: float | None,
    at_most: float,
    images: int | None,
    runs: Path,
    report: bool,
    how: RunKeywords,
) -> None:
    """Train the best configurations of a search again under new seeds, and rank them by these only.

    The best of many trials is partly luck. All configurations get the same new seeds. A promising configuration that
    was stopped early is trained to its full length first. The sampler does not receive the results. Running it again
    trains nothing that is recorded; a larger --seeds adds runs.

    With --until, the configurations race: each next seed goes to the one where it most reduces the probability of a
    wrong choice, until one is the best, or --at-most has passed.

    \b
    Example:
      sweeps replicate quick --top 3 --seeds 3
      sweeps replicate quick --top 3 --until 0.95 --at-most 15m
    """
    from sweeps.cli.run import finish, show_result, summary_of
    from sweeps.system.output import stage, terminal_copy

    given = {name for name in ("seeds", "at_most") if context.get_parameter_source(name) is not ParameterSource.DEFAULT}
    if until is not None and "seeds" in given:
        raise click.UsageError("--seeds trains a fixed number, and --until as many as are needed. Choose one.")
    if until is None and "at_most" in given:
        raise click.UsageError("--at-most limits a race. Add --until, such as --until 0.95.")
    if until is not None and top < 2:
        raise click.UsageError("--until compares configurations. Use --top 2 or more.")
    with terminal_copy() as console, stage(console, f"reading {sweep}"):
        from sweeps._api.functions import replicate as replicate_best

    summary = summary_of(
        replicate_best,
        sweep,
        top=top,
        seeds=seeds,
        until=until,
        at_most=at_most,
        images=images,
        runs=runs,
        on_start=click.echo,
        **how,
    )
    show_result(runs, sweep, summary, report=report)
    finish(summary, f"{sweep} replicates", runs=runs)
