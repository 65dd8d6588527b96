"""The other verbs as functions. Each returns an object that prints as its verb does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from cifar_core.common.user_modules import NETWORK
from sweeps._api import functions as api
from sweeps.core.commands import DEFAULT_RUNS
from sweeps.files.budget import FULL_BUDGET, Budget
from sweeps.files.difference import changes_between
from sweeps.files.ladder import Ladder
from sweeps.files.ladder_part import read_part
from sweeps.views.printed import Printed

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from sweeps.analysis.comparison import RungComparison
    from sweeps.analysis.rungs import Recipe, RungRuns
    from sweeps.core.task import TaskConfig
    from sweeps.core.trial import TrialRecord
    from sweeps.driver.finalize import Finalized
    from sweeps.driver.options import RunKeywords, RunSummary
    from sweeps.search.state import SweepState
    from sweeps.views.names import NamedRuns
    from sweeps.views.paper import PaperTable

FileRecipes = Mapping[tuple[str, str | None], "Recipe"]
"""Rung and reduced budget (`RungRuns.reduced`), to the recipe in the ladder's file."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Status(Printed):
    """The state of a sweep or a ladder."""

    state: SweepState
    """Counts, best trial, driver, remaining time, and the record of each trial."""

    @property
    def trials(self) -> pd.DataFrame:
        """One row per trial, replicates last. Accuracies are shares. `value` is the metric after the last epoch."""
        import pandas as pd

        return pd.DataFrame(
            {
                "name": record.name,
                "status": record.outcome.value,
                "seed": record.config.seed,
                "epochs": len(record.epochs),
                "of_epochs": record.config.epochs or None,
                "value": self.state.value(record),
                "test_accuracy": None if record.test is None else record.test.accuracy,
                "train_seconds": record.train_seconds,
                "error": record.error,
            }
            for record in self.state.records_and_replicates
        )

    def print_to(self, console: Console) -> None:
        """Print a line per trial and the totals."""
        from sweeps.views.status import print_status

        print_status(self.state, console)


def status(sweep: str, *, runs: str | Path = DEFAULT_RUNS) -> Status:
    """Return the state of a sweep or a ladder, during and after its run.

    Args:
        sweep: its name.
        runs: the runs folder.

    Raises:
        NoSuchSweepError: there is no sweep of this name.
        DamagedJournalError: its journal cannot be read.

    Example:
        >>> sweeps.status("quick").trials[["name", "status", "value"]]
    """
    from sweeps.search.state import read_state

    return Status(state=read_state(Path(runs), sweep))


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LadderResult(Printed):
    """The gain of each rung of a ladder."""

    name: str
    comparisons: tuple[RungComparison, ...]
    """One per rung and budget, in the ladder's order."""
    rungs: tuple[RungRuns, ...]
    """The runs of each comparison."""
    file_recipes: FileRecipes
    """Recipes of the rungs in the ladder's file; empty if no file was read."""
    accesses: tuple[str, ...] = ()
    """Test-set accesses of its final evaluation, a sentence each with user and time."""
    summary: RunSummary | None = None
    """Summary of the run; None if nothing was run."""

    @property
    def steps(self) -> pd.DataFrame:
        """One row per rung. `value` is that of `metric`: accuracies are shares, and their differences are in points."""
        import pandas as pd

        return pd.DataFrame(asdict(each) for each in self.comparisons)

    def paper(self, *, runs: str | Path = DEFAULT_RUNS) -> PaperTable:
        """Return the table for a paper, whose `latex()` and `markdown()` are texts."""
        from sweeps.record.reader import MlflowReader
        from sweeps.views.paper_tables import ladder_table, versions_of
        from sweeps.views.queries import recorded_runs

        reader = MlflowReader(Path(runs))
        recorded = recorded_runs(reader, sweep=self.name).rows if self.rungs else []
        versions = versions_of(reader, recorded[-1]) if recorded else None
        return ladder_table(self.name, self.comparisons, self.rungs, versions=versions)

    def print_to(self, console: Console) -> None:
        """Print a line per rung, and runs that are recorded under other names."""
        from sweeps.analysis.rungs import recorded_under_other_names
        from sweeps.core.formatting import print_sentence
        from sweeps.views.ladder_table import print_ladder

        print_ladder(self.comparisons, console)
        known = {rung for rung, _ in self.file_recipes}
        if gone := list(
            dict.fromkeys(rung.name for rung in self.rungs if self.file_recipes and rung.name not in known)
        ):
            print_sentence(console, f"recorded, but not in the file any more: {', '.join(gone)}")
        for rung, others in recorded_under_other_names(self.rungs, self.file_recipes).items():
            print_sentence(
                console,
                f"{rung} has the same configuration as {' and '.join(others)}. Its runs are recorded and shown there.",
            )
        for line in self.accesses:
            print_sentence(console, line)


