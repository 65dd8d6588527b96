"""The plan of a file: what it would run, and the estimated cost. It prints as `sweeps plan` does."""

from __future__ import annotations

import contextlib
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from sweeps.core.commands import DEFAULT_RUNS
from sweeps.core.errors import RecordError, SweepError
from sweeps.core.identity import Protocol
from sweeps.core.measure import Measure
from sweeps.core.trial import MeasuredOn
from sweeps.files.ladder_file import is_ladder
from sweeps.files.ladder_part import LadderPart, PartOptions, arguments_of, read_part
from sweeps.files.settings import Replicates, Resources
from sweeps.files.sweep import SweepSpec, load_spec
from sweeps.files.yaml_file import flatten, read_yaml
from sweeps.store.folder import SweepFolder
from sweeps.views.printed import Printed
from sweeps.views.tables import print_fitting, print_space

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from sweeps.analysis.power import KnownSpread
    from sweeps.backends.slots import Slots
    from sweeps.core.task import Probe, TaskConfig
    from sweeps.driver.estimate import BudgetEstimate, Estimate
    from sweeps.record.table import Row
    from sweeps.search.warm_start import WarmStart
    from sweeps.views.json_output import PlanOutput


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Plan(Printed):
    """The plan of a file."""

    slots: Slots
    """Slots of this machine: concurrent trials and their resources."""
    remarks: Sequence[str] = ()
    """Results of the dry runs: configurations that cannot train, and suspicious networks."""

    @property
    @abstractmethod
    def seconds(self) -> float | None:
        """Estimated seconds on this machine; None if no train steps were timed."""

    @property
    @abstractmethod
    def configurations(self) -> pd.DataFrame:
        """One row per configuration, a column per dotted path."""

    @property
    @abstractmethod
    def warnings(self) -> Sequence[str]:
        """Probable mistakes in the file."""

    @property
    @abstractmethod
    def _output(self) -> PlanOutput:
        """The plan as JSON, without the command."""

    def to_json(self, command: str) -> str:
        """Return the plan as JSON; `sweeps schema json plan` prints its schema.

        Args:
            command: the command that starts it.
        """
        return self._output.model_copy(update={"command": command}).json_text()

    def _print_custom(self, resources: Resources, console: Console) -> None:
        """Print which custom resources a trial needs, since the slots are those of this machine."""
        from sweeps.core.formatting import print_sentence

        if resources.custom:
            custom = " and ".join(f"{amount:g} {name}" for name, amount in resources.custom.items())
            print_sentence(
                console,
                f"Each trial also needs {custom} (resources.custom). Run it with --address on a Ray cluster whose "
                "nodes offer these resources. The slots above are those of this machine.",
            )


