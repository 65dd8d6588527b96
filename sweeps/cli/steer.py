"""`sweeps add`, `skip`, `set`, `pause` and `resume`: steer a sweep while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from sweeps.cli.options import A_SEARCH, A_SWEEP, runs_option
from sweeps.cli.param_types import RUN, SweepName

if TYPE_CHECKING:
    from sweeps._api.steering import SteeringReply


def _print(reply: SteeringReply) -> None:
    from sweeps.cli.terminal import console

    reply.print_to(console())


@click.command()
@click.argument("sweep", type=SweepName(), help=A_SEARCH)
@click.argument("values", nargs=-1, required=True, metavar="NAME=VALUE...", help="Parameters and their values.")
@click.option(
    "--rest",
    type=click.Choice(["best", "sampler"]),
    default="best",
    show_default=True,
    help="Where the other values come from. best: the best trial so far. sampler: proposed for this trial.",
)
@runs_option
def add(sweep: str, values: tuple[str, ...], rest: Literal["best", "sampler"], runs: Path) -> None:
    """Try a configuration next in a search, also while it runs.

    A name may be short where it is unambiguous: lr for optimizer.lr, model for model.name. The values must be in the
    search space and satisfy `where`. The trial is in addition to run_cap. It is a trial like any other: early stopping
    may pause it, and the sampler uses its result. The record marks it (proposed_by: person).

    \b
    Example:
      sweeps add quick lr=0.05 model.name=resnet
      sweeps add quick lr=0.05 --rest sampler
    """
    from sweeps._api.steering import add as add_trial
    from sweeps.files.asked import typed_values

    _print(add_trial(sweep, typed_values(values, example="lr=0.05"), rest=rest, runs=runs))


@click.command()
@click.argument("run", type=RUN, help="A trial of a search, such as quick-007.")
@click.option("--undo", is_flag=True, help="Continue a trial that was skipped.")
@runs_option
def skip(run: str, undo: bool, runs: Path) -> None:
    """End a trial of a search after its current epoch. It can continue later.

    The sampler receives the epochs so far, as of a trial that early stopping has ended.

    \b
    Example:
      sweeps skip quick-007
      sweeps skip --undo quick-007
    """
    from sweeps._api.steering import skip as skip_trial

    _print(skip_trial(run, undo=undo, runs=runs))


@click.command("set")
@click.argument("sweep", type=SweepName(), help=A_SWEEP)
@click.argument(
    "limits",
    nargs=-1,
    required=True,
    metavar="LIMIT=VALUE...",
    help="run_cap, max_concurrent_trials, timeout or budget, and the new value.",
)
@runs_option
def set_limits(sweep: str, limits: tuple[str, ...], runs: Path) -> None:
    """Change limits of a sweep while it runs, or for its next start.

    The new values hold until the value in the file is changed. timeout counts from the start of the running command;
    timeout=none removes it. With fewer slots, trials wait after their current epoch.

    \b
    Example:
      sweeps set quick run_cap=40 max_concurrent_trials=1 timeout=2h
      sweeps set quick budget=40m
    """
    from sweeps._api.steering import set_limits as change
    from sweeps.files.asked import typed_values

    _print(change(sweep, runs=runs, **typed_values(limits, example="run_cap=40")))


@click.command()
@click.argument("sweep", type=SweepName(), help=A_SWEEP)
@runs_option
def pause(sweep: str, runs: Path) -> None:
    """Begin no new epoch of a sweep until `sweeps resume`.

    Running trials wait after their current epoch, and so does the driver. limits.timeout keeps counting; a time budget
    does not. A driver that is stopped or killed and started again stays paused.

    \b
    Example:
      sweeps pause quick
    """
    from sweeps._api.steering import pause as pause_sweep

    _print(pause_sweep(sweep, runs=runs))


@click.command()
@click.argument("sweep", type=SweepName(), help=A_SWEEP)
@runs_option
def resume(sweep: str, runs: Path) -> None:
    """Continue a sweep that `sweeps pause` has paused.

    A sweep that was stopped is resumed by the command that started it.

    \b
    Example:
      sweeps resume quick
    """
    from sweeps._api.steering import resume as resume_sweep

    _print(resume_sweep(sweep, runs=runs))
