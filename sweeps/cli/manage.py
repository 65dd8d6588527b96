"""`sweeps list`, `status`, `stop`, `rm` and `repair`."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import time
from pathlib import Path

import click

from sweeps.cli.json_option import json_option
from sweeps.cli.options import A_SWEEP, runs_option
from sweeps.cli.param_types import SweepName
from sweeps.core.errors import NoSuchSweepError, SweepError

STOP_SECONDS = 60
RESUME = "To resume, run the command that started it again."


@click.command("list")
@runs_option
@json_option
def list_sweeps(runs: Path, as_json: bool) -> None:
    """List the sweeps and ladders in the runs folder.

    \b
    Example:
      sweeps list
    """
    from sweeps.cli.terminal import console
    from sweeps.core.formatting import print_sentence
    from sweeps.search.state import read_state, sweep_names
    from sweeps.views.status import headline

    names, output = sweep_names(runs), console()
    if as_json:
        from sweeps.views.json_output import list_output

        click.echo(list_output(runs).json_text())
        return
    if not names:
        click.echo(f"no sweep under {runs} yet. Run `sweeps run experiments/quick.yaml` to start one.")
    for name in names:
        try:
            print_sentence(output, headline(read_state(runs, name)))
        except SweepError as error:  # an unreadable sweep must not hide the others
            print_sentence(output, f"{name}: {error}")


@click.command()
@click.argument("sweep", type=SweepName(), help=A_SWEEP)
@runs_option
@click.option("--watch", is_flag=True, help="Redraw the state until the sweep ends.")
@click.option(
    "--every",
    type=click.FloatRange(min=0.1),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="Seconds between two updates of --watch.",
)
@json_option
def status(sweep: str, runs: Path, watch: bool, every: float, as_json: bool) -> None:
    """Show the state of a sweep, trial by trial, from any terminal, while it runs and after its end.

    \b
    Example:
      sweeps status quick
      sweeps status quick --watch
      sweeps status quick --watch --every 10
    """
    from sweeps._api.verbs import status as status_of
    from sweeps.cli.terminal import console
    from sweeps.cli.watch import watch as watch_sweep

    if watch and as_json:
        raise click.UsageError("--watch redraws a screen, and --json prints once. Choose one.")
    if as_json:
        from sweeps.views.json_output import StatusOutput

        click.echo(StatusOutput.of(status_of(sweep, runs=runs).state).json_text())
    elif watch:
        watch_sweep(runs, sweep, console(), seconds=every)
    else:
        status_of(sweep, runs=runs).print_to(console())


@click.command()
@click.argument("sweep", type=SweepName(), help=A_SWEEP)
@runs_option
def stop(sweep: str, runs: Path) -> None:
    """Stop a running sweep. Finished epochs are saved, and `sweeps run` resumes it.

    \b
    Example:
      sweeps stop quick
    """
    from sweeps.search.state import read_state
    from sweeps.store.folder import SweepFolder
    from sweeps.views.status import headline

    folder = SweepFolder(runs, sweep)
    if not folder.path.is_dir():
        raise NoSuchSweepError.under(runs, sweep)
    driver = folder.driver()
    if driver is None:
        failed = f" Its driver {folder.last_heartbeat}. {RESUME}" if folder.last_heartbeat else ""
        click.echo(f"{sweep} is not running.{failed}")
        return
    if driver["host"] != socket.gethostname():
        raise SweepError(f"{sweep} runs on {driver['host']}. Run `sweeps stop {sweep}` there.")
    if driver.get("doing", "run") != "run":
        raise SweepError(f"{sweep} is being {driver['doing']} by process {driver['pid']}. Wait for it.")
    with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
        os.kill(int(driver["pid"]), signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while folder.driver() is not None:
        if time.monotonic() > deadline:
            raise SweepError(
                f"{sweep} (process {driver['pid']}) has not stopped after {STOP_SECONDS} s. Check the process."
            )
        time.sleep(0.2)
    if folder.died:
        raise SweepError(f"the driver of {sweep} was killed. All finished epochs are saved. {RESUME}")
    click.echo(headline(read_state(runs, sweep)))
    click.echo(f"Stopped {sweep}. {RESUME}")


@click.command()
@click.argument("sweep", type=SweepName(), help=A_SWEEP)
@runs_option
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def rm(sweep: str, runs: Path, yes: bool) -> None:
    """Delete a sweep: its journal, checkpoints, logs, TensorBoard curves, and its runs in MLflow.

    \b
    Example:
      sweeps rm quick
    """
    from cifar_core.common.files import has_disk_space
    from sweeps.core.storages import LOCAL
    from sweeps.search.opening import delete_studies
    from sweeps.store.checkpoints import SweepCheckpoints
    from sweeps.store.folder import SweepFolder

    folder = SweepFolder(runs, sweep)
    if not folder.path.is_dir():
        raise NoSuchSweepError.under(runs, sweep)
    if not folder.exists:
        # Left by a refused start, which stored nothing elsewhere: ignore storages in the environment.
        folder = SweepFolder(runs, sweep, requested=LOCAL)
    storages = folder.storages
    from sweeps.record.reader import delete_sweep
    from sweeps.upkeep.removing import journal_runs, preserve_shared_weights, update_leaderboard_file
    from sweeps.worker.tensorboard import remove_curves

    # Locked before the confirmation, so that the sweep cannot be started meanwhile.
    with folder.locked(doing="deleted", needs_space=False):
        if not yes:
            elsewhere = " and ".join(filter(None, (storages.study_storage, storages.storage)))
            click.confirm(
                f"delete {sweep} with its journal, checkpoints, logs, curves and MLflow runs"
                + (f", all of it in {elsewhere} too?" if elsewhere else "?"),
                abort=True,
            )
        preserve_shared_weights(folder)
        own = journal_runs(folder)
        if not has_disk_space(folder.path):
            # MLflow needs disk space to delete. The journal is deleted last, so that the command can be repeated.
            for part in (folder.checkpoints, folder.logs):
                shutil.rmtree(part, ignore_errors=True)
        target = folder.path.resolve()
        try:
            deleted = delete_sweep(runs, sweep, own)
            remove_curves(runs, sweep)
            delete_studies(folder)
            if storages.storage is not None:
                SweepCheckpoints(folder).remove_all()
            _delete(folder.path)
        finally:
            update_leaderboard_file(runs)
    with contextlib.suppress(OSError):
        target.rmdir()  # not possible before the lock was released
    click.echo(f"deleted {sweep}: {deleted} MLflow runs, and {folder.path}")


def _delete(folder: Path) -> None:
    """Delete a sweep's folder, or a link and its target, unless the target is another sweep's folder.

    On NFS the open lock file remains as `.nfs...` until it is closed.
    """
    target = folder.resolve()
    try:
        try:
            if not (folder.is_symlink() and target.parent == folder.parent.resolve()):
                shutil.rmtree(target)
        except OSError:
            if not all(left.name == "driver.lock" or left.name.startswith(".nfs") for left in target.iterdir()):
                raise
        if folder.is_symlink():
            folder.unlink()
    except OSError as error:
        raise SweepError(
            f"{error.filename or folder} cannot be deleted ({error.strerror}). Check its owner, then run this again."
        ) from None


@click.command()
@click.argument("sweep", type=SweepName(), help=A_SWEEP)
@runs_option
def repair(sweep: str, runs: Path) -> None:
    """Repair a damaged journal from the copy of the last start, or keep the part before the damage.

    The damaged file is kept. Trials after the damage are proposed again, unless MLflow has recorded them as complete.

    \b
    Example:
      sweeps repair quick
    """
    from sweeps.store.folder import SweepFolder
    from sweeps.store.repair import repair_journal

    folder = SweepFolder(runs, sweep)
    if not folder.exists:
        raise NoSuchSweepError.under(runs, sweep)
    if folder.storages.study_storage is not None:
        raise SweepError(
            f"the study of {sweep} is in {folder.storages.study_storage}. `sweeps repair` is only for journals."
        )
    with folder.locked(doing="repaired"):
        for line in repair_journal(folder):
            click.echo(f"{sweep}: {line}")