def ladder(
    path: str | Path,
    *,
    overrides: Sequence[str] = (),
    rungs: Sequence[str] = (),
    seeds: int | None = None,
    epochs_scale: float = 1.0,
    train_size: int | None = None,
    final: bool = False,
    runs: str | Path = DEFAULT_RUNS,
    **how: Unpack[RunKeywords],
) -> LadderResult:
    """Run the rungs of a ladder, measure each, and return their gains. Recorded results are not trained again.

    Args:
        path: the ladder's file.
        overrides: `path=value` for any key of the file.
        rungs: names of the rungs to run; empty for all.
        seeds: runs of each rung; None for the number in the file, or 1.
        epochs_scale: share of each rung's epochs, at most 1.
        train_size: largest number of training images.
        final: for a file with `evaluate: validation`: the final evaluation of the rungs on the test images.
        runs: the runs folder.
        how: as for `run`.

    Raises:
        SweepError: nothing was started. The message says what to do.
        DataUnavailableError: CIFAR-10 cannot be fetched.
        RecordError: the record cannot be opened.
        Interrupted: as for `run`.

    Example:
        >>> sweeps.ladder("experiments/ladder-laptop.yaml").steps[["rung", "value", "difference"]]
    """
    from sweeps.core.task import Probe
    from sweeps.tasks.registry import task_of

    part = read_part(
        Path(path),
        overrides,
        only=",".join(rungs) or None,
        seeds=seeds,
        final=final,
        epochs_scale=epochs_scale,
        train_size=train_size,
    )
    cost: Probe | None = task_of(part.ladder.rungs[0].config).probe(threads=part.ladder.resources.cpus_per_trial)
    summary = api.run(
        part.ladder,
        runs=runs,
        budget=part.budget,
        rungs=part.chosen,
        cost=None if cost is None else cost.seconds,
        **how,
    )
    found = read_ladder(
        part.ladder.name,
        runs=Path(runs),
        file_recipes=recipes_of(part.ladder, part.budget),
        is_final=part.ladder.is_final,
    )
    return replace(found, summary=summary)


def read_ladder(
    name: str, *, runs: Path = DEFAULT_RUNS, file_recipes: FileRecipes | None = None, is_final: bool = False
) -> LadderResult:
    """Return the gains of a recorded ladder.

    Args:
        name: of the ladder.
        runs: the runs folder.
        file_recipes: recipes of the rungs in its file; see `recipes_of`.
        is_final: whether it is a final evaluation, whose test-set accesses are listed.

    Raises:
        RecordError: the record cannot be read.
    """
    from sweeps.analysis.comparison import compare_rungs
    from sweeps.analysis.rungs import read_rungs
    from sweeps.record.reader import MlflowReader
    from sweeps.store.access_log import describe_accesses

    rungs = tuple(read_rungs(MlflowReader(runs), sweep=name, file_recipes=file_recipes))
    accesses = tuple(describe_accesses(runs, name)) if is_final else ()
    return LadderResult(
        name=name,
        comparisons=tuple(compare_rungs(rungs)),
        rungs=rungs,
        file_recipes=file_recipes or {},
        accesses=accesses,
    )


def recipes_of(ladder: Ladder, budget: Budget) -> dict[tuple[str, str | None], Recipe]:
    """Return the recipes of the rungs in a ladder's file, for the full budget and for `budget`."""
    from sweeps.tasks.registry import task_of
    from sweeps.tasks.sources import TaskSources

    file_recipes: dict[tuple[str, str | None], Recipe] = {}
    for rung in ladder.rungs:
        for each in (FULL_BUDGET, budget):
            config = each.apply(rung.config)
            file_recipes[rung.name, each.reduced(rung.config)] = (
                config.config_id(),
                TaskSources(task_of(config)).hash_of(config),
            )
    return file_recipes


