"""`sweeps import`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from sweeps.cli.options import runs_option
from sweeps.cli.param_types import FOLDER_OR_SERVER
from sweeps.core.errors import SweepError


@click.command("import")
@click.argument(
    "source",
    type=FOLDER_OR_SERVER,
    metavar="RUNS_FOLDER|SERVER",
    help="Another runs folder, the clone that contains one, or the address of an MLflow server.",
)
@click.option("--sweep", "named", multiple=True, metavar="NAME", help="Import only this sweep; repeatable.")
@click.option("--prefix", default="", metavar="TEXT", help="Prefix of the names of the imported sweeps, such as ada-.")
@runs_option
def import_record(source: str, named: tuple[str, ...], prefix: str, runs: Path) -> None:
    """Import another record: its sweeps, runs, curves and artifacts, each tagged with its origin.

    From a runs folder, journals, checkpoints and logs are copied too, so that its sweeps can be resumed, reported and
    used for prediction here. From an MLflow server, only the record is copied. The source is not changed. Running it
    again imports only what is new. A result with the configuration, seed and data of a result recorded here counts
    once.

    \b
    Example:
      sweeps import ~/ada/project/runs --prefix ada-
      sweeps import http://tracking.lab:5000 --sweep quick
    """
    from sweeps.core.formatting import plural
    from sweeps.files.settings import check_name
    from sweeps.upkeep.import_runs import import_record as take_over_record

    if prefix:
        try:
            check_name(f"{prefix}x")
        except ValueError as error:
            raise SweepError(f"--prefix {prefix!r}: {error}") from None
    with click.progressbar(length=1, label="importing", file=sys.stderr) as bar:

        def show(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        taken = take_over_record(source, runs=runs, prefix=prefix, only=named, on_run=show)
    click.echo(f"imported: {plural(taken.runs, 'run')} of {', '.join(taken.sweeps.values())}")
    if taken.known:
        click.echo(f"imported before: {plural(taken.known, 'run')}")
    if taken.counted_here:
        click.echo(f"already recorded here, counted once: {plural(taken.counted_here, 'result')}")
    if taken.changed_here:
        click.echo(f"resumed here since the last import, not changed: {plural(taken.changed_here, 'run')}")
    if taken.unreadable:
        click.echo(f"not written by sweeps, skipped: {plural(taken.unreadable, 'run')}")
    if taken.running:
        click.echo(
            f"still running: {plural(taken.running, 'run')}. Run the same command again after their end to import them."
        )
