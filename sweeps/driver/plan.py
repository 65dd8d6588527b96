"""`RunPlan`: the runner's input, built from a sweep, a ladder, replicates or a retraining."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from cifar_core.common.user_modules import NETWORK, is_user_code
from cifar_core.common.validation import explain
from sweeps.core.errors import SweepError
from sweeps.core.formatting import plural
from sweeps.core.identity import Protocol, trial_name
from sweeps.core.storages import LOCAL, Storages
from sweeps.core.task import AnyTask, TaskConfig
from sweeps.core.trial import MeasuredOn, RungLabel, TrialRecord
from sweeps.driver.estimate import is_listed, preview, some_combinations
from sweeps.files.budget import FULL_BUDGET, Budget
from sweeps.files.confirmation import ConfirmationPart, confirmation_part, part_configs
from sweeps.files.definition import space_of
from sweeps.files.ladder import FINAL, Ladder
from sweeps.files.settings import MAX_NAME, Confirm, Limits, Metric, Replicates, Resources, StopWhen
from sweeps.files.sweep import SweepSpec
from sweeps.files.where import Conditions
from sweeps.files.yaml_file import flatten
from sweeps.record.table import Row
from sweeps.search.opening import is_ladder_study, read_study
from sweeps.search.pausing import Pausing, pausing_of_spec
from sweeps.search.proposers import Candidate, ListProposer, Proposer, proposer_of
from sweeps.search.replicates import candidates_to_confirm, replicates_of
from sweeps.search.stored_trials import read_records
from sweeps.search.warm_start import WarmStart, choose
from sweeps.stopping.never import Never
from sweeps.stopping.rule import StoppingRule
from sweeps.store.folder import SweepFolder
from sweeps.tasks.registry import task_of

if TYPE_CHECKING:
    import optuna

KeyOf = Callable[[TaskConfig], str]


LADDER = {"kind": "ladder"}
"""Definition of a ladder's study, which `is_ladder_study` checks."""
QUESTION = {"kind": "judge"}
"""Definition of the study with the runs of a question, as `LADDER`."""
STORAGE = "storage"
"""Attribute of a study in a database: the storage of its checkpoints."""
RESOURCES = "resources"
"""Attribute of a study: the resources of a trial, which its replicates use too."""
CLUSTER = "ray_address"
"""Attribute of a study: the Ray cluster of its last start."""


@dataclass(frozen=True, kw_only=True)
class TrainedWith:
    """A recorded run and the hash of its custom code."""

    run: str
    """Its name."""
    sweep: str
    config: TaskConfig
    source: str | None
    """See `sweeps.core.identity.Identity`."""


