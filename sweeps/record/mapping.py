"""Mapping of a trial's record to MLflow's params, metrics and tags. Pure: it calls no store."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cifar_core.common.user_modules import is_import_path, library_of
from sweeps.core.formatting import truncated
from sweeps.core.identity import Protocol
from sweeps.core.results import Confusion, EpochResult, confirm_name
from sweeps.core.task import TaskConfig
from sweeps.core.trial import FORMAT, MeasuredOn, Outcome, RungLabel, TrialRecord
from sweeps.tasks.registry import IMAGES, config_of, read_config

MAX_NAME = 250
MAX_PARAM = 6000
MAX_TAG = 8000

STATUS_OF = {
    Outcome.RUNNING: "RUNNING",
    Outcome.COMPLETE: "FINISHED",
    Outcome.PAUSED: "SCHEDULED",
    Outcome.PRUNED: "FINISHED",
    Outcome.DIVERGED: "FAILED",
    Outcome.FAILED: "FAILED",
    Outcome.INTERRUPTED: "KILLED",
}
"""MLflow has no status for a pruned run. Pruning is a normal end, so that it is FINISHED, with the tag `outcome` to
distinguish it from a complete run. KILLED, which MLflow shows as a red cross, is used for interrupted runs."""

OBJECTIVE = "objective"
"""MLflow metric with the value of the search's metric after the last epoch, for tasks with custom metrics."""

CONFIRM_OBJECTIVE = confirm_name(OBJECTIVE)
"""As `OBJECTIVE`, on the confirmation part of a replicate."""
CONFIRM_PART, CONFIRM_EXAMPLES, CONFIRM_UNTIL = "confirm_part", "confirm_examples", "confirm_until"
"""Tags of a replicate: which data it is compared on, how many examples if these are a confirmation part, and the
probability at which its race ends."""
SEARCH_PART = "validation data of the search"
"""`CONFIRM_PART` of a replicate without a confirmation part."""

EXPECTED_VALUE = "expected_value"
"""MLflow tag: a larger `run_cap` changes it, which a metric cannot."""
MULTIPLY_ADDS = "multiply_adds_millions"
"""MLflow metric of a search that has it as an objective."""

EPOCH_SECONDS = "epoch_seconds"
"""MLflow metric with the duration of each epoch."""

EPOCH_METRICS = (
    "val_accuracy",
    "val_loss",
    "train_accuracy",
    "train_loss",
    "learning_rate",
    EPOCH_SECONDS,
    "images_per_second",
)
"""Epoch metrics of image classification; the table of epochs always has these columns."""

METRICS = frozenset(
    {
        *EPOCH_METRICS,
        "test_accuracy",
        "test_loss",
        "confirm_accuracy",
        "confirm_loss",
        OBJECTIVE,
        CONFIRM_OBJECTIVE,
        "best_val_accuracy",
        "epochs",
        "train_seconds",
        "parameters_millions",
        MULTIPLY_ADDS,
    }
)
"""All metrics of a trial that this project defines: those of its epochs and of `summary_metrics`."""


def epoch_metric_names(params: Mapping[str, str], metrics: Iterable[str]) -> Sequence[str]:
    """Return the names of a run's epoch metrics; for a custom training function all that it has yielded.

    Args:
        params: Params of the run.
        metrics: Names of all its metrics.
    """
    of_a_function = (name for name in metrics if name not in METRICS or name in EPOCH_METRICS)
    return tuple(of_a_function) if "train" in params else EPOCH_METRICS


CORRECT_FILE = "test_correct.npy"
"""Artifact of a tested run: one bool per test image, in the file's order."""

CONFIG = "config"
"""Tag: the configuration as JSON. The params contain the same values, as filters and columns."""

NOT_FINITE = "not_finite"
"""Tag: values that are not finite. MLflow stores infinity as 1.8e308, which is sorted first."""

CONFUSION = "confusion"
"""Tag: confusion matrix of the test images as JSON, a row per true class."""

VAL_CONFUSION = "val_confusion"
"""Tag: as `CONFUSION`, for the validation images after the last epoch."""

LOGGED_MODEL = "logged_model"
"""Tag: URI of the logged model of a run's network."""

