"""`RunPlan`: what the runner carries out, a sweep's or a ladder's file turned into proposals, limits and identity."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from cifar_core.common.validation import explain
from sweeps.core.errors import SweepError
from sweeps.core.identity import Protocol, trial_name
from sweeps.core.storages import LOCAL, Storages
from sweeps.core.task import AnyTask, TaskConfig
from sweeps.core.trial import MeasuredOn, RungLabel
from sweeps.driver.estimate import is_listed, preview, some_combinations
from sweeps.files.budget import FULL_BUDGET, Budget
from sweeps.files.ladder import FINAL, Ladder
from sweeps.files.settings import Limits, Metric, Replicates, Resources
from sweeps.files.space import SearchSpace
from sweeps.files.sweep import SweepSpec
from sweeps.files.yaml_file import flatten
from sweeps.search.opening import is_ladder_study, read_study
from sweeps.search.proposers import Candidate, ListProposer, Proposer, proposer_of
from sweeps.search.replicates import candidates_to_confirm, replicates_of
from sweeps.search.stored_trials import read_records
from sweeps.stopping.never import Never
from sweeps.stopping.rule import StoppingRule
from sweeps.store.folder import SweepFolder
from sweeps.tasks.registry import task_of

KeyOf = Callable[[TaskConfig], str]


LADDER = {"kind": "ladder"}
"""The definition of the study of a ladder that is measured on the test images; `study.is_ladder_study` goes by it."""
STORAGE = "storage"
"""Attribute of a study in a database: where its checkpoints are."""
RESOURCES = "resources"
CLUSTER = "ray_address"
"""Attribute of a study: what one of its trials holds, so that its replicates hold the same."""


@dataclass(frozen=True, kw_only=True)
class TrainedWith:
    """A recorded run, and the code of its network."""

    run: str
    """What people call it."""
    sweep: str
    config: TaskConfig
    source: str | None
    """As `sweeps.core.identity.Identity`."""


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """Everything the runner needs to know, whoever wrote it."""

    name: str
    description: str
    definition: Mapping[str, Any]
    """What makes it this study and no other, as flat JSON values."""
    metric: Metric
    run_cap: int | None
    limits: Limits
    resources: Resources
    early_terminate: StoppingRule
    epochs: int
    """Of the longest run."""
    task: AnyTask
    """What is trained."""
    data: Sequence[TaskConfig]
    """A configuration for each part of the data that its runs are trained on."""
    models: Sequence[str]
    """Every network's name."""
    proposer: Callable[[KeyOf], Proposer]
    first: Callable[[], Sequence[TaskConfig]] = tuple
    """Some of its configurations, the first ones among them; none where all of them were trained before."""
    first_is_complete: bool = True
    """Whether there are no others."""
    command: str
    """What begins it, or goes on with it."""
    file: str = ""
    """The YAML file with every override in it; empty for what has none."""
    keep_best: int | None = None
    """Complete runs whose weights stay, the best first by the metric; None for all."""
    is_ladder: bool = False
    """Whether its trials are the rungs of a ladder: compared, not searched."""
    tested: bool = False
    """Whether each complete run is measured on the test images: a ladder's may be, a search's never are."""
    final_configs: Sequence[TaskConfig] = ()
    """Of the last measurement of a ladder that was chosen: what the test images are opened for, which is noted."""
    replicates: bool = False
    """Whether it confirms the best of a search, in a study beside the search's."""
    trained_with: Sequence[TrainedWith] = ()
    """The recorded runs that are trained again: other code of their networks would be another network."""
    files: Sequence[str] = ()
    """What its configurations say where a file may be named: weights to begin with, options of the user's own."""
    tensorboard: bool = False
    """Whether the file asks for TensorBoard's curves of each trial."""
    notify: Sequence[str] = ()
    """Web addresses and commands in the file that are told how it goes."""
    storages: Storages = LOCAL
    """Where the file says that it is kept."""

    @property
    def part(self) -> Literal["search", "replicates", "ladder", "retrain"]:
        """What it is among the things that are run."""
        if self.replicates:
            return "replicates"
        if self.is_ladder:
            return "ladder"
        return "retrain" if self.trained_with else "search"

    @property
    def title(self) -> str:
        """What is run, in a word or two: a sweep and its replicates have one name."""
        return f"{self.name} replicates" if self.replicates else self.name


