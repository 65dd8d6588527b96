"""`sweeps ladder` and `sweeps ablate`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from sweeps.cli.json_option import json_ladder
from sweeps.cli.ladder_part import part_options
from sweeps.cli.options import A_RUN, command_line, echo_warnings, report_option, run_options, set_option
from sweeps.cli.paper import paper_options, write_paper_tables
from sweeps.cli.param_types import RUN, YAML_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sweeps.analysis.rungs import Recipe
    from sweeps.driver.options import RunKeywords
    from sweeps.files.ladder import Ladder
    from sweeps.files.ladder_part import PartOptions


@click.command()
@click.argument("file", type=YAML_FILE, help="Ladder file.")
@part_options
@set_option
@paper_options
@run_options
@report_option
@json_ladder
def ladder(
    file: Path,
    overrides: tuple[str, ...],
    md_to: str | None,
    latex_to: str | None,
    runs: Path,
    report: bool,
    how: RunKeywords,
    **options: Unpack[PartOptions],
) -> None:
    """Run the rungs of a ladder, evaluate each, and show the gain of each step.

    Each rung is evaluated on the test images once. In a file with `evaluate: validation`, rungs are compared on
    validation images, and --final evaluates them on the test images when the file is settled.

    \b
    Example:
      sweeps ladder experiments/ladder-laptop.yaml
      sweeps ladder experiments/ladder.yaml --rungs baseline,three-fc --seeds 3
      sweeps ladder experiments/ladder.yaml --epochs-scale 0.1 --train-size 5000
      sweeps ladder experiments/climb.yaml --final
      sweeps ladder experiments/ladder-laptop.yaml --latex ladder.tex
    """
    from sweeps.core.task import Probe
    from sweeps.system.output import stage, terminal_copy
    from sweeps.tasks.registry import task_of

    with terminal_copy() as console, stage(console, f"reading {file}"):
        from sweeps._api.functions import run
        from sweeps.files.ladder_part import read_part

        part = read_part(file, overrides, **options)
    loaded = part.ladder
    echo_warnings(file, loaded.warnings())
    if loaded.is_final:
        _warn_of_uncommitted_changes(loaded, overrides)
    from sweeps._api.verbs import read_ladder, recipes_of
    from sweeps.cli.run import after_the_run, finish, summary_of, write_board

    probe: Probe | None = task_of(loaded.rungs[0].config).probe(threads=loaded.resources.cpus_per_trial)
    summary = summary_of(
        run,
        loaded,
        runs=runs,
        budget=part.budget,
        rungs=part.chosen,
        cost=None if probe is None else probe.seconds,
        **how,
    )
    # The command for later selects the same part, folder and machines: the file alone would train all rungs.
    where = ["--address", how["address"]] if how["address"] else []
    later = [*part.arguments, "--runs", str(runs), *where, "--backend", how["backend"]]
    with after_the_run("the ladder", command_line("ladder", file, overrides, later), runs=runs):
        file_recipes = recipes_of(loaded, part.budget)
        show_ladder(runs, loaded.name, file_recipes=file_recipes, is_final=loaded.is_final, report=report)
        write_paper_tables(
            lambda: read_ladder(loaded.name, runs=runs).paper(runs=runs), {"md": md_to, "latex": latex_to}
        )
        write_board(runs, summary)
    finish(summary, loaded.name, runs=runs)


def _warn_of_uncommitted_changes(ladder: Ladder, overrides: tuple[str, ...]) -> None:
    from sweeps.system.git_state import has_uncommitted_changes

    changed = [str(path) for path in ladder.files if has_uncommitted_changes(path)]
    if changed or overrides:
        what = f"{' and '.join(changed)} has uncommitted changes" if changed else "--set changes the committed file"
        click.echo(
            f"warning: {what}. Commit the file before the final evaluation, to document that no choice depends on "
            "its result.",
            err=True,
        )


def show_ladder(
    runs: Path,
    name: str,
    *,
    file_recipes: Mapping[tuple[str, str | None], Recipe] | None = None,
    is_final: bool = False,
    report: bool = True,
) -> None:
    """Print the gains of the rungs, and write the table, the pictures and, with `report`, the page."""
    from sweeps._api.verbs import read_ladder
    from sweeps.cli.report import write_page
    from sweeps.cli.terminal import console
    from sweeps.views.ladder_files import write_ladder

    found = read_ladder(name, runs=runs, file_recipes=file_recipes, is_final=is_final)
    found.print_to(console())
    folder = runs / "sweeps" / name
    for path in write_ladder(found.comparisons, found.rungs, folder=folder):
        click.echo(f"written: {path}")
    if report:
        write_page(runs, name, file_recipes=file_recipes)


@click.command()
@click.argument("run", type=RUN, help=A_RUN)
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Runs per variant.")
@run_options
@report_option
@json_ladder
def ablate(run: str, seeds: int, runs: Path, report: bool, how: RunKeywords) -> None:
    """Remove one change at a time from a recorded configuration, and show what each contributes.

    A change is a difference from the default configuration with the same epochs and images, or from the defaults of a
    training function. For a program each argument is a change: a variant leaves it out. Variants are compared on the
    test images; those of a rung of a ladder with `evaluate: validation` on its validation images; those of a function
    or a program by the metric of its search.

    \b
    Example:
      sweeps ablate quick/3 --seeds 3
    """
    from sweeps.files.budget import Budget
    from sweeps.system.output import stage, terminal_copy

    budget = Budget(seeds=seeds)
    with terminal_copy() as console, stage(console, f"reading {run}"):
        from sweeps._api.functions import run as run_ladder
        from sweeps.cli.run import after_the_run, finish, summary_of, write_board
        from sweeps.driver.plan import compared_by
        from sweeps.files.ablation import ablation_of
        from sweeps.record.reader import MlflowReader
        from sweeps.store.kept_code import require_same_code
        from sweeps.views.names import find_named

        reader = MlflowReader(runs)
        named = find_named(reader, run)
        row = named.defining_row
        config = reader.configuration(row["run_id"])
        require_same_code(config, row["source"], run=named.name, sweep=runs / "sweeps" / str(row["sweep"]))
    metric, measured_on = compared_by(row, config)
    ladder = ablation_of(config, run=named.name, key=row["key"], measured_on=measured_on, metric=metric)
    summary = summary_of(run_ladder, ladder, runs=runs, budget=budget, **how)
    later = shlex.join(["sweeps", "ablate", run, "--seeds", str(seeds), "--runs", str(runs)])
    with after_the_run("the comparison", later, runs=runs):
        show_ladder(runs, ladder.name, report=report)
        write_board(runs, summary)
    finish(summary, ladder.name, runs=runs)
