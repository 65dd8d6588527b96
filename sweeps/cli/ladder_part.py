"""Options of `sweeps ladder` and `sweeps plan` that select a part of a ladder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from sweeps.cli.param_types import RUNGS

_OPTIONS = (
    click.option("--rungs", "only", type=RUNGS, metavar="A,B", help="Run only these rungs."),
    click.option("--seeds", type=click.IntRange(min=1), help="Runs per rung.  [default: the file's seeds, or 1]"),
    click.option(
        "--final",
        is_flag=True,
        help="For a file with `evaluate: validation`: hold no validation images out (a rung without train_size "
        "trains on all 50,000), evaluate each rung on the test images, and record it as the ladder NAME-final.",
    ),
    click.option(
        "--epochs-scale",
        type=click.FloatRange(min=0, min_open=True, max=1),
        default=1.0,
        show_default=True,
        help="Factor of the epochs of each rung; the runs are marked as a reduced budget.",
    ),
    click.option(
        "--train-size",
        type=click.IntRange(min=100, max=50_000),
        help="Number of training images; the runs are marked as a reduced budget.",
    ),
)


def part_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of `sweeps.files.ladder_part.read_part` to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
