"""Keys that sweep and ladder files share: names, metric, limits, resources, storages."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from cifar_core.common.errors import ModelError
from cifar_core.common.user_modules import is_import_path
from cifar_core.common.validation import StrictModel, explain
from sweeps.core.address import check_storage, check_study_storage
from sweeps.core.errors import SpecError
from sweeps.core.formatting import is_accuracy
from sweeps.core.storages import Storages
from sweeps.core.task import AnyTask
from sweeps.files.metric_goal import is_better_if_larger
from sweeps.files.yaml_file import Document, dump_yaml, key_of, merge
from sweeps.tasks.registry import IMAGES, TASKS, task_named

Spec = TypeVar("Spec", bound=StrictModel)
MAX_NAME = 64
NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_NAME - 1}}}")
_LISTED = ("val_accuracy", "val_loss", "train_loss", "train_accuracy")
METRICS = {name: goal for name in _LISTED if (goal := IMAGES.metrics[name].goal) is not None}
"""Metrics that a search over networks can optimise, to their goals."""
BUILT_IN_RESOURCES = {
    "cpu": "cpus_per_trial",
    "gpu": "gpus_per_trial",
    "memory": None,
    "object_store_memory": None,
}
"""Ray's built-in resources in lower case, to the key of a trial's share; None if trials reserve none."""
MIN_AMOUNT = 0.0001
"""Ray's smallest unit of a resource."""
DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?\s*(?:(\d+(?:\.\d+)?)m(?:in)?)?\s*(?:(\d+(?:\.\d+)?)s)?")


def parse_duration(value: Any) -> Any:
    """Return the seconds of `2h`, `1h30m`, `90s` or a number of seconds."""
    if isinstance(value, str):
        match = DURATION.fullmatch(value.strip())
        if match is None or not any(match.groups()):
            raise ValueError(f"{value!r} is not a duration such as 2h, 30m or 90s")
        hours, minutes, seconds = (float(part or 0) for part in match.groups())
        return hours * 3600 + minutes * 60 + seconds
    return value


def check_name(name: str) -> str:
    """Return a sweep's name if it is valid as the name of a folder in the runs folder.

    Raises:
        ValueError: it is not.
    """
    if not NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is not a valid name for a sweep. Use at most {MAX_NAME} letters, digits, '-', '_' and '.', "
            "and begin with a letter or digit"
        )
    return name


Name = Annotated[str, AfterValidator(check_name), WithJsonSchema({"type": "string", "pattern": f"^{NAME.pattern}$"})]

_TEXT_OR_TEXTS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}


class FileOfConfigurations(StrictModel):
    """A file with a `base`. The error for a key that belongs into `base` says so."""

    tensorboard: bool = False
    """Write curves of each trial for TensorBoard, under `runs/tensorboard`. It changes no result."""
    notify: Annotated[tuple[str, ...], WithJsonSchema(_TEXT_OR_TEXTS)] = ()
    """Web addresses, commands and apprise services to notify of new best results and of the end."""
    storage: str | None = None
    """Storage of checkpoints and logs: a folder that every machine can reach, or a URL such as `s3://bucket/prefix`.
    Without it, the runs folder."""
    study_storage: str | None = None
    """Database that stores the study, such as `postgresql://user@host/database`, so that another machine can resume
    the sweep. Without it, a journal in the runs folder. The password comes from the environment."""

    @field_validator("storage")
    @classmethod
    def _check_storage(cls, value: str | None) -> str | None:
        # A relative folder stays relative: it refers to the folder in which the sweep is run.
        if value is not None:
            check_storage(value)
        return value

    @field_validator("study_storage")
    @classmethod
    def _check_study_storage(cls, value: str | None) -> str | None:
        return None if value is None else check_study_storage(value)

    @property
    def storages(self) -> Storages:
        """The storages in the file."""
        return Storages(storage=self.storage, study_storage=self.study_storage)

    @field_validator("notify", mode="before")
    @classmethod
    def _check_notify(cls, value: Any) -> Any:
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, list | tuple) or not all(isinstance(entry, str) for entry in listed):
            # The message omits the value: a URL may contain a password.
            raise ValueError("must be a list of URLs (https://...) and commands, each a string")
        return listed

    def to_yaml(self) -> str:
        """Return the file with all overrides as YAML.

        `notify` is left out, because the text is recorded and the URLs may be secret.
        """
        return self._yaml_without(set())

    def _yaml_without(self, keys: set[str]) -> str:
        return dump_yaml(self.model_dump(mode="json", exclude_unset=True, exclude={"notify", *keys}))

    @classmethod
    def _key_hint(cls, name: str) -> str:
        paths = paths_of(name)
        if len(paths) == 1:
            return f"did you mean 'base.{paths[0]}'?"
        if paths:
            return f"did you mean one of {', '.join(f'base.{path}' for path in paths)}?"
        return super()._key_hint(name)


