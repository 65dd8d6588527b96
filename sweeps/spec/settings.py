"""What the files of sweeps and ladders share: names, metric, limits, resources, early stopping."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from cifar_core.config import TrainingConfig
from cifar_core.validation import StrictModel, explain
from sweeps.errors import SpecError
from sweeps.storage import Place, check_storage, check_study_storage

Spec = TypeVar("Spec", bound=StrictModel)
MAX_NAME = 64
NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_NAME - 1}}}")
METRICS = {
    "val_accuracy": "maximize",
    "val_loss": "minimize",
    "train_loss": "minimize",
    "train_accuracy": "maximize",
}
BUILT_IN_RESOURCES = {
    "cpu": "cpus_per_trial",
    "gpu": "gpus_per_trial",
    "memory": None,
    "object_store_memory": None,
}
"""Ray's own resources, in lower case, to the key of a trial's share; None: a trial holds none of it."""
LEAST_AMOUNT = 0.0001
"""Ray counts in these."""
DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?\s*(?:(\d+(?:\.\d+)?)m(?:in)?)?\s*(?:(\d+(?:\.\d+)?)s)?")


def parse_duration(value: Any) -> Any:
    """Return seconds from `2h`, `1h30m`, `90s` or a number of seconds."""
    if isinstance(value, str):
        match = DURATION.fullmatch(value.strip())
        if match is None or not any(match.groups()):
            raise ValueError(f"{value!r} is not a duration such as 2h, 30m or 90s")
        hours, minutes, seconds = (float(part or 0) for part in match.groups())
        return hours * 3600 + minutes * 60 + seconds
    return value


def check_name(name: str) -> str:
    """Return a sweep's name if a folder can be called so and stays under the runs folder.

    Raises:
        ValueError: it cannot.
    """
    if not NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is not a name for a sweep: use letters, digits, '-', '_' and '.', at most {MAX_NAME}, "
            "beginning with a letter or digit"
        )
    return name


class FileOfConfigurations(StrictModel):
    """A file with a `base`: a key that belongs there is pointed to it."""

    tensorboard: bool = False
    """Whether each trial writes curves for TensorBoard, under `runs/tensorboard`; no part of what is trained."""
    notify: tuple[str, ...] = ()
    """Web addresses and commands that are told how it goes."""
    storage: str | None = None
    """Where checkpoints and logs are kept: a folder that every machine sees, or a URL such as s3://bucket/prefix.
    Without it, in the runs folder."""
    study_storage: str | None = None
    """A database for the study, such as postgresql://user@host/database, so that another machine can go on with it.
    Without it, a journal in the runs folder. A password comes from the environment."""

    @field_validator("storage")
    @classmethod
    def _check_storage(cls, value: str | None) -> str | None:
        # A folder's name is kept as it is written: a relative one is seen from where the sweep is run.
        if value is not None:
            check_storage(value)
        return value

    @field_validator("study_storage")
    @classmethod
    def _check_study_storage(cls, value: str | None) -> str | None:
        return None if value is None else check_study_storage(value)

    @property
    def place(self) -> Place:
        """Where it says that it is kept."""
        return Place(storage=self.storage, study_storage=self.study_storage)

    @field_validator("notify", mode="before")
    @classmethod
    def _check_notify(cls, value: Any) -> Any:
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, list | tuple) or not all(isinstance(entry, str) for entry in listed):
            # Without the value: an address may hold a password.
            raise ValueError("a list of web addresses (https://...) and commands, each a text")
        return listed

    def to_yaml(self) -> str:
        """Return what the file says, with every override in it, as a file that trains the same.

        Without `notify`: it goes into the record, and the addresses may be secret.
        """
        content = self.model_dump(mode="json", exclude_unset=True, exclude={"notify"})
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)

    @classmethod
    def _advice(cls, name: str) -> str:
        paths = _paths_of(name)
        if len(paths) == 1:
            return f"did you mean 'base.{paths[0]}'?"
        if paths:
            return f"did you mean one of {', '.join(f'base.{path}' for path in paths)}?"
        return super()._advice(name)


def _paths_of(name: str) -> list[str]:
    """Return the paths of a training configuration that a key may stand for: `lr` for `optimizer.lr`."""
    found = []
    for block, field in TrainingConfig.model_fields.items():
        if block == name:
            return [block]
        inner = getattr(field.annotation, "model_fields", {})
        found += [f"{block}.{key}" for key in inner if key == name]
    return found


class Metric(StrictModel):
    """What the search looks at, each epoch and at the end."""

    name: Literal["val_accuracy", "val_loss", "train_loss", "train_accuracy"] = "val_accuracy"
    """What is compared: an accuracy, or a loss."""
    goal: Literal["maximize", "minimize"] = "maximize"
    """maximize for an accuracy, minimize for a loss."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.goal != METRICS[self.name]:
            raise ValueError(f"goal {self.goal!r} makes {self.name} worse: use {METRICS[self.name]!r}")
        return self


