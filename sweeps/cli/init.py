"""`sweeps init`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import click
from click.core import ParameterSource

from sweeps.cli.options import runs_option
from sweeps.cli.param_types import YAML_FILE
from sweeps.core.errors import SweepError

if TYPE_CHECKING:
    from cifar_core.config import DataConfig, TrainingConfig

DEFAULT_NETWORKS = ("simple", "deep", "resnet", "vgg")
LEAST_SECONDS = 60
SIZE = 32
"""Default side of custom images in pixels."""


@click.command()
@click.argument(
    "file", type=YAML_FILE, required=False, help="File to write.  [default: sweep.yaml, with --ladder ladder.yaml]"
)
@click.option("--name", help="Name of the sweep.  [default: the file's name]")
@click.option(
    "--data",
    "source",
    metavar="SOURCE",
    help="Data set of your own, as in `sweeps data`, such as folder:photos.  [default: cifar10]",
)
@click.option(
    "--image-size", type=click.IntRange(8, 1024), help="Side of the images of --data in pixels, even.  [default: 32]"
)
@click.option("--time", metavar="TIME", default="10m", show_default=True, help="Time budget, such as 2h.")
@click.option(
    "--model",
    "networks",
    multiple=True,
    metavar="NETWORK",
    help=f"Network to search; repeatable.  [default: {', '.join(DEFAULT_NETWORKS)}]",
)
@click.option(
    "--method",
    type=click.Choice(["bayes", "random", "grid"]),
    default="bayes",
    show_default=True,
    help="Search method.",
)
@click.option(
    "--early/--no-early", default=True, show_default=True, help="Stop trials early that are worse than others."
)
@click.option(
    "--replicates",
    type=click.IntRange(min=0, max=10),
    metavar="N",
    default=2,
    show_default=True,
    help="Train the best N configurations again under N new seeds.",
)
@click.option("--ladder", is_flag=True, help="Write a ladder file instead.")
@click.option(
    "--from",
    "around",
    metavar="RUN|FILE",
    help="Search around the configuration of a recorded run, or convert a sweep file of W&B.",
)
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@click.option("--yes", is_flag=True, hidden=True, expose_value=False, help="No effect. Kept for earlier versions.")
@runs_option
def init(
    file: Path | None,
    name: str | None,
    source: str | None,
    image_size: int | None,
    time: str,
    networks: tuple[str, ...],
    method: Literal["bayes", "random", "grid"],
    early: bool,
    replicates: int,
    ladder: bool,
    around: str | None,
    force: bool,
    runs: Path,
) -> None:
    """Write a commented sweep file, or ladder file, that runs unchanged.

    The networks are timed on this machine, as in `sweeps plan`. It chooses the largest size (images, epochs, width) at
    which at least 16 trials and the replicates fit in the time. run_cap is the number of trials that fit, and
    limits.timeout is the time.

    --from FILE converts a file of W&B, without timing. A comment explains each difference. With --model, built-in
    networks are searched instead of its program.

    \b
    Example:
      sweeps init
      sweeps init mine.yaml --time 30m --model resnet --model nets:Tiny
      sweeps init photos.yaml --data folder:photos --image-size 64
      sweeps init steps.yaml --ladder --time 1h
      sweeps init near.yaml --from quick-017
      sweeps init mine.yaml --from wandb.yaml
    """
    if around and _is_file(around):
        _convert(Path(around), _path(file, name, ladder=ladder, force=force), name=name, networks=networks)
        return
    if ladder and (around or method != "bayes"):
        raise click.UsageError("--from and --method are for sweeps. Leave them out with --ladder.")
    if around and method == "grid":
        raise click.UsageError("--from searches a continuous range of learning rates. Use --method bayes or random.")
    if around and networks:
        raise click.UsageError("--from uses the network of the run. Leave --model out.")
    if around and source:
        raise click.UsageError("--from uses the data of the run. Leave --data out.")
    if image_size and not source:
        raise click.UsageError("--image-size is for a data set of your own. Name it with --data.")
    path = _path(file, name, ladder=ladder, force=force)
    seconds = _seconds(time)

    from sweeps.backends.slots import local_slots
    from sweeps.core.formatting import duration
    from sweeps.driver.sizing import size_of_starter
    from sweeps.files.settings import Limits, Resources, check_name
    from sweeps.system.output import stage, terminal_copy
    from sweeps.tasks.image_probe import ImageProbe
    from sweeps.use.data_source import prepared_data
    from sweeps.use.starter import Starter

    try:
        named = check_name(name or path.stem)
    except ValueError as error:
        raise SweepError(f"{error}. Set the name with `--name`.") from None
    config = _recorded(around, runs) if around else None
    data = prepared_data(source or "cifar10", image_size=image_size or SIZE)
    starter = Starter(
        name=named,
        path=path,
        time=time.replace(" ", ""),
        networks=tuple(dict.fromkeys(networks)) or _default_networks(data),
        data=data,
        is_ladder=ladder,
        method=method,
        early=early and (config is None or config.epochs > 1),
        replicates=replicates,
        around=config,
        around_name=around or "",
    )
    slots = local_slots(Resources(), Limits())
    with terminal_copy() as console, stage(console, "timing the networks on this machine"):
        if config is None:
            _check_networks(starter.networks, starter.data)
        sized = size_of_starter(starter, available=seconds, slots=slots.count, probe=ImageProbe(threads=slots.cpus))
    _write(path, sized.text)
    longer = f". It stops after {time}, before its end" if sized.seconds > seconds else ""
    click.echo(f"written: {path}, about {duration(sized.seconds)} on {slots.describe()} of this machine{longer}")
    click.echo(
        f"Run `sweeps plan {path}` to see its plan, and `sweeps {'ladder' if ladder else 'run'} {path}` to start it."
    )


def _is_file(around: str) -> bool:
    return Path(around).suffix in (".yaml", ".yml", ".json")


_OF_A_TIMED_FILE = ("time", "method", "early", "replicates", "ladder")


def _convert(source: Path, path: Path, *, name: str | None, networks: tuple[str, ...]) -> None:
    """Write a sweep file that is converted from one of W&B."""
    context = click.get_current_context()
    given = [each for each in _OF_A_TIMED_FILE if context.get_parameter_source(each) is ParameterSource.COMMANDLINE]
    if given:
        raise click.UsageError(f"--{given[0]} is not for a converted file, which takes it from {source}. Leave it out.")

    from sweeps.core.formatting import plural
    from sweeps.files.settings import check_name
    from sweeps.use.converted import convert

    try:
        named = None if name is None else check_name(name)
    except ValueError as error:
        raise SweepError(f"{error}. Set the name with `--name`.") from None
    converted = convert(source, path, name=named, networks=tuple(dict.fromkeys(networks)))
    _write(path, converted.text)
    left_out = converted.left_out
    without = f"; {plural(left_out, 'key')} without an equivalent: see the comments" if left_out else ""
    click.echo(f"written: {path}, converted from {source}{without}")
    click.echo(f"Run `sweeps plan {path}` to see what it would do, or `sweeps run {path}` to start it.")


def _write(path: Path, text: str) -> None:
    from cifar_core.common.files import atomic_write

    try:
        with atomic_write(path) as written:
            written.write(text.encode())
    except OSError as error:
        raise SweepError(f"{path} cannot be written ({error.strerror or error}). Choose another file.") from None


def _path(file: Path | None, name: str | None, *, ladder: bool, force: bool) -> Path:
    path = file or Path(f"{name or ('ladder' if ladder else 'sweep')}.yaml")
    if not path.suffix:
        path = path.with_suffix(".yaml")
    if path.suffix not in (".yaml", ".yml"):
        raise SweepError(f"{path} must end with .yaml.")
    if not path.parent.is_dir():
        raise SweepError(f"{path}: the folder {path.parent} does not exist. Run `mkdir -p {path.parent}` first.")
    if path.is_dir():
        raise SweepError(f"{path} is a folder. Name a file in it.")
    if not force and (path.exists() or path.is_symlink()):
        raise SweepError(f"{path} already exists. Choose another file, or overwrite it with --force.")
    return path


def _seconds(time: str) -> float:
    from sweeps.files.settings import parse_duration

    try:
        seconds = float(parse_duration(time))
    except ValueError:
        raise SweepError(f"--time: {time!r} is not a duration such as 2h, 30m or 90s") from None
    if not LEAST_SECONDS <= seconds < float("inf"):
        raise SweepError(f"--time: {time!r} is too short. Give at least 1m.")
    return seconds


def _default_networks(data: DataConfig) -> tuple[str, ...]:
    """Return the default networks that accept the images."""
    from pydantic import ValidationError

    from cifar_core.config import ModelConfig, TrainingConfig

    def accepts(name: str) -> bool:
        try:
            TrainingConfig(model=ModelConfig(name=name), data=data)
        except ValidationError:
            return False
        return True

    return tuple(filter(accepts, DEFAULT_NETWORKS))


def _check_networks(networks: tuple[str, ...], data: DataConfig) -> None:
    from pydantic import ValidationError

    from cifar_core.common.validation import explain
    from cifar_core.config import TrainingConfig
    from sweeps.driver.dry_runs import check_networks

    values = data.model_dump()
    try:
        check_networks([TrainingConfig.model_validate({"model": {"name": each}, "data": values}) for each in networks])
    except ValidationError as error:
        raise SweepError(f"--model: {'; '.join(explain(error))}") from None


def _recorded(run: str, runs: Path) -> TrainingConfig:
    from sweeps.core.identity import Protocol
    from sweeps.record.reader import MlflowReader
    from sweeps.tasks.registry import task_of
    from sweeps.views.names import find_named

    reader = MlflowReader(runs)
    config = reader.configuration(find_named(reader, run).defining_row["run_id"])
    task = task_of(config)
    if not task.class_names(config):
        raise SweepError(
            f"{run} was trained by {task.label(config)}, and --from RUN is for networks. Copy its sweep file, and "
            "narrow its parameters around the values of `sweeps show`."
        )
    if not Protocol.of(config).validation_images:
        raise SweepError(
            f"{run} was trained without validation images, by which a search compares trials. Name another run."
        )
    return cast("TrainingConfig", config)
