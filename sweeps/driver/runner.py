"""Run a plan: lock its folder, open study and record, and train the missing trials."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NoReturn

import optuna
from rich.console import Console

from cifar_core.common.errors import ModelError
from cifar_core.common.source import file_digest
from cifar_core.common.user_modules import is_user_code, library_of
from sweeps.backends.ray.environment import prepare_environment
from sweeps.backends.slots import gpu_warning, require_custom, require_gpu
from sweeps.core.errors import SweepError
from sweeps.core.exit_codes import ExitCode
from sweeps.core.formatting import print_sentence
from sweeps.core.identity import Identifier
from sweeps.core.steering import Steering
from sweeps.core.storages import Storages, resolve_storages
from sweeps.core.task import TaskConfig
from sweeps.core.trial import TrialRecord
from sweeps.driver.commands import SweepCommands, limits_of_file, read_steering, with_set_limits
from sweeps.driver.description import describe_run
from sweeps.driver.dry_runs import DryRuns, dry_run_all
from sweeps.driver.notifier import Notifier
from sweeps.driver.options import RunOptions, RunSummary
from sweeps.driver.plan import RESOURCES, RunPlan, plan_of_confirmation, seeds_in_space
from sweeps.driver.race import RaceTime, RacingReplicates
from sweeps.driver.stopping import Stopping
from sweeps.driver.storage_checks import (
    check_same_storage,
    check_storage,
    note_cluster_change,
    require_folder_for_tensorboard,
)
from sweeps.driver.sweep_start import SweepStart
from sweeps.driver.time_budget import ReplicateRuns, TimeBudget
from sweeps.files.settings import Replicates
from sweeps.notify.targets.registry import parse_targets
from sweeps.record.complete_results import CompleteResults
from sweeps.record.inputs import RecordedData
from sweeps.record.ownership import OWNER, add_owner, owner_of_folder
from sweeps.record.parent_run import RecordedStudy
from sweeps.record.reader import MlflowReader
from sweeps.record.sweep_progress import Objective
from sweeps.record.writer import Tracker
from sweeps.search.confirming import LikelyReplicates
from sweeps.search.deadline import Gate
from sweeps.search.ledger import Ledger
from sweeps.search.opening import open_replicates, open_study, read_study
from sweeps.search.paired_seeds import PairedSeeds
from sweeps.search.reuse import LadderResults, RecordedResults, ReplicateResults, SearchResults
from sweeps.search.stored_trials import name_in_record
from sweeps.search.warm_start import WARM_START, stored_warm_start
from sweeps.store.checkpoints import SweepCheckpoints
from sweeps.store.folder import SweepFolder
from sweeps.store.kept_code import require_same_code
from sweeps.system.compat import guard_exit
from sweeps.system.git_state import GitState, git_state
from sweeps.system.machine import environment
from sweeps.system.output import stage, terminal_copy
from sweeps.tasks.sources import TaskSources
from sweeps.worker.measure import fetch_weights
from sweeps.worker.tensorboard import require_tensorboard


def run(plan: RunPlan, options: RunOptions) -> RunSummary:
    """Train the missing trials of a plan, and return a summary.

    A second call resumes the plan. Recorded results are not trained again.

    Raises:
        SweepError: nothing was started. The message says what to do.
        DataUnavailableError: CIFAR-10 cannot be fetched.
        RecordError: the record cannot be opened.
    """
    began = time.monotonic()
    flag = Storages(storage=options.storage, study_storage=options.study_storage)
    folder = SweepFolder(options.runs.resolve(), plan.name, requested=resolve_storages(flag=flag, file=plan.storages))
    folder.check_storages(resolve_storages(flag=flag, file=plan.storages, environment=False))
    targets = parse_targets([*plan.notify, *options.notify])
    address = None if options.backend == "inline" else options.ray_address
    require_custom(plan.resources, address=address)
    require_gpu(plan.resources, address=address)
    if plan.tensorboard or options.tensorboard:
        require_tensorboard()
        require_folder_for_tensorboard(folder)
    sources = TaskSources(plan.task)
    own_sources = _own_sources(plan, sources)
    for trained in plan.trained_with:
        sweep = folder.path.with_name(trained.sweep)
        require_same_code(trained.config, trained.source, run=trained.run, sweep=sweep)
    for config in plan.data[:1]:  # all have the same data, whose faults are found before anything is written
        plan.task.data_fingerprint(config)
    identify = Identifier(data_fingerprint=plan.task.data_fingerprint, source_of=sources.hash_of)
    with contextlib.ExitStack() as held:
        console = held.enter_context(terminal_copy())
        if warning := gpu_warning(plan.resources, address=address):
            print_sentence(console, f"warning: {warning}")
        stopping = Stopping(limit=plan.limits.timeout, console=console)
        held.enter_context(stopping.on_signals())
        # Checked first: a started sweep cannot change its storage.
        check_storage(folder)
        held.enter_context(folder.locked(on_loss=lambda: _end_without_lease(console, plan.name)))
        reader = MlflowReader(folder.runs)
        study = _open(plan, folder, sources=own_sources, reader=reader, options=options, console=console)
        steering, of_file = read_steering(study, plan, console), limits_of_file(plan)
        plan = with_set_limits(plan, steering)
        stopping.set_limit(plan.limits.timeout)
        owner = _owner_of(study, folder)
        add_owner(folder.runs, plan.name, owner)
        recorded = CompleteResults(reader)
        budget = None if plan.budget is None else TimeBudget(plan, study, began=began)
        race = None
        if plan.race is not None:
            race = _race(plan, study, began=began, retries=options.retry_failed)
        gate = race if budget is None else budget.deadline
        ledger = _ledger(
            plan,
            study,
            folder=folder,
            identify=identify,
            recorded=recorded,
            options=options,
            gate=gate,
            race=race,
            steering=steering,
        )
        commands = SweepCommands(
            study,
            plan=plan,
            of_file=of_file,
            steering=steering,
            ledger=ledger,
            stopping=stopping,
            folder=folder,
            console=console,
            budget=budget,
        )
        commands.poll()
        replicates = None
        if budget is not None and plan.confirm is not None:

            def open_tracker(records: Sequence[TrialRecord]) -> Tracker:
                again = plan_of_confirmation(plan)
                tracker = held.enter_context(_tracker(again, records, study=others, owner=owner, folder=folder))
                tracker.reconcile(records)
                return tracker

            others = open_replicates(folder)
            replicates = _replicates(
                plan,
                others,
                ledger,
                budget=budget,
                identify=identify,
                recorded=_results_of_replicates(plan, recorded, folder=folder),
                open_tracker=open_tracker,
                steering=steering,
            )
            race = replicates.race
        start = SweepStart(
            plan,
            options,
            sources=sources,
            folder=folder,
            ledger=ledger,
            commands=commands,
            budget=budget,
            replicates=replicates,
            race=race,
            stopping=stopping,
            console=console,
        )
        again = [] if replicates is None else replicates.ledger.records
        is_written = reader.holds(start.records, study=name_in_record(study)) and all(
            reader.holds([each], study=each.study) for each in again
        )
        if start.is_done and is_written:
            # Fast, without importing torch, Ray or MLflow.
            summary = replace(start.summary(), opened_record=False)
            confirmed = summary.confirmed and replace(summary.confirmed, opened_record=False)
            return replace(summary, confirmed=confirmed)
        notifier = held.enter_context(
            Notifier(targets, start.state(), part=plan.part, print_line=lambda line: print_sentence(console, line))
        )
        if options.backend == "inline":
            guard_exit()
        else:
            prepare_environment(address=options.ray_address)
            note_cluster_change(study, sweep=plan.name, address=options.ray_address, console=console)
        dry_runs = _dry_run(plan, isolated=options.backend != "inline", console=console)
        with stage(console, "opening the record"):
            recorded.refresh()
            tracker = held.enter_context(_tracker(plan, start.records, study=study, owner=owner, folder=folder))
        summary = start.carry_out(tracker, notifier, dry_runs=dry_runs)
        notifier.ends(summary.stopped_by, summary.details)
        return summary


def _tracker(
    plan: RunPlan, records: Sequence[TrialRecord], *, study: optuna.Study, owner: str, folder: SweepFolder
) -> Tracker:
    """Open the record of a plan."""
    git = git_state()
    return Tracker(
        RecordedStudy(sweep=plan.name, name=name_in_record(study), title=plan.title, command=plan.command, owner=owner),
        runs=folder.runs,
        environment=environment(git),
        description=describe_run(plan, records),
        files=_files(plan, git),
        dataset=_recorded_data(plan),
        objective=None if plan.is_ladder else Objective(plan.metric.name, maximize=plan.metric.goal == "maximize"),
    )


def _open(
    plan: RunPlan,
    folder: SweepFolder,
    *,
    sources: Mapping[str, Mapping[str, str]],
    reader: MlflowReader,
    options: RunOptions,
    console: Console,
) -> optuna.Study:
    """Return the study of a plan."""
    if plan.replicates:
        return open_replicates(folder)
    warm_start = None if plan.warm_start is None or _is_started(folder) else plan.warm_start(folder.runs)
    study = open_study(
        folder,
        definition=plan.definition,
        metric=plan.metric,
        pruner=plan.early_terminate.pruner(epochs=plan.epochs),
        new=options.new,
        widen=options.widen,
        # Listed runs are identified by their keys: a run with changed code is another run.
        sources={} if plan.is_ladder or plan.trained_with else sources,
        recorded=lambda: reader.trials(sweep=plan.name),
        echo=lambda line: print_sentence(console, line),
    )
    check_same_storage(study, folder)
    if plan.warm_start is not None and stored_warm_start(study) is None:
        if study.get_trials(deepcopy=False):
            print_sentence(console, f"warm_start has no effect: {plan.name} was started without it.")
        else:
            warm_start = warm_start or plan.warm_start(folder.runs)
            study.set_user_attr(WARM_START, warm_start.stored)
            print_sentence(console, warm_start.sentence())
    resources = plan.resources.model_dump(mode="json")
    if study.user_attrs.get(RESOURCES) != resources:
        study.set_user_attr(RESOURCES, resources)
    return study


def _is_started(folder: SweepFolder) -> bool:
    """Return whether a sweep has a study, so that the configurations to try first need not be chosen."""
    try:
        read_study(folder)
    except SweepError:
        return False
    return True


def _ledger(
    plan: RunPlan,
    study: optuna.Study,
    *,
    folder: SweepFolder,
    identify: Identifier,
    recorded: CompleteResults,
    options: RunOptions,
    gate: Gate | None,
    race: RacingReplicates | None,
    steering: Steering,
) -> Ledger:
    """Return the ledger of a plan's trials, including those of earlier starts."""
    results: RecordedResults = SearchResults(recorded)
    if plan.replicates:
        results = _results_of_replicates(plan, recorded, folder=folder)
    elif plan.tested:
        results = LadderResults(recorded, fetch_weights=_copying(plan, folder))
    proposer = plan.proposer(lambda config: identify(config).key) if race is None else race
    return Ledger(
        study,
        sweep=plan.name,
        metric=plan.metric.name,
        proposer=proposer,
        run_cap=plan.run_cap,
        identify=identify,
        recorded=results,
        retry_failed=options.retry_failed,
        target_value=plan.metric.target,
        stop_when=plan.stop_when,
        pausing=plan.pausing(study, folder.runs),
        conditions=plan.conditions,
        gate=proposer if isinstance(proposer, PairedSeeds) else gate,
        steering=steering,
    )