def paths_of(name: str, *, task: AnyTask = IMAGES) -> list[str]:
    """Return the paths of a training configuration that end with a key: `optimizer.lr` for `lr`."""
    found = []
    for block, field in task.config_type.model_fields.items():
        if block == name:
            return [block]
        inner = getattr(field.annotation, "model_fields", {})
        found += [f"{block}.{key}" for key in inner if key == name]
    return found


def _goal_of(metric: str, goal: str) -> dict[str, Any]:
    """Return the JSON Schema of the rule that a metric has a fixed goal, which may be left out."""
    chosen = {"properties": {"name": {"const": metric}}, "required": ["name"] if metric != "val_accuracy" else []}
    return {"if": chosen, "then": {"properties": {"goal": {"const": goal}}}}


def checked_function(train: str | None) -> str | None:
    """Return the name of a task, or the import path of a training function, after importing it.

    Raises:
        ValueError: there is no such task, or the function cannot be imported or called by a search.
    """
    if train is not None and not is_import_path(train) and train not in TASKS:
        raise ValueError(f"{train!r} is not a training function. Write 'module:function', such as 'mine:train'")
    try:
        task_named(train).config_type  # noqa: B018  # imports it
    except ModelError as error:
        raise ValueError(str(error)) from None
    return train


class Metric(StrictModel):
    """Metric that a search optimises, after each epoch and at the end."""

    model_config = ConfigDict(json_schema_extra={"allOf": [_goal_of(*each) for each in METRICS.items()]})

    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME)] = "val_accuracy"
    """`val_accuracy`, `val_loss`, `train_accuracy`, `train_loss`. With `train`, any number that the function yields."""
    goal: Literal["maximize", "minimize"] = "maximize"
    """Direction: `maximize` for an accuracy, `minimize` for a loss. Without it, the name decides: `maximize` if it
    contains `acc`, `f1`, `auc` or the like, else `minimize`."""
    target: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """Target value of the metric. When an epoch reaches it, no new trial starts, and running trials continue to their
    end."""

    @model_validator(mode="before")
    @classmethod
    def _goal_of_name(cls, values: Any) -> Any:
        if isinstance(values, str) and values in METRICS:
            raise ValueError(f"needs a mapping. Write metric: {{name: {values}}}")
        if isinstance(values, Mapping) and "goal" not in values and isinstance(name := values.get("name"), str):
            return {**values, "goal": METRICS.get(name) or ("maximize" if is_better_if_larger(name) else "minimize")}
        return values

    @model_validator(mode="after")
    def _check(self) -> Self:
        target = self.target or 0.0
        if self.name in METRICS and is_accuracy(self.name) and not 0 <= target <= 1:
            raise ValueError(f"target {target:g}: {self.name} is a share from 0 to 1. Write target: {target / 100:g}")
        if self.goal != METRICS.get(self.name, self.goal):
            raise ValueError(f"goal {self.goal!r} is wrong for {self.name}. Use {METRICS[self.name]!r}")
        return self