@dataclass(frozen=True, kw_only=True)
class RacePlan:
    """A race of the best configurations of a finished search."""

    settings: Confirm
    chosen: Sequence[TrialRecord]
    """One trial of each configuration, the most promising first."""
    search: Sequence[TrialRecord]
    """All trials of the search."""
    used_seeds: Sequence[int]
    """Seeds that the search has used or may use."""


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """The runner's input."""

    name: str
    description: str
    definition: Mapping[str, Any]
    """The definition that identifies the study, as flat JSON values."""
    metric: Metric
    run_cap: int | None
    limits: Limits
    resources: Resources
    early_terminate: StoppingRule
    budget: float | None = None
    """Seconds of the whole sweep; None without a time budget."""
    confirm: Replicates | Confirm | None = None
    """The replicates that the time budget includes; None if there are none."""
    confirmation: ConfirmationPart | None = None
    """The data on which its replicates are compared; None without replicates."""
    race: RacePlan | None = None
    """The race that it trains; None without one."""
    epochs: int
    """Epochs of the longest run."""
    stop_when: StopWhen = field(default_factory=StopWhen)
    """When a search without progress ends."""
    task: AnyTask
    """The trained task."""
    data: Sequence[TaskConfig]
    """One configuration for each data part."""
    models: Sequence[str]
    """Names of all networks."""
    proposer: Callable[[KeyOf], Proposer]
    warm_start: Callable[[Path], WarmStart] | None = None
    """Returns the configurations of other sweeps in a runs folder to try first; None without `warm_start`."""
    pausing: Callable[[optuna.Study, Path], Pausing | None] = lambda study, runs: None
    """Returns what decides about paused trials, from the study and the runs folder; None if none pauses."""
    first: Callable[[], Sequence[TaskConfig]] = tuple
    """Returns configurations for the dry runs, including the first ones; none if all were trained before."""
    first_is_complete: bool = True
    """Whether `first` returns all configurations."""
    command: str
    """The command that starts or resumes it."""
    file: str = ""
    """The YAML file with all overrides; empty if there is no file."""
    keep_best: int | None = None
    """Number of best configurations whose weights are kept; None for all."""
    is_ladder: bool = False
    """Whether its trials are the rungs of a ladder."""
    judged: bool = False
    """Whether its rungs are the two configurations of a question (`sweeps.driver.question`)."""
    tested: bool = False
    """Whether each complete run is measured on the test images. Never for a search."""
    final_configs: Sequence[TaskConfig] = ()
    """Configurations of a ladder's final evaluation, whose test-set access is logged."""
    replicates: bool = False
    """Whether it trains the replicates of a search, in their own study."""
    trained_with: Sequence[TrainedWith] = ()
    """The recorded runs that are trained again, for checking that their code has not changed."""
    files: Sequence[str] = ()
    """Values of its configurations that may be paths of files: initial weights, options of custom networks."""
    tensorboard: bool = False
    """Whether the file requests TensorBoard curves."""
    notify: Sequence[str] = ()
    """URLs and commands in the file to notify."""
    storages: Storages = LOCAL
    """The storages in the file."""
    conditions: Conditions | None = None
    """Conditions on what a training measures; None without any."""

    @property
    def part(self) -> Literal["search", "replicates", "ladder", "retrain", "judge"]:
        """The kind of the plan."""
        if self.judged:
            return "judge"
        if self.replicates:
            return "replicates"
        if self.is_ladder:
            return "ladder"
        return "retrain" if self.trained_with else "search"

    @property
    def title(self) -> str:
        """Title for messages. A sweep and its replicates have the same name."""
        return f"{self.name} replicates" if self.replicates else self.name


def plan_of_sweep(spec: SweepSpec) -> RunPlan:
    """Return the plan of a sweep."""
    return RunPlan(
        name=spec.name,
        description=spec.description,
        definition=spec.definition(),
        metric=spec.metric,
        run_cap=spec.run_cap,
        limits=spec.limits,
        resources=spec.resources,
        early_terminate=spec.early_terminate,
        budget=spec.budget,
        confirm=None if spec.budget is None else spec.confirm or spec.replicates,
        confirmation=None if spec.budget is None else spec.confirmation,
        epochs=spec.expected_epochs,
        stop_when=spec.stop_when,
        task=spec.task,
        data=part_configs(spec.space),
        models=[spec.user_code]
        if spec.user_code
        else list(map(str, dict.fromkeys(spec.space.listed_values("model.name")))),
        files=_named_files(spec),
        first=lambda: [*preview(spec), *some_combinations(spec)],
        first_is_complete=is_listed(spec),
        proposer=lambda key_of: proposer_of(spec),
        warm_start=warm_start_of(spec),
        pausing=lambda study, runs: pausing_of_spec(spec, study, runs=runs),
        command=f"sweeps run {spec.name}.yaml",
        file=spec.to_yaml(),
        keep_best=None if spec.keep.best == "all" else spec.keep.best,
        tensorboard=spec.tensorboard,
        notify=spec.notify,
        storages=spec.storages,
        conditions=spec.space.conditions if spec.space.conditions.measured else None,
    )