DESCRIPTION = "mlflow.note.content"
"""Tag: description that MLflow's page of a run shows as Markdown."""

DESCRIBED = "described"
"""Tag: the part of the description that this project wrote last. The rest is a user's note."""

LABELS = "tags"
"""Tag: words that persons gave to a run with `sweeps note --tag`, separated by commas."""

FORMAT_TAG = "format"
"""Tag of each run, also of parent runs: the format in which it is recorded (`FORMAT`)."""

TAGS = (
    FORMAT_TAG,
    "kind",
    "sweep",
    "study",
    "trial",
    "key",
    "config_id",
    "source",
    CONFIG,
    "seed",
    "outcome",
    "epochs_done",
    "rung",
    "rung_index",
    "rung_parent",
    "full_epochs",
    "full_train_images",
    "measured_on",
    "metric",
    "goal",
    "replicate_of",
    CONFIRM_PART,
    CONFIRM_EXAMPLES,
    CONFIRM_UNTIL,
    "reused_from",
    "known",
    "violated",
    EXPECTED_VALUE,
    "proposed_by",
    "skipped",
    "error",
    "error_class",
    "log",
    CONFUSION,
    VAL_CONFUSION,
    NOT_FINITE,
    LABELS,
)
"""Tags that this project defines. Facts of the environment with the same names are written as `fact.NAME`."""


@dataclass(frozen=True, kw_only=True)
class MetricPoint:
    """One value of one metric, as MLflow stores it."""

    name: str
    value: float
    step: int
    timestamp_ms: int


def milliseconds(seconds: float) -> int:
    """Return a Unix time in milliseconds, rounded, so that it is unchanged after reading and writing."""
    return round(seconds * 1000)


def params_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Return a nested configuration as dotted name → text; values that are not text are JSON."""
    flat: dict[str, str] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{inner}": text for inner, text in params_of(value).items()}
        else:
            flat[_name(name)] = truncated(_text(value), MAX_PARAM)
    return flat


@lru_cache(maxsize=65_536)  # ten thousand runs have few different values
def parse_param(text: str) -> Any:
    """Return a param as number, bool or None if it is one, else the text. Lists stay JSON text."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except ValueError:
        return text
    return text if isinstance(value, list | dict | str) else value


def measured(result: EpochResult) -> dict[str, float]:
    """Return metric name → value of an epoch."""
    return {**result.metrics, EPOCH_SECONDS: result.seconds}


def epoch_metrics(epochs: tuple[EpochResult, ...]) -> list[MetricPoint]:
    """Return the finite values of each epoch, with step = epoch and the epoch's end time."""
    return [
        MetricPoint(name=name, value=value, step=result.epoch, timestamp_ms=milliseconds(result.finished_at))
        for result in epochs
        for name, value in measured(result).items()
        if math.isfinite(value)
    ]


def summary_metrics(record: TrialRecord) -> list[MetricPoint]:
    """Return the metrics of a whole run, all at step 0.

    MLflow's latest value is that of the highest step, and among equal steps the newest. With one step a second,
    shorter attempt replaces the values of the first.
    """
    ended = record.epochs[-1].finished_at if record.epochs else record.started
    values: dict[str, float] = {}
    if record.test is not None:
        values |= record.test.recorded
    if record.goal is not None and record.epochs and (value := record.epochs[-1].value(record.metric)) is not None:
        values[OBJECTIVE] = value
    if record.confirm is not None:
        values |= record.confirm.recorded
        if record.goal is not None and record.metric in record.confirm.metrics:
            values[CONFIRM_OBJECTIVE] = record.confirm.metrics[record.metric]
    if record.outcome.is_final:
        accuracies = [value for e in record.epochs if (value := e.value("val_accuracy")) is not None]
        if accuracies:
            values["best_val_accuracy"] = max(accuracies)
        values["epochs"] = len(record.epochs)
        values["train_seconds"] = math.fsum(e.seconds for e in record.epochs)
    # Not before the first epoch: MLflow's pages list metrics in the order of writing and select the first one.
    if record.parameters is not None and (record.epochs or record.outcome.is_final):
        values["parameters_millions"] = record.parameters / 1e6
    values |= {each.name: each.value for each in record.known if each.name == MULTIPLY_ADDS}
    return [
        MetricPoint(name=name, value=float(value), step=0, timestamp_ms=milliseconds(ended))
        for name, value in values.items()
        if math.isfinite(value)
    ]


