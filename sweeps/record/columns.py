"""The registry of the record's columns: name, how it is read from a run, averaged and displayed.

Terminal, files, SQL, pages and completion use it. To add a column, add an entry.
"""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sweeps.core.chance import CLASSES, has_learned
from sweeps.core.formatting import accuracy, duration, is_accuracy, number, percent
from sweeps.core.identity import Protocol
from sweeps.core.results import confirm_name
from sweeps.core.trial import Outcome
from sweeps.record.mapping import (
    CONFIRM_EXAMPLES,
    CONFIRM_OBJECTIVE,
    CONFIRM_PART,
    CONFIRM_UNTIL,
    DESCRIBED,
    DESCRIPTION,
    EXPECTED_VALUE,
    LABELS,
    MULTIPLY_ADDS,
    OBJECTIVE,
    labels_of,
    note_of,
    recorded_protocol,
)
from sweeps.record.recorded_run import RunFields
from sweeps.record.trial_run import TrialRun
from sweeps.tasks.values import value_text


class Kind(enum.Enum):
    """The type of a column's values."""

    TEXT = "text"
    TIME = "time"
    """ISO 8601 text in UTC; a timestamp in SQL."""
    INTEGER = "integer"
    REAL = "number"
    BOOLEAN = "boolean"
    PROTOCOL = "protocol"
    """A `sweeps.core.identity.Protocol`; text in files and SQL."""

    @property
    def dtype(self) -> str:
        """The dtype in pandas."""
        return {Kind.INTEGER: "Int64", Kind.REAL: "float64", Kind.BOOLEAN: "boolean"}.get(self, "object")


class Unit(enum.Enum):
    """The unit of a number."""

    NONE = ""
    SHARE = "%"
    """0 to 1 in files, percent on screens."""
    SECONDS = "s"
    MILLIONS = "M"


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of the record's table."""

    name: str
    kind: Kind = Kind.TEXT
    unit: Unit = Unit.NONE
    meaning: str = ""
    """For docs/reference/columns.md; a column of the registry has one."""
    title: str | None = None
    """Heading on a screen, if it is not the name."""
    words: tuple[str, ...] = ()
    """Other names that can be typed."""
    read: Callable[[TrialRun], Any] | None = None
    """Reads the value from a run; None if the ranking computes it."""
    tags: frozenset[str] = frozenset()
    """Tags that `read` needs, in addition to `PARSED_TAGS`."""
    metrics: frozenset[str] = frozenset()
    """Metrics that `read` needs."""
    is_averaged: bool = False
    """Whether a configuration's row has the mean over its seeds; else the value of its representative run."""
    is_last: bool = False
    """Whether it comes after the configuration's values."""

    @property
    def heading(self) -> str:
        """The heading on a screen."""
        return self.title or (f"{self.name} %" if self.unit is Unit.SHARE else self.name)

    def cell(self, value: Any) -> str:
        """Return the text of a value in a table under `heading`; empty for None."""
        if value is None:
            return ""
        if self.unit is Unit.SHARE:
            return percent(value)
        if self.unit is Unit.SECONDS:
            return duration(value)
        return number(value) if self.unit is Unit.MILLIONS else value_text(value)

    def text(self, value: Any) -> str:
        """Return the text of a value in a sentence, with unit and all digits."""
        if self.unit is Unit.SHARE:
            return accuracy(value)
        if self.unit is Unit.SECONDS:
            return self.cell(value)
        if isinstance(value, bool):
            return str(value).lower()
        return f"{value:.6g}" if isinstance(value, float) else str(value)


def _tag(name: str, **settings: Any) -> Column:
    return Column(name=name, read=lambda run: run.tags.get(name), tags=frozenset({name}), **settings)


def _metric(name: str, *, is_averaged: bool = True, **settings: Any) -> Column:
    return Column(
        name=name,
        kind=Kind.REAL,
        read=lambda run: run.metrics.get(name),
        metrics=frozenset({name}),
        is_averaged=is_averaged,
        **settings,
    )


def _metric_value(run: TrialRun) -> float | None:
    """Return the metric of the search after the last epoch; None for a rung of networks, which has no metric."""
    return run.metrics.get(OBJECTIVE if "goal" in run.tags else run.tags.get("metric", ""))


def _confirm_value(run: TrialRun) -> float | None:
    """Return the metric of the search on the confirmation part."""
    return run.metrics.get(CONFIRM_OBJECTIVE if "goal" in run.tags else confirm_name(run.tags.get("metric", "")))


