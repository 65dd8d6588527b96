"""`sweeps leaderboard`, `show`, `ui`: looking at what is recorded."""

from __future__ import annotations

from pathlib import Path

import click

from sweeps.api import DEFAULT_RUNS
from sweeps.cli.options import FILE, runs_option

EACH_RUN = "one row a run"
"""Value of `--runs` where no folder follows."""


@click.command()
@click.argument("sweep", required=False)
@click.option(
    "--runs",
    "runs_or_folder",
    multiple=True,
    is_flag=False,
    flag_value=EACH_RUN,
    metavar="[FOLDER]",
    help="Alone: one row a run, not one a configuration. With a folder: where the runs are (default: runs).",
)
@click.option("--where", metavar="EXPRESSION", help='Only rows for which it holds, such as "model.width > 8".')
@click.option("--sort", metavar="COLUMN", help="Order by a column; -COLUMN for the largest first.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many rows.")
@click.option("--csv", "csv_file", type=FILE, help="Write the rows to a file instead.")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
def leaderboard(
    sweep: str | None,
    runs_or_folder: tuple[str, ...],
    where: str | None,
    sort: str | None,
    limit: int | None,
    csv_file: Path | None,
    as_json: bool,
) -> None:
    """Rank the configurations of one sweep, or of all, by the mean of their seeds.

    Columns may be named as the table shows them (lr, time) or in full (optimizer.lr, train_seconds).

    \b
    Example:
      sweeps leaderboard
      sweeps leaderboard quick --where "model == 'resnet' and val_accuracy > 0.6" --sort -lr
      sweeps leaderboard quick --runs
      sweeps leaderboard --csv all.csv
    """
    from sweeps.cli.terminal import console
    from sweeps.report import print_leaderboard, query_leaderboard, to_csv, to_json, why_empty
    from sweeps.study import looks_in_words
    from sweeps.tracking import MlflowReader

    runs = _folder(runs_or_folder)
    each_run = EACH_RUN in runs_or_folder
    reader = MlflowReader(runs)
    board = query_leaderboard(reader, sweep=sweep, where=where, sort=sort, limit=limit, each_run=each_run)
    if csv_file is not None:
        to_csv(board, csv_file)
        click.echo(f"{len(board)} rows written to {csv_file}")
    elif as_json:
        click.echo(to_json(board))
    else:
        print_leaderboard(board, console())
        for line in looks_in_words(runs, sweep):
            click.echo(line)
        return
    if reason := why_empty(board):
        click.echo(reason, err=True)


def _folder(values: tuple[str, ...]) -> Path:
    folders = [value for value in values if value != EACH_RUN]
    if not folders:
        return DEFAULT_RUNS
    folder = Path(folders[-1])
    if folder.name == folders[-1] and folder != DEFAULT_RUNS and not folder.is_dir():
        # A bare word: as likely the sweep's name.
        raise click.UsageError(
            f"there is no folder {folders[-1]!r}: `--runs FOLDER` names where the runs are. For one row a run, let "
            "--runs stand at the end"
        )
    return folder


@click.command()
@click.argument("run")
@runs_option
def show(run: str, runs: Path) -> None:
    """Show one run: configuration, result, curve, where its log is.

    RUN is what a table shows (quick-003), SWEEP/TRIAL, a rung's name, or the beginning of an MLflow run id or of a key.

    \b
    Example:
      sweeps show quick/3
      sweeps show quick-003
    """
    from sweeps.cli.terminal import console
    from sweeps.report import find_run, print_run
    from sweeps.study import looks_in_words
    from sweeps.tracking import MlflowReader

    reader = MlflowReader(runs)
    row = find_run(reader, run)
    print_run(row, reader, console(), runs=runs)
    if row["test_accuracy"] is not None and row["replicate_of"] is not None:
        for line in looks_in_words(runs, row["sweep"]):
            click.echo(line)


@click.command()
@runs_option
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True)
def ui(runs: Path, port: int) -> None:
    """Open MLflow's pages on the recorded runs, for this machine only (127.0.0.1).

    \b
    Example:
      sweeps ui --port 5001
    """
    from sweeps.tracking import serve

    serve(runs, port=port)
