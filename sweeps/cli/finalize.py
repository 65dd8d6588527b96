"""`sweeps finalize`."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from sweeps.cli.json_option import json_option
from sweeps.cli.options import A_SEARCH, runs_option
from sweeps.cli.param_types import SweepName


@click.command()
@click.argument("sweep", type=SweepName(), help=A_SEARCH)
@click.option(
    "--top", type=click.IntRange(min=1), default=1, show_default=True, help="Number of configurations, best first."
)
@runs_option
@json_option
def finalize(sweep: str, top: int, runs: Path, as_json: bool) -> None:
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
    from sweeps.system.output import stage, stdout_to_stderr, terminal_copy

    with stdout_to_stderr() if as_json else contextlib.nullcontext():
        with terminal_copy() as output, stage(output, f"reading {sweep}"):
            found = open_test_set(
                sweep,
                top=top,
                runs=runs,
                on_measure=lambda record: click.echo(f"evaluating {record.name} on the test part"),
            )
        if not as_json:
            found.print_to(console())
        if found.measured:
            from sweeps.cli.report import write_page

            write_page(runs, sweep)
    if as_json:
        click.echo(found.to_json())
