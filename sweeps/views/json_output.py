"""The JSON that verbs print with `--json`: one record per verb, from which its JSON Schema follows.

A field is never renamed or removed, and its meaning does not change: a script may rely on it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict

from sweeps.analysis.comparison import RungComparison
from sweeps.core.errors import SweepError
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.files.difference import changes_between
from sweeps.record.table import Row
from sweeps.search.best import final_value
from sweeps.search.state import SweepState, read_state, sweep_names
from sweeps.views.exports import plain_value

if TYPE_CHECKING:
    from sweeps.driver.options import RunSummary
    from sweeps.record.reader import RecordReader
    from sweeps.views.names import NamedRuns


class JsonOutput(BaseModel):
    """Numbers that are not finite, and missing values, are null."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def json_text(self) -> str:
        """Return it as JSON."""
        values = plain_value(self.model_dump(mode="json"))
        return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False)


class TrialOutput(JsonOutput):
    """One trial, replicate or rung under one seed."""

    name: str
    status: Outcome
    seed: int
    epochs: int
    """Epochs that are trained."""
    of_epochs: int | None
    """Epochs of a complete run; null if only the training knows."""
    value: float | None
    """The metric after the last epoch: accuracies are shares from 0 to 1."""
    test_accuracy: float | None
    train_seconds: float
    replicate_of: int | None
    """For a replicate: the number of the trial whose configuration it repeats."""
    key: str
    """Identity of configuration, seed and data."""
    config: dict[str, Any]
    """The configuration by dotted path."""
    error: str | None

    @classmethod
    def of(cls, record: TrialRecord, *, metric: str) -> Self:
        return cls(
            name=record.name,
            status=record.outcome,
            seed=record.config.seed,
            epochs=len(record.epochs),
            of_epochs=record.config.epochs or None,
            value=final_value(record, metric),
            test_accuracy=None if record.test is None else plain_value(record.test.accuracy),
            train_seconds=record.train_seconds,
            replicate_of=record.replicate_of,
            key=record.key,
            config=plain_value(dict(record.config.dotted())),
            error=record.error,
        )


class StatusOutput(JsonOutput):
    """The state of a sweep or a ladder (`sweeps status`)."""

    sweep: str
    metric: str
    maximize: bool
    """Whether a larger value is better."""
    running: bool
    """Whether a driver trains it now."""
    counts: dict[str, int]
    """Status to number of trials, without replicates."""
    trials_planned: int | None
    """Number of trials at the end; null if unknown or not running."""
    best: str | None
    """Name of the best complete trial; null for a ladder."""
    best_value: float | None
    trials: list[TrialOutput]
    """In the order of proposal, replicates last."""

    @classmethod
    def of(cls, state: SweepState) -> Self:
        best = state.best()
        return cls(
            sweep=state.sweep,
            metric=state.metric,
            maximize=state.maximize,
            running=state.driver is not None,
            counts={str(outcome): count for outcome, count in state.counts().items()},
            trials_planned=state.target,
            best=None if best is None else best.name,
            best_value=None if best is None else state.best_value(),
            trials=[TrialOutput.of(record, metric=state.metric) for record in state.records_and_replicates],
        )


class ListedSweep(JsonOutput):
    """One sweep of a runs folder."""

    sweep: str
    state: StatusOutput | None
    """Null if it cannot be read."""
    error: str | None


class ListOutput(JsonOutput):
    """The sweeps of a runs folder (`sweeps list`)."""

    sweeps: list[ListedSweep]


class SummaryOutput(JsonOutput):
    """One start of a sweep (`sweeps run`, `replicate`, `retrain`)."""

    sweep: str
    metric: str
    trained: int
    """Number of trials that this start trained for at least one epoch."""
    reused: int
    """Number of trials whose recorded result was used instead of training."""
    failed: int
    seconds: float
    stopped_by: str | None
    """Why it ended early: `signal`, `timeout`, `budget`, `disk full`, `storage away`, `code changed` or `failing`."""
    details: str
    exit_code: int
    trials: list[TrialOutput]
    confirmed: SummaryOutput | None
    """The replicates that followed a search; null without any."""
    model: str | None
    """URI of the winner's logged model in MLflow."""

    @classmethod
    def of(cls, summary: RunSummary, *, sweep: str, exit_code: int) -> Self:
        confirmed = summary.confirmed
        metric = summary.records[0].metric if summary.records else "val_accuracy"
        return cls(
            sweep=summary.records[0].sweep if summary.records else sweep,
            metric=metric,
            trained=summary.trained,
            reused=summary.reused,
            failed=sum(record.outcome is Outcome.FAILED for record in summary.records),
            seconds=summary.seconds,
            stopped_by=summary.stopped_by,
            details=summary.details,
            exit_code=exit_code,
            trials=[TrialOutput.of(record, metric=metric) for record in summary.records],
            confirmed=None if confirmed is None else cls.of(confirmed, sweep=sweep, exit_code=exit_code),
            model=summary.model,
        )