def tags_of(record: TrialRecord) -> dict[str, str]:
    """Return a trial's tags, including those of its environment."""
    tags: dict[str, str | None] = {
        FORMAT_TAG: str(FORMAT),
        "kind": "trial",
        "sweep": record.sweep,
        "study": record.study,
        "trial": str(record.trial),
        "key": record.key,
        "config_id": record.config_id,
        "source": record.source,
        CONFIG: _config_json(record.config),
        "seed": str(record.config.seed),
        "outcome": record.outcome.value,
        "epochs_done": str(len(record.epochs)),
        **_rung_tags(record.rung),
        # A ladder of networks has no metric.
        "metric": record.metric if record.rung is None or record.rung.measured_on is MeasuredOn.METRIC else None,
        "goal": record.goal,
        "replicate_of": None if record.replicate_of is None else str(record.replicate_of),
        CONFIRM_PART: _confirm_part(record),
        CONFIRM_EXAMPLES: None if record.confirm is None else str(record.confirm.examples),
        CONFIRM_UNTIL: None if record.confirm_until is None else f"{record.confirm_until:g}",
        "reused_from": record.reused_from,
        "known": json.dumps([[each.name, each.goal, each.value] for each in record.known]) if record.known else None,
        "violated": "; ".join(record.violated) or None,
        EXPECTED_VALUE: None if record.expected_value is None else repr(record.expected_value),
        "proposed_by": record.proposed_by,
        "skipped": "true" if record.skipped else None,
        "error": record.error,
        "error_class": record.error_class,
        "log": record.log,
        CONFUSION: None if record.test is None else _matrix_json(record.test.confusion),
        VAL_CONFUSION: _matrix_json(record.epochs[-1].val_confusion) if record.epochs else None,
        NOT_FINITE: _not_finite(record),
    }
    present = {name: truncated(value, MAX_TAG) for name, value in tags.items() if value is not None}
    return present | environment_tags(record.environment)


def _confirm_part(record: TrialRecord) -> str | None:
    """Return which data a complete replicate is compared on."""
    if not record.names_part or record.outcome is not Outcome.COMPLETE:
        return None
    return SEARCH_PART if record.confirm is None else record.confirm.part


def _rung_tags(rung: RungLabel | None) -> dict[str, str | None]:
    if rung is None:
        return {}
    return {
        "rung": rung.name,
        "rung_index": str(rung.index),
        "rung_parent": rung.parent,
        "full_epochs": None if rung.full_epochs is None else str(rung.full_epochs),
        "full_train_images": None if rung.full_train_images is None else str(rung.full_train_images),
        "measured_on": rung.measured_on.value,
    }


def _matrix_json(confusion: Confusion | None) -> str | None:
    return None if confusion is None else json.dumps(confusion, separators=(",", ":"))


def _config_json(config: TaskConfig) -> str | None:
    """Return a configuration as JSON; None if MLflow would truncate it, since the params contain it too."""
    text = config.model_dump_json()
    return text if len(text) <= MAX_TAG else None


def recorded_config(tags: Mapping[str, str], params: Mapping[str, str]) -> TaskConfig | None:
    """Return the configuration of a recorded run; None if it cannot be read.

    A configuration that is too long for a tag is read from the params.
    """
    try:
        if CONFIG in tags:
            return read_config(tags[CONFIG])
        config = config_of(_tree_of(params))
    except ValueError:
        # From pydantic, or from JSON for a text that only looks like a list.
        return None
    # Params do not distinguish 8 from "8": a configuration that was read wrongly has another id.
    return config if tags.get("config_id", config.config_id()) == config.config_id() else None


