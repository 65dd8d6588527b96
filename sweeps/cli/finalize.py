"""`sweeps finalize`: what the confirmed best does on the test set."""

from __future__ import annotations

from pathlib import Path

import click

from sweeps.cli.options import runs_option
from sweeps.cli.param_types import SweepName


@click.command()
@click.argument("sweep", type=SweepName())
@click.option("--top", type=click.IntRange(min=1), default=1, show_default=True, help="Configurations, the best first.")
@runs_option
def finalize(sweep: str, top: int, runs: Path) -> None:
    """Open the sealed test set for the confirmed best of a search, once.

    No search sees the test images; a number on them is worth something as long as nobody chooses by it. So only what
    `sweeps replicate` has confirmed is measured, and each run once: asked again, the recorded result is printed. Who
    looked, and when, is added to test_looks.jsonl under the runs folder, which only grows.

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
            on_measure=lambda record: click.echo(f"measuring {record.name} on the test images"),
        )
    found.print_to(console())
    if found.measured:
        from sweeps.cli.report import write_page

        write_page(runs, sweep)
