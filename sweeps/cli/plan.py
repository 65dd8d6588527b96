"""`sweeps plan`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from sweeps.cli.json_option import json_option
from sweeps.cli.ladder_part import part_options
from sweeps.cli.options import command_line, echo_notes, echo_warnings, runs_option, set_option
from sweeps.cli.param_types import YAML_FILE

if TYPE_CHECKING:
    from rich.console import Console

    from sweeps.files.ladder_part import PartOptions


@click.command()
@click.argument("file", type=YAML_FILE, help="Sweep or ladder file.")
@set_option
@part_options
@click.option("--no-probe", is_flag=True, help="Skip the timing, and with it the estimate.")
@runs_option
@json_option
def plan(
    file: Path, overrides: tuple[str, ...], no_probe: bool, runs: Path, as_json: bool, **options: Unpack[PartOptions]
) -> None:
    """Print what a file would run: space, first configurations, trials, slots, time. Starts nothing.

    The estimate is measured on this machine: train steps and evaluations of the first configurations on random images.
    It includes the start and the evaluation on the test images. For a ladder, the options of `sweeps ladder` select a
    part of it.

    \b
    Example:
      sweeps plan experiments/quick.yaml
      sweeps plan experiments/ladder-laptop.yaml
      sweeps plan experiments/ladder.yaml --rungs baseline,three-fc --epochs-scale 0.5
      sweeps plan experiments/search.yaml --set run_cap=50
    """
    from sweeps._api.planning import LadderPlan, plan_of_file
    from sweeps.cli.terminal import console
    from sweeps.core.formatting import print_sentence
    from sweeps.core.trial import MeasuredOn

    planned = plan_of_file(file, overrides, probe=not no_probe, runs=runs, **options)
    if not isinstance(planned, LadderPlan):
        echo_notes(file, planned.sweep.notes)
    echo_warnings(file, planned.warnings)
    output = console()
    if as_json:
        is_ladder = isinstance(planned, LadderPlan)
        again = planned.part.arguments if isinstance(planned, LadderPlan) else list[str]()
        click.echo(planned.to_json(command_line("ladder" if is_ladder else "run", file, overrides, again)))
        return
    planned.print_to(output)
    verb, arguments = "run", list[str]()
    if isinstance(planned, LadderPlan):
        verb, arguments = "ladder", planned.part.arguments
        if planned.part.ladder.measured_on is MeasuredOn.VALIDATION:
            print_sentence(output, "For the final evaluation on the test images run:")
            _print_command(output, command_line("ladder", file, overrides, planned.part.final_arguments))
    print_sentence(output, "Nothing was started. To start it, run:")
    _print_command(output, command_line(verb, file, overrides, arguments))


def _print_command(console: Console, command: str) -> None:
    """Print a command on one line, without wrapping, so that it can be copied."""
    console.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)
