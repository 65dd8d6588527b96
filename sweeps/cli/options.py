"""Options that several verbs share."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from sweeps.cli.param_types import SETTING
from sweeps.core.commands import DEFAULT_RUNS

FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)
A_SWEEP = "Name of a sweep or a ladder."
A_SEARCH = "Name of a sweep."
A_RUN = "A recorded run or configuration, such as quick-003: see `sweeps show`."
A_RUN_OR_SWEEP = "A recorded run or configuration (see `sweeps show`), or a sweep: its best configuration."

runs_option = click.option(
    "--runs",
    type=FOLDER,
    default=DEFAULT_RUNS,
    show_default=True,
    help="Runs folder: all output of sweeps.",
)
set_option = click.option(
    "--set",
    "overrides",
    type=SETTING,
    multiple=True,
    metavar="PATH=VALUE",
    help="Override a key of the file, such as base.epochs=3; repeatable.",
)
RUN_OPTIONS = {
    "backend": click.option(
        "--backend",
        type=click.Choice(["ray", "inline"]),
        default="ray",
        show_default=True,
        help="ray: trials in parallel. inline: one trial after the other in this process, for a debugger.",
    ),
    "address": click.option(
        "--address",
        metavar="HOST:PORT",
        help="Address of a running Ray cluster.  [default: $RAY_ADDRESS, else a Ray that is started on this machine]",
    ),
    "storage": click.option(
        "--storage",
        metavar="FOLDER|URL",
        help="Storage of checkpoints and logs: a folder that every machine can reach, or a URL such as "
        "s3://bucket/prefix. Credentials come from the environment.  "
        "[default: $SWEEPS_STORAGE, else the file's key, else the runs folder]",
    ),
    "study_storage": click.option(
        "--study-storage",
        metavar="URL",
        help="Database that stores the study, such as postgresql://user@host/database, so that another machine can "
        "resume the sweep. The password comes from the environment.  "
        "[default: $SWEEPS_STUDY_STORAGE, else the file's key, else the runs folder]",
    ),
    "retry_failed": click.option("--retry-failed", is_flag=True, help="Train failed trials again."),
    "tensorboard": click.option(
        "--tensorboard",
        is_flag=True,
        help="Write curves, images, graph and hyperparameters of each trial for TensorBoard, under runs/tensorboard.",
    ),
    "notify": click.option(
        "--notify",
        multiple=True,
        metavar="URL|COMMAND",
        help="Notify a web address (POST), a command (standard input) or an apprise service (slack://...) of a new "
        "best result and of the end; repeatable.",
    ),
}
"""Field of `sweeps.driver.options.RunKeywords` to the option that sets it."""


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a run to a command that trains: `runs`, and the others in a mapping `how`."""

    @functools.wraps(command)
    def with_options(**given: Any) -> Any:
        return command(how={name: given.pop(name) for name in RUN_OPTIONS}, **given)

    for option in reversed((runs_option, *RUN_OPTIONS.values())):
        with_options = option(with_options)
    return with_options


report_option = click.option(
    "--report/--no-report",
    default=True,
    show_default=True,
    help="Write the pictures of the runs and the report page at the end.",
)


def echo_warnings(file: Path, warnings: Iterable[str]) -> None:
    """Print the warnings about probable mistakes in a file."""
    for warning in warnings:
        click.echo(f"warning: {file}: {warning}", err=True)


def echo_notes(file: Path, notes: Sequence[str]) -> None:
    """Print the differences between a file of W&B and the sweep that is read from it."""
    if notes:
        click.echo("\n  ".join([f"note: {file} was read as a W&B sweep file:", *notes]), err=True)


def command_line(verb: str, file: Path, overrides: tuple[str, ...], arguments: Sequence[str] = ()) -> str:
    """Return the command line of a verb on a file, with its overrides and further arguments."""
    settings = [word for override in overrides for word in ("--set", override)]
    return shlex.join(["sweeps", verb, str(file), *settings, *arguments])


def seconds_of(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """Return the seconds of `20m`, as the callback of an option."""
    from sweeps.files.settings import parse_duration

    if value is None:
        return None
    try:
        seconds = float(parse_duration(value))
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from None
    if not seconds > 0:
        raise click.BadParameter(f"{value!r} is not above 0. Write a time such as 20m.")
    return seconds