def warm_start_of(spec: SweepSpec) -> Callable[[Path], WarmStart] | None:
    """Return what chooses the configurations of other sweeps to try first; None if the sweep has no `warm_start`."""
    if not spec.warm_start or spec.method == "grid":
        return None
    return lambda runs: choose(
        spec.warm_start,
        runs=runs,
        space=spec.space,
        metric=spec.metric.name,
        maximize=spec.metric.goal == "maximize",
        run_cap=spec.run_cap,
    )


def _named_files(spec: SweepSpec) -> list[str]:
    values = flatten(spec.shared_values) | {path: each.choices for path, each in spec.space.parameters.items()}
    may_name = ("model.weights", "model.options") if spec.user_code is None else ("",)
    candidates = [value for path, value in values.items() if path.startswith(may_name)]
    texts = dict.fromkeys(text for value in candidates for text in _texts_in(value))
    code = spec.user_code
    return [text for text in texts if text != code or not is_user_code(text)]  # user code has a hash of its own


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _texts_in(part)


def plan_of_ladder(
    ladder: Ladder,
    *,
    budget: Budget = FULL_BUDGET,
    only: Sequence[str] = (),
    cost: Callable[[TaskConfig], float] | None = None,
) -> RunPlan:
    """Return the plan of a ladder.

    Args:
        ladder: the ladder.
        budget: the part of its full budget to spend.
        only: names of the rungs to run; empty for all.
        cost: returns the seconds of a configuration; if given, the longest are started first.

    Raises:
        SweepError: a name in `only` is unknown, or a seed would be too large.
    """
    rungs = [ladder.rung(name) for name in only] if only else list(ladder.rungs)
    tested = ladder.measured_on is MeasuredOn.TEST
    candidates = []
    for rung in rungs:
        full_epochs, full_train_images = budget.full(rung.config)
        label = RungLabel(
            name=rung.name,
            index=rung.index,
            parent=rung.parent,
            full_epochs=full_epochs,
            full_train_images=full_train_images,
            measured_on=ladder.measured_on,
        )
        runs = budget.runs_of(rung.config, seeds=ladder.seeds)
        candidates += [Candidate(config=config, rung=label) for config in runs]
    return RunPlan(
        name=ladder.name,
        description=ladder.description,
        # One study for all budgets and seeds: a run is identified by its key.
        definition=LADDER
        | {"evaluate": ladder.measured_on.value, "final": ladder.is_final}
        | ({} if ladder.metric is None else {"metric.name": ladder.metric.name, "metric.goal": ladder.metric.goal}),
        metric=ladder.metric or (Metric(name="train_loss", goal="minimize") if tested else Metric()),
        run_cap=None,
        limits=ladder.limits,
        resources=ladder.resources,
        early_terminate=Never(),
        epochs=max(candidate.config.epochs for candidate in candidates),
        task=task_of(candidates[0].config),
        data=[candidate.config for candidate in candidates],
        models=list(dict.fromkeys(task_of(candidate.config).label(candidate.config) for candidate in candidates)),
        first=lambda: [candidate.config for candidate in candidates],
        proposer=lambda key_of: ListProposer(candidates, key_of=key_of, cost=cost),
        command=f"sweeps ladder {ladder.name.removesuffix(FINAL)}.yaml --final"
        if ladder.is_final
        else f"sweeps ladder {ladder.name}.yaml",
        file=ladder.text,
        is_ladder=True,
        tested=tested,
        final_configs=[candidate.config for candidate in candidates] if ladder.is_final else (),
        tensorboard=ladder.tensorboard,
        notify=ladder.notify,
        storages=ladder.storages,
    )