def plan_of_sweep(spec: SweepSpec) -> RunPlan:
    """Return a sweep's file as the runner takes it."""
    return RunPlan(
        name=spec.name,
        description=spec.description,
        definition=spec.definition(),
        metric=spec.metric,
        run_cap=spec.run_cap,
        limits=spec.limits,
        resources=spec.resources,
        early_terminate=spec.early_terminate,
        epochs=spec.space.max_value("epochs"),
        task=spec.task,
        data=_splits(spec.space),
        models=[spec.train] if spec.train else list(map(str, dict.fromkeys(spec.space.listed_values("model.name")))),
        files=_named_files(spec),
        first=lambda: [*preview(spec), *some_combinations(spec)],
        first_is_complete=is_listed(spec),
        proposer=lambda key_of: proposer_of(spec),
        command=f"sweeps run {spec.name}.yaml",
        file=spec.to_yaml(),
        keep_best=None if spec.keep.best == "all" else spec.keep.best,
        tensorboard=spec.tensorboard,
        notify=spec.notify,
        storages=spec.storages,
    )


def _named_files(spec: SweepSpec) -> list[str]:
    values = flatten(spec.base) | {path: parameter.choices for path, parameter in spec.space.parameters.items()}
    may_name = ("model.weights", "model.options") if spec.train is None else ("",)
    said = [value for path, value in values.items() if path.startswith(may_name)]
    return list(dict.fromkeys(text for value in said for text in _texts_in(value)))


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _texts_in(part)


def _splits(space: SearchSpace) -> list[TaskConfig]:
    values = [space.listed_values(path) for path in space.task.part_fields]
    splits: list[TaskConfig] = []
    for combination in itertools.product(*values):
        # Possible sizes, impossible together: the proposer passes over them too.
        with contextlib.suppress(ValidationError):
            splits.append(space.config(dict(zip(space.task.part_fields, combination, strict=True))))
    return splits


