"""`sweeps plan`: what a sweep or a ladder would do and cost; starts nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from sweeps.cli.ladder_part import part_options
from sweeps.cli.options import FILE, command_line, echo_warnings, set_option
from sweeps.errors import SweepError

if TYPE_CHECKING:
    from rich.console import Console

    from sweeps.spec import LadderPart, PartOptions, Resources


@click.command()
@click.argument("file", type=FILE)
@set_option
@part_options
@click.option("--no-probe", is_flag=True, help="Do not time train steps; leaves the estimate out.")
def plan(file: Path, overrides: tuple[str, ...], no_probe: bool, **options: Unpack[PartOptions]) -> None:
    """Print what a file would run: the space, the first configurations, trials, slots, time. Starts nothing.

    The estimate comes from train steps timed here, on random images, for the first configurations. Of a ladder it
    takes the options that `sweeps ladder` takes to run a part of it.

    \b
    Example:
      sweeps plan experiments/quick.yaml
      sweeps plan experiments/ladder-laptop.yaml
      sweeps plan experiments/ladder.yaml --rungs baseline,three-fc --epochs-scale 0.5
      sweeps plan experiments/search.yaml --set run_cap=50
    """
    from sweeps.cli.terminal import console
    from sweeps.spec import is_ladder, read_part, read_yaml, words_of

    if is_ladder(read_yaml(file, overrides=overrides)):
        part = read_part(file, overrides, **options)
        echo_warnings(file, part.ladder.warnings())
        _plan_ladder(file, overrides, part, console(), probe=not no_probe)
    elif options["final"]:
        raise SweepError(f"{file} is a sweep: its last measurement is `sweeps finalize`")
    elif words := words_of(**options):
        raise SweepError(f"{file} is a sweep, and {words[0]} is of ladders: --set changes what a sweep's file says")
    else:
        _plan_sweep(file, overrides, console(), probe=not no_probe)


def _plan_sweep(file: Path, overrides: tuple[str, ...], console: Console, *, probe: bool) -> None:
    from rich.table import Table

    from cifar_core.config import TrainingConfig
    from sweeps.execution import check_networks, estimate_cost, local_slots, preview, some_combinations, trial_count
    from sweeps.formatting import duration, plural, print_sentence, short_names, short_value
    from sweeps.spec import flatten, load_spec

    spec = load_spec(file, overrides=overrides)
    echo_warnings(file, spec.warnings())
    print_sentence(console, f"{spec.name}: {spec.description}" if spec.description else spec.name)
    base = TrainingConfig.model_validate(spec.base)
    fixed = {path: value for path, value in flatten(spec.base).items() if path not in spec.parameters}
    print_sentence(console, "fixed: " + ", ".join(f"{path} {value}" for path, value in fixed.items()))

    space = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("parameter", "may be", "active when"):
        space.add_column(column, overflow="fold")
    for path, values, when in spec.space.describe():
        space.add_row(path, values, when)
    console.print(space)

    configs = preview(spec)
    if not configs:
        raise SweepError(f"{file}: no combination of the space's values is possible: nothing would be trained")
    check_networks([*configs, *some_combinations(spec)])
    first = Table("first", *short_names(list(spec.parameters)), box=None, header_style="bold", pad_edge=False)
    for number, config in enumerate(configs):
        drawn = config.dotted()
        first.add_row(str(number), *(short_value(drawn.get(path)) for path in spec.parameters))
    console.print(first)

    slots = local_slots(spec.resources, spec.limits)
    trials = trial_count(spec)
    combinations = spec.space.cardinality
    of = "" if combinations is None else f" of {combinations} combinations"
    early = spec.early_terminate
    stopping = "no early stopping" if early.type == "none" else f"stopped early by {early.type}"
    print_sentence(console, f"{trials} trials{of} by {spec.method} search, {stopping}; {slots.describe()}")
    _say_what_is_not_counted(spec.resources, console)
    if probe:
        cost = estimate_cost(configs, trials=trials, early=early, slots=slots.count, threads=slots.cpus)
        print_sentence(
            console,
            f"about {cost.trial_epochs:.0f} trial-epochs (at most {cost.max_trial_epochs}), about "
            f"{duration(cost.seconds)} on this machine, from train steps of {cost.probed} networks timed here",
        )
    if spec.replicates is not None:
        again, seeds = min(spec.replicates.top, trials), spec.replicates.seeds
        each = f", about {duration(cost.full_run_seconds * again * seeds / slots.count)} more" if probe else ""
        print_sentence(
            console, f"then the best {again} again in full under {plural(seeds, 'new seed')} each{each} (replicates)"
        )
    if spec.limits.timeout is not None:
        print_sentence(console, f"ends after {duration(spec.limits.timeout)} at the latest (limits.timeout)")
    print_sentence(console, f"base.epochs {base.epochs}; nothing was started: this does")
    _print_command(console, command_line("run", file, overrides))


def _plan_ladder(file: Path, overrides: tuple[str, ...], part: LadderPart, console: Console, *, probe: bool) -> None:
    from rich.table import Table

    from sweeps.execution import Probe, check_networks, local_slots, makespan
    from sweeps.formatting import duration, plural, print_sentence
    from sweeps.trial_record import MeasuredOn

    ladder, budget = part.ladder, part.budget
    configs = {rung.name: budget.apply(rung.config) for rung in part.rungs}
    config_of = {rung.name: rung.config for rung in ladder.rungs}
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("rung", "from", "what it changes", "epochs"):
        table.add_column(column, overflow="fold", no_wrap=column in ("rung", "from"))
    for rung in part.rungs:
        changes = [str(change) for change in rung.changes if change.path != "epochs"]
        if rung.parent is not None and any(change.path == "epochs" for change in rung.changes):
            changes.append(f"epochs {budget.apply(config_of[rung.parent]).epochs} → {configs[rung.name].epochs}")
        table.add_row(rung.name, rung.parent or "", "\n".join(changes), str(configs[rung.name].epochs))
    print_sentence(console, f"{ladder.name}: {ladder.description}")
    console.print(table)
    slots = local_slots(ladder.resources, ladder.limits)
    seeds = budget.seeds or ladder.seeds
    every = [(rung.name, run) for rung in part.rungs for run in budget.runs_of(rung.config, seeds=seeds)]
    # One that is the very run of another rung is run once.
    runs = {(run.config_id(), run.seed): (name, run.epochs) for name, run in reversed(every)}
    epochs = sum(of_run for _, of_run in runs.values())
    of_each = f" under {plural(seeds, 'seed')} each" if seeds > 1 else ""
    rungs = plural(len(configs), "rung") + of_each
    if repeated := len(every) - len(runs):
        rungs += f", {repeated} of {len(every)} runs the very run of another rung"
    check_networks(list(configs.values()))
    if probe:
        timed = Probe(threads=slots.cpus)
        seconds_of = {name: timed.seconds(config) for name, config in configs.items()}
        together = duration(makespan([seconds_of[name] for name, _ in runs.values()], slots=slots.count))
        print_sentence(
            console,
            f"{rungs}, {epochs} epochs, about {together} on {slots.describe()}, from train steps timed here",
        )
        each = " a run" if seeds > 1 else ""
        for name, seconds in sorted(seconds_of.items(), key=lambda item: -item[1])[:3]:
            print_sentence(console, f"  {name} takes about {duration(seconds)}{each} of that on one slot")
    else:
        print_sentence(console, f"{rungs}, {epochs} epochs on {slots.describe()}")
    if any(budget.reduced(rung.config) for rung in part.rungs):
        of_rung = {rung.name: rung.config.epochs for rung in part.rungs}
        full = sum(of_rung[name] for name, _ in runs.values())
        images = "" if budget.train_size is None else f", at most {plural(budget.train_size, 'training image')}"
        print_sentence(console, f"a reduced budget, and shown as one everywhere: {epochs} of {full} epochs{images}")
    _say_what_is_not_counted(ladder.resources, console)
    if ladder.measured_on is MeasuredOn.VALIDATION:
        images = f"{ladder.rungs[0].config.data.validation_size:,} validation images"
        print_sentence(console, f"compared on {images}; on the test images at the end, by this:")
        _print_command(console, command_line("ladder", file, overrides, part.final_words))
    print_sentence(console, "nothing was started: this does")
    _print_command(console, command_line("ladder", file, overrides, part.words))


def _print_command(console: Console, command: str) -> None:
    """Print what is to be typed on a line of its own: broken in two, its first half would be another command."""
    console.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)


def _say_what_is_not_counted(resources: Resources, console: Console) -> None:
    """Say which of a trial's resources only a cluster has: the slots are this machine's."""
    from sweeps.formatting import print_sentence

    if resources.custom:
        asked = " and ".join(f"{amount:g} {name}" for name, amount in resources.custom.items())
        print_sentence(
            console,
            f"each trial also holds {asked} (resources.custom): it runs on a Ray cluster whose nodes offer that, with "
            "--address, and not on this machine alone, whose slots these are",
        )