def report(sweep: str, *, out: str | Path | None = None, runs: str | Path = DEFAULT_RUNS) -> Path:
    """Write a sweep or a ladder as one HTML page that works offline, and return its path.

    Args:
        sweep: its name.
        out: path of the page; None for `reports/SWEEP.html` in the runs folder.
        runs: the runs folder.

    Raises:
        NoSuchSweepError: there is no sweep of this name.
        DamagedJournalError: its journal cannot be read.
        SweepError: the file cannot be written.

    Example:
        >>> sweeps.report("quick")
        PosixPath('runs/reports/quick.html')
    """
    from sweeps.record.reader import MlflowReader
    from sweeps.views.html.write import write_report

    return write_report(MlflowReader(Path(runs)), sweep=sweep, runs=Path(runs), out=None if out is None else Path(out))


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TestSetResult(Printed):
    """Test results of the confirmed best configurations of a search."""

    __test__ = False  # no class of tests

    found: tuple[Finalized, ...]
    """One per configuration, best first, with its runs."""
    measured: int
    """Number of runs that this call measured. The results of the others were recorded before."""
    accesses: tuple[str, ...]
    """Test-set accesses of this sweep, a sentence each with user and time."""

    @property
    def configurations(self) -> pd.DataFrame:
        """One row per configuration: means over its runs, with the 95 % interval of the first number, `test_accuracy`.

        Accuracies are shares. Without a metric on validation data, its column has 0. A custom training has a column for
        the metric of its search and for each number that its `test` returned.
        """
        import pandas as pd

        from sweeps.analysis.statistics import mean_and_interval
        from sweeps.core.formatting import is_accuracy

        rows = []
        for each in self.found:
            tests = [record.test.recorded for record in each.records if record.test is not None]
            metric = self._metric
            validated = [record.epochs[-1].value(metric) or 0.0 for record in each.records]
            first, *others = [name for name in tests[0] if name != "test_loss" or len(tests[0]) == 1]
            mean, low, high = mean_and_interval([test[first] for test in tests], is_share=is_accuracy(first))
            rows.append(
                {
                    "trial": each.records[0].trial,
                    metric: sum(validated) / len(validated),
                    first: mean,
                    "ci_low": low,
                    "ci_high": high,
                    **{name: sum(test[name] for test in tests) / len(tests) for name in others},
                    "runs": len(tests),
                }
            )
        return pd.DataFrame(rows)

    @property
    def _metric(self) -> str:
        """The metric in the column before the test results."""
        record = self.found[0].records[0]
        return record.metric if record.test is not None and record.test.numbers else "val_accuracy"

    def to_json(self) -> str:
        """Return the test results as JSON; `sweeps schema json finalize` prints its schema."""
        from sweeps.views.exports import plain_value
        from sweeps.views.json_output import FinalizedConfiguration, FinalizeOutput

        rows = self.configurations.to_dict(orient="records")
        found = [
            FinalizedConfiguration(
                trial=int(row["trial"]),
                runs=int(row["runs"]),
                values={
                    str(name): None if value is None else plain_value(float(value))
                    for name, value in row.items()
                    if name not in ("trial", "runs")
                },
            )
            for row in rows
        ]
        return FinalizeOutput(configurations=found, measured=self.measured, accesses=list(self.accesses)).json_text()

    def print_to(self, console: Console) -> None:
        """Print a line per configuration, the confusion matrix of the first, and the test-set accesses."""
        from rich.table import Table

        from sweeps.core.formatting import metric_cell, metric_heading, plural, print_sentence
        from sweeps.tasks.registry import describe, task_of
        from sweeps.views.show import print_confusion

        rows = self.configurations
        names = [name for name in rows.columns if name not in ("trial", "ci_low", "ci_high", "runs")]
        table = Table(box=None, header_style="bold", pad_edge=False)
        short = {"val_accuracy": "val acc %", "test_accuracy": "test acc %"}
        for heading in ("configuration of", *(short.get(name) or metric_heading(name) for name in names), "runs"):
            table.add_column(heading, justify="left" if heading == "configuration of" else "right", no_wrap=True)
        table.add_column("configuration", overflow="fold")
        for each, row in zip(self.found, rows.to_dict(orient="records"), strict=True):
            cells = {name: metric_cell(name, row[name]) for name in names}
            low, high = row["ci_low"], row["ci_high"]
            if low is not None and low == low:  # not NaN
                cells[names[1]] += f" ({metric_cell(names[1], low)}–{metric_cell(names[1], high)})"
            about = describe(each.records[0].config)
            table.add_row(f"trial {row['trial']}", *cells.values(), str(row["runs"]), about)
        console.print(table)
        confusion = _summed([record for record in self.found[0].records if record.test is not None])
        if confusion is not None:
            config = self.found[0].records[0].config
            print_confusion(confusion, console, class_names=task_of(config).class_names(config))
        on = "images" if task_of(self.found[0].records[0].config).code_kind is NETWORK else "part"
        count = f"{plural(self.measured, 'run')} evaluated on the test {on}"
        print_sentence(console, count if self.measured else "nothing to evaluate: all results are already recorded")
        for line in self.accesses:
            print_sentence(console, line)


