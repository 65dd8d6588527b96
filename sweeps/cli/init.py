"""`sweeps init`: a first file that runs as it is."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from sweeps.cli.options import FILE, runs_option
from sweeps.errors import SweepError

if TYPE_CHECKING:
    from sweeps.spec import Starter

DEFAULT_TIME = "10m"
DEFAULT_NETWORKS = ("simple", "deep", "resnet", "vgg")
DEFAULT_REPLICATES = 2
LEAST_SECONDS = 60


@click.command()
@click.argument("file", type=FILE, required=False)
@click.option("--name", help="Of the sweep; default the file's name.")
@click.option("--time", metavar="TIME", help="How long it may take, such as 10m or 2h; default 10m.")
@click.option("--model", "networks", multiple=True, metavar="NETWORK", help="A network to search; may be repeated.")
@click.option(
    "--method",
    type=click.Choice(["bayes", "random", "grid"]),
    default="bayes",
    show_default=True,
    help="Of the search.",
)
@click.option("--early/--no-early", default=None, help="Stop trials that lag behind; default yes.")
@click.option(
    "--replicates", type=click.IntRange(min=0, max=10), metavar="N", help="The best N again, N new seeds; default 2."
)
@click.option("--ladder", is_flag=True, help="Write a ladder's file instead.")
@click.option("--from", "around", metavar="RUN", help="Search around a recorded run's configuration.")
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@click.option("--yes", is_flag=True, help="Ask nothing; take the defaults.")
@runs_option
def init(
    file: Path | None,
    name: str | None,
    time: str | None,
    networks: tuple[str, ...],
    method: Literal["bayes", "random", "grid"],
    early: bool | None,
    replicates: int | None,
    ladder: bool,
    around: str | None,
    force: bool,
    yes: bool,
    runs: Path,
) -> None:
    """Write a commented file of a sweep, or of a ladder, that runs as it is. Default: sweep.yaml or ladder.yaml.

    In a terminal it asks what the options do not say. The networks are timed here, as in `sweeps plan`; trials are then
    as large (images, epochs, width) as lets at least 16 of them, and the replicates, end in the time, and there are as
    many as fit. The time is the file's limits.timeout too.

    \b
    Example:
      sweeps init
      sweeps init mine.yaml --time 30m --model resnet --model nets:Tiny
      sweeps init steps.yaml --ladder --time 1h
      sweeps init near.yaml --from quick-017
    """
    path = _path(file, name, ladder=ladder, force=force)
    named = name or path.stem
    from sweeps.spec import check_name

    try:
        check_name(named)
    except ValueError as error:
        raise SweepError(f"{error}; `--name` gives it one") from None
    if ladder and (around or method != "bayes"):
        raise click.UsageError("a ladder does not search: --from and --method go with a sweep")
    if around and method == "grid":
        raise click.UsageError("--from searches a range of learning rates, which a grid cannot walk through")
    if around and networks:
        raise click.UsageError("--from takes the run's own network: leave --model out")
    asks = not yes and sys.stdin.isatty() and sys.stdout.isatty()
    seconds = _seconds(time) if time is not None else None
    _check_networks(networks)
    if asks:
        time = time or click.prompt("How long may it take", default=DEFAULT_TIME, value_proc=_asked(_as_time))
        if not networks and not around:
            networks = click.prompt("Which networks", ", ".join(DEFAULT_NETWORKS), value_proc=_asked(_as_networks))
        if early is None and not ladder:
            early = click.confirm("Stop trials that lag behind", default=True)
        if replicates is None and not ladder:
            replicates = click.prompt("Replicates of the best (0 for none)", 2, type=click.IntRange(0, 10))
    time = time or DEFAULT_TIME
    seconds = _seconds(time)

    from sweeps.spec import Starter

    config = None if around is None else _recorded(around, runs)
    starter = Starter(
        name=named,
        time=time.replace(" ", ""),
        networks=networks or DEFAULT_NETWORKS,
        method=method,
        early=(True if early is None else early) and (config is None or config.epochs > 1),
        replicates=DEFAULT_REPLICATES if replicates is None else replicates,
        around=config,
        around_name=around or "",
    )
    text, about = _written(starter, path, seconds, ladder=ladder)
    _check_and_write(text, path, ladder=ladder)
    click.echo(f"written: {path}; {about}")
    click.echo(f"`sweeps plan {path}` shows what it would do, `sweeps {'ladder' if ladder else 'run'} {path}` does it")


def _path(file: Path | None, name: str | None, *, ladder: bool, force: bool) -> Path:
    path = file or Path(f"{name or ('ladder' if ladder else 'sweep')}.yaml")
    if not path.suffix:
        path = path.with_suffix(".yaml")
    if path.suffix not in (".yaml", ".yml"):
        raise SweepError(f"{path}: a file of a sweep ends in .yaml")
    if not path.parent.is_dir():
        raise SweepError(f"{path}: there is no folder {path.parent}: `mkdir -p {path.parent}` makes it")
    if path.is_dir():
        raise SweepError(f"{path} is a folder: name a file in it")
    if not force and (path.exists() or path.is_symlink()):
        raise SweepError(f"{path} is there already: name another file, or overwrite it with --force")
    return path


def _seconds(time: str) -> float:
    from sweeps.spec import parse_duration

    try:
        seconds = float(parse_duration(time))
    except ValueError:
        raise SweepError(f"--time: {time!r} is not a duration such as 2h, 30m or 90s") from None
    if not LEAST_SECONDS <= seconds < float("inf"):
        raise SweepError(f"--time: {time!r} is too short to train anything: give at least 1m")
    return seconds


def _check_networks(networks: Sequence[str]) -> None:
    from pydantic import ValidationError

    from cifar_core.config import ModelConfig
    from cifar_core.validation import explain

    for network in networks:
        try:
            ModelConfig(name=network)
        except ValidationError as error:
            raise SweepError(f"--model: {'; '.join(explain(error))}") from None
    if len(set(networks)) < len(networks):
        raise SweepError("--model: a network is named twice")


def _as_time(text: str) -> str:
    _seconds(text)
    return text


def _as_networks(text: str) -> tuple[str, ...]:
    networks = tuple(word for word in text.replace(",", " ").split() if word)
    _check_networks(networks)
    return networks or DEFAULT_NETWORKS


def _asked(read: Any) -> Any:
    """Return a reader of answers that lets click ask again where one makes no sense."""

    def again(text: str) -> Any:
        try:
            return read(text)
        except SweepError as error:
            raise click.UsageError(str(error).partition(": ")[2]) from None

    return again


def _recorded(run: str, runs: Path) -> Any:
    from sweeps.tracking import MlflowReader
    from sweeps.views import find_named

    reader = MlflowReader(runs)
    config = reader.configuration(find_named(reader, run).own["run_id"])
    if not config.data.validation_size:
        raise SweepError(f"{run} set no validation images aside, so that no search can compare with it")
    return config


def _written(starter: Starter, path: Path, available: float, *, ladder: bool) -> tuple[str, str]:
    """Return the file's text, and what it will take in words."""
    from sweeps.execution import (
        SIZES,
        Probe,
        check_networks,
        local_slots,
        size_of_ladder,
        size_of_sweep,
        stage,
        starter_configurations,
        terminal_copy,
    )
    from sweeps.formatting import duration
    from sweeps.spec import Limits, Resources, starter_ladder_text, starter_text

    slots = local_slots(Resources(), Limits())
    with terminal_copy() as console, stage(console, "timing the networks here"):
        if starter.around is None:
            check_networks(starter_configurations(starter, SIZES[0]))
        probe = Probe()
        if ladder:
            sized = size_of_ladder(starter, rungs=RUNGS, available=available, slots=slots.count, seconds=probe.seconds)
        else:
            sized = size_of_sweep(starter, available=available, slots=slots.count, seconds=probe.seconds)
    about = f"about {duration(sized.seconds)} on {slots.describe()}, as its networks were timed here"
    if sized.seconds > available:
        about += f"; more than {starter.time}, in which it stops"
    cost = about[:1].upper() + about[1:] + "."
    if ladder:
        return starter_ladder_text(starter, sized.size, path=path, cost=cost), about
    return starter_text(starter, sized.size, path=path, run_cap=sized.run_cap, cost=cost), about


RUNGS = 4
"""Rungs of the first network in a ladder that is written here."""


def _check_and_write(text: str, path: Path, *, ladder: bool) -> None:
    from cifar_core.files import atomic_write
    from sweeps.spec import load_ladder, load_spec

    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / path.name
        draft.write_text(text, encoding="utf-8")
        (load_ladder if ladder else load_spec)(draft)
    try:
        with atomic_write(path) as file:
            file.write(text.encode())
    except OSError as error:
        raise SweepError(f"{path} cannot be written: {error.strerror or error}") from None
