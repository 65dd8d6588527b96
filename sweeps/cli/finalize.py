"""`sweeps finalize`."""

from __future__ import annotations

from pathlib import Path

import click

from sweeps.cli.options import A_SEARCH, runs_option
from sweeps.cli.param_types import SweepName


@click.command()
@click.argument("sweep", type=SweepName(), help=A_SEARCH)
@click.option(
    "--top", type=click.IntRange(min=1), default=1, show_default=True, help="Number of configurations, best first."
)
@runs_option
def finalize(sweep: str, top: int, runs: Path) -> None:
    """Evaluate the confirmed best of a search on the sealed test set, once.

    No search receives the test images, and a test accuracy is unbiased only as long as nothing is selected by it. So
    only configurations that `sweeps replicate` has confirmed are evaluated, and each run once: a second call prints the
    recorded result. Each test-set access is appended, with user and time, to test_looks.jsonl in the runs folder.

    \b
    Example:
      sweeps finalize quick
    """
    from sweeps._api.verbs import finalize as open_test_set
    from sweeps.cli.terminal import console
    from sweeps.system.output import stage, terminal_copy

    with terminal_copy() as output, stage(output, f"reading {sweep}"):
        found = open_test_set(
            sweep,
            top=top,
            runs=runs,
            on_measure=lambda record: click.echo(f"evaluating {record.name} on the test part"),
        )
    found.print_to(console())
    if found.measured:
        from sweeps.cli.report import write_page

        write_page(runs, sweep)