class StopWhen(StrictModel):
    """When a search ends before `run_cap`: at a value of its metric (as `metric.target`), or without progress."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": {"type": "number"}})

    patience: Annotated[int, Field(ge=1)] | None = None
    """Number of trials that have ended or paused since the best complete one, after which no new trial starts."""
    expected_gain: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """With `patience` and `early_terminate.type: curve_model`: the search ends only if the model expects less than
    this improvement by the most promising trial. For an accuracy in percentage points, such as 0.3; otherwise in the
    unit of the metric."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.expected_gain is not None and self.patience is None:
            raise ValueError("expected_gain needs patience. Write stop_when: {patience: 30, expected_gain: 0.3}")
        return self


def with_target(content: Any) -> Any:
    """Return the content of a file with the metric's value in `stop_when` as `metric.target`, which is the same.

    Raises:
        ValueError: `stop_when` has another metric, or both are given.
    """
    stop = content.get("stop_when") if isinstance(content, Mapping) else None
    if not isinstance(stop, Mapping):
        return content
    metric = content.get("metric", {})
    if isinstance(metric, Metric):
        metric = metric.model_dump(exclude_unset=True)
    if not isinstance(metric, Mapping):
        return content  # its error is reported
    name = metric.get("name", "val_accuracy")
    others = [key for key in stop if key not in StopWhen.model_fields]
    if wrong := [key for key in others if key != name]:
        raise ValueError(
            f"stop_when.{wrong[0]}: unknown key. Write the metric of the search, stop_when: {{{name}: VALUE}}, or "
            f"{' or '.join(StopWhen.model_fields)}"
        )
    if not others:
        return content
    if metric.get("target") is not None:
        raise ValueError(f"stop_when.{name}: is the same as metric.target, which is given too. Remove one of them")
    rest = {key: value for key, value in stop.items() if key != name}
    return {**content, "metric": {**metric, "target": stop[name]}, "stop_when": rest}


_DURATION_SCHEMA = {
    "anyOf": [
        # The lookahead rejects a duration of zero.
        {"type": "string", "pattern": rf"^(?=.*[1-9])\s*{DURATION.pattern}\s*$"},
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "null"},
    ]
}


Duration = Annotated[
    Annotated[float, Field(gt=0)] | None, BeforeValidator(parse_duration), WithJsonSchema(_DURATION_SCHEMA)
]
"""Seconds, written as `2h`, `1h30m`, `90s` or a number."""


_SomeDuration = Annotated[
    float,
    Field(gt=0),
    BeforeValidator(parse_duration),
    WithJsonSchema({"anyOf": _DURATION_SCHEMA["anyOf"][:2]}),
]


class Limits(StrictModel):
    """Limits of concurrency and of time."""

    max_concurrent_trials: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    """Number of trials at the same time. `auto`: as many as the cores or GPUs allow."""
    timeout: Duration = None
    """Time after which one start stops, whatever it trains: `2h`, `1h30m`, `90s` or a number of seconds. Unfinished
    trials resume at the next start. To plan a search for a time, use `budget`."""
    trial_timeout: Duration = None
    """Time that one trial may train, over all its epochs and starts. A trial that takes longer fails, and its log shows
    where it was."""
    epoch_timeout: Duration = None
    """Time that one epoch of a trial may take, such as `5m`, so that a training that hangs is ended."""

    def minus(self, seconds: float) -> Limits:
        """Return the limits that remain after so many seconds."""
        left = None if self.timeout is None else max(self.timeout - seconds, 0.001)
        return self.model_copy(update={"timeout": left})


_CUSTOM_SCHEMA: dict[str, Any] = {
    # Ray's built-in names in any case: patterns in a JSON Schema have no flag for this.
    "propertyNames": {
        "not": {"pattern": rf"^({'|'.join(''.join(f'[{c.upper()}{c}]' for c in n) for n in BUILT_IN_RESOURCES)})?\s*$"}
    },
    "additionalProperties": {
        "anyOf": [{"type": "number", "exclusiveMinimum": 0, "maximum": 1}, {"type": "integer", "minimum": 1}]
    },
}


