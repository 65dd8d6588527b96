"""`sweeps report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sweeps.cli.options import A_SWEEP, FILE, runs_option
from sweeps.cli.param_types import SweepName
from sweeps.core.commands import command_on

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sweeps.analysis.rungs import Recipe


@click.command()
@click.argument("sweep", type=SweepName(), help=A_SWEEP)
@runs_option
@click.option("--out", type=FILE, help="Path of the page.  [default: reports/SWEEP.html in the runs folder]")
@click.option("--open", "opens", is_flag=True, help="Open the page in a browser.")
@click.option(
    "--figures",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Write each chart as a file into FOLDER instead of a page.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["svg", "pdf", "png"]),
    default="svg",
    show_default=True,
    help="Format of --figures.",
)
def report(sweep: str, runs: Path, out: Path | None, opens: bool, figures: Path | None, format_: str) -> None:
    """Write a sweep or a ladder as one HTML page that works offline.

    The page of a sweep has the verdict, the leaderboard, the history, the effects of the parameters, slices and
    contours, learning curves, the use of each slot, accuracy against cost, and the failures. The page of a ladder has
    its rungs with their gains. `sweeps run` and `sweeps ladder` write it too.

    \b
    Example:
      sweeps report quick --open
      sweeps report ladder --out ladder.html
      sweeps report quick --figures figures --format pdf
    """
    if figures is not None:
        from sweeps.record.reader import MlflowReader
        from sweeps.views.html.figures import write_figures

        for written in write_figures(MlflowReader(runs), sweep=sweep, runs=runs, folder=figures, format=format_):
            click.echo(f"written: {written}")
        return
    from sweeps._api.verbs import report as write_page_of

    path = write_page_of(sweep, out=out, runs=runs)
    click.echo(f"written: {path}")
    if opens:
        import webbrowser

        if not webbrowser.open(path.resolve().as_uri()):
            click.echo("no browser found. Open the file manually.", err=True)


def write_page(runs: Path, sweep: str, *, file_recipes: Mapping[tuple[str, str | None], Recipe] | None = None) -> None:
    """Write the pictures and the page of a sweep at the end of a run, and print the path of the page.

    Errors are printed, not raised, so that the summary of the run is still shown.

    Args:
        runs: the runs folder.
        sweep: its name.
        file_recipes: recipes of a ladder's rungs; see `sweeps.analysis.rungs.read_rungs`.
    """
    from sweeps.record.availability import is_unresponsive
    from sweeps.system.output import stage, terminal_copy
    from sweeps.use.run_pictures import log_pictures

    if is_unresponsive(runs):
        return
    try:
        with terminal_copy() as output, stage(output, f"drawing the runs and the page of {sweep}"):
            from sweeps.record.reader import MlflowReader
            from sweeps.views.html.write import write_report

            log_pictures(sweep, runs=runs)
            path = write_report(MlflowReader(runs), sweep=sweep, runs=runs, file_recipes=file_recipes)
        click.echo(f"report: {path}")
    except Exception as error:  # the run itself is done and saved
        click.echo(
            f"the page could not be written ({error}). Run `{command_on('report', sweep, runs=runs)}` to retry.",
            err=True,
        )
