"""`sweeps finalize`: what the confirmed best does on the test set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sweeps.cli.options import SweepName, runs_option

if TYPE_CHECKING:
    from sweeps.execution import Finalized
    from sweeps.trial_record import TrialRecord


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
    from sweeps.execution import finalize as open_test_set
    from sweeps.execution import stage, terminal_copy
    from sweeps.formatting import plural
    from sweeps.study import looks_in_words

    with terminal_copy() as output, stage(output, f"reading {sweep}"):
        found, measured = open_test_set(
            runs, sweep, top=top, on_measure=lambda record: click.echo(f"measuring {record.name} on the test images")
        )
    _print_results(found)
    click.echo(
        f"{plural(measured, 'run')} measured" if measured else "nothing was measured: every result was recorded already"
    )
    for line in looks_in_words(runs, sweep):
        click.echo(line)
    if measured:
        from sweeps.cli.report import write_page

        write_page(runs, sweep)


def _print_results(found: Sequence[Finalized]) -> None:
    from rich.table import Table

    from sweeps.cli.terminal import console
    from sweeps.formatting import describe, percent
    from sweeps.report import print_confusion
    from sweeps.results import mean_and_interval

    output = console()
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("configuration of", "val acc %", "test acc %", "runs"):
        table.add_column(heading, justify="left" if heading == "configuration of" else "right", no_wrap=True)
    table.add_column("configuration", overflow="fold")
    for each in found:
        tests = [record.test.accuracy for record in each.records if record.test is not None]
        validated = [record.epochs[-1].val_accuracy or 0.0 for record in each.records]
        mean, low, high = mean_and_interval(tests)
        shown = f"{percent(mean)} ({percent(low)}–{percent(high)})" if low is not None else percent(mean)
        first = each.records[0]
        table.add_row(
            f"trial {first.trial}",
            percent(sum(validated) / len(validated)),
            shown,
            str(len(tests)),
            describe(first.config),
        )
    output.print(table)
    confusion = _summed([record for record in found[0].records if record.test is not None])
    if confusion is not None:
        print_confusion(confusion, output)


def _summed(records: Sequence[TrialRecord]) -> list[list[int]] | None:
    """Return the confusion of all runs of a configuration together; None where one was not recorded."""
    tables = [record.test.confusion for record in records if record.test is not None]
    if not tables or any(table is None for table in tables):
        return None
    return [[sum(counts) for counts in zip(*rows, strict=True)] for rows in zip(*tables, strict=True)]