def plan_of_replicates(folder: SweepFolder, wanted: Replicates | Confirm, *, limits: Limits | None = None) -> RunPlan:
    """Return the plan of the replicates of a search: a fixed number, or a race.

    Args:
        folder: of the sweep.
        wanted: number of configurations, and of seeds or when the race ends.
        limits: of the replicates.

    Raises:
        NoSuchSweepError: there is no such sweep.
        SweepError: it is not a search, has no trials to confirm yet, or leaves fewer images than are wanted.
    """
    study = read_study(folder)
    if is_ladder_study(study):
        seeds = wanted.seeds if isinstance(wanted, Replicates) else 5
        raise SweepError(f"{folder.sweep} is a ladder. Run `sweeps ladder FILE --seeds {seeds}` for more seeds.")
    goal = "maximize" if study.direction.name == "MAXIMIZE" else "minimize"
    metric = Metric.model_validate({"name": study.user_attrs["metric"], "goal": goal})
    records = list(read_records(study, sweep=folder.sweep))
    chosen = candidates_to_confirm(records, metric=metric, top=wanted.top)
    if not chosen:
        raise SweepError(
            f"no trial of {folder.sweep} is complete or was stopped early. Finish the search before confirming it."
        )
    definition = json.loads(study.user_attrs.get("definition", "{}"))
    used_seeds = [*(record.config.seed for record in records), *seeds_in_space(definition)]
    task = task_of(chosen[0].config)
    race = None
    configs = [record.config for record in chosen]
    proposer: Callable[[KeyOf], Proposer] = lambda key_of: ListProposer([], key_of=key_of)  # noqa: E731  # a race is one
    if isinstance(wanted, Replicates):
        candidates = replicates_of(chosen, wanted, used_seeds=used_seeds)
        configs = [candidate.config for candidate in candidates]
        proposer = lambda key_of: ListProposer(candidates, key_of=key_of)  # noqa: E731
    else:
        race = RacePlan(settings=wanted, chosen=chosen, search=records, used_seeds=used_seeds)
    try:
        confirmation = confirmation_part(
            task, _configs_of_search(definition, records), metric=metric.name, images=wanted.images
        )
    except ValueError as error:
        raise SweepError(f"{error}.") from None
    return RunPlan(
        name=folder.sweep,
        description=_description(wanted, best=f"the best {len(chosen)} configurations of {folder.sweep}"),
        definition={},
        metric=metric,
        run_cap=None,
        limits=limits or Limits(),
        resources=Resources.model_validate(study.user_attrs.get(RESOURCES, {})),
        early_terminate=Never(),
        epochs=max(config.epochs for config in configs),
        task=task,
        data=configs,
        models=list(dict.fromkeys(task_of(config).label(config) for config in configs)),
        proposer=proposer,
        command=_replicate_command(folder.sweep, wanted),
        replicates=True,
        confirmation=confirmation,
        race=race,
        trained_with=[
            TrainedWith(
                run=trial_name(folder.sweep, record.trial),
                sweep=folder.sweep,
                config=record.config,
                source=record.source,
            )
            for record in chosen
        ],
    )


def _configs_of_search(definition: Mapping[str, Any], records: Sequence[TrialRecord]) -> list[TaskConfig]:
    """Return one configuration for each data part of a search, from its stored definition."""
    space = space_of(definition)
    return [record.config for record in records] if space is None else part_configs(space)


def _description(wanted: Replicates | Confirm, *, best: str) -> str:
    if isinstance(wanted, Replicates):
        return f"{best} with {plural(wanted.seeds, 'new seed')}"
    return f"a race of {best} under new seeds, until one is the best with {100 * wanted.until:g} %"


def _replicate_command(sweep: str, wanted: Replicates | Confirm) -> str:
    images = "" if wanted.images is None else f" --images {wanted.images}"
    if isinstance(wanted, Replicates):
        return f"sweeps replicate {sweep} --top {wanted.top} --seeds {wanted.seeds}{images}"
    until = f"--until {wanted.until:g} --at-most {wanted.at_most:g}s"
    return f"sweeps replicate {sweep} --top {wanted.top} {until}{images}"


def seeds_in_space(definition: Mapping[str, Any]) -> list[int]:
    """Return the seeds that a search may use, from its definition: all values, or the end of a range."""
    searched = definition.get("parameters.seed", {})
    return [*map(int, searched.get("values", ())), *(int(searched[end]) for end in ("max", "value") if end in searched)]