def _tree_of(params: Mapping[str, str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, text in params.items():
        value = parse_param(text)
        block, dot, field = name.partition(".")
        fields = tree.setdefault(block, {}) if dot else tree
        fields[field or block] = json.loads(value) if isinstance(value, str) and value.startswith("[") else value
    model = tree.get("model", {})
    name = str(model.get("name", ""))
    if is_import_path(name) or library_of(name):
        fields = ["name", *(field for field in IMAGES.used_fields("model", name) if field != "options")]
        options = {key.removeprefix("options."): value for key, value in model.items() if key not in fields}
        tree["model"] = {key: model[key] for key in fields if key in model} | {"options": options}
    return tree


def recorded_protocol(tags: Mapping[str, str], params: Mapping[str, str]) -> Protocol | None:
    """Return the protocol of a recorded run; None if its params are missing or invalid."""
    try:
        if OWN_DATA in params:
            return _protocol_of_own_data(tags[CONFIG])
        if "train" in params:
            return Protocol(train_images=0, validation_images=0, split_seed=0, epochs=int(params["epochs"]))
        return _protocol_of(*(params[name] for name in _PROTOCOL_PARAMS))
    except (LookupError, ValueError):
        return None


_PROTOCOL_PARAMS = ("data.train_size", "data.validation_size", "data.split_seed", "epochs")
OWN_DATA = "data.source"
"""A param of runs on a custom data set. Its number of images is only in the tag with the whole configuration."""


@lru_cache(maxsize=4096)
def _protocol_of_own_data(config: str) -> Protocol:
    return Protocol.of(read_config(config))


@lru_cache(maxsize=4096)  # ten thousand runs share a few
def _protocol_of(*texts: str) -> Protocol:
    """Return the protocol for the texts of `_PROTOCOL_PARAMS`.

    Raises:
        ValueError: A value is invalid.
    """
    *data, epochs = map(parse_param, texts)
    fields = dict(zip(("train_size", "validation_size", "split_seed"), data, strict=True))
    return Protocol.of(IMAGES.config_type.model_validate({"data": fields, "epochs": epochs}))


def note_of(tags: Mapping[str, str]) -> str | None:
    """Return the text that persons wrote into the description of a run; None if there is none.

    Args:
        tags: Tags of the run in MLflow.
    """
    return tags.get(DESCRIPTION, "").replace(tags.get(DESCRIBED, ""), "").strip() or None


def labels_of(tags: Mapping[str, str]) -> list[str]:
    """Return the tags of persons on a run, in the order in which they were added."""
    return [label for part in tags.get(LABELS, "").split(",") if (label := part.strip())]


def environment_tags(environment: Mapping[str, str]) -> dict[str, str]:
    """Return host, commit and versions as tags whose names differ from those of this project and MLflow."""
    named = {
        f"fact.{name}" if name in TAGS or name.startswith("mlflow.") else name: value
        for name, value in environment.items()
    }
    return {_name(name): truncated(str(value), MAX_TAG) for name, value in named.items()}


def client_tags(environment: Mapping[str, str], *, command: str) -> dict[str, str]:
    """Return user, command and commit as the tags that MLflow's clients set and its pages show as columns."""
    tags = {
        "mlflow.user": environment.get("user", ""),
        "mlflow.source.name": command,
        "mlflow.source.type": "LOCAL" if command else "",
        "mlflow.source.git.commit": environment.get("git_sha", ""),
    }
    return {name: truncated(value, MAX_TAG) for name, value in tags.items() if value}


def read_not_finite(tag: str | None) -> dict[tuple[str, int], float]:
    """Return (metric, step) → inf, -inf or nan from the tag `not_finite`. Metrics of the whole run have step 0."""
    return {(name, step): float(value) for name, step, value in json.loads(tag or "[]")}


def _not_finite(record: TrialRecord) -> str | None:
    found: list[tuple[str, int, str]] = [
        (name, result.epoch, str(value))
        for result in record.epochs
        for name, value in measured(result).items()
        if not math.isfinite(value)
    ]
    if record.test is not None and record.test.count and not math.isfinite(record.test.loss):
        found.append(("test_loss", 0, str(record.test.loss)))
    while len(json.dumps(found)) > MAX_TAG:
        found = found[len(found) // 2 :]
    return json.dumps(found) if found else None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _name(name: str) -> str:
    """Replace characters that MLflow does not allow: it refuses the whole batch for one such name."""
    return re.sub(r"[^\w\-. :/]", "_", str(name))[:MAX_NAME]
