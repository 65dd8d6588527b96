"""Functions for notebooks and scripts: load and run sweeps and ladders, read the leaderboard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Unpack

from pydantic import ValidationError

from cifar_core.common.validation import explain
from sweeps.core.commands import DEFAULT_RUNS
from sweeps.core.errors import SweepError
from sweeps.core.task import TaskConfig
from sweeps.files.budget import FULL_BUDGET, Budget
from sweeps.files.ladder import Ladder
from sweeps.files.ladder_file import load_ladder as read_ladder
from sweeps.files.settings import Confirm, Limits, Replicates
from sweeps.files.sweep import SweepSpec
from sweeps.files.sweep import load_spec as read_spec

if TYPE_CHECKING:
    import pandas as pd

    from sweeps.analysis.effects import Effects
    from sweeps.driver.options import RunKeywords, RunOptions, RunSummary
    from sweeps.driver.plan import RunPlan


def load_spec(path: str | Path, *, overrides: Sequence[str] = ()) -> SweepSpec:
    """Return the sweep of a YAML file.

    Args:
        path: the file.
        overrides: `path=value` for any key of the file, the value in YAML: `run_cap=48`.

    Raises:
        SpecError: with every error, each with key, value and allowed values.
    """
    return read_spec(Path(path), overrides=overrides)


def load_ladder(path: str | Path, *, overrides: Sequence[str] = ()) -> Ladder:
    """Return the ladder of a YAML file. Arguments and errors are those of `load_spec`."""
    return read_ladder(Path(path), overrides=overrides)


def run(
    what: SweepSpec | Ladder,
    *,
    runs: str | Path = DEFAULT_RUNS,
    new: bool = False,
    widen: bool = False,
    budget: Budget = FULL_BUDGET,
    rungs: Sequence[str] = (),
    cost: Callable[[TaskConfig], float] | None = None,
    **how: Unpack[RunKeywords],
) -> RunSummary:
    """Train the missing trials of a sweep or a ladder, and return a summary.

    A second call resumes it. Recorded results are not trained again.

    Args:
        what: from `load_spec` or `load_ladder`.
        runs: the runs folder.
        new: start a new study if the sweep of this name had another space.
        widen: continue the sweep of this name with its trials if its space has become wider.
        budget: for a ladder: the part of its full budget to spend, and the number of seeds.
        rungs: for a ladder: names of the rungs to run; empty for all.
        cost: for a ladder: returns the seconds of a configuration. If given, the longest are started first.
        how: fields of `sweeps.driver.options.RunOptions`: `backend`, `address`, `storage`, `study_storage`,
            `retry_failed`, `tensorboard`, `notify`.

    Raises:
        SweepError: nothing was started. The message says what to do.
        DataUnavailableError: CIFAR-10 cannot be fetched.
        RecordError: the record cannot be opened.
        Interrupted: a signal ended it, such as Jupyter's Stop. It is a `KeyboardInterrupt`, so that `Run all` stops.
    """
    from sweeps.driver.options import Interrupted, RunOptions
    from sweeps.driver.plan import plan_of_ladder, plan_of_sweep
    from sweeps.record.availability import is_unresponsive
    from sweeps.search.replicates import can_be_confirmed

    if isinstance(what, Ladder):
        plan = plan_of_ladder(what, budget=budget, only=rungs, cost=cost)
    elif budget != FULL_BUDGET or rungs or cost is not None:
        raise SweepError(
            f"{what.name} is a sweep, and budget, rungs and cost are for ladders. Set run_cap and base.epochs instead."
        )
    else:
        plan = plan_of_sweep(what)
    options = RunOptions(runs=Path(runs), new=new, widen=widen, **how)
    summary = carry_out(plan, options)
    if plan.budget is not None:
        return _with_model(summary, what.name, options)
    if not isinstance(what, SweepSpec) or summary.stopped_by is not None:
        return summary
    if (wanted := what.confirm or what.replicates) is None:
        return summary
    if is_unresponsive(options.runs):
        return summary  # a second call starts the replicates once the record is reachable
    if not any(map(can_be_confirmed, summary.records)):
        return summary
    limits = what.limits.minus(summary.seconds)
    try:
        confirmed = _replicate(
            what.name,
            wanted,
            runs=runs,
            limits=limits,
            **how
            | {
                "tensorboard": options.tensorboard or what.tensorboard,
                "notify": [*what.notify, *options.notify],
            },
        )
    except Interrupted as stop:
        raise Interrupted(replace(summary, confirmed=stop.summary)) from None
    return replace(summary, confirmed=confirmed)


def _with_model(summary: RunSummary, sweep: str, options: RunOptions) -> RunSummary:
    """Store the winner of a search whose time budget included its replicates as a model, if it was confirmed."""
    from sweeps.record.availability import is_unresponsive
    from sweeps.use.winner import log_winner

    confirmed = summary.confirmed
    if confirmed is None or not confirmed.opened_record or is_unresponsive(options.runs):
        return summary
    return replace(summary, confirmed=replace(confirmed, model=log_winner(sweep, runs=options.runs)))


def carry_out(plan: RunPlan, options: RunOptions) -> RunSummary:
    """Rebuild a lost or damaged record, then run a plan. Raise `Interrupted` if a signal ends it."""
    from sweeps.driver.options import Interrupted
    from sweeps.driver.runner import run as run_plan
    from sweeps.upkeep.record import rebuild_record

    rebuild_record(options.runs)
    summary = run_plan(plan, options)
    if summary.stopped_by == "signal":
        raise Interrupted(summary)
    return summary


def replicate(
    sweep: str,
    *,
    top: int = 3,
    seeds: int = 3,
    until: float | None = None,
    at_most: float = 900.0,
    images: int | None = None,
    runs: str | Path = DEFAULT_RUNS,
    limits: Limits | None = None,
    on_start: Callable[[str], None] | None = None,
    **how: Unpack[RunKeywords],
) -> RunSummary:
    """Train the best configurations of a search again at full length with new seeds.

    All get the same number of seeds; or, with `until`, each next seed goes to the configuration where it helps most,
    until one of them is the best with this probability.

    The sampler does not receive the results. The leaderboard then ranks these configurations by the mean of the new
    seeds only, because the seed of the search was selected for. The winner becomes a logged model in MLflow.

    Args:
        sweep: name of a search.
        top: number of configurations, best first.
        seeds: number of new seeds of each, without `until`. A larger number than before adds runs.
        until: probability with which the declared configuration is the best; None for a fixed number of seeds.
        at_most: with `until`, the seconds of the race over all its starts.
        images: validation images that the search did not use, on which the runs are compared; None for as many as are
            left, at most 10,000; 0 for those of the search.
        runs: the runs folder.
        limits: limits of the run; None for no limits.
        on_start: called before anything is trained with a sentence on what the seeds can distinguish, if it is known.
        how: as for `run`.

    Raises:
        SweepError: nothing was started. The message says what to do.
        DataUnavailableError: CIFAR-10 cannot be fetched.
        RecordError: the record cannot be opened.
        Interrupted: as for `run`.
    """
    wanted: Replicates | Confirm = Replicates(top=top, seeds=seeds, images=images)
    if until is not None:
        try:
            wanted = Confirm(top=top, until=until, at_most=at_most, images=images)
        except ValidationError as error:
            raise SweepError(f"{'; '.join(explain(error))}.") from None
    return _replicate(sweep, wanted, runs=runs, limits=limits, on_start=on_start, **how)


def _replicate(
    sweep: str,
    wanted: Replicates | Confirm,
    *,
    runs: str | Path,
    limits: Limits | None,
    on_start: Callable[[str], None] | None = None,
    **how: Unpack[RunKeywords],
) -> RunSummary:
    """Train the replicates of a search; see `replicate`."""
    from sweeps._api.planning import spread_in
    from sweeps.core.identity import Protocol
    from sweeps.core.measure import Measure
    from sweeps.driver.options import RunOptions
    from sweeps.driver.plan import plan_of_replicates
    from sweeps.record.availability import is_unresponsive
    from sweeps.store.folder import SweepFolder
    from sweeps.use.winner import log_winner

    plan = plan_of_replicates(SweepFolder(Path(runs).resolve(), sweep), wanted, limits=limits)
    if on_start is not None and isinstance(wanted, Replicates):
        spread = spread_in(
            Path(runs),
            measure=Measure(name=plan.metric.name, maximize=plan.metric.goal == "maximize"),
            protocol=Protocol.of(plan.data[0]),
            sweeps=frozenset({sweep}),
        )
        if spread is not None:
            on_start(spread.sentence(wanted.seeds))
    options = RunOptions(runs=Path(runs), **how)
    summary = carry_out(plan, options)
    if summary.stopped_by or is_unresponsive(options.runs):
        return summary
    return replace(summary, model=log_winner(sweep, runs=Path(runs)))


def retrain(
    run: str,
    *,
    epochs: int | None = None,
    train_size: int | Literal["all"] | None = None,
    runs: str | Path = DEFAULT_RUNS,
    **how: Unpack[RunKeywords],
) -> RunSummary:
    """Train a recorded run's configuration again with more epochs or images, as a run of the sweep `retrained`.

    A run of a training function or a program becomes one of `retrained-SWEEP`.

    The record of the new run names the original run. Recorded results are not trained again.

    Args:
        run: `quick-003` or `quick/3` for a configuration, `quick-003-s1` or the beginning of a run id for a run.
        epochs: of the new run; schedule fields counted in epochs are scaled. None keeps those of the run.
        train_size: training images, or `all` that validation leaves; None keeps those of the run.
        runs: the runs folder.
        how: as for `run`.

    Raises:
        SweepError: nothing was started. The message says what to do.
        DataUnavailableError: CIFAR-10 cannot be fetched.
        RecordError: the record cannot be opened.
        Interrupted: as for `run`.
    """
    from sweeps.driver.options import RunOptions
    from sweeps.driver.plan import plan_of_retraining
    from sweeps.record.reader import MlflowReader
    from sweeps.views.names import find_named

    reader = MlflowReader(Path(runs))
    named = find_named(reader, run)
    plan = plan_of_retraining(
        reader.configuration(named.defining_row["run_id"]),
        run=named.name,
        row=named.defining_row,
        epochs=epochs,
        train_size=train_size,
    )
    options = RunOptions(runs=Path(runs), **how)
    return carry_out(plan, options)


def leaderboard(
    sweep: str | None = None,
    *,
    runs: str | Path = DEFAULT_RUNS,
    where: str | None = None,
    sort: str | None = None,
    limit: int | None = None,
    each_run: bool = False,
) -> pd.DataFrame:
    """Return the configurations of one sweep or of all, ranked by the mean over their seeds.

    Args:
        sweep: its name; None for all.
        runs: the runs folder.
        where: SQL condition over any column, such as `model.width > 8 and val_accuracy between 0.6 and 0.7`.
        sort: a column, `-column` for descending; None for the order of the ranks.
        limit: largest number of rows.
        each_run: return one row per run, with the rank of its configuration.

    Returns:
        One row per configuration, or per run. Accuracies are shares from 0 to 1.

    Raises:
        LeaderboardError: a filter, a column or a limit is invalid.
        NoSuchSweepError: the sweep is not recorded.
        RecordError: the record cannot be read.
    """
    from sweeps.record.reader import MlflowReader
    from sweeps.views.leaderboard import query_leaderboard

    reader = MlflowReader(Path(runs))
    return query_leaderboard(reader, sweep=sweep, where=where, sort=sort, limit=limit, each_run=each_run).frame()


def effects(sweep: str, *, runs: str | Path = DEFAULT_RUNS) -> Effects:
    """Return the importance of each parameter of a search, and the effect of each of its values.

    All trials are used, including those that were stopped early. The method: docs/explanation/effects.md.

    Args:
        sweep: its name.
        runs: the runs folder.

    Raises:
        NoSuchSweepError: there is no sweep of this name.
        DamagedJournalError: its journal cannot be read.
        SweepError: it has no searched parameters, such as a ladder.
    """
    from sweeps.analysis.effects import read_effects

    return read_effects(Path(runs), sweep)


def query(sql: str, *, sweep: str | None = None, runs: str | Path = DEFAULT_RUNS) -> pd.DataFrame:
    """Return the result of a SELECT: `query("select model.name, max(val_accuracy) from runs group by all")`.

    The tables are `runs` (one row per run), `configurations` and `confirmed` (one row per configuration), with the
    columns of the leaderboard, and `epochs` (one row per epoch of each run): see docs/how-to/leaderboard.md.

    Args:
        sql: a SELECT in DuckDB's SQL.
        sweep: only runs of this sweep; None for all.
        runs: the runs folder.

    Raises:
        LeaderboardError: it is not a SELECT, or fails. The message is one line.
        RecordError: the record cannot be read.
    """
    from sweeps.record.reader import MlflowReader
    from sweeps.views.queries import query as answer

    return answer(MlflowReader(Path(runs)), sql, sweep=sweep).frame()