def finalize(
    sweep: str,
    *,
    top: int = 1,
    runs: str | Path = DEFAULT_RUNS,
    on_measure: Callable[[TrialRecord], None] = lambda record: None,
) -> TestSetResult:
    """Measure the confirmed best configurations of a search on the test set, and return the results.

    Each run is measured once. A second call returns the recorded results. Each access to the test set is logged in
    `test_looks.jsonl`.

    Args:
        sweep: name of a search whose best configurations `replicate` has confirmed.
        top: number of configurations, best first.
        runs: the runs folder.
        on_measure: called with each run before it is measured.

    Raises:
        NoSuchSweepError: there is no such sweep.
        SweepError: no configuration is confirmed, or weights are missing.
        RecordError: the record cannot be read or written.

    Example:
        >>> sweeps.finalize("quick").configurations["test_accuracy"]
    """
    from sweeps.driver.finalize import finalize as open_test_set
    from sweeps.store.access_log import describe_accesses

    found, measured = open_test_set(Path(runs), sweep, top=top, on_measure=on_measure)
    return TestSetResult(found=tuple(found), measured=measured, accesses=tuple(describe_accesses(Path(runs), sweep)))


def _summed(records: Sequence[TrialRecord]) -> list[list[int]] | None:
    """Return the sum of the confusion matrices of all runs of a configuration; None if one is missing."""
    tables = [record.test.confusion for record in records if record.test is not None]
    if not tables or any(table is None for table in tables):
        return None
    return [[sum(counts) for counts in zip(*rows, strict=True)] for rows in zip(*tables, strict=True)]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ShownRun(Printed):
    """One recorded run, or a configuration with its runs."""

    named: NamedRuns
    runs: Path

    @property
    def values(self) -> Mapping[str, Any]:
        """The recorded row of the run that represents it: results and configuration by column."""
        return _for_people(self.named.row)

    @property
    def config(self) -> TaskConfig:
        """Its configuration."""
        from sweeps.record.reader import MlflowReader

        return MlflowReader(self.runs).configuration(self.values["run_id"])

    @property
    def curve(self) -> pd.DataFrame:
        """One row per epoch. `sweeps.pictures.charts.learning_curve` draws it."""
        import pandas as pd

        from sweeps.record.reader import MlflowReader

        return pd.DataFrame(epoch.as_dict() for epoch in MlflowReader(self.runs).curve(self.values["run_id"]))

    def to_json(self) -> str:
        """Return its values, configuration and curve as JSON; `sweeps schema json show` prints its schema."""
        from sweeps.record.reader import MlflowReader
        from sweeps.views.json_output import RunOutput, ShowOutput

        run = RunOutput.of(self.named, MlflowReader(self.runs))
        return ShowOutput(kind="run", status=None, run=run).json_text()

    def print_to(self, console: Console) -> None:
        """Print its values, environment, confusion matrix and curve."""
        from sweeps.core.formatting import print_sentence
        from sweeps.record.reader import MlflowReader
        from sweeps.store.access_log import describe_accesses
        from sweeps.views.show import print_named

        row = dict(self.values)
        print_named(self.named, MlflowReader(self.runs), console, runs=self.runs)
        if row["test_accuracy"] is not None and row["replicate_of"] is not None:
            for line in describe_accesses(self.runs, row["sweep"]):
                print_sentence(console, line)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ShownSweep(Printed):
    """One sweep or ladder."""

    name: str
    runs: Path

    @property
    def status(self) -> Status:
        """Its state."""
        return status(self.name, runs=self.runs)

    @property
    def leaderboard(self) -> pd.DataFrame:
        """Its leaderboard, one row per configuration."""
        return api.leaderboard(self.name, runs=self.runs)

    def to_json(self) -> str:
        """Return its state as JSON; `sweeps schema json show` prints its schema."""
        from sweeps.views.json_output import ShowOutput, StatusOutput

        return ShowOutput(kind="sweep", status=StatusOutput.of(self.status.state), run=None).json_text()

    def print_to(self, console: Console) -> None:
        """Print its file, space, counts and best configurations."""
        from sweeps.record.reader import MlflowReader
        from sweeps.views.show_sweep import print_sweep

        print_sweep(self.name, MlflowReader(self.runs), console, runs=self.runs)