class Resources(StrictModel):
    """Resources of one trial."""

    cpus_per_trial: int = Field(default=1, ge=1)
    """CPU cores of one trial, and its number of threads."""
    gpus_per_trial: Literal["auto"] | Annotated[float, Field(ge=0, json_schema_extra={"maximum": 1})] = "auto"
    """GPUs of one trial. `auto`: one GPU where there are any. A fraction lets several trials share one."""
    custom: dict[str, float] = Field(default_factory=dict, json_schema_extra=_CUSTOM_SCHEMA)
    """Custom resources of the nodes of a Ray cluster: name, as in `ray start --resources`, to amount."""
    placement: Literal["auto", "spread", "pack"] = "auto"
    """Choice among the nodes of a cluster with free resources. `auto`: that of Ray. `spread`: the node with the fewest
    trials. `pack`: the node with the most."""

    @field_validator("gpus_per_trial")
    @classmethod
    def _check_gpus(cls, value: float | str) -> float | str:
        if isinstance(value, float) and value > 1:
            raise ValueError(f"a trial trains on one GPU, not on {value:g}. Write 1, a fraction to share one, or auto")
        if isinstance(value, float) and value:
            _check_amount(value, "GPUs")
        return value

    @field_validator("custom")
    @classmethod
    def _check_custom(cls, value: dict[str, float]) -> dict[str, float]:
        for name, amount in value.items():
            if not name.strip():
                raise ValueError("a custom resource has no name")
            if name.strip().lower() in BUILT_IN_RESOURCES:
                key = BUILT_IN_RESOURCES[name.strip().lower()]
                raise ValueError(f"{name!r} is not a custom resource" + (f". Use resources.{key}" if key else ""))
            _check_amount(amount, name)
        return value


def _check_amount(amount: float, name: str) -> None:
    """Raise ValueError unless Ray accepts the amount: an integer, or a fraction below 1 with up to four digits."""
    if amount > 1 and amount != int(amount):
        raise ValueError(f"{amount:g} {name}: the amount must be an integer or a fraction below 1")
    if amount < MIN_AMOUNT:
        raise ValueError(f"{amount:g} {name}: the amount must be at least {MIN_AMOUNT:g}")


class Replicates(StrictModel):
    """Configurations of a search to train again under new seeds, so that the winner is not chosen by luck."""

    top: int = Field(default=3, ge=1)
    """Number of configurations, best first."""
    seeds: int = Field(default=3, ge=1)
    """New seeds per configuration, the same for all."""
    images: int | None = Field(default=None, ge=0)
    """Training images that neither the search nor the replicates train or select on, on which the replicates are
    compared. Without it as many as are left, at most 10,000; 0 for the validation images of the search."""


class Confirm(StrictModel):
    """A race of the best configurations under new seeds, until one is the best with a given probability."""

    top: int = Field(default=3, ge=2)
    """Number of configurations, best first."""
    until: float = Field(default=0.95, gt=0.5, lt=1)
    """Probability with which the declared one is the best, at any number of seeds."""
    at_most: _SomeDuration = 900.0
    """Time of the race over all its starts: `15m`, `1h30m`, `90s` or a number of seconds. A run that cannot end in this
    time is not begun."""
    images: int | None = Field(default=None, ge=0)
    """As in `replicates`."""


class Keep(StrictModel):
    """Weights of a search to keep on the disk. Those of ladders, replicates and retrained runs are always kept."""

    best: Literal["all"] | Annotated[int, Field(ge=0)] = 3
    """Number of configurations, best first, or `all`."""


def prepare_data(content: Mapping[str, Any]) -> None:
    """Prepare the data that a file's base names; whatever is wrong with the file is left to `validated`."""
    base = content.get("base")
    with contextlib.suppress(ValueError, TypeError, KeyError):
        if isinstance(base, Mapping):
            task_named(content.get("train")).prepare_data(merge({}, base))