def _number_tag(name: str, parse: Callable[[str], Any], **settings: Any) -> Column:
    def read(run: TrialRun) -> Any:
        with contextlib.suppress(KeyError, ValueError):
            return parse(run.tags[name])
        return None

    return Column(name=name, read=read, tags=frozenset({name}), **settings)


def _started(run: TrialRun) -> str:
    moment = datetime.fromtimestamp(run.start_ms / 1000, UTC)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _protocol(run: TrialRun) -> Protocol | None:
    return recorded_protocol(run.tags, run.params)


def _reduced(run: TrialRun) -> str | None:
    """Return a text on the reduced budget of a rung; None for the full budget."""
    protocol = _protocol(run)
    if protocol is None:
        return None
    return protocol.reduced_from(full_epochs=run.full_epochs, full_train_images=run.full_train_images)


def _did_not_learn(run: TrialRun) -> int | None:
    """Return 1 if the accuracy of a complete run is not better than chance, else 0; None without accuracy.

    The test images are used only for a rung without validation images. See `sweeps.search.best`.
    """
    is_tested = "rung" in run.tags and "val_accuracy" not in run.metrics
    accuracy = run.metrics.get("test_accuracy" if is_tested else "val_accuracy")
    if accuracy is None or not 0 <= accuracy <= 1 or run.outcome is not Outcome.COMPLETE:
        return None
    confusion = run.confusion if is_tested else run.val_confusion
    protocol = _protocol(run)
    known = 0 if protocol is None else protocol.test_images if is_tested else protocol.validation_images
    images = known if confusion is None else sum(map(sum, confusion))
    classes = CLASSES if protocol is None else protocol.classes
    return int(not has_learned(accuracy, images=images, confusion=confusion, classes=classes))


