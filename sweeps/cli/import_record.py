"""`sweeps import`: another person's record beside one's own."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from sweeps.cli.options import runs_option
from sweeps.cli.param_types import FOLDER_OR_SERVER
from sweeps.core.errors import SweepError


@click.command("import")
@click.argument("source", type=FOLDER_OR_SERVER, metavar="RUNS_FOLDER|SERVER")
@click.option("--sweep", "named", multiple=True, metavar="NAME", help="Only this sweep; may be given more than once.")
@click.option("--prefix", default="", metavar="TEXT", help="Put in front of each sweep's name here, such as ada-.")
@runs_option
def import_record(source: str, named: tuple[str, ...], prefix: str, runs: Path) -> None:
    """Take another record over: its sweeps, runs, curves and artifacts, each tagged with where it came from.

    RUNS_FOLDER is another runs folder, or the clone that holds one; of it journals, checkpoints and logs come along, so
    that its sweeps can be reported, predicted with and gone on with here. SERVER is the address of an MLflow server.
    Nothing there is changed. Asked again it takes over only what is new there. A result that is recorded here already,
    of the same configuration, seed and data, counts once.

    \b
    Example:
      sweeps import ~/ada/project/runs --prefix ada-
      sweeps import http://tracking.lab:5000 --sweep quick
    """
    from sweeps.core.formatting import plural
    from sweeps.files.settings import check_name
    from sweeps.upkeep.take_over import import_record as take_over_record

    if prefix:
        try:
            check_name(f"{prefix}x")
        except ValueError as error:
            raise SweepError(f"--prefix {prefix!r}: {error}") from None
    with click.progressbar(length=1, label="taking over", file=sys.stderr) as bar:

        def show(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        taken = take_over_record(source, runs=runs, prefix=prefix, only=named, on_run=show)
    click.echo(f"taken over: {plural(taken.runs, 'run')} of {', '.join(taken.sweeps.values())}")
    if taken.known:
        click.echo(f"here before: {plural(taken.known, 'run')}")
    if taken.counted_here:
        click.echo(f"recorded here too, and counted once: {plural(taken.counted_here, 'result')}")
    if taken.gone_on:
        click.echo(f"gone on here since, and left as they are: {plural(taken.gone_on, 'run')}")
    if taken.unreadable:
        click.echo(f"no trials as this project writes them, and left there: {plural(taken.unreadable, 'run')}")
    if taken.running:
        click.echo(f"being trained there: {plural(taken.running, 'run')}; the same command takes them over later")