_INTERNAL = ("result_metric", "passes_seed")
"""Values of a program that follow from other keys of the file."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SweepPlan(Plan):
    """The plan of a sweep."""

    sweep: SweepSpec
    file: Path
    trials: int
    """Largest number of trials; 0 if it is unknown."""
    first: tuple[TaskConfig, ...]
    """The first configurations."""
    cost: Estimate | None
    warm_start: WarmStart | None
    """The configurations of other sweeps that are tried first; None without `warm_start`."""
    steering: Sequence[str] = ()
    """What commands to the begun sweep ask for, in sentences."""
    budget: BudgetEstimate | None = None
    """How the time budget is spent; None without one, or if no train steps were timed."""
    spread: KnownSpread | None = None
    """The spread over seeds, from which follows what the replicates can distinguish; None if it is unknown."""
    trial_epochs: tuple[float, int]
    """Epochs of all trials: expected with early stopping, and without it; 0 if a program decides on its epochs."""

    @property
    def seconds(self) -> float | None:
        if self.cost is None:
            return None
        seconds = self.cost.seconds + (self._confirming_seconds or 0.0)
        return seconds if self.sweep.budget is None else min(seconds, self.sweep.budget)

    @property
    def configurations(self) -> pd.DataFrame:
        """One row per configuration in `first`, a column per searched parameter."""
        import pandas as pd

        drawn = [config.dotted() for config in self.first]
        return pd.DataFrame({path: [each.get(path) for each in drawn] for path in self.sweep.parameters})

    @property
    def warnings(self) -> Sequence[str]:
        return [*self.sweep.warnings(), *self.remarks]

    @property
    def _output(self) -> PlanOutput:
        from sweeps.views.json_output import PlanOutput, plain_rows

        replicates = self.sweep.replicates
        return PlanOutput(
            name=self.sweep.name,
            kind="sweep",
            slots=self.slots.count,
            trials=self.trials or None,
            seconds=self.seconds,
            configurations=plain_rows([config.dotted() for config in self.first]),
            warnings=list(self.warnings),
            command="",
            **_power(self.spread, None if replicates is None else replicates.seeds),
        )

    @property
    def _confirming_seconds(self) -> float | None:
        if self.sweep.confirm is not None and self.sweep.budget is None:
            return self.sweep.confirm.at_most
        if self.cost is None or self.sweep.replicates is None:
            return None
        again = min(self.sweep.replicates.top, self.trials or self.sweep.replicates.top)
        return self.cost.full_run_seconds * again * self.sweep.replicates.seeds / self.slots.count

    def _budget_sentence(self, seconds: float) -> str:
        """Return how the time budget is spent."""
        from sweeps.core.formatting import duration, plural
        from sweeps.driver.estimate import RESERVED_SEEDS

        wanted = self.sweep.confirm or self.sweep.replicates
        rest = "complete the best trial"
        if wanted is not None:
            best = "it" if wanted.top == 1 else f"the best {wanted.top}"
            seeds = wanted.seeds if isinstance(wanted, Replicates) else RESERVED_SEEDS
            rest += f" and confirm {best} under {plural(seeds, 'new seed')}"
        if self.budget is None:
            return f"{duration(seconds)} (budget): search, then the time that is needed to {rest}"
        needed = duration(self.budget.confirm)
        if not self.budget.search:
            return f"{duration(seconds)} (budget): too short. About {needed} are needed to {rest}. Raise budget"
        return f"{duration(seconds)} (budget): about {duration(self.budget.search)} of search, then {needed} to {rest}"

    def print_to(self, console: Console) -> None:
        """Print the space, the first configurations, trials, slots, time."""
        from sweeps.core.formatting import duration, plural, print_sentence, short_names
        from sweeps.tasks.values import short_value

        about = self.sweep
        print_sentence(console, f"{about.name}: {about.description}" if about.description else about.name)
        epochs = about.task.config_type.model_validate(about.shared_values).epochs
        shared = ({"epochs": epochs} if epochs else {}) | flatten(about.shared_values)
        fixed = {path: value for path, value in shared.items() if path not in {*about.parameters, *_INTERNAL}}
        print_sentence(console, "fixed: " + ", ".join(f"{path} {value}" for path, value in fixed.items()))
        print_space(about.space, console)
        if self.warm_start is not None:
            print_sentence(console, self.warm_start.sentence())
        drawn = [config.dotted() for config in self.first]
        columns = {"trial": [str(number) for number in range(len(drawn))]}
        for heading, path in zip(short_names(list(about.parameters)), about.parameters, strict=True):
            columns[heading] = [short_value(values.get(path)) for values in drawn]
        print_fitting(columns, console, left=columns)
        combinations = about.space.cardinality
        of = "" if combinations is None else f" of {combinations} combinations"
        target = about.metric.target
        ends = [] if target is None else [f"{about.metric.name} reaches {target:g}"]
        if (patience := about.stop_when.patience) is not None:
            gain = about.stop_when.expected_gain
            more = "" if gain is None else f" and the model expects less than {gain:g} more"
            ends.append(f"nothing is better in {plural(patience, 'trial')}{more}")
        until = f", until {' or '.join(ends)}" if ends else ""
        count = f"{self.trials} trials{of}" if self.trials else "trials"
        if about.budget is not None and self.trials:
            count = f"{'about' if about.run_cap is None else 'at most'} {count}"
        print_sentence(
            console,
            f"{count} by {about.method} search, {about.early_terminate.sentence}{until}; {self.slots.describe()}",
        )
        if about.space.conditions.known:
            from sweeps.search.draws import allowed_share

            print_sentence(console, allowed_share(about.space, seed=about.seed).sentence)
        self._print_custom(about.resources, console)
        if self.cost is not None:
            print_sentence(
                console,
                f"about {self.cost.trial_epochs:.0f} trial-epochs (at most {self.cost.max_trial_epochs}), about "
                f"{duration(self.cost.seconds)} on this machine, estimated from timed train steps of "
                f"{plural(self.cost.probed, 'network')}",
            )
        elif about.user_code is not None:
            print_sentence(console, _unknown_time(self.trial_epochs, file=self.file))
        if about.budget is not None:
            print_sentence(console, self._budget_sentence(about.budget))
        if about.confirm is not None:
            after = "at the end of the budget" if about.budget is not None else "then"
            print_sentence(
                console,
                f"{after}: a race of the best {about.confirm.top} under new seeds, until one is the best with "
                f"{100 * about.confirm.until:g} %, for at most {duration(about.confirm.at_most)} (confirm)",
            )
        if (part := about.confirmation) is not None:
            print_sentence(console, part.sentence)
        if about.budget is None and about.replicates is not None:
            again, seeds = min(about.replicates.top, self.trials), about.replicates.seeds
            seconds = self._confirming_seconds
            more = "" if seconds is None else f": about {duration(seconds)} more"
            best = "the best configuration" if again == 1 else f"the best {again} configurations"
            each = plural(seeds, "new seed") + ("" if again == 1 else " each")
            print_sentence(console, f"then trains {best} to full length under {each} (replicates){more}")
        if about.replicates is not None and self.spread is not None:
            print_sentence(console, self.spread.sentence(about.replicates.seeds))
        if about.limits.timeout is not None:
            print_sentence(console, f"stops after at most {duration(about.limits.timeout)} (limits.timeout)")
        limits = {"a trial": about.limits.trial_timeout, "an epoch": about.limits.epoch_timeout}
        for what, seconds in limits.items():
            if seconds is not None:
                key = "trial_timeout" if what == "a trial" else "epoch_timeout"
                print_sentence(console, f"{what} fails if it takes longer than {duration(seconds)} (limits.{key})")
        for sentence in self.steering:
            print_sentence(console, f"{about.name}: {sentence}")
        if not epochs:
            print_sentence(console, "a trial ends when its program ends")


def _power(spread: KnownSpread | None, seeds: int | None) -> dict[str, Any]:
    """Return what a number of seeds distinguishes, as fields of `PlanOutput`."""
    found = None if spread is None or seeds is None else spread.distinguishes(seeds)
    return {
        "seeds": seeds,
        "distinguishes": found if found is not None and math.isfinite(found) else None,
        "spread": None if spread is None else spread.deviation,
        "spread_source": None if spread is None else spread.source,
    }


def _unknown_time(trial_epochs: tuple[float, int], *, file: Path) -> str:
    """Return the sentence on the time of a custom training, which a plan does not run."""
    expected, most = trial_epochs
    count = f"about {expected:.0f} trial-epochs (at most {most}). Their" if most else "The"
    return f"{count} time is unknown, because a plan runs no custom code: `sweeps check {file}` measures an epoch"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LadderPlan(Plan):
    """The plan of a ladder, or of a part of it."""

    part: LadderPart
    seconds_of: Mapping[str, float] | None
    """Rung to estimated seconds of a run on one slot, including the evaluation on the test images."""
    spread: KnownSpread | None = None
    """As that of a sweep."""

    @property
    def configs(self) -> dict[str, TaskConfig]:
        """Rung to configuration under the budget."""
        return {rung.name: self.part.budget.apply(rung.config) for rung in self.part.rungs}

    @property
    def configurations(self) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame({"rung": name} | dict(config.dotted()) for name, config in self.configs.items())

    @property
    def warnings(self) -> Sequence[str]:
        return [*self.part.ladder.warnings(), *self.remarks]

    @property
    def _output(self) -> PlanOutput:
        from sweeps.views.json_output import PlanOutput, plain_rows

        return PlanOutput(
            name=self.part.ladder.name,
            kind="ladder",
            slots=self.slots.count,
            trials=len(self._runs),
            seconds=self.seconds,
            configurations=plain_rows([{"rung": name} | dict(each.dotted()) for name, each in self.configs.items()]),
            warnings=list(self.warnings),
            command="",
            **_power(self.spread, self._seeds),
        )

    @property
    def _tests(self) -> str:
        return " and the evaluation on the test images" if self.part.ladder.measured_on is MeasuredOn.TEST else ""

    @property
    def _seeds(self) -> int:
        return self.part.budget.seeds or self.part.ladder.seeds

    @property
    def _every(self) -> list[tuple[str, TaskConfig]]:
        budget = self.part.budget
        return [(rung.name, run) for rung in self.part.rungs for run in budget.runs_of(rung.config, seeds=self._seeds)]

    @property
    def _runs(self) -> list[tuple[str, int]]:
        """Rung and epochs of each run. Equal runs of several rungs are run once."""
        once = {(run.config_id(), run.seed): (name, run.epochs) for name, run in reversed(self._every)}
        return list(once.values())

    @property
    def seconds(self) -> float | None:
        from sweeps.driver.estimate import total_seconds

        if self.seconds_of is None:
            return None
        return total_seconds([self.seconds_of[name] for name, _ in self._runs], slots=self.slots.count)

    def print_to(self, console: Console) -> None:
        """Print the rungs, what each changes, runs, slots, time."""
        from rich.table import Table

        from sweeps.core.formatting import duration, plural, print_sentence

        ladder, budget, part = self.part.ladder, self.part.budget, self.part
        configs, seeds, runs = self.configs, self._seeds, self._runs
        table = Table(box=None, header_style="bold", pad_edge=False)
        for column in ("rung", "from", "changes", "epochs"):
            table.add_column(column, overflow="fold", no_wrap=column in ("rung", "from"))
        for rung in part.rungs:
            changes = [str(change) for change in rung.changes if change.path != "epochs"]
            if rung.parent is not None and any(change.path == "epochs" for change in rung.changes):
                before = budget.apply(ladder.rung(rung.parent).config).epochs
                changes.append(f"epochs {before} → {configs[rung.name].epochs}")
            table.add_row(rung.name, rung.parent or "", "\n".join(changes), str(configs[rung.name].epochs))
        print_sentence(console, f"{ladder.name}: {ladder.description}")
        console.print(table)
        epochs = sum(of_run for _, of_run in runs)
        of_each = f" under {plural(seeds, 'seed')} each" if seeds > 1 else ""
        rungs = plural(len(configs), "rung") + of_each
        if repeated := len(self._every) - len(runs):
            rungs += f", {plural(len(self._every), 'run')}, {repeated} of them equal to another and trained once"
        seconds, of_rungs = self.seconds, self.seconds_of
        if seconds is not None and of_rungs is not None:
            print_sentence(
                console,
                f"{rungs}, {epochs} epochs, about {duration(seconds)} on {self.slots.describe()} (estimated from timed "
                f"train steps; includes start-up{self._tests})",
            )
            each = " per run" if seeds > 1 else ""
            for name, longest in sorted(of_rungs.items(), key=lambda item: -item[1])[:3]:
                print_sentence(console, f"  {name}: about {duration(longest)}{each} on one slot")
        else:
            count = f", {epochs} epochs" if epochs else ""
            print_sentence(console, f"{rungs}{count} on {self.slots.describe()}")
            if ladder.metric is not None:
                print_sentence(console, _unknown_time((0, 0), file=ladder.files[0]))
        if any(budget.reduced(rung.config) for rung in part.rungs):
            of_rung = {rung.name: rung.config.epochs for rung in part.rungs}
            full = sum(of_rung[name] for name, _ in runs)
            images = "" if budget.train_size is None else f", at most {plural(budget.train_size, 'training image')}"
            print_sentence(console, f"reduced budget, shown with every result: {epochs} of {full} epochs{images}")
        self._print_custom(ladder.resources, console)
        if ladder.metric is not None:
            better = "higher" if ladder.metric.goal == "maximize" else "lower"
            print_sentence(console, f"compared by {ladder.metric.name} after the last epoch ({better} is better)")
        if seeds > 1 and self.spread is not None:
            print_sentence(console, self.spread.sentence(seeds))
        if ladder.measured_on is MeasuredOn.VALIDATION:
            images = f"{Protocol.of(ladder.rungs[0].config).validation_images:,} validation images"
            print_sentence(console, f"compared on {images}; on the test images at the end, with --final")


def plan(
    path: str | Path,
    *,
    overrides: Sequence[str] = (),
    rungs: Sequence[str] = (),
    seeds: int | None = None,
    epochs_scale: float = 1.0,
    train_size: int | None = None,
    final: bool = False,
    probe: bool = True,
    runs: str | Path = DEFAULT_RUNS,
) -> SweepPlan | LadderPlan:
    """Return the plan of a file: space, first configurations, trials, slots, time. Starts nothing.

    Args:
        path: of a sweep file or a ladder file.
        overrides: `path=value` for any key of the file.
        rungs: names of rungs; this and the next four are for ladders.
        seeds: runs of each rung.
        epochs_scale: share of each rung's epochs.
        train_size: largest number of training images.
        final: plan the final evaluation of a ladder with `evaluate: validation`.
        probe: time train steps for the estimate.
        runs: the runs folder with the sweeps of `warm_start`.

    Raises:
        SweepError: the file cannot be run.

    Example:
        >>> sweeps.plan("experiments/quick.yaml").seconds / 60
    """
    options = PartOptions(
        only=",".join(rungs) or None, seeds=seeds, final=final, epochs_scale=epochs_scale, train_size=train_size
    )
    return plan_of_file(Path(path), overrides, probe=probe, runs=Path(runs), **options)


def plan_of_file(
    file: Path, overrides: Sequence[str], *, probe: bool, runs: Path, **options: Unpack[PartOptions]
) -> SweepPlan | LadderPlan:
    """Return the plan for the options of a command line."""
    if is_ladder(read_yaml(file, overrides=overrides)):
        return _ladder_plan(read_part(file, overrides, **options), probe=probe, runs=runs)
    if options["final"]:
        raise SweepError(f"{file} is a sweep, and --final is for ladders. Run `sweeps finalize` after the search.")
    if arguments := arguments_of(**options):
        raise SweepError(f"{file} is a sweep, and {arguments[0]} is for ladders. Change keys of a sweep with --set.")
    return _sweep_plan(file, overrides, probe=probe, runs=runs)


def _sweep_plan(file: Path, overrides: Sequence[str], *, probe: bool, runs: Path) -> SweepPlan:
    from sweeps.backends.slots import local_slots
    from sweeps.driver.dry_runs import dry_run_all
    from sweeps.driver.estimate import (
        estimate_budget,
        estimate_cost,
        expected_epochs,
        is_listed,
        preview,
        some_combinations,
        trial_count,
    )
    from sweeps.driver.plan import warm_start_of

    about, steering = _steered(load_spec(file, overrides=overrides), runs)
    choice = warm_start_of(about)
    warm_start = None if choice is None else _stored_warm_start(about.name, runs) or choice(runs)
    first = preview(about, warm_start=warm_start)
    if not first:
        raise SweepError(f"{file}: no combination of the parameters is valid. Change parameters or base.")
    dry_run = dry_run_all([*first, *some_combinations(about)], isolated=False, covers_all=is_listed(about))
    remarks = dry_run.remarks()
    slots, trials = local_slots(about.resources, about.limits), trial_count(about)
    cost = budget = None
    able: list[TaskConfig] = []
    if probe:
        able = [config for config in first if dry_run.can_train(config)] or [
            config for config, result in dry_run.found if result.fault is None
        ]
    if able:
        timed = about.task.probe(threads=slots.cpus)
        if timed is not None:

            def cost_of(trials: int) -> Estimate:
                return estimate_cost(able, trials=trials, early=about.early_terminate, slots=slots.count, probe=timed)

            cost = cost_of(trials or 1)
            if about.budget is not None:
                budget = estimate_budget(about, cost, slots=slots.count)
                trials = min(trials or budget.trials, budget.trials)
                cost = cost_of(trials)
    return SweepPlan(
        sweep=about,
        file=file,
        trials=trials,
        first=tuple(first),
        slots=slots,
        cost=cost,
        budget=budget,
        trial_epochs=expected_epochs(first, trials=trials, early=about.early_terminate),
        remarks=remarks,
        warm_start=warm_start,
        spread=spread_in(
            runs,
            measure=Measure(name=about.metric.name, maximize=about.metric.goal == "maximize"),
            protocol=Protocol.of(first[0]),
            sweeps=frozenset({about.name}),
        ),
        steering=steering,
    )


def spread_in(runs: Path, *, measure: Measure, protocol: Protocol | None, sweeps: frozenset[str]) -> KnownSpread | None:
    """Return the spread over seeds that is known from a runs folder, see `known_spread`; also without its record."""
    from sweeps.analysis.power import known_spread
    from sweeps.record.reader import MlflowReader

    rows: Sequence[Row] = ()
    with contextlib.suppress(RecordError):
        rows = MlflowReader(runs).runs().rows
    return known_spread(rows, measure=measure, protocol=protocol, sweeps=sweeps)


def _steered(spec: SweepSpec, runs: Path) -> tuple[SweepSpec, Sequence[str]]:
    """Return a sweep with the limits that `sweeps set` has changed, and what commands ask for in sentences."""
    from sweeps.core.steering import Steering
    from sweeps.driver.commands import limits_of_file
    from sweeps.search.opening import read_study
    from sweeps.search.state import steering_sentences

    folder = SweepFolder(runs, spec.name)
    try:
        study = read_study(folder)
    except SweepError:
        return spec, ()
    steering = Steering(study.user_attrs)
    for limit in steering.changed_in_file(limits_of_file(spec)):
        del steering.limits[limit]
    changed = dict(steering.limits)
    sentences = steering_sentences(steering, study, folder, sweep=spec.name)
    of_block: dict[str, Any] = {
        name: changed.pop(name) for name in ("max_concurrent_trials", "timeout") if name in changed
    }
    limits = spec.limits.model_copy(update=of_block)
    return spec.model_copy(update={**changed, "limits": limits}), sentences


def _stored_warm_start(sweep: str, runs: Path) -> WarmStart | None:
    """Return what the first start of a sweep has chosen; None before it."""
    from sweeps.search.opening import read_study
    from sweeps.search.warm_start import stored_warm_start

    try:
        return stored_warm_start(read_study(SweepFolder(runs, sweep)))
    except SweepError:
        return None


def _ladder_plan(part: LadderPart, *, probe: bool, runs: Path) -> LadderPlan:
    from sweeps.backends.slots import local_slots
    from sweeps.driver.dry_runs import dry_run_all
    from sweeps.tasks.registry import task_of

    slots = local_slots(part.ladder.resources, part.ladder.limits)
    ladder = part.ladder
    on = "test_accuracy" if ladder.measured_on is MeasuredOn.TEST else "val_accuracy"
    measure = (
        Measure(name=on)
        if ladder.metric is None
        else Measure(name=ladder.metric.name, maximize=ladder.metric.goal == "maximize")
    )
    spread = spread_in(runs, measure=measure, protocol=None, sweeps=frozenset({ladder.name}))
    unprobed = LadderPlan(part=part, slots=slots, seconds_of=None, spread=spread)
    configs = unprobed.configs
    dry_run = dry_run_all(list(configs.values()), isolated=False)
    remarks = dry_run.remarks()
    if not probe:
        return replace(unprobed, remarks=remarks)
    timed: Probe | None = task_of(next(iter(configs.values()))).probe(threads=slots.cpus)
    if timed is None:
        return replace(unprobed, remarks=remarks)
    is_tested = part.ladder.measured_on is MeasuredOn.TEST
    return replace(
        unprobed,
        remarks=remarks,
        seconds_of={
            name: timed.seconds(config) + (timed.test_seconds(config) if is_tested else 0.0)
            if dry_run.can_train(config)
            else 0.0
            for name, config in configs.items()
        },
    )
