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

runs_option = click.option(
    "--runs",
    type=FOLDER,
    default=DEFAULT_RUNS,
    show_default=True,
    help="Folder for all that runs leave behind.",
)
set_option = click.option(
    "--set",
    "overrides",
    type=SETTING,
    multiple=True,
    metavar="PATH=VALUE",
    help="Override a key of the file, such as base.epochs=3; may be given more than once.",
)
_HOW = {
    "backend": click.option(
        "--backend",
        type=click.Choice(["ray", "inline"]),
        default="ray",
        show_default=True,
        help="inline: one trial after the other in this process, for a debugger.",
    ),
    "address": click.option(
        "--address",
        metavar="HOST:PORT",
        help="A running Ray cluster; default $RAY_ADDRESS, else Ray starts on this machine.",
    ),
    "storage": click.option(
        "--storage",
        metavar="FOLDER|URL",
        help="Where checkpoints and logs are kept: a folder that every machine sees, or a URL such as "
        "s3://bucket/prefix; credentials come from the environment.  "
        "[default: $SWEEPS_STORAGE, else the file's, else the runs folder]",
    ),
    "study_storage": click.option(
        "--study-storage",
        metavar="URL",
        help="A database for the study, such as postgresql://user@host/database, so that another machine can go on; "
        "the password comes from the environment.  "
        "[default: $SWEEPS_STUDY_STORAGE, else the file's, else the runs folder]",
    ),
    "retry_failed": click.option("--retry-failed", is_flag=True, help="Try again the trials that failed."),
    "tensorboard": click.option(
        "--tensorboard",
        is_flag=True,
        help="Write each trial's curves, images, graph and hyperparameters for TensorBoard, under runs/tensorboard.",
    ),
    "notify": click.option(
        "--notify",
        multiple=True,
        metavar="URL|COMMAND",
        help="Tell a web address (POST) or a command (standard input), in JSON, or a service of apprise "
        "(slack://...), of a new best and of the end; may be given more than once.",
    ),
}
"""Field of `sweeps.driver.options.RunKeywords` to the option that sets it."""


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb that trains the options of a run: `runs`, and all others together as `how`."""

    @functools.wraps(command)
    def with_options(**given: Any) -> Any:
        return command(how={name: given.pop(name) for name in _HOW}, **given)

    for option in reversed((runs_option, *_HOW.values())):
        with_options = option(with_options)
    return with_options


report_option = click.option(
    "--report/--no-report",
    default=True,
    help="Write the runs' pictures and the report page at the end, or leave them out.",
)


def echo_warnings(file: Path, warnings: Iterable[str]) -> None:
    """Say what a file allows and hardly means."""
    for warning in warnings:
        click.echo(f"warning: {file}: {warning}", err=True)


def command_line(verb: str, file: Path, overrides: tuple[str, ...], words: Sequence[str] = ()) -> str:
    """Return the line that a person types for a verb on a file: what is said to do later must do the same."""
    set_words = [word for override in overrides for word in ("--set", override)]
    return shlex.join(["sweeps", verb, str(file), *set_words, *words])
