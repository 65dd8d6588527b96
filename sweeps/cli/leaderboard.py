"""`sweeps leaderboard`, `show`, `ui`: looking at what is recorded."""

from __future__ import annotations

from pathlib import Path

import click

from sweeps.cli.options import FILE, runs_option


@click.command()
@click.argument("sweep", required=False)
@runs_option
@click.option("--where", metavar="EXPRESSION", help='Only rows for which it holds, such as "model.width > 8".')
@click.option("--sort", metavar="COLUMN", help="Order by a column; -COLUMN for the largest first.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many rows.")
@click.option("--csv", "csv_file", type=FILE, help="Write the rows to a file instead.")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
def leaderboard(
    sweep: str | None,
    runs: Path,
    where: str | None,
    sort: str | None,
    limit: int | None,
    csv_file: Path | None,
    as_json: bool,
) -> None:
    """Rank the recorded runs of one sweep, or of all.

    \b
    Example:
      sweeps leaderboard
      sweeps leaderboard quick --where "model.name == 'resnet' and val_accuracy > 0.6" --sort -val_accuracy
      sweeps leaderboard --csv all.csv
    """
    from sweeps.cli.terminal import console
    from sweeps.report import print_leaderboard, query_leaderboard, to_csv, to_json
    from sweeps.tracking import MlflowReader

    board = query_leaderboard(MlflowReader(runs), sweep=sweep, where=where, sort=sort, limit=limit)
    if csv_file is not None:
        to_csv(board, csv_file)
        click.echo(f"{len(board)} rows written to {csv_file}")
    elif as_json:
        click.echo(to_json(board))
    else:
        print_leaderboard(board, console())


@click.command()
@click.argument("run")
@runs_option
def show(run: str, runs: Path) -> None:
    """Show one run: configuration, result, curve, where its log is.

    RUN is SWEEP/TRIAL, a rung's name, or the beginning of an MLflow run id or of a key.

    \b
    Example:
      sweeps show quick/3
    """
    from sweeps.cli.terminal import console
    from sweeps.report import find_run, print_run
    from sweeps.tracking import MlflowReader

    reader = MlflowReader(runs)
    print_run(find_run(reader, run), reader, console())


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
