"""`sweeps leaderboard`, `show` and `ui`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from sweeps.cli.json_option import json_option
from sweeps.cli.options import runs_option
from sweeps.cli.paper import AS_TYPED, SCREEN, format_option, paper_options
from sweeps.cli.param_types import COLUMN, SQL, SWEEP, SWEEP_OR_RUN
from sweeps.core.formatting import plural

EACH_RUN = "one row per run"
"""Value of `--runs` without a folder."""


@click.command()
@click.argument("sweep", type=SWEEP, required=False, help="Name of a sweep or a ladder.  [default: all]")
@click.option(
    "--runs",
    "runs_or_folder",
    multiple=True,
    is_flag=False,
    flag_value=EACH_RUN,
    metavar="[FOLDER]",
    help="Show one row per run. With a value, FOLDER is the runs folder, as for other verbs.",
)
@click.option(
    "--where",
    type=SQL,
    metavar="CONDITION",
    help='Keep only rows that satisfy an SQL condition, such as "model.width > 8".',
)
@click.option(
    "--sql", type=SQL, metavar="SELECT", help="Run a SELECT over the tables runs, configurations, confirmed and epochs."
)
@click.option(
    "--by", type=COLUMN, metavar="COLUMN", help="Group by a column: count, best, median, share of the variance."
)
@click.option("--columns", type=COLUMN, metavar="COLUMN,…", help="Show only these columns, in this order.")
@click.option("--sort", type=COLUMN, metavar="COLUMN", help="Sort by a column; -COLUMN sorts the largest first.")
@click.option("--limit", type=click.IntRange(min=1), help="Maximum number of rows.")
@format_option("csv", "Write the rows as CSV to FILE, or to standard output if no FILE is given.")
@format_option("json", "Write the rows as JSON to FILE, or to standard output if no FILE is given.")
@paper_options
@format_option("html", "Write the table as an HTML fragment to FILE, or to standard output if no FILE is given.")
@click.option("--parquet", "parquet_to", type=AS_TYPED, metavar="FILE", help="Write the rows as Parquet.")
def leaderboard(
    sweep: str | None,
    runs_or_folder: tuple[str, ...],
    where: str | None,
    sql: str | None,
    by: str | None,
    columns: str | None,
    sort: str | None,
    limit: int | None,
    csv_to: str | None,
    json_to: str | None,
    md_to: str | None,
    latex_to: str | None,
    html_to: str | None,
    parquet_to: str | None,
) -> None:
    """Rank the configurations of one sweep, or of all, by the mean over their seeds.

    A column has the short name of the table (lr, time) or its full name (optimizer.lr, train_seconds). SQL takes full
    names only. Accuracies are shares: 0.6 is 60 %. docs/how-to/leaderboard.md describes the tables of --sql with ten
    example queries, docs/reference/columns.md the columns.

    \b
    Example:
      sweeps leaderboard
      sweeps leaderboard quick --where "model.name = 'resnet' and val_accuracy > 0.6" --sort -lr
      sweeps leaderboard --where "trial = 'quick-001' or model.name like 'res%'"
      sweeps leaderboard quick --runs
      sweeps leaderboard quick --latex quick.tex
      sweeps leaderboard quick --columns trial,lr,acc --md
      sweeps leaderboard quick --by model.name
      sweeps leaderboard --sql "select model.name, max(val_accuracy) from runs group by all"
      sweeps leaderboard --csv all.csv --parquet all.parquet
    """
    from sweeps.cli.terminal import console
    from sweeps.record.reader import MlflowReader
    from sweeps.store.access_log import describe_accesses
    from sweeps.views.boards import BoardView, ByValueView, ColumnsView, View
    from sweeps.views.leaderboard import query_leaderboard
    from sweeps.views.queries import query

    given = {"csv": csv_to, "json": json_to, "md": md_to, "latex": latex_to, "html": html_to, "parquet": parquet_to}
    sweep, outputs = _outputs(sweep, given)
    runs, each_run = _folder(runs_or_folder), EACH_RUN in runs_or_folder
    reader = MlflowReader(runs)
    view: View
    if sql is not None:
        options = {"--where": where, "--by": by, "--columns": columns, "--sort": sort, "--limit": limit}
        _reject_combination("--sql", options | {"--runs": each_run or None}, "write them in the SELECT")
        view = View(query(reader, sql, sweep=sweep))
    else:
        if by is not None:
            _reject_combination(
                "--by", {"--columns": columns, "--sort": sort, "--limit": limit}, "select rows with --where"
            )
        board = query_leaderboard(reader, sweep=sweep, where=where, sort=sort, limit=limit, each_run=each_run)
        if by is not None:
            view = ByValueView(board, by)
        else:
            view = (
                BoardView(board, reader=reader)
                if columns is None
                else ColumnsView(board, [name.strip() for name in columns.split(",")])
            )
    for name, target in outputs.items():
        if target == SCREEN:
            click.echo(view.text(name))
        else:
            view.write(name, Path(target))
            click.echo(f"{plural(len(view.table.rows), 'row')} written to {target}", err=SCREEN in outputs.values())
    if not outputs:
        view.show(console())
        if not view.table.rows and view.table.why_empty is None:
            click.echo(f"The runs folder is {runs.resolve()}. `--runs FOLDER` selects another.")
        for line in describe_accesses(runs, sweep) if isinstance(view, BoardView) else ():
            click.echo(line)
    elif view.table.why_empty:
        click.echo(view.table.why_empty, err=True)


def _outputs(sweep: str | None, given: Mapping[str, str | None]) -> tuple[str | None, dict[str, str]]:
    """Return the sweep, and the requested formats with their file or `SCREEN`.

    For compatibility, in `leaderboard --json quick` the word after the option is the sweep, unless one is given. Only
    `--csv` and `--parquet` always take a file.
    """
    found = {name: target for name, target in given.items() if target is not None}
    for name, target in found.items():
        is_word = target != SCREEN and Path(target).name == target and not Path(target).suffix
        if sweep is None and is_word and name not in ("csv", "parquet"):
            sweep, found[name] = target, SCREEN
    printed = [f"--{name}" for name, target in found.items() if target == SCREEN]
    if len(printed) > 1:
        raise click.UsageError(
            f"{' and '.join(printed)} would both print to the screen. Give all but one of them a file."
        )
    if found.get("parquet") == SCREEN:
        raise click.UsageError("--parquet needs a file: it cannot be printed.")
    return sweep, found


def _reject_combination(option: str, others: Mapping[str, object], reason: str) -> None:
    named = [name for name, value in others.items() if value is not None]
    if named:
        raise click.UsageError(f"{option} cannot be combined with {', '.join(named)}: {reason}")


def _folder(values: tuple[str, ...]) -> Path:
    from sweeps.core.commands import DEFAULT_RUNS

    folders = [value for value in values if value != EACH_RUN]
    if not folders:
        return DEFAULT_RUNS
    folder = Path(folders[-1])
    if folder.name == folders[-1] and folder != DEFAULT_RUNS and not folder.is_dir():
        # A bare word may be the name of a sweep.
        raise click.UsageError(
            f"the folder {folders[-1]!r} does not exist. `--runs FOLDER` sets the runs folder. For one row per run, "
            "put --runs at the end."
        )
    return folder


@click.command()
@click.argument("run", type=SWEEP_OR_RUN, metavar="SWEEP|RUN", help="A sweep, a configuration or a run: see above.")
@runs_option
@json_option
def show(run: str, runs: Path, as_json: bool) -> None:
    """Show a sweep (file, space, counts, best), a configuration with its runs, or one run (result, curve, log).

    quick-003 (or quick/3) and ladder/deep name configurations: the mean of their runs, and the weights of a run that
    confirms them. quick-003-s1, ladder/deep-s1, the beginning of an MLflow run id and the beginning of a key name runs.
    Verbs that take RUN accept these names. Where RUN|SWEEP is accepted, the name of a sweep means its best
    configuration, except here: it shows the sweep.

    \b
    Example:
      sweeps show quick
      sweeps show quick/3
      sweeps show quick-003-s1
    """
    from sweeps._api.verbs import show as shown
    from sweeps.cli.terminal import console

    found = shown(run, runs=runs)
    if as_json:
        click.echo(found.to_json())
    else:
        found.print_to(console())


@click.command()
@click.argument("sweep", type=SWEEP, required=False, help="Name of a sweep or a ladder.  [default: the newest]")
@runs_option
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=5000,
    show_default=True,
    help="Port; the next free one if it is taken.",
)
def ui(sweep: str | None, runs: Path, port: int) -> None:
    """Open the MLflow UI on the recorded runs, reachable from this machine only (127.0.0.1).

    The page lists the runs of SWEEP, or of the newest sweep, with the parameters that vary among them.

    \b
    Example:
      sweeps ui quick
      sweeps ui --port 5001
    """
    from sweeps.record.ui import serve

    serve(runs, sweep=sweep, port=port)