class Limits(StrictModel):
    """When to hold back and when to stop."""

    max_concurrent_trials: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    """Trials at the same time; auto: as many as there are cores or GPUs for."""
    timeout: Annotated[Annotated[float, Field(gt=0)] | None, BeforeValidator(parse_duration)] = None
    """Seconds after which the sweep stops; what is unfinished goes on at the next start."""

    def less(self, seconds: float) -> Limits:
        """Return what is left of these after so many seconds."""
        left = None if self.timeout is None else max(self.timeout - seconds, 0.001)
        return self.model_copy(update={"timeout": left})


class Resources(StrictModel):
    """What one trial holds while it trains."""

    cpus_per_trial: int = Field(default=1, ge=1)
    """CPU cores of one trial, and its threads."""
    gpus_per_trial: Literal["auto"] | Annotated[float, Field(ge=0)] = "auto"
    """auto: a whole GPU where there are any. A fraction lets several trials share one."""
    custom: dict[str, float] = Field(default_factory=dict)
    """Custom resources of a Ray cluster's nodes: name, as in `ray start --resources`, to amount."""
    placement: Literal["auto", "spread", "pack"] = "auto"
    """Which of a cluster's nodes with room is taken: spread: the one with the fewest trials; pack: with the most."""

    @field_validator("gpus_per_trial")
    @classmethod
    def _check_gpus(cls, value: float | str) -> float | str:
        if isinstance(value, float) and value:
            _check_amount(value, "GPUs")
        return value

    @field_validator("custom")
    @classmethod
    def _check_custom(cls, value: dict[str, float]) -> dict[str, float]:
        for name, amount in value.items():
            if not name.strip():
                raise ValueError("a custom resource without a name")
            if name.strip().lower() in BUILT_IN_RESOURCES:
                key = BUILT_IN_RESOURCES[name.strip().lower()]
                raise ValueError(f"{name!r} is no custom resource" + (f": use resources.{key}" if key else ""))
            _check_amount(amount, name)
        return value


def _check_amount(amount: float, name: str) -> None:
    """Check that Ray can count so much of a resource: it takes whole numbers, and parts of one to four digits."""
    if amount > 1 and amount != int(amount):
        raise ValueError(f"{amount:g} {name}: a fraction below 1 or a whole number")
    if amount < LEAST_AMOUNT:
        raise ValueError(f"{amount:g} {name}: {LEAST_AMOUNT:g} is the least")


class EarlyTerminate(StrictModel):
    """Which trials are stopped before their last epoch."""

    type: Literal["asha", "hyperband", "median", "none"] = "none"
    """asha: successive halving, asynchronous; hyperband: several of them; median: what is below the others' median."""
    min_epochs: int = Field(default=1, ge=1)
    """No trial is stopped before."""
    reduction_factor: int = Field(default=3, ge=2)
    """asha, hyperband: one in this many goes on at each milestone."""


class Replicates(StrictModel):
    """Which configurations of a search are trained again under new seeds, so that luck does not choose the winner."""

    top: int = Field(default=3, ge=1)
    """Configurations, the best first."""
    seeds: int = Field(default=3, ge=1)
    """New seeds of each; the same ones for all."""


class Keep(StrictModel):
    """Which weights of a search stay on the disk; of ladders, replicates and retrained runs all do."""

    best: Literal["all"] | Annotated[int, Field(ge=0)] = 3
    """Complete trials, the best first by the metric."""


def validated(kind: type[Spec], content: dict[str, Any], path: Path) -> Spec:
    """Return a file's content as a record, or raise a `SpecError` that names every error."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        errors = []
        for line in explain(error):
            key, colon, rest = line.partition(": ")
            parts = rest.split("\n") if colon else line.split("\n")
            prefix = f"{key}." if colon and key == "base" else ""
            if len(parts) == 1 and not prefix:
                errors.append(line)
            else:
                errors += [f"{prefix}{part}" for part in parts]
        raise SpecError(path, errors) from None
