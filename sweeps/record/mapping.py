"""What a trial's record is in MLflow's words: params, metrics and tags. Pure: it calls no store."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cifar_core.common.own_modules import is_import_path
from sweeps.core.formatting import truncated
from sweeps.core.identity import Protocol
from sweeps.core.results import Confusion, EpochResult
from sweeps.core.task import TaskConfig
from sweeps.core.trial import FORMAT, Outcome, RungLabel, TrialRecord
from sweeps.tasks.registry import IMAGES, config_of, read_config

MAX_NAME = 250
MAX_PARAM = 6000
MAX_TAG = 8000

STATUS_OF = {
    Outcome.RUNNING: "RUNNING",
    Outcome.COMPLETE: "FINISHED",
    Outcome.PRUNED: "FINISHED",
    Outcome.DIVERGED: "FAILED",
    Outcome.FAILED: "FAILED",
    Outcome.INTERRUPTED: "KILLED",
}
"""MLflow has no word for a pruned run. To be stopped early is a normal end: the tag `outcome` tells it from a complete
one, and KILLED, which MLflow shows as a red cross, is left to what was interrupted."""

OBJECTIVE = "objective"
"""The metric of what a search over a function looks at, after the last epoch: under one name whatever it is called."""

EPOCH_SECONDS = "epoch_seconds"
"""The metric of what each epoch took."""

EPOCH_METRICS = (
    "val_accuracy",
    "val_loss",
    "train_accuracy",
    "train_loss",
    "learning_rate",
    EPOCH_SECONDS,
    "images_per_second",
)
"""The metrics of an epoch of images: columns that the table of epochs always has."""

METRICS = frozenset(
    {
        *EPOCH_METRICS,
        "test_accuracy",
        "test_loss",
        OBJECTIVE,
        "best_val_accuracy",
        "epochs",
        "train_seconds",
        "parameters_millions",
    }
)
"""The metrics of a trial that this project writes: those of its epochs and of `summary_metrics`."""


def epoch_metric_names(params: Mapping[str, str], metrics: Iterable[str]) -> Sequence[str]:
    """Return the metrics of the epochs of a run: of a function of the user's own, all that it has yielded.

    Args:
        params: of the run.
        metrics: names of all its metrics.
    """
    of_a_function = (name for name in metrics if name not in METRICS or name in EPOCH_METRICS)
    return tuple(of_a_function) if "train" in params else EPOCH_METRICS


CORRECT_FILE = "test_correct.npy"
"""Artifact of a tested run: one truth value a test image, in the file's order."""

CONFIG = "config"
"""The tag that holds the configuration as JSON. The params are the same for people: a filter and a column each."""

NOT_FINITE = "not_finite"
"""The tag that holds what MLflow cannot: it stores infinity as 1.8e308, which then sorts first."""

CONFUSION = "confusion"
"""The tag that holds how many test images of each class (row) were taken for each class, as JSON."""

VAL_CONFUSION = "val_confusion"
"""As `CONFUSION`, of the validation images after the last epoch."""

LOGGED_MODEL = "logged_model"
"""The tag that holds the address of the model that a run's network is stored as."""

FORMAT_TAG = "format"
"""The tag of every run, of a sweep's own too, that says the format that it is recorded in (`FORMAT`)."""

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
    "reused_from",
    "error",
    "error_class",
    "log",
    CONFUSION,
    VAL_CONFUSION,
    NOT_FINITE,
)
"""Tags this project gives a meaning to; what the environment calls the same is written as `fact.NAME`."""


@dataclass(frozen=True, kw_only=True)
class MetricPoint:
    """One value of one metric, as MLflow stores it."""

    name: str
    value: float
    step: int
    timestamp_ms: int


def milliseconds(seconds: float) -> int:
    """Return a Unix time in MLflow's unit. Rounded: read and written again it stays the same."""
    return round(seconds * 1000)


def params_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Return a nested configuration under dotted names, every value as text (JSON, save for text itself)."""
    flat: dict[str, str] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{inner}": text for inner, text in params_of(value).items()}
        else:
            flat[_name(name)] = truncated(_text(value), MAX_PARAM)
    return flat


@lru_cache(maxsize=65_536)  # ten thousand runs have few different values
def parse_param(text: str) -> Any:
    """Return a param as number, truth value or None where it is one, else the text; lists stay JSON text."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except ValueError:
        return text
    return text if isinstance(value, list | dict | str) else value


def measured(result: EpochResult) -> dict[str, float]:
    """Return the numbers of an epoch under the names of their metrics."""
    return {**result.metrics, EPOCH_SECONDS: result.seconds}


def epoch_metrics(epochs: tuple[EpochResult, ...]) -> list[MetricPoint]:
    """Return the finite values of each epoch at step = epoch, stamped with the epoch's own time."""
    return [
        MetricPoint(name=name, value=value, step=result.epoch, timestamp_ms=milliseconds(result.finished_at))
        for result in epochs
        for name, value in measured(result).items()
        if math.isfinite(value)
    ]


def summary_metrics(record: TrialRecord) -> list[MetricPoint]:
    """Return what is said once about a run.

    All at step 0: MLflow takes the highest step's value as the latest one, and only among equal steps the
    newer one, which a second, shorter attempt needs.
    """
    ended = record.epochs[-1].finished_at if record.epochs else record.started
    values: dict[str, float] = {}
    if record.test is not None:
        values["test_accuracy"] = record.test.accuracy
        values["test_loss"] = record.test.loss
    if record.goal is not None and record.epochs and (value := record.epochs[-1].value(record.metric)) is not None:
        values[OBJECTIVE] = value
    if record.outcome.is_final:
        accuracies = [value for e in record.epochs if (value := e.value("val_accuracy")) is not None]
        if accuracies:
            values["best_val_accuracy"] = max(accuracies)
        values["epochs"] = len(record.epochs)
        values["train_seconds"] = math.fsum(e.seconds for e in record.epochs)
    # Not before the first epoch: the pages list metrics as they came, and offer the first one.
    if record.parameters is not None and (record.epochs or record.outcome.is_final):
        values["parameters_millions"] = record.parameters / 1e6
    return [
        MetricPoint(name=name, value=float(value), step=0, timestamp_ms=milliseconds(ended))
        for name, value in values.items()
        if math.isfinite(value)
    ]