def plan_of_confirmation(plan: RunPlan) -> RunPlan:
    """Return the plan of the replicates that the time budget of a search includes."""
    assert plan.confirm is not None
    return replace(
        plan,
        description=_description(plan.confirm, best=f"the best configurations of {plan.name}"),
        run_cap=None,
        stop_when=StopWhen(),
        early_terminate=Never(),
        command=_replicate_command(plan.name, plan.confirm),
        file="",
        keep_best=None,
        replicates=True,
    )


RETRAINED = "retrained"
"""Name of the sweep with all retrained networks, and the beginning of that of a custom training."""


def compared_by(row: Row, config: TaskConfig) -> tuple[Metric | None, MeasuredOn]:
    """Return what runs with changes to a recorded run are compared by: for a custom training the metric of its search.

    Args:
        row: of the recorded run.
        config: its configuration.
    """
    if task_of(config).code_kind is NETWORK:
        return None, MeasuredOn(row["measured_on"] or MeasuredOn.TEST)
    goal = {} if row["goal"] is None else {"goal": row["goal"]}
    return Metric.model_validate({"name": row["metric"], **goal}), MeasuredOn.METRIC


def plan_of_retraining(
    config: TaskConfig,
    *,
    run: str,
    row: Row,
    epochs: int | None,
    train_size: int | Literal["all"] | None,
) -> RunPlan:
    """Return the plan for training a recorded run again with another budget.

    Args:
        config: of the recorded run.
        run: its name.
        row: its row in the record.
        epochs: of the new run; schedule fields in epochs are scaled. None keeps those of the run.
        train_size: training images, or `all` that validation leaves; None keeps those of the run.

    Raises:
        SweepError: the budget is invalid, or equal to that of the recorded run.
        ModelError: the custom code has no number of epochs.
    """
    task = task_of(config)
    is_network = task.code_kind is NETWORK
    if train_size is not None and not is_network:
        raise SweepError(f"--train-size is for networks: {task.label(config)} has no training images. Leave it out.")
    try:
        retrained: TaskConfig = task.retrained(config, epochs=epochs, examples=train_size)
    except ValidationError as error:
        raise SweepError(f"{run} cannot be trained with this budget: {'; '.join(explain(error))}") from None
    if retrained.is_same_run(config):
        options = "--epochs or --train-size" if is_network else "--epochs"
        raise SweepError(f"{run} was already trained with this budget. Change {options}.")
    protocol = Protocol.of(retrained)
    name = f"{run}-{retrained.epochs}x{protocol.train_images}" if is_network else f"{run}-{epochs}"
    metric, measured_on = compared_by(row, retrained)
    if is_network:
        measured_on = MeasuredOn.VALIDATION if protocol.validation_images else MeasuredOn.TEST
    label = RungLabel(name=name, index=0, parent=run, measured_on=measured_on)
    candidate = Candidate(config=retrained, rung=label)
    return RunPlan(
        # One study has one metric.
        name=RETRAINED if is_network else f"{RETRAINED}-{row['sweep']}"[:MAX_NAME],
        description="runs of searches, retrained with more epochs or images",
        definition={"kind": "retrain"}
        | ({} if metric is None else {"metric.name": metric.name, "metric.goal": metric.goal}),
        metric=metric or Metric(name="train_loss", goal="minimize"),
        run_cap=None,
        limits=Limits(),
        resources=Resources(),
        early_terminate=Never(),
        epochs=retrained.epochs,
        task=task,
        data=[retrained],
        models=[task.label(retrained)],
        first=lambda: [retrained],
        proposer=lambda key_of: ListProposer([candidate], key_of=key_of),
        command=f"sweeps retrain {run} --epochs {retrained.epochs} --train-size {protocol.train_images}"
        if is_network
        else f"sweeps retrain {run} --epochs {epochs}",
        trained_with=[TrainedWith(run=run, sweep=row["sweep"], config=retrained, source=row["source"])],
    )
