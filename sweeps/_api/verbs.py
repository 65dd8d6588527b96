"""The verbs that look, measure and count, as functions: each returns a record that prints itself as its verb does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

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

RungRecipes = Mapping[tuple[str, str | None], "Recipe"]


@dataclass(frozen=True, kw_only=True, repr=False)
class Status(Printed):
    """How a sweep or a ladder stands."""

    state: SweepState
    """Its counts, best trial, driver, time left, and the whole record of each trial."""

    @property
    def trials(self) -> pd.DataFrame:
        """A row a trial, replicates last; accuracies are shares. `value` is the sweep's metric after the last epoch."""
        import pandas as pd

        return pd.DataFrame(
            {
                "name": record.name,
                "status": record.outcome.value,
                "seed": record.config.seed,
                "epochs": len(record.epochs),
                "of_epochs": record.config.epochs,
                "value": self.state.value(record),
                "test_accuracy": None if record.test is None else record.test.accuracy,
                "train_seconds": record.train_seconds,
                "error": record.error,
            }
            for record in self.state.records_and_replicates
        )

    def print_to(self, console: Console) -> None:
        """Print a line a trial and what they add up to."""
        from sweeps.views.status import print_status

        print_status(self.state, console)


def status(sweep: str, *, runs: str | Path = DEFAULT_RUNS) -> Status:
    """Return how a sweep or a ladder stands, also while another process runs it, also after its end.

    Args:
        sweep: its name.
        runs: the runs folder.

    Raises:
        NoSuchSweepError: there is none of this name.
        DamagedJournalError: its journal holds nothing that can be read.

    Example:
        >>> sweeps.status("quick").trials[["name", "status", "value"]]
    """
    from sweeps.search.state import read_state

    return Status(state=read_state(Path(runs), sweep))


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LadderResult(Printed):
    """What each step of a ladder brought."""

    name: str
    comparisons: tuple[RungComparison, ...]
    """One a rung and budget, in the ladder's order."""
    rungs: tuple[RungRuns, ...]
    """The runs behind them."""
    recipes: RungRecipes
    """What the ladder's file means by each rung; empty where no file was read."""
    looks: tuple[str, ...] = ()
    """Who opened the test images for its last measurement, and when."""
    summary: RunSummary | None = None
    """How the run went; None where nothing was run."""

    @property
    def steps(self) -> pd.DataFrame:
        """A row a rung; accuracies are shares, differences are in points."""
        import pandas as pd

        return pd.DataFrame(asdict(each) for each in self.comparisons)

    def print_to(self, console: Console) -> None:
        """Print a line a rung, and what is recorded under other names."""
        from sweeps.analysis.rungs import recorded_under_other_names
        from sweeps.core.formatting import print_sentence
        from sweeps.views.ladder_table import print_ladder

        print_ladder(self.comparisons, console)
        known = {rung for rung, _ in self.recipes}
        if gone := list(dict.fromkeys(rung.name for rung in self.rungs if self.recipes and rung.name not in known)):
            print_sentence(console, f"recorded, and not in the file any more: {', '.join(gone)}")
        for rung, others in recorded_under_other_names(self.rungs, self.recipes).items():
            print_sentence(console, f"{rung}: runs of it are recorded as {' and '.join(others)}, and shown there")
        for line in self.looks:
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
    """Run a ladder's rungs, measure each, and return what each step brought. Nothing recorded is trained again.

    Args:
        path: the ladder's file.
        overrides: `path=value` for any key of the file.
        rungs: only these; all where empty.
        seeds: runs of each rung; None takes the file's, or 1.
        epochs_scale: share of each rung's epochs, at most 1.
        train_size: at most so many training images.
        final: of a file with `evaluate: validation`: measure the rungs on the test images, once nothing will change.
        runs: the runs folder.
        how: as for `run`.

    Raises:
        SweepError: nothing was started; the message says what to do.
        DataUnavailableError: CIFAR-10 cannot be had.
        RecordError: the record cannot be opened.
        Interrupted: as for `run`.

    Example:
        >>> sweeps.ladder("experiments/ladder-laptop.yaml").steps[["rung", "accuracy", "difference"]]
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
        part.ladder.name, runs=Path(runs), recipes=recipes_of(part.ladder, part.budget), is_final=part.ladder.is_final
    )
    return replace(found, summary=summary)


def read_ladder(
    name: str, *, runs: Path = DEFAULT_RUNS, recipes: RungRecipes | None = None, is_final: bool = False
) -> LadderResult:
    """Return what each step of a recorded ladder brought; trains nothing.

    Args:
        name: of the ladder.
        runs: the runs folder.
        recipes: what its file means by each rung; see `recipes_of`.
        is_final: whether it is the last measurement of one, whose looks at the test images are told.

    Raises:
        RecordError: the record cannot be read.
    """
    from sweeps.analysis.comparison import compare_rungs
    from sweeps.analysis.rungs import read_rungs
    from sweeps.record.reader import MlflowReader
    from sweeps.store.access_log import describe_accesses

    rungs = tuple(read_rungs(MlflowReader(runs), sweep=name, file_recipes=recipes))
    looks = tuple(describe_accesses(runs, name)) if is_final else ()
    return LadderResult(
        name=name, comparisons=tuple(compare_rungs(rungs)), rungs=rungs, recipes=recipes or {}, looks=looks
    )


def recipes_of(ladder: Ladder, budget: Budget) -> dict[tuple[str, str | None], Recipe]:
    """Return what a ladder's file means by each rung: what was edited and undone is undone on its page too.

    Of the full budget and of this one; what a rung was under others is not known any more.
    """
    from sweeps.tasks.registry import task_of
    from sweeps.tasks.sources import TaskSources

    recipes: dict[tuple[str, str | None], Recipe] = {}
    for rung in ladder.rungs:
        for each in (FULL_BUDGET, budget):
            config = each.apply(rung.config)
            recipes[rung.name, each.reduced(rung.config)] = (
                config.config_id(),
                TaskSources(task_of(config)).hash_of(config),
            )
    return recipes


def report(sweep: str, *, out: str | Path | None = None, runs: str | Path = DEFAULT_RUNS) -> Path:
    """Write a sweep or a ladder as one HTML page that needs nothing beside it; return its path.

    Args:
        sweep: its name.
        out: the page's file; None takes `reports/SWEEP.html` in the runs folder.
        runs: the runs folder.

    Raises:
        NoSuchSweepError: there is none of this name.
        DamagedJournalError: its journal holds nothing that can be read.
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
    """What the confirmed best configurations of a search do on the test images."""

    __test__ = False  # no class of tests

    found: tuple[Finalized, ...]
    """One a configuration, the best first, with its runs."""
    measured: int
    """Runs that this call measured; the results of the others were recorded already."""
    looks: tuple[str, ...]
    """Who opened the test images of this sweep, and when."""

    @property
    def configurations(self) -> pd.DataFrame:
        """A row a configuration: the means of its runs, as shares, with the 95 % interval of the test accuracy."""
        import pandas as pd

        from sweeps.analysis.statistics import mean_and_interval

        rows = []
        for each in self.found:
            tests = [record.test.accuracy for record in each.records if record.test is not None]
            validated = [record.epochs[-1].value("val_accuracy") or 0.0 for record in each.records]
            mean, low, high = mean_and_interval(tests)
            rows.append(
                {
                    "trial": each.records[0].trial,
                    "val_accuracy": sum(validated) / len(validated),
                    "test_accuracy": mean,
                    "ci_low": low,
                    "ci_high": high,
                    "runs": len(tests),
                }
            )
        return pd.DataFrame(rows)

    def print_to(self, console: Console) -> None:
        """Print a line a configuration, the confusions of the first, and who has looked."""
        from rich.table import Table

        from sweeps.core.formatting import percent, plural, print_sentence
        from sweeps.tasks.registry import describe
        from sweeps.views.show import print_confusion

        table = Table(box=None, header_style="bold", pad_edge=False)
        for heading in ("configuration of", "val acc %", "test acc %", "runs"):
            table.add_column(heading, justify="left" if heading == "configuration of" else "right", no_wrap=True)
        table.add_column("configuration", overflow="fold")
        for each, row in zip(self.found, self.configurations.to_dict(orient="records"), strict=True):
            low, high, mean = row["ci_low"], row["ci_high"], percent(row["test_accuracy"])
            known = low is not None and low == low  # NaN, as a column of numbers has it
            shown = f"{mean} ({percent(low)}–{percent(high)})" if known else mean
            about = describe(each.records[0].config)
            table.add_row(f"trial {row['trial']}", percent(row["val_accuracy"]), shown, str(row["runs"]), about)
        console.print(table)
        confusion = _summed([record for record in self.found[0].records if record.test is not None])
        if confusion is not None:
            print_confusion(confusion, console)
        said = f"{plural(self.measured, 'run')} measured"
        print_sentence(console, said if self.measured else "nothing was measured: every result was recorded already")
        for line in self.looks:
            print_sentence(console, line)