def validated(kind: type[Spec], content: Document) -> Spec:
    """Return the validated content of a file.

    Raises:
        SpecError: with every error, each with its line.
    """
    errors, spec = checked(kind, content)
    if errors or spec is None:
        raise SpecError(content.path, content.located(errors))
    return spec


def checked(kind: type[Spec], content: Document) -> tuple[list[str], Spec | None]:
    """Return all errors of a file, each `key: error`, and the validated content without the invalid keys.

    Invalid keys are removed and the rest is validated again, so that an error does not hide others. The content is None
    if the rest is invalid too.
    """
    errors = [f"{key}: {mistake}" if key else mistake for key, mistake in content.mistakes.items()]
    wrong = list(content.mistakes)
    rest = deepcopy(dict(content))
    for attempt in range(_ATTEMPTS):
        try:
            return errors, kind.model_validate(rest)
        except ValidationError as error:
            found = [line for line in _lines(error) if not _is_known(line, wrong, follows=attempt > 0)]
            errors += found
            keys = [key_of(line) for line in _lines(error)]
            wrong += keys
            if {"train", "program", "command", "metrics"} & set(keys):
                break  # without the user's code, the names of its arguments are unknown
            # In reverse order: removing an entry of a list shifts the following ones.
            taken_out = [_take_out(rest, key) for key in reversed(keys)]
            if not any(taken_out):
                break
            wrong += [key for key in taken_out if key]
    return errors, None


_ATTEMPTS = 6
_PLACEHOLDERS = {"name": "unnamed", "parameters": {}, "run_cap": 1}
"""Values of missing required keys while the rest of a file is validated."""


def _lines(error: ValidationError) -> list[str]:
    """Return the errors of a file, one line each, with the errors of a validator below its key."""
    lines = []
    for text in explain(error):
        first, *others = text.split("\n")
        key, _, rest = first.partition(": ")
        if key in ("base", "parameters") and _names_a_key(rest):
            lines += [f"{key}.{part}" for part in (rest, *others)]
        else:
            lines += [first, *(part if _names_a_key(part) else f"{key}: {part}" for part in others)]
    return lines


def _names_a_key(line: str) -> bool:
    return re.match(r"[\w.\[\]:/-]+: ", line) is not None


def _is_known(line: str, wrong: Sequence[str], *, follows: bool) -> bool:
    """Return whether an error repeats, or only follows from, a known error."""
    key = key_of(line)
    if any(key == each or key.startswith(f"{each}.") for each in wrong if each):
        return True
    specific = [each for each in wrong if "." in each or each in ("method", "extends")]
    names = [re.sub(r"\.values\.\d+$|\.(min|max|value)$", "", each) for each in specific]
    names += [name.removeprefix("parameters.") for name in names]
    return follows and any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", line) for name in names)


def _take_out(content: Any, key: str) -> str:
    """Remove a dotted key, or the closest existing parent, from a file's content. Return the removed key."""
    above, inner, rest = _deepest(content, key)
    if above is None:
        if key in _PLACEHOLDERS:
            content[key] = _PLACEHOLDERS[key]
            return key
        return ""
    del above[inner]
    return key.removesuffix(rest).removesuffix(".")


def _deepest(content: Any, key: str) -> tuple[Any, Any, str]:
    """Return the container of the deepest existing part of a dotted key, that part, and the missing rest."""
    above, inner, below = None, None, content
    while key:
        if isinstance(below, list):
            index = key.partition(".")[0]
            name = index if index.isdigit() and int(index) < len(below) else None
        else:
            names = below if isinstance(below, dict) else ()
            name = max((name for name in names if key == name or key.startswith(f"{name}.")), key=len, default=None)
        if name is None:
            break
        is_parameter = inner == "parameters"
        above, inner = below, int(name) if isinstance(below, list) else name
        below, key = above[inner], key.removeprefix(name).removeprefix(".")
        if is_parameter:  # the rest of a parameter would cause other errors
            break
    return above, inner, key