def _copying(plan: RunPlan, folder: SweepFolder) -> Callable[[str], bool]:
    """Return what copies the weights of a key to the checkpoints of a sweep."""
    return lambda key: fetch_weights(plan.task, key, runs=folder.runs, to=SweepCheckpoints(folder))


def _results_of_replicates(plan: RunPlan, recorded: RecordedResults, *, folder: SweepFolder) -> RecordedResults:
    """Return the recorded results that replace runs of replicates."""
    examples = 0 if plan.confirmation is None else plan.confirmation.examples
    return ReplicateResults(recorded, examples=examples, fetch_weights=_copying(plan, folder))


def _race(plan: RunPlan, study: optuna.Study, *, began: float, retries: bool) -> RacingReplicates:
    """Return the race of a finished search."""
    assert plan.race is not None
    assert plan.confirmation is not None
    race = plan.race
    return RacingReplicates(
        RaceTime(race.settings, study, examples=plan.confirmation.examples, began=began),
        plan.metric,
        chosen=lambda: race.chosen,
        search=lambda: race.search,
        used_seeds=lambda: race.used_seeds,
        retries=retries,
    )


def _replicates(
    plan: RunPlan,
    study: optuna.Study,
    search: Ledger,
    *,
    budget: TimeBudget,
    identify: Identifier,
    recorded: RecordedResults,
    open_tracker: Callable[[Sequence[TrialRecord]], Tracker],
    steering: Steering,
) -> ReplicateRuns:
    """Return the replicates that a search with a time budget trains."""
    assert plan.confirm is not None
    assert plan.confirmation is not None
    wanted, deadline, race = plan.confirm, budget.deadline, None

    def key_of(config: TaskConfig) -> str:
        return identify(config).key

    def used_seeds() -> list[int]:
        return [*(record.config.seed for record in search.records), *seeds_in_space(plan.definition)]

    proposer: LikelyReplicates | RacingReplicates
    if isinstance(wanted, Replicates):
        proposer = LikelyReplicates(deadline, wanted, key_of=key_of, used_seeds=used_seeds)
    else:
        proposer = race = RacingReplicates(
            RaceTime(wanted, study, examples=plan.confirmation.examples, began=None),
            plan.metric,
            chosen=lambda: deadline.best(wanted.top),
            search=lambda: search.records,
            used_seeds=used_seeds,
            deadline=deadline,
        )
    ledger = Ledger(
        study,
        sweep=plan.name,
        metric=plan.metric.name,
        proposer=proposer,
        run_cap=None,
        identify=identify,
        recorded=recorded,
        gate=proposer,
        steering=steering.of_limits(),
    )
    return ReplicateRuns(
        plan=plan_of_confirmation(plan), ledger=ledger, gate=proposer, race=race, open_tracker=open_tracker
    )