def finalize(
    sweep: str,
    *,
    top: int = 1,
    runs: str | Path = DEFAULT_RUNS,
    on_measure: Callable[[TrialRecord], None] = lambda record: None,
) -> TestSetResult:
    """Open the sealed test set for the confirmed best of a search, once; return what it does there.

    Each run is measured once: asked again, the recorded result is returned. Every look is noted in `test_looks.jsonl`.

    Args:
        sweep: name of a search whose best configurations `replicate` has confirmed.
        top: configurations, the best first.
        runs: the runs folder.
        on_measure: is given each run before it is measured.

    Raises:
        NoSuchSweepError: there is no such sweep.
        SweepError: none of its configurations is confirmed, or the weights of one are gone.
        RecordError: the record cannot be read or written.

    Example:
        >>> sweeps.finalize("quick").configurations["test_accuracy"]
    """
    from sweeps.driver.finalize import finalize as open_test_set
    from sweeps.store.access_log import describe_accesses

    found, measured = open_test_set(Path(runs), sweep, top=top, on_measure=on_measure)
    return TestSetResult(found=tuple(found), measured=measured, looks=tuple(describe_accesses(Path(runs), sweep)))


def _summed(records: Sequence[TrialRecord]) -> list[list[int]] | None:
    """Return the confusion of all runs of a configuration together; None where one was not recorded."""
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
        """The row of the record of the run that stands for it: results and configuration, by the names of columns."""
        return _for_people(self.named.row)

    @property
    def config(self) -> TaskConfig:
        """Its configuration."""
        from sweeps.record.reader import MlflowReader

        return MlflowReader(self.runs).configuration(self.values["run_id"])

    @property
    def curve(self) -> pd.DataFrame:
        """A row an epoch; `sweeps.pictures.charts.learning_curve` draws it."""
        import pandas as pd

        from sweeps.record.reader import MlflowReader

        return pd.DataFrame(epoch.as_dict() for epoch in MlflowReader(self.runs).curve(self.values["run_id"]))

    def print_to(self, console: Console) -> None:
        """Print its values, where it ran, what it takes for what, and its curve."""
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
        """How it stands."""
        return status(self.name, runs=self.runs)

    @property
    def leaderboard(self) -> pd.DataFrame:
        """A row a configuration, ranked."""
        return api.leaderboard(self.name, runs=self.runs)

    def print_to(self, console: Console) -> None:
        """Print its file, its space, its counts, its best."""
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
        SweepError: no run, or several, are called so.
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
    """Return a row of the record with the evaluation protocol in words."""
    return {**row, "protocol": None if row["protocol"] is None else str(row["protocol"])}


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Comparison(Printed):
    """Two recorded runs side by side."""

    first: NamedRuns
    second: NamedRuns
    runs: Path

    @property
    def rows(self) -> pd.DataFrame:
        """The two rows of the record; of a configuration that of the run that stands for it."""
        import pandas as pd

        return pd.DataFrame([_for_people(each.row) for each in (self.first, self.second)])

    @property
    def changes(self) -> pd.DataFrame:
        """A row a field of the configuration that differs: `path`, `before`, `after`."""
        import pandas as pd

        from sweeps.record.reader import MlflowReader

        reader = MlflowReader(self.runs)
        before, after = (reader.configuration(named.defining_row["run_id"]) for named in (self.first, self.second))
        rows = [(each.path, each.before, each.after) for each in changes_between(before, after)]
        return pd.DataFrame(rows, columns=["path", "before", "after"])

    def print_to(self, console: Console) -> None:
        """Print what they differ in, results, curves, and a test where both were tested."""
        from sweeps.record.reader import MlflowReader
        from sweeps.views.compare import print_comparison

        print_comparison(self.first, self.second, MlflowReader(self.runs), console)


def compare(first: str, second: str, *, runs: str | Path = DEFAULT_RUNS) -> Comparison:
    """Return two recorded runs side by side: what they differ in, and whether the one is truly better.

    Args:
        first: named as for `show`.
        second: as `first`.
        runs: the runs folder.

    Raises:
        SweepError: no run, or several, are called so.
        RecordError: the record cannot be read.

    Example:
        >>> sweeps.compare("quick-003", "quick-007").changes
    """
    from sweeps.record.reader import MlflowReader
    from sweeps.views.names import find_named

    reader = MlflowReader(Path(runs))
    return Comparison(first=find_named(reader, first), second=find_named(reader, second), runs=Path(runs))