def show(name: str, *, runs: str | Path = DEFAULT_RUNS) -> ShownSweep | ShownRun:
    """Return a sweep (file, space, counts, best), a configuration with its runs, or one run.

    Args:
        name: of a sweep or a ladder; of a configuration (`quick-003`, `quick/3`, `ladder/deep`); or of a run
            (`quick-003-s1`, or the beginning of a run id or of a key).
        runs: the runs folder.

    Raises:
        SweepError: no run, or more than one, has this name.
        RecordError: the record cannot be read.

    Example:
        >>> sweeps.show("quick-003").curve[["epoch", "val_accuracy"]]
    """
    from sweeps.record.reader import MlflowReader
    from sweeps.search.state import sweep_names
    from sweeps.views.names import find_named, named_sweep

    reader = MlflowReader(Path(runs))
    sweep = named_sweep(reader, name, sweeps=sweep_names(Path(runs)))
    if sweep is not None:
        return ShownSweep(name=sweep, runs=Path(runs))
    return ShownRun(named=find_named(reader, name), runs=Path(runs))


def _for_people(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recorded row with the evaluation protocol as text."""
    return {**row, "protocol": None if row["protocol"] is None else str(row["protocol"])}


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Comparison(Printed):
    """Two recorded runs side by side."""

    first: NamedRuns
    second: NamedRuns
    runs: Path

    @property
    def rows(self) -> pd.DataFrame:
        """The two recorded rows. A configuration is represented by one of its runs."""
        import pandas as pd

        return pd.DataFrame([_for_people(each.row) for each in (self.first, self.second)])

    @property
    def changes(self) -> pd.DataFrame:
        """One row per field that differs: `path`, `before`, `after`."""
        import pandas as pd

        from sweeps.record.reader import MlflowReader

        reader = MlflowReader(self.runs)
        before, after = (reader.configuration(named.defining_row["run_id"]) for named in (self.first, self.second))
        rows = [(each.path, each.before, each.after) for each in changes_between(before, after)]
        return pd.DataFrame(rows, columns=["path", "before", "after"])

    def to_json(self) -> str:
        """Return both runs and their differences as JSON; `sweeps schema json compare` prints its schema."""
        from sweeps.record.reader import MlflowReader
        from sweeps.views.json_output import compare_output

        return compare_output(self.first, self.second, MlflowReader(self.runs)).json_text()

    def print_to(self, console: Console) -> None:
        """Print differences, results, curves, and a statistical test if both have test results."""
        from sweeps.record.reader import MlflowReader
        from sweeps.views.compare import print_comparison

        print_comparison(self.first, self.second, MlflowReader(self.runs), console)


def compare(first: str, second: str, *, runs: str | Path = DEFAULT_RUNS) -> Comparison:
    """Return the comparison of two recorded runs: their differences, and whether one is better.

    Args:
        first: named as for `show`.
        second: as `first`.
        runs: the runs folder.

    Raises:
        SweepError: no run, or more than one, has this name.
        RecordError: the record cannot be read.

    Example:
        >>> sweeps.compare("quick-003", "quick-007").changes
    """
    from sweeps.record.reader import MlflowReader
    from sweeps.views.names import find_named

    reader = MlflowReader(Path(runs))
    return Comparison(first=find_named(reader, first), second=find_named(reader, second), runs=Path(runs))
