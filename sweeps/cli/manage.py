"""`sweeps list`, `status`, `stop`, `rm`: what there is, how it stands, ending and deleting it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import time
from pathlib import Path

import click

from sweeps.cli.options import A_SWEEP, runs_option
from sweeps.cli.param_types import SweepName
from sweeps.core.errors import NoSuchSweepError, SweepError

STOP_SECONDS = 60


@click.command("list")
@runs_option
def list_sweeps(runs: Path) -> None:
    """List the sweeps and ladders in the runs folder.

    \b
    Example:
      sweeps list
    """
    from sweeps.search.state import read_state, sweep_names
    from sweeps.views.status import headline

    names = sweep_names(runs)
    if not names:
        click.echo(f"no sweep under {runs} yet: `sweeps run experiments/quick.yaml` begins one")
    for name in names:
        try:
            click.echo(headline(read_state(runs, name)))
        except SweepError as error:  # one that cannot be read does not hide the others
            click.echo(f"{name}: {error}")


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
    help="Interval of --watch.",
)
def status(sweep: str, runs: Path, watch: bool, every: float) -> None:
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

    if watch:
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
        raise NoSuchSweepError(f"no sweep {sweep!r} under {runs}: `sweeps list` shows what there is")
    driver = folder.driver()
    if driver is None:
        click.echo(f"{sweep} is not running" + (f": {folder.last_heartbeat}" if folder.last_heartbeat else ""))
        return
    if driver["host"] != socket.gethostname():
        raise SweepError(f"{sweep} is run on {driver['host']}: stop it there")
    if driver.get("doing", "run") != "run":
        raise SweepError(f"{sweep} is being {driver['doing']} by process {driver['pid']}, not run: wait for it")
    with contextlib.suppress(ProcessLookupError):  # it has ended by itself just now
        os.kill(int(driver["pid"]), signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while folder.driver() is not None:
        if time.monotonic() > deadline:
            raise SweepError(
                f"{sweep} (process {driver['pid']}) has not ended after {STOP_SECONDS} s: look at it there"
            )
        time.sleep(0.2)
    if folder.died:
        raise SweepError(
            f"{sweep} has ended, but not in order (was it killed?): what it saved is there, and the command "
            "that began it goes on from it"
        )
    click.echo(headline(read_state(runs, sweep)))
    click.echo(f"{sweep} is stopped; the command that began it goes on")


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
    from cifar_core.common.files import has_room
    from sweeps.core.storages import LOCAL
    from sweeps.search.opening import delete_studies
    from sweeps.store.checkpoints import SweepCheckpoints
    from sweeps.store.folder import SweepFolder

    folder = SweepFolder(runs, sweep)
    if not folder.path.is_dir():
        raise NoSuchSweepError(f"no sweep {sweep!r} under {runs}: `sweeps list` shows what there is")
    if not folder.exists:
        # What a start that was refused has left: nothing elsewhere is its own, whatever the environment says.
        folder = SweepFolder(runs, sweep, requested=LOCAL)
    storages = folder.storages
    from sweeps.record.reader import delete_sweep
    from sweeps.upkeep.removing import keep_weights_of_others, own_runs, rewrite_board
    from sweeps.worker.tensorboard import remove_curves

    # Held while the question is open: what is being deleted must not be started meanwhile.
    with folder.locked(doing="deleted", needs_space=False):
        if not yes:
            elsewhere = " and ".join(filter(None, (storages.study_storage, storages.storage)))
            click.confirm(
                f"delete {sweep} with its journal, checkpoints, logs, curves and MLflow runs"
                + (f", all of it in {elsewhere} too?" if elsewhere else "?"),
                abort=True,
            )
        keep_weights_of_others(folder)
        own = own_runs(folder)
        if not has_room(folder.path):
            # The record writes before it deletes. The journal goes last: the same command can be repeated.
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
            rewrite_board(runs)
    with contextlib.suppress(OSError):
        target.rmdir()  # where the lock, held until now, kept it
    click.echo(f"deleted {sweep}: {deleted} MLflow runs, and {folder.path}")


def _delete(folder: Path) -> None:
    """Delete a sweep's folder, and where it is a link what it leads to, unless that is another sweep's folder.

    On NFS the lock, which is open, stays as `.nfs...` until it is closed: that is no failure.
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
            f"{error.filename or folder} cannot be deleted ({error.strerror}): see whose it is, then repeat the command"
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
        raise NoSuchSweepError(f"no sweep {sweep!r} under {runs}: `sweeps list` shows what there is")
    if folder.storages.study_storage is not None:
        raise SweepError(f"the study of {sweep} is in {folder.storages.study_storage}: a database keeps itself whole")
    with folder.locked(doing="repaired"):
        for line in repair_journal(folder):
            click.echo(f"{sweep}: {line}")