RECORD_COLUMNS: Mapping[str, Column] = {
    column.name: column
    for column in (
        Column(
            name="rank",
            meaning="Rank of the configuration within its protocol; 1 is the best. Confirmed configurations that a "
            "test cannot distinguish share a rank.",
            kind=Kind.INTEGER,
        ),
        _tag("sweep", meaning="Name of the sweep or the ladder."),
        _tag("rung", meaning="Name of the rung, of a run of a ladder."),
        Column(
            name="trial",
            meaning="Number of the trial. A screen and SQL show the name, such as `quick-003`; SQL has `number` too.",
            kind=Kind.INTEGER,
            read=lambda run: run.trial,
        ),
        Column(name="run_id", meaning="Id of the run in MLflow.", read=lambda run: run.run_id),
        Column(
            name="status",
            meaning="Outcome: `complete`, `pruned`, `diverged`, `failed`, `interrupted` or `running`. Tables also show "
            "`did not learn`, for a complete run that is not ranked.",
            read=lambda run: run.outcome.value,
        ),
        _metric(
            "val_accuracy",
            meaning="Accuracy on the validation images after the last epoch.",
            unit=Unit.SHARE,
            title="val acc %",
            words=("acc", "accuracy"),
        ),
        _metric(
            "confirm_accuracy",
            meaning="Accuracy of replicates on a confirmation part: images that neither their training nor the search "
            "used. Mean and rank come from it where it exists.",
            unit=Unit.SHARE,
            title="fresh acc %",
            words=("fresh",),
        ),
        Column(
            name="val_std",
            meaning="Standard deviation over the seeds of `confirm_accuracy`, or of `val_accuracy` without it.",
            kind=Kind.REAL,
            unit=Unit.SHARE,
            title="± sd",
            words=("sd", "std"),
        ),
        Column(
            name="replicates",
            meaning="Number of seeds in the mean. Runs that did not learn do not count.",
            kind=Kind.INTEGER,
            title="runs",
            words=("n",),
        ),
        Column(
            name="ci_low",
            meaning="Lower bound of the 95 % confidence interval of the accuracy (`confirm_accuracy` if there is one): "
            "Student's for a mean over seeds, with the spread of all configurations of the sweep; Wilson's for a "
            "single run. Empty for fewer than three seeds alone.",
            kind=Kind.REAL,
            unit=Unit.SHARE,
        ),
        Column(name="ci_high", meaning="Upper bound of this interval.", kind=Kind.REAL, unit=Unit.SHARE),
        Column(
            name="search_accuracy",
            meaning="For a confirmed configuration: its accuracy in the search, before confirmation. Its "
            "`val_accuracy` is the mean of the replicates.",
            kind=Kind.REAL,
            unit=Unit.SHARE,
            title="search acc %",
        ),
        Column(
            name="p_holm",
            meaning="Holm-adjusted p-value of Welch's t-test against the best mean (for single runs, of a test of two "
            "proportions). Not significant above 0.05.",
            kind=Kind.REAL,
            title="p (Holm)",
        ),
        _metric(
            "test_accuracy",
            meaning="Accuracy on the test images. Empty until `sweeps finalize` or a ladder evaluates the run.",
            unit=Unit.SHARE,
            title="test acc %",
        ),
        Column(
            name="epochs",
            meaning="Number of trained epochs.",
            kind=Kind.INTEGER,
            read=lambda run: run.epochs,
            metrics=frozenset({"epochs"}),
        ),
        _metric(
            "train_seconds",
            meaning="Time of all epochs, with the evaluation on the validation images.",
            unit=Unit.SECONDS,
            title="time",
        ),
        _metric("images_per_second", meaning="Training images per second, without evaluation."),
        _metric(
            "parameters_millions",
            meaning="Number of parameters of the network.",
            unit=Unit.MILLIONS,
            title="params M",
            is_averaged=False,
        ),
        _metric(
            MULTIPLY_ADDS,
            meaning="Multiply-adds of the network for one image, of a search that has them as an objective.",
            unit=Unit.MILLIONS,
            title="mult-adds M",
            is_averaged=False,
        ),
        Column(
            name="front",
            meaning="Whether the configuration is on the front of a search with several objectives. Empty with one.",
            kind=Kind.BOOLEAN,
        ),
        Column(
            name="seed",
            meaning="Seed of the run. Empty for a configuration with several runs.",
            kind=Kind.INTEGER,
            read=lambda run: run.seed,
        ),
        _tag("key", meaning="Hash of configuration, seed, training data and your own code."),
        _tag("git_sha", meaning="Git commit that the run used."),
        Column(name="started", meaning="Start of the run, ISO 8601 in UTC.", kind=Kind.TIME, read=_started),
        _metric(
            "best_val_accuracy", meaning="Largest `val_accuracy` of all epochs. Not used for ranking.", unit=Unit.SHARE
        ),
        _tag("metric", meaning="Name of the metric that the search optimises."),
        Column(
            name="metric_value",
            meaning="Value of `metric` after the last epoch. Empty for a rung of networks.",
            kind=Kind.REAL,
            read=_metric_value,
            tags=frozenset({"metric", "goal"}),
            metrics=frozenset({"val_loss", "train_loss", "train_accuracy", OBJECTIVE}),
            is_averaged=True,
        ),
        Column(
            name="metric_std",
            meaning="Standard deviation over the seeds of `confirm_value`, or of `metric_value` without it.",
            kind=Kind.REAL,
            title="metric sd",
        ),
        Column(
            name="search_value",
            meaning="For a confirmed configuration: its `metric_value` in the search, before confirmation.",
            kind=Kind.REAL,
            title="search metric",
        ),
        _number_tag(
            EXPECTED_VALUE,
            float,
            meaning="`metric_value` without luck, as the model of `curve_model` expects it. Empty with other rules.",
            kind=Kind.REAL,
            title="expected",
        ),
        _tag(
            "proposed_by",
            meaning="`person` for a trial of `sweeps add`. Empty for one that the search proposed.",
            title="by",
        ),
        _tag("skipped", meaning="`true` for a trial that `sweeps skip` has ended. It can continue later."),
        Column(
            name=LABELS,
            meaning="Tags that persons gave to the run with `sweeps note --tag`, separated by commas.",
            read=lambda run: ", ".join(labels_of(run.tags)) or None,
            tags=frozenset({LABELS}),
        ),
        Column(name="confirmed", meaning="Whether replicates confirm the configuration.", kind=Kind.BOOLEAN),
        Column(
            name="confirm_value",
            meaning="As `confirm_accuracy`, for the metric of the search.",
            kind=Kind.REAL,
            read=_confirm_value,
            tags=frozenset({"metric", "goal"}),
            metrics=frozenset({"confirm_accuracy", "confirm_loss", CONFIRM_OBJECTIVE}),
            title="fresh metric",
            is_averaged=True,
        ),
        _tag(
            CONFIRM_PART,
            meaning="Data that a replicate is compared on: a confirmation part, or the search's validation data.",
            is_last=True,
        ),
        _number_tag(
            CONFIRM_EXAMPLES,
            int,
            meaning="Number of examples of the confirmation part. Empty without one.",
            kind=Kind.INTEGER,
            is_last=True,
        ),
        _number_tag(
            CONFIRM_UNTIL,
            float,
            meaning="Probability at which the race of the replicates ends (`confirm.until`). Empty without a race.",
            kind=Kind.REAL,
            is_last=True,
        ),
        _tag(
            "known",
            meaning="Objectives that are known before the training, each with goal and value, as JSON.",
            is_last=True,
        ),
        _tag("violated", meaning="Conditions of `where` that the measured values violate. Such a run is not ranked."),
        Column(
            name="reduced", meaning="How the budget of a rung was reduced. Empty for the full budget.", read=_reduced
        ),
        _tag("reused_from", meaning="Id of the run whose result was reused instead of training again."),
        Column(
            name="protocol",
            meaning="Images and epochs that runs must have in common to be ranked against each other.",
            kind=Kind.PROTOCOL,
            read=_protocol,
            is_last=True,
        ),
        _tag("config_id", meaning="Hash of the configuration without its seed. Equal for replicates.", is_last=True),
        _tag("source", meaning="Hash of your own code that the run used.", is_last=True),
        _tag("study", meaning="Name of the Optuna study.", is_last=True),
        Column(
            name="rung_index",
            meaning="Position of the rung in the ladder, from 0.",
            kind=Kind.INTEGER,
            read=lambda run: run.rung_index,
            is_last=True,
        ),
        _tag("rung_parent", meaning="Parent of the rung.", is_last=True),
        Column(
            name="full_epochs",
            meaning="Epochs of the rung at the full budget.",
            kind=Kind.INTEGER,
            read=lambda run: run.full_epochs,
            is_last=True,
        ),
        Column(
            name="full_train_images",
            meaning="Training images of the rung at the full budget.",
            kind=Kind.INTEGER,
            read=lambda run: run.full_train_images,
            is_last=True,
        ),
        _tag(
            "measured_on",
            meaning="What compares the rungs: `test` or `validation` images, or `metric` for a training of your own.",
            is_last=True,
        ),
        _tag("goal", meaning="`maximize` or `minimize`, of `metric`.", is_last=True),
        Column(
            name="replicate_of",
            meaning="Number of the trial that a replicate repeats.",
            kind=Kind.INTEGER,
            read=lambda run: run.replicate_of,
            is_last=True,
        ),
        Column(
            name="did_not_learn",
            meaning="Number of complete runs whose accuracy is indistinguishable from chance.",
            kind=Kind.INTEGER,
            read=_did_not_learn,
            is_last=True,
        ),
        Column(
            name="note",
            meaning="Text of persons on the run, by `sweeps note` or typed in MLflow as its description.",
            read=lambda run: note_of(run.tags),
            tags=frozenset({DESCRIPTION, DESCRIBED}),
            is_last=True,
        ),
        _tag("error", meaning="First line of the error of a failed run.", is_last=True),
        _tag("log", meaning="Log of the trial, relative to the runs folder.", is_last=True),
    )
}
"""Name → column, in the order of the table. The configuration's values come before those with `is_last`."""

COLUMNS = tuple(name for name, column in RECORD_COLUMNS.items() if not column.is_last)
"""The first columns, in this order; the configuration follows, then `LAST_COLUMNS`.

`rank`, `val_std`, `metric_std`, `replicates`, `ci_low`, `ci_high`, `search_accuracy`, `search_value`, `p_holm`,
`front` and `confirmed` are empty until the leaderboard fills them.
"""

LAST_COLUMNS = tuple(name for name, column in RECORD_COLUMNS.items() if column.is_last)

ROW_FIELDS = RunFields(
    tags=frozenset().union(*(column.tags for column in RECORD_COLUMNS.values())),
    metrics=frozenset().union(*(column.metrics for column in RECORD_COLUMNS.values())),
)
"""The fields of a run that the columns read."""


def column_of(name: str) -> Column:
    """Return a column of the registry, or a new one for a parameter of the configuration."""
    return RECORD_COLUMNS.get(name) or Column(name=name, unit=Unit.SHARE if is_accuracy(name) else Unit.NONE)