class RungOutput(JsonOutput):
    """One rung of a ladder under one budget."""

    rung: str
    parent: str | None
    change: str
    status: str
    seeds: int
    metric: str
    value: float | None
    """Mean over the runs: accuracies are shares."""
    ci_low: float | None
    ci_high: float | None
    difference: float | None
    """Difference to the parent, of accuracies in points."""
    difference_low: float | None
    difference_high: float | None
    p_holm: float | None
    finding: str
    """`start`, `better`, `worse`, `not significant` or `not compared`."""
    verdict: str
    reduced_budget: str | None
    train_seconds: float | None

    @classmethod
    def of(cls, each: RungComparison) -> Self:
        return cls(
            rung=each.rung,
            parent=each.parent,
            change=each.change,
            status=each.status,
            seeds=each.seeds,
            metric=each.metric,
            value=each.value,
            ci_low=each.ci_low,
            ci_high=each.ci_high,
            difference=each.difference,
            difference_low=each.difference_low,
            difference_high=each.difference_high,
            p_holm=each.p_holm,
            finding=each.finding.value,
            verdict=each.verdict,
            reduced_budget=each.reduced,
            train_seconds=each.train_seconds,
        )


class LadderOutput(JsonOutput):
    """The gains of a ladder (`sweeps ladder`, `ablate`)."""

    ladder: str
    rungs: list[RungOutput]
    summary: SummaryOutput


class RunOutput(JsonOutput):
    """One run, or the run that represents a configuration."""

    name: str
    runs: list[str]
    """Names of all runs of the configuration, the representing one first."""
    row: dict[str, Any]
    """Its row in the record, as in `sweeps leaderboard --json`."""
    config: dict[str, Any]
    """The configuration by dotted path."""
    curve: list[dict[str, Any]]
    """One entry per epoch."""

    @classmethod
    def of(cls, named: NamedRuns, reader: RecordReader) -> Self:
        run_id = named.row["run_id"]
        return cls(
            name=named.name,
            runs=[named.run_name(row) for row in named.rows],
            row=plain_row(named.row),
            config=plain_value(dict(reader.configuration(run_id).dotted())),
            curve=plain_rows([epoch.as_dict() for epoch in reader.curve(run_id)]),
        )


class ShowOutput(JsonOutput):
    """A sweep, a configuration or a run (`sweeps show`)."""

    kind: str
    """`sweep` or `run`."""
    status: StatusOutput | None
    """Null for a run."""
    run: RunOutput | None
    """Null for a sweep."""


class ChangeOutput(JsonOutput):
    """One value that differs between two configurations."""

    path: str
    before: Any
    after: Any


class CompareOutput(JsonOutput):
    """Two recorded runs (`sweeps compare`). Whether one is better is answered by `sweeps judge`."""

    first: RunOutput
    second: RunOutput
    changes: list[ChangeOutput]


class PlanOutput(JsonOutput):
    """What a file would run (`sweeps plan`)."""

    name: str
    kind: str
    """`sweep` or `ladder`."""
    slots: int
    trials: int | None
    """Largest number of trials or runs; null if unknown."""
    seconds: float | None
    """Estimated seconds on this machine; null without timed train steps."""
    seeds: int | None
    """Seeds per configuration of the replicates or the ladder; null without any."""
    distinguishes: float | None
    """Difference that they find with 80 % probability, of accuracies in points; null if the spread is unknown."""
    spread: float | None
    """The standard deviation over seeds that it follows from."""
    spread_source: str | None
    configurations: list[dict[str, Any]]
    """The first configurations of a sweep, or all rungs."""
    warnings: list[str]
    command: str
    """The command that starts it."""