def plan_of_ladder(
    ladder: Ladder,
    *,
    budget: Budget = FULL_BUDGET,
    only: Sequence[str] = (),
    cost: Callable[[TaskConfig], float] | None = None,
) -> RunPlan:
    """Return a ladder as the runner takes it.

    Args:
        ladder: the ladder.
        budget: how much of it is spent.
        only: names of the rungs to run; all where empty.
        cost: seconds that a configuration takes; where given, the longest are begun first.

    Raises:
        SweepError: there is no rung of a name in `only`, or no seed as large as one would be.
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
        # One study for all budgets and seeds: a rung is identified by its key, not by its point in a space.
        definition=LADDER | {"evaluate": ladder.measured_on.value, "final": ladder.is_final},
        metric=Metric(name="train_loss", goal="minimize") if tested else Metric(),
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


def plan_of_replicates(folder: SweepFolder, wanted: Replicates, *, limits: Limits | None = None) -> RunPlan:
    """Return the runs that confirm the best configurations of a search, as the runner takes them.

    Args:
        folder: of the sweep.
        wanted: how many configurations, and how many seeds of each.
        limits: of these runs.

    Raises:
        NoSuchSweepError: there is no such sweep.
        SweepError: it is no search, or has nothing yet that could be confirmed.
    """
    study = read_study(folder)
    if is_ladder_study(study):
        raise SweepError(f"{folder.sweep} is a ladder: `sweeps ladder FILE --seeds {wanted.seeds}` runs more seeds")
    goal = "maximize" if study.direction.name == "MAXIMIZE" else "minimize"
    metric = Metric.model_validate({"name": study.user_attrs["metric"], "goal": goal})
    records = list(read_records(study, sweep=folder.sweep))
    chosen = candidates_to_confirm(records, metric=metric, top=wanted.top)
    if not chosen:
        raise SweepError(
            f"no trial of {folder.sweep} is complete or was stopped early: there is nothing to confirm yet"
        )
    searched = json.loads(study.user_attrs.get("definition", "{}")).get("parameters.seed", {})
    in_space = [*searched.get("values", ()), *(searched[end] for end in ("max", "value") if end in searched)]
    candidates = replicates_of(
        chosen, wanted, used_seeds=[*(record.config.seed for record in records), *map(int, in_space)]
    )
    return RunPlan(
        name=folder.sweep,
        description=f"the best {len(chosen)} configurations of {folder.sweep} under {wanted.seeds} new seeds",
        definition={},
        metric=metric,
        run_cap=None,
        limits=limits or Limits(),
        resources=Resources.model_validate(study.user_attrs.get(RESOURCES, {})),
        early_terminate=Never(),
        epochs=max(candidate.config.epochs for candidate in candidates),
        task=task_of(candidates[0].config),
        data=[candidate.config for candidate in candidates],
        models=list(dict.fromkeys(task_of(candidate.config).label(candidate.config) for candidate in candidates)),
        proposer=lambda key_of: ListProposer(candidates, key_of=key_of),
        command=f"sweeps replicate {folder.sweep} --top {wanted.top} --seeds {wanted.seeds}",
        replicates=True,
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


RETRAINED = "retrained"
"""The sweep that holds the runs of all searches that were trained again with more."""


def plan_of_retraining(
    config: TaskConfig,
    *,
    run: str,
    sweep: str,
    source: str | None,
    epochs: int | None,
    train_size: int | Literal["all"] | None,
) -> RunPlan:
    """Return a recorded run's configuration at another budget, as the runner takes it.

    Args:
        config: the run's.
        run: what people call it.
        sweep: that it is of.
        source: as `sweeps.core.identity.Identity`.
        epochs: of the new run; a schedule that is counted in epochs stretches with them. None keeps the run's.
        train_size: training images, or `all` that validation leaves; None keeps the run's.

    Raises:
        SweepError: the budget is the run's own, or no run can have it.
    """
    task = task_of(config)
    if not task.class_names:
        raise SweepError(f"{run} is of {task.name}: `sweeps retrain` is for networks; change base.epochs in its file")
    try:
        wanted: TaskConfig = task.retrained(config, epochs=epochs, examples=train_size)
    except ValidationError as error:
        raise SweepError(f"{run} cannot be trained so: {'; '.join(explain(error))}") from None
    if wanted.is_same_run(config):
        raise SweepError(f"{run} was trained so already: give --epochs or --train-size")
    protocol = Protocol.of(wanted)
    name = f"{run}-{wanted.epochs}x{protocol.train_images}"
    measured_on = MeasuredOn.VALIDATION if protocol.validation_images else MeasuredOn.TEST
    label = RungLabel(name=name, index=0, parent=run, measured_on=measured_on)
    candidate = Candidate(config=wanted, rung=label)
    return RunPlan(
        name=RETRAINED,
        description="runs of searches, trained again with more epochs or images",
        definition={"kind": "retrain"},
        metric=Metric(name="train_loss", goal="minimize"),
        run_cap=None,
        limits=Limits(),
        resources=Resources(),
        early_terminate=Never(),
        epochs=wanted.epochs,
        task=task,
        data=[wanted],
        models=[task.label(wanted)],
        first=lambda: [wanted],
        proposer=lambda key_of: ListProposer([candidate], key_of=key_of),
        command=f"sweeps retrain {run} --epochs {wanted.epochs} --train-size {protocol.train_images}",
        trained_with=[TrainedWith(run=run, sweep=sweep, config=wanted, source=source)],
    )