def tags_of(record: TrialRecord) -> dict[str, str]:
    """Return a trial's tags, those of its environment among them."""
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
        # A ladder orders its rungs, it does not search.
        "metric": record.metric if record.rung is None else None,
        "goal": record.goal,
        "replicate_of": None if record.replicate_of is None else str(record.replicate_of),
        "reused_from": record.reused_from,
        "error": record.error,
        "error_class": record.error_class,
        "log": record.log,
        CONFUSION: None if record.test is None else _matrix_json(record.test.confusion),
        VAL_CONFUSION: _matrix_json(record.epochs[-1].val_confusion) if record.epochs else None,
        NOT_FINITE: _not_finite(record),
    }
    present = {name: truncated(value, MAX_TAG) for name, value in tags.items() if value is not None}
    return present | environment_tags(record.environment)


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
    """Return a configuration as JSON, None for one that MLflow would cut: the params hold it too."""
    text = config.model_dump_json()
    return text if len(text) <= MAX_TAG else None


def recorded_config(tags: Mapping[str, str], params: Mapping[str, str]) -> TaskConfig | None:
    """Return the configuration that a run was recorded with, None where it cannot be read.

    One that is too long for a tag is read from the params, which hold each value.
    """
    try:
        if CONFIG in tags:
            return read_config(tags[CONFIG])
        config = config_of(_tree_of(params))
    except ValueError:
        # Of pydantic, or of JSON: a text that only looks like a list.
        return None
    # The text of a param does not say whether an option was 8 or "8": what was guessed wrong is not taken for it.
    return config if tags.get("config_id", config.config_id()) == config.config_id() else None


def _tree_of(params: Mapping[str, str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, text in params.items():
        value = parse_param(text)
        block, dot, field = name.partition(".")
        fields = tree.setdefault(block, {}) if dot else tree
        fields[field or block] = json.loads(value) if isinstance(value, str) and value.startswith("[") else value
    model = tree.get("model", {})
    if is_import_path(str(model.get("name", ""))):
        name = model.pop("name")
        tree["model"] = {"name": name, "options": {key.removeprefix("options."): v for key, v in model.items()}}
    return tree


def recorded_protocol(params: Mapping[str, str]) -> Protocol | None:
    """Return the protocol that a run was recorded under; None where its params are none that this version knows."""
    try:
        if "train" in params:
            return Protocol(train_images=0, validation_images=0, split_seed=0, epochs=int(params["epochs"]))
        return _protocol_of(*(params[name] for name in _OF_A_PROTOCOL))
    except (LookupError, ValueError):
        return None


_OF_A_PROTOCOL = ("data.train_size", "data.validation_size", "data.split_seed", "epochs")


@lru_cache(maxsize=4096)  # ten thousand runs share a few
def _protocol_of(*texts: str) -> Protocol:
    """Return the protocol that the params `_OF_A_PROTOCOL` are of.

    Raises:
        ValueError: no configuration has such values.
    """
    *data, epochs = map(parse_param, texts)
    fields = dict(zip(("train_size", "validation_size", "split_seed"), data, strict=True))
    return Protocol.of(IMAGES.config_type.model_validate({"data": fields, "epochs": epochs}))


def environment_tags(environment: Mapping[str, str]) -> dict[str, str]:
    """Return host, commit and versions as tags that cannot be taken for one of ours or of MLflow."""
    named = {
        f"fact.{name}" if name in TAGS or name.startswith("mlflow.") else name: value
        for name, value in environment.items()
    }
    return {_name(name): truncated(str(value), MAX_TAG) for name, value in named.items()}


def client_tags(environment: Mapping[str, str], *, command: str) -> dict[str, str]:
    """Return who ran what of which code, in the tags that MLflow's own clients set and its pages show as columns."""
    tags = {
        "mlflow.user": environment.get("user", ""),
        "mlflow.source.name": command,
        "mlflow.source.type": "LOCAL" if command else "",
        "mlflow.source.git.commit": environment.get("git_sha", ""),
    }
    return {name: truncated(value, MAX_TAG) for name, value in tags.items() if value}


def read_not_finite(tag: str | None) -> dict[tuple[str, int], float]:
    """Return what the tag `not_finite` holds: (metric, step) to inf, -inf or nan. The summary's step is 0."""
    return {(name, step): float(value) for name, step, value in json.loads(tag or "[]")}


def _not_finite(record: TrialRecord) -> str | None:
    found: list[tuple[str, int, str]] = [
        (name, result.epoch, str(value))
        for result in record.epochs
        for name, value in measured(result).items()
        if not math.isfinite(value)
    ]
    if record.test is not None and not math.isfinite(record.test.loss):
        found.append(("test_loss", 0, str(record.test.loss)))
    while len(json.dumps(found)) > MAX_TAG:
        found = found[len(found) // 2 :]
    return json.dumps(found) if found else None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is a word, not a number")


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _name(name: str) -> str:
    """MLflow refuses a whole batch for one name with another character."""
    return re.sub(r"[^\w\-. :/]", "_", str(name))[:MAX_NAME]
