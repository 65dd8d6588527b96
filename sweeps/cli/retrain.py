"""`sweeps retrain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sweeps.cli.json_option import json_summary
from sweeps.cli.options import A_RUN, run_options
from sweeps.cli.param_types import RUN

if TYPE_CHECKING:
    from sweeps.driver.options import RunKeywords


class _TrainSize(click.ParamType[Any]):
    name = "N|all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "all":
            return value
        if str(value).isdecimal() and int(value) > 0:
            return int(value)
        return self.fail(f"{value!r} is neither a number of images nor `all`", param, ctx)


@click.command()
@click.argument("run", type=RUN, help=A_RUN)
@click.option("--epochs", type=click.IntRange(min=1), help="Epochs of the new run.  [default: those of RUN]")
@click.option(
    "--train-size",
    type=_TrainSize(),
    help="Number of training images, or all: every image that is not held out for validation.  [default: that of RUN]",
)
@run_options
@json_summary
def retrain(run: str, epochs: int | None, train_size: Any, runs: Path, how: RunKeywords) -> None:
    """Train the configuration of a recorded run again with more epochs or images.

    The new run belongs to the sweep `retrained` (`retrained-SWEEP` for a training function or a program) and records
    its origin. Schedule fields that are counted in epochs (schedule.step_size) are scaled with the number of epochs.

    \b
    Example:
      sweeps retrain quick-003 --epochs 30 --train-size all
    """
    from sweeps.cli.run import finish, show_result, summary_of
    from sweeps.driver.plan import RETRAINED
    from sweeps.system.output import stage, terminal_copy

    with terminal_copy() as console, stage(console, f"reading {run}"):
        from sweeps._api.functions import retrain as retrain_run

    summary = summary_of(retrain_run, run, epochs=epochs, train_size=train_size, runs=runs, **how)
    name = summary.records[0].sweep if summary.records else RETRAINED
    show_result(runs, name, summary)
    finish(summary, name, runs=runs)
