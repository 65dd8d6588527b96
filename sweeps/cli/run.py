"""`sweeps run`: train what is missing of a sweep, then show its leaderboard."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

import click

from sweeps.cli.json_option import json_summary, note_summary
from sweeps.cli.options import echo_notes, echo_warnings, report_option, run_options, set_option
from sweeps.cli.param_types import YAML_FILE
from sweeps.core.commands import command_on
from sweeps.core.errors import RecordError
from sweeps.core.exit_codes import ExitCode

if TYPE_CHECKING:
    from sweeps.driver.options import RunKeywords, RunSummary


@click.command()
@click.argument("file", type=YAML_FILE, help="Sweep file.")
@set_option
@click.option(
    "--new", is_flag=True, help="Start a new study under this name. Trials of the earlier study stay in the record."
)
@click.option(
    "--widen",
    is_flag=True,
    help="Continue a begun sweep whose file has a wider space now, such as further values, with its trials.",
)
@run_options
@report_option
@json_summary
def run(
    file: Path, overrides: tuple[str, ...], runs: Path, new: bool, widen: bool, report: bool, how: RunKeywords
) -> None:
    """Train the missing trials of a sweep and show its leaderboard.

    The same command resumes an interrupted sweep. A larger run_cap extends it. Recorded results are not trained again.

    \b
    Example:
      sweeps run experiments/quick.yaml
      sweeps run experiments/quick.yaml --set run_cap=48
      sweeps run experiments/quick.yaml --set parameters.optimizer.lr.max=1.0 --widen
      sweeps run experiments/quick.yaml --tensorboard --notify https://example.org/hook
      sweeps run experiments/quick.yaml --backend inline --set name=debug --set run_cap=1
      sweeps run experiments/quick.yaml --address HOST:6379 --storage s3://bucket/lab
    """
    from sweeps.system.output import stage, terminal_copy

    if new and widen:
        raise click.UsageError("--new starts without the earlier trials, and --widen continues them. Choose one.")
    with terminal_copy() as console, stage(console, f"reading {file}"):
        from sweeps._api.functions import load_spec
        from sweeps._api.functions import run as run_spec

        spec = load_spec(file, overrides=overrides)
    echo_notes(file, spec.notes)
    echo_warnings(file, spec.warnings())
    summary = summary_of(run_spec, spec, runs=runs, new=new, widen=widen, **how)
    show_result(runs, spec.name, summary, report=report)
    finish(summary, spec.name, runs=runs)


P = ParamSpec("P")


def summary_of(call: Callable[P, RunSummary], *args: P.args, **options: P.kwargs) -> RunSummary:
    """Return the summary of a run, also if a signal interrupts it."""
    from sweeps.driver.options import Interrupted

    try:
        return call(*args, **options)
    except Interrupted as stop:
        return stop.summary


def show_result(runs: Path, sweep: str, summary: RunSummary, *, report: bool = True) -> None:
    """Print a sweep's leaderboard, write the leaderboard of all sweeps and, with `report`, the sweep's page."""
    if not summary.records:
        return  # stopped before its first trial
    from sweeps.cli.report import write_page
    from sweeps.cli.terminal import console
    from sweeps.record.availability import is_unresponsive
    from sweeps.record.reader import MlflowReader
    from sweeps.views.front import print_front
    from sweeps.views.html.write import report_path
    from sweeps.views.leaderboard import query_leaderboard
    from sweeps.views.leaderboard_table import print_leaderboard

    if is_unresponsive(runs):
        return  # already reported
    reader = MlflowReader(runs)
    with after_the_run("the leaderboard", command_on("leaderboard", sweep, runs=runs), runs=runs):
        board = query_leaderboard(reader, sweep=sweep)
        print_leaderboard(board, console(), limit=30)
        print_front(board.rows, console())
        write_board(runs, summary)
    if report and (summary.has_changed or not report_path(runs, sweep).exists()):
        write_page(runs, sweep)


def write_board(runs: Path, summary: RunSummary) -> None:
    """Write the leaderboard of all sweeps to `runs/leaderboard.csv` if it has changed."""
    from cifar_core.common.files import move_stray_aside
    from sweeps.record.reader import MlflowReader
    from sweeps.views.exports import to_csv
    from sweeps.views.leaderboard import query_leaderboard

    board = runs / "leaderboard.csv"
    move_stray_aside(board)
    if summary.has_changed or not board.exists():
        to_csv(query_leaderboard(MlflowReader(runs)), board)


@contextlib.contextmanager
def after_the_run(what: str, later: str, *, runs: Path) -> Iterator[None]:
    """Print errors of the block instead of raising them, so that the summary of the run is still shown.

    Args:
        what: name of the results in the block.
        later: the command that shows them later.
        runs: the runs folder.
    """
    from sweeps.record.availability import is_unresponsive

    was_reported = is_unresponsive(runs)
    try:
        yield
    except (RecordError, OSError) as error:
        if was_reported:
            return
        click.echo(f"The results are saved, but {what} could not be shown: {error}", err=True)
        click.echo(f"Run `{later}` to show it.", err=True)


def finish(summary: RunSummary, sweep: str, *, runs: Path) -> None:
    """Print the summary of a start, and exit with its code."""
    code = _print_summary(summary, sweep, runs=runs)
    if summary.confirmed is not None:
        code = max(code, _print_summary(summary.confirmed, f"{sweep} replicates", runs=runs))
    note_summary(sweep, summary, code)
    if code:
        sys.exit(code)


def _print_summary(summary: RunSummary, what: str, *, runs: Path) -> ExitCode:
    """Print the summary of a search or of its replicates, and return the exit code."""
    from sweeps.core.formatting import duration, plural
    from sweeps.core.trial import Outcome

    counts = ", ".join(f"{summary.count(outcome)} {outcome}" for outcome in Outcome if summary.count(outcome))
    click.echo(f"{what}: {counts}")
    if summary.stopped_by == "signal":
        click.echo("Interrupted. All finished epochs are saved. Run the same command again to resume.")
        return ExitCode.INTERRUPTED
    if summary.model is not None:
        click.echo(f"Logged the winner as an MLflow model: {summary.model}")
    failed = [record for record in summary.records if record.outcome is Outcome.FAILED]
    if summary.stopped_by == "timeout":
        ended = "All finished epochs are saved."
        if not summary.trained:
            ended = "No epoch finished in that time. Raise limits.timeout, or lower base.data.train_size."
        click.echo(
            f"Stopped after {duration(summary.seconds)} (limits.timeout). {ended} Run the same command again to resume."
        )
    elif summary.trained:
        click.echo(f"trained {summary.trained} in {duration(summary.seconds)}")
    elif summary.begun:
        click.echo(f"{plural(summary.begun, 'trial')} started in {duration(summary.seconds)}, none finished an epoch")
    elif not summary.records and summary.stopped_by is None:
        click.echo("Nothing to train: no combination of the parameters is valid.", err=True)
    elif summary.race is not None and summary.count(Outcome.INTERRUPTED):
        click.echo("Nothing was trained: no run can end in the time that is left.")
    elif not failed and summary.stopped_by is None:
        reused = f", {summary.reused} of them reused from earlier runs" if summary.reused else ""
        click.echo(f"Nothing to train: all {plural(len(summary.records), 'trial')} are already recorded{reused}.")
    if summary.budget is not None:
        click.echo(summary.budget)
    if summary.race is not None:
        click.echo(summary.race)
    if summary.ended_because is not None:
        click.echo(summary.ended_because)
    if summary.gave_up_at is not None:
        click.echo(
            f"The search ended after {plural(summary.gave_up_at, 'trial')}, fewer than run_cap: no new valid "
            "configuration was proposed. Widen the space, or lower run_cap.",
            err=True,
        )
    return print_failures(summary, runs=runs)


def print_failures(summary: RunSummary, *, runs: Path) -> ExitCode:
    """Print which trials failed and what ended the run, and return the exit code."""
    from sweeps.core.formatting import log_path
    from sweeps.core.trial import Outcome

    failed = [record for record in summary.records if record.outcome is Outcome.FAILED]
    if summary.stopped_by in ("disk full", "storage away", "code changed"):
        click.echo(f"error: {summary.details}", err=True)
        return ExitCode.REFUSED
    for record in failed:
        click.echo(f"{record.name} failed: {record.error} (log: {log_path(record.log, runs)})", err=True)
    if summary.stopped_by == "failing":
        click.echo(f"error: {summary.details}", err=True)
    elif failed:
        click.echo("Run the same command with --retry-failed to train them again.", err=True)
    return ExitCode.FAILED if failed or summary.stopped_by == "failing" else ExitCode.DONE
