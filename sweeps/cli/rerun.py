"""`sweeps rerun`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sweeps.cli.options import A_RUN, runs_option
from sweeps.cli.param_types import RUN
from sweeps.core.exit_codes import ExitCode

if TYPE_CHECKING:
    from sweeps.core.results import EpochResult
    from sweeps.driver.rerun import Rerun


@click.command()
@click.argument("run", type=RUN, help=A_RUN)
@click.option("--check", is_flag=True, help="Exit with code 1 if the result differs by more than the tolerance.")
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0, max=100),
    default=1.0,
    show_default=True,
    metavar="POINTS",
    help="Largest allowed difference between two accuracies of one epoch, in percentage points.",
)
@runs_option
def rerun(run: str, check: bool, tolerance: float, runs: Path) -> None:
    """Train a recorded run again from its record, and report whether the result is the same.

    If a configuration is named, its representative run is trained. Every loss and accuracy of every epoch is compared:
    bit for bit, within the tolerance, or different. The table lists what differs in the environment: versions, device,
    threads, commit. Training runs in this process with the recorded number of threads and epochs. If the result is the
    same bit for bit, the command also restores weights that were not kept or are damaged.

    \b
    Example:
      sweeps rerun quick-003 --check
    """
    from sweeps.driver.rerun import Agreement
    from sweeps.driver.rerun import rerun as train_again
    from sweeps.record.reader import MlflowReader
    from sweeps.views.names import find_named

    named = find_named(MlflowReader(runs), run)
    row, name = named.row, named.run_name(named.row)
    click.echo(f"training {name} again (Ctrl-C interrupts; the same command resumes)")
    try:
        found = train_again(runs, row, on_epoch=_print_epoch)
    except KeyboardInterrupt:
        click.echo("Interrupted. Run the same command again to resume after the last epoch.")
        sys.exit(ExitCode.INTERRUPTED)
    _print_environment(found)
    agreement = found.agreement(tolerance=tolerance / 100)
    click.echo(f"{name}: {agreement}{_explained(found, agreement, tolerance)}")
    if found.restored_weights:
        is_network = row.get("train") is None
        how = f"weights. Run `sweeps predict {name} IMAGE` to use them." if is_network else "checkpoint."
        click.echo(f"Restored its missing or damaged {how}")
    if check and agreement is Agreement.DIFFERENT:
        sys.exit(ExitCode.FAILED)


def _print_epoch(recorded: EpochResult, again: EpochResult) -> None:
    from sweeps.core.formatting import metric_text

    def shown(epoch: EpochResult) -> str:
        if (loss := epoch.value("train_loss")) is None:
            return ", ".join(f"{name} {metric_text(name, value)}" for name, value in epoch.metrics.items())
        validated = epoch.value("val_accuracy")
        validation = "" if validated is None else f", validation {metric_text('val_accuracy', validated)}"
        return f"train loss {metric_text('train_loss', loss)}{validation}"

    click.echo(f"epoch {again.epoch}: {shown(again)} (recorded: {shown(recorded)})")


def _print_environment(found: Rerun) -> None:
    from rich.table import Table

    from sweeps.cli.terminal import console

    if not found.environment:
        click.echo("versions, device, threads and commit equal the record")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("difference", "recorded", "now"):
        table.add_column(heading, overflow="fold")
    for fact, values in found.environment.items():
        table.add_row(fact.removeprefix("version."), *("not recorded" if value is None else value for value in values))
    console().print(table)


def _explained(found: Rerun, agreement: str, tolerance: float) -> str:
    from sweeps.core.formatting import plural

    if found.error is not None:
        return f": after {len(found.again)} of {plural(len(found.recorded), 'epoch')}: {found.error}"
    if agreement == "bit for bit":
        return f": every number of {plural(len(found.recorded), 'epoch')} equals the record"
    epochs = plural(len(found.recorded), "epoch")
    if (first := found.first_difference) is not None and not found.has_accuracies:
        return f": {first}"
    largest = f"{100 * found.largest_difference:.2f}"
    return f": accuracies differ by at most {largest} points in {epochs} (tolerance {tolerance:g})"
