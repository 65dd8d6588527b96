"""What a notebook or a script calls: a sweep or a ladder from a file, run it, look at the leaderboard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Unpack

from sweeps.core.commands import DEFAULT_RUNS
from sweeps.core.errors import SweepError
from sweeps.core.task import TaskConfig
from sweeps.files.budget import FULL_BUDGET, Budget
from sweeps.files.ladder import Ladder
from sweeps.files.ladder_file import load_ladder as read_ladder
from sweeps.files.settings import Limits, Replicates
from sweeps.files.sweep import SweepSpec
from sweeps.files.sweep import load_spec as read_spec

if TYPE_CHECKING:
    import pandas as pd

    from sweeps.analysis.effects import Effects
    from sweeps.driver.options import RunKeywords, RunOptions, RunSummary
    from sweeps.driver.plan import RunPlan


def load_spec(path: str | Path, *, overrides: Sequence[str] = ()) -> SweepSpec:
    """Return the sweep that a YAML file describes.

    Args:
        path: the file.
        overrides: `path=value` for any key of the file, value in YAML: `run_cap=48`.

    Raises:
        SpecError: with every error found, each naming key, value and what is allowed.
    """
    return read_spec(Path(path), overrides=overrides)


def load_ladder(path: str | Path, *, overrides: Sequence[str] = ()) -> Ladder:
    """Return the ladder that a YAML file describes. Arguments and errors are those of `load_spec`."""
    return read_ladder(Path(path), overrides=overrides)


def run(
    what: SweepSpec | Ladder,
    *,
    runs: str | Path = DEFAULT_RUNS,
    new: bool = False,
    budget: Budget = FULL_BUDGET,
    rungs: Sequence[str] = (),
    cost: Callable[[TaskConfig], float] | None = None,
    **how: Unpack[RunKeywords],
) -> RunSummary:
    """Train what is missing of a sweep or a ladder, and return how it stands.

    Running it again resumes it where it stopped; what is recorded is not trained again.

    Args:
        what: from `load_spec` or `load_ladder`.
        runs: folder for all that runs leave behind.
        new: begin anew although the sweep of this name had another space.
        budget: of a ladder: how much of its full budget is spent, and how many seeds.
        rungs: of a ladder: only these; all where empty.
        cost: of a ladder: seconds that a configuration takes; where given, the longest are begun first.
        how: fields of `sweeps.driver.options.RunOptions`: `backend`, `address`, `storage`, `study_storage`,
            `retry_failed`, `tensorboard`, `notify`.

    Raises:
        SweepError: nothing was started; the message says what to do.
        DataUnavailableError: CIFAR-10 cannot be had.
        RecordError: the record cannot be opened.
        Interrupted: a signal ended it, such as Jupyter's Stop. It is a `KeyboardInterrupt`, so that `Run all` stops.
    """
    from sweeps.driver.options import Interrupted, RunOptions
    from sweeps.driver.plan import plan_of_ladder, plan_of_sweep
    from sweeps.record.answering import is_given_up
    from sweeps.search.replicates import can_be_confirmed

    if isinstance(what, Ladder):
        plan = plan_of_ladder(what, budget=budget, only=rungs, cost=cost)
    elif budget != FULL_BUDGET or rungs or cost is not None:
        raise SweepError(f"{what.name} is a sweep: budget, rungs and cost are a ladder's; use run_cap and base.epochs")
    else:
        plan = plan_of_sweep(what)
    options = RunOptions(runs=Path(runs), new=new, **how)
    summary = _carry_out(plan, options)
    if not isinstance(what, SweepSpec) or what.replicates is None or summary.stopped_by is not None:
        return summary
    if is_given_up(options.runs):
        return summary  # the same command confirms once the record answers
    if not any(map(can_be_confirmed, summary.records)):
        return summary
    limits = what.limits.minus(summary.seconds)
    try:
        confirmed = replicate(
            what.name,
            top=what.replicates.top,
            seeds=what.replicates.seeds,
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


def _carry_out(plan: RunPlan, options: RunOptions) -> RunSummary:
    """Run a plan over a record that is there: one that was lost or damaged is written anew first.

    One that a signal ends raises: a cell that ended well would let `Run all` continue.
    """
    from sweeps.driver.options import Interrupted
    from sweeps.driver.runner import run as carry_out
    from sweeps.upkeep.record import rebuild_record

    rebuild_record(options.runs)
    summary = carry_out(plan, options)
    if summary.stopped_by == "signal":
        raise Interrupted(summary)
    return summary


def replicate(
    sweep: str,
    *,
    top: int = 3,
    seeds: int = 3,
    runs: str | Path = DEFAULT_RUNS,
    limits: Limits | None = None,
    **how: Unpack[RunKeywords],
) -> RunSummary:
    """Train the best configurations of a search again at full length, under new seeds, the same ones for each.

    The sampler never hears of them. The leaderboard then ranks these configurations by the mean of the new seeds alone:
    the seed that the search looked at is the one that made them look good. The winner becomes a logged model in MLflow.

    Args:
        sweep: name of a search.
        top: configurations, the best first.
        seeds: new seeds of each. More than before add to those that are there.
        runs: the runs folder.
        limits: when to stop; none where None.
        how: as for `run`.

    Raises:
        SweepError: nothing was started; the message says what to do.
        DataUnavailableError: CIFAR-10 cannot be had.
        RecordError: the record cannot be opened.
        Interrupted: as for `run`.
    """
    from sweeps.driver.options import RunOptions
    from sweeps.driver.plan import plan_of_replicates
    from sweeps.record.answering import is_given_up
    from sweeps.store.folder import SweepFolder
    from sweeps.use.winner import log_winner

    wanted = Replicates(top=top, seeds=seeds)
    plan = plan_of_replicates(SweepFolder(Path(runs).resolve(), sweep), wanted, limits=limits)
    options = RunOptions(runs=Path(runs), **how)
    summary = _carry_out(plan, options)
    if summary.stopped_by or is_given_up(options.runs):
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

    The new run says which one it came from. What was trained so already is not trained again.

    Args:
        run: `quick-003` or `quick/3` for a configuration, `quick-003-s1` or the beginning of a run id for a run.
        epochs: of the new run; a schedule that is counted in epochs stretches with them. None keeps the run's.
        train_size: training images, or `all` that validation leaves; None keeps the run's.
        runs: the runs folder.
        how: as for `run`.

    Raises:
        SweepError: nothing was started; the message says what to do.
        DataUnavailableError: CIFAR-10 cannot be had.
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
        sweep=named.defining_row["sweep"],
        source=named.defining_row["source"],
        epochs=epochs,
        train_size=train_size,
    )
    options = RunOptions(runs=Path(runs), **how)
    return _carry_out(plan, options)


def leaderboard(
    sweep: str | None = None,
    *,
    runs: str | Path = DEFAULT_RUNS,
    where: str | None = None,
    sort: str | None = None,
    limit: int | None = None,
    each_run: bool = False,
) -> pd.DataFrame:
    """Return one row a configuration of one sweep, or of all, ranked by the mean of its seeds; or one row a run.

    Accuracies are shares from 0 to 1.

    Args:
        sweep: its name; None for all.
        runs: the runs folder.
        where: a condition in SQL over any column, such as `model.width > 8 and val_accuracy between 0.6 and 0.7`.
        sort: a column, `-column` for descending; None keeps the order of the ranks.
        limit: at most so many rows.
        each_run: one row a run, with the rank of its configuration.

    Raises:
        LeaderboardError: on a filter, a column or a limit that cannot be used.
        RecordError: where the record cannot be read.
    """
    from sweeps.record.reader import MlflowReader
    from sweeps.views.leaderboard import query_leaderboard

    reader = MlflowReader(Path(runs))
    return query_leaderboard(reader, sweep=sweep, where=where, sort=sort, limit=limit, each_run=each_run).frame()


def effects(sweep: str, *, runs: str | Path = DEFAULT_RUNS) -> Effects:
    """Return what helped in a search: how much each parameter matters, and what each of its values adds.

    All trials count, those that were stopped early too; see docs/explanation/effects.md for how.

    Args:
        sweep: its name.
        runs: the runs folder.

    Raises:
        NoSuchSweepError: there is none of this name.
        DamagedJournalError: its journal holds nothing that can be read.
        SweepError: it searched nothing: a ladder, for instance.
    """
    from sweeps.analysis.effects import read_effects

    return read_effects(Path(runs), sweep)


def query(sql: str, *, sweep: str | None = None, runs: str | Path = DEFAULT_RUNS) -> pd.DataFrame:
    """Return the answer to one SELECT: `query("select model.name, max(val_accuracy) from runs group by all")`.

    The tables are `runs` (a row a run), `configurations` and `confirmed` (a row a configuration), with the columns of
    the leaderboard, and `epochs` (a row an epoch of each run); docs/how-to/leaderboard.md has them.

    Args:
        sql: the SELECT, as DuckDB understands it.
        sweep: only this sweep's runs; None for all.
        runs: the runs folder.

    Raises:
        LeaderboardError: it is no SELECT, or cannot be answered; says why in one line.
        RecordError: where the record cannot be read.
    """
    from sweeps.record.reader import MlflowReader
    from sweeps.views.queries import query as answer

    return answer(MlflowReader(Path(runs)), sql, sweep=sweep).frame()