def _recorded_data(plan: RunPlan) -> RecordedData:
    config = next(iter(plan.data), None)  # all have the same data
    if config is None:
        return RecordedData(fingerprint="", parts=())
    parts = plan.task.dataset_inputs(config, whole=True)
    return RecordedData(fingerprint=plan.task.data_fingerprint(config), parts=parts)


def _owner_of(study: optuna.Study, folder: SweepFolder) -> str:
    """Return the id of the owner of the study's runs, for records that several runs folders share."""
    if OWNER not in study.user_attrs:
        study.set_user_attr(OWNER, owner_of_folder(folder.runs, folder.sweep))
    return str(study.user_attrs[OWNER])


def _dry_run(plan: RunPlan, *, isolated: bool, console: Console) -> DryRuns:
    """Dry-run a plan's first configurations, and print warnings about those that cannot train.

    Raises:
        SweepError: no configuration can train.
    """
    first = plan.first()
    is_slow = any(map(plan.task.needs_dry_run, first))
    with stage(console, "checking the networks with a few random images") if is_slow else contextlib.nullcontext():
        found = dry_run_all(first, isolated=isolated, covers_all=plan.first_is_complete)
    for remark in found.remarks():
        print_sentence(console, f"warning: {remark}")
    return found


def _end_without_lease(console: Console, sweep: str) -> NoReturn:
    """End this process after another driver has taken over the sweep."""
    print_sentence(
        console,
        f"error: another driver has taken over {sweep}, because this one had stopped renewing its lease. The other "
        "driver continues the sweep. No results were lost.",
    )
    os._exit(ExitCode.REFUSED)


def _files(plan: RunPlan, git: GitState) -> dict[str, str]:
    """Return the artifacts of the sweep's parent run: the YAML file and the uncommitted changes."""
    files = {f"{plan.name}.yaml": plan.file, f"git-{git.diff_id}.diff": git.diff}
    return {name: text for name, text in files.items() if text}


def _own_sources(plan: RunPlan, sources: TaskSources) -> dict[str, Mapping[str, str]]:
    """Return the hashes of the custom files of a plan, including the code of its networks.

    Raises:
        SweepError: a network's module cannot be found or parsed.
    """
    found: dict[str, Mapping[str, str]] = {}
    try:
        for name in plan.models:
            if is_user_code(name) or library_of(name):
                found[name] = sources.of_code(name).files
    except ModelError as error:
        raise SweepError(f"{plan.task.code_kind.key}: {error}") from None
    for name in plan.files:
        if digest := file_digest(name):
            found[name] = {name: digest}
    return found