class FinalizedConfiguration(JsonOutput):
    """Test results of one configuration."""

    trial: int
    runs: int
    values: dict[str, float | None]
    """Means over its runs, with `ci_low` and `ci_high` of the first number on the test part."""


class FinalizeOutput(JsonOutput):
    """Results on the sealed test set (`sweeps finalize`)."""

    configurations: list[FinalizedConfiguration]
    """Best first."""
    measured: int
    """Number of runs that this call measured."""
    accesses: list[str]
    """Test-set accesses of the sweep, a sentence each."""


class SideOutput(JsonOutput):
    """One of the two configurations of a question."""

    name: str
    run: str
    """Name of the configuration with its runs, for other verbs and for the next question."""
    mean: float | None
    """Mean of the metric over the seeds that decided."""


class JudgeOutput(JsonOutput):
    """The answer to a question (`sweeps judge FIRST SECOND`)."""

    question: int
    answer: str
    """`better`, `worse`, `no difference` or `not distinguished yet`: the first compared with the second."""
    first: SideOutput
    second: SideOutput
    metric: str
    unit: str
    """Unit of the differences: `points` for an accuracy, else the metric."""
    difference: float | None
    """First mean minus second; null before the first seed."""
    low: float | None
    """End of the interval of the difference; null while the seeds are too few."""
    high: float | None
    no_difference_above: float | None
    """For `no difference`: the largest difference that the interval contains."""
    margin: float | None
    seeds: int
    """Seeds that decided."""
    seeds_without_value: int
    """Seeds that are left out, because a run diverged or failed."""
    level: float
    """Probability of a wrong answer to this question."""
    until: float
    measured_on: str | None
    """The images; null for a custom training."""
    trained: int
    """Number of runs that this call trained."""
    stopped_by: str | None
    sentence: str
    """The answer in words."""


class QuestionOutput(JsonOutput):
    """One question of a runs folder."""

    question: int
    first: str
    second: str
    metric: str
    answer: str
    difference: float | None
    low: float | None
    high: float | None
    seeds: int
    level: float
    asked: str
    """ISO 8601, UTC."""


class QuestionsOutput(JsonOutput):
    """All questions of a runs folder (`sweeps judge`)."""

    questions: list[QuestionOutput]
    until: float | None
    """Confidence of all answers together; null without questions."""


class PromiseOutput(JsonOutput):
    """One promise that `sweeps check` tries."""

    promise: str
    verdict: str
    text: str


class CheckOutput(JsonOutput):
    """What `sweeps check` found about custom code."""

    code: str
    ok: bool
    epochs: int
    seconds_per_epoch: float | None
    memory_bytes: int | None
    gpu_bytes: int | None
    promises: list[PromiseOutput]


class DoctorLine(JsonOutput):
    """One check of a runs folder."""

    verdict: str
    check: str
    text: str


class DoctorOutput(JsonOutput):
    """What `sweeps doctor` found, with machine and versions."""

    environment: dict[str, Any]
    checks: list[DoctorLine]


def plain_row(row: Row) -> dict[str, Any]:
    """Return a row of the record as JSON values, without the missing ones."""
    values: Mapping[str, Any] = {name: plain_value(value) for name, value in row.items()}
    return {name: value for name, value in values.items() if value is not None}


def plain_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows as JSON values."""
    return [{name: plain_value(value) for name, value in row.items()} for row in rows]


def compare_output(first: NamedRuns, second: NamedRuns, reader: RecordReader) -> CompareOutput:
    """Return two recorded configurations and the values that differ."""
    before, after = (reader.configuration(named.defining_row["run_id"]) for named in (first, second))
    changes = [
        ChangeOutput(path=each.path, before=plain_value(each.before), after=plain_value(each.after))
        for each in changes_between(before, after)
    ]
    return CompareOutput(first=RunOutput.of(first, reader), second=RunOutput.of(second, reader), changes=changes)


def list_output(runs: Path) -> ListOutput:
    """Return the state of each sweep of a runs folder. An unreadable one does not hide the others."""
    found = []
    for name in sweep_names(runs):
        try:
            state = StatusOutput.of(read_state(runs, name))
        except SweepError as error:
            found.append(ListedSweep(sweep=name, state=None, error=str(error)))
        else:
            found.append(ListedSweep(sweep=name, state=state, error=None))
    return ListOutput(sweeps=found)
