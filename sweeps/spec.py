"""`SweepSpec`: a sweep's YAML file, parsed and validated before anything starts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from cifar_core.config import StrictModel, TrainingConfig, explain
from sweeps.errors import SpecError
from sweeps.space import MOST_COMBINATIONS, Parameter, SearchSpace, SpaceError
from sweeps.yaml_files import read_yaml

Spec = TypeVar("Spec", bound=StrictModel)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
METRICS = {
    "val_accuracy": "maximize",
    "val_loss": "minimize",
    "train_loss": "minimize",
    "train_accuracy": "maximize",
}
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?\s*(?:(\d+(?:\.\d+)?)m(?:in)?)?\s*(?:(\d+(?:\.\d+)?)s)?")


def parse_duration(value: Any) -> Any:
    """Return seconds from `2h`, `1h30m`, `90s` or a number of seconds."""
    if isinstance(value, str):
        match = _DURATION.fullmatch(value.strip())
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
            f"{name!r} is not a name for a sweep: use letters, digits, '-', '_' and '.', at most 64, "
            "beginning with a letter or digit"
        )
    return name


class Metric(StrictModel):
    """What the search looks at, each epoch and at the end."""

    name: Literal["val_accuracy", "val_loss", "train_loss", "train_accuracy"] = "val_accuracy"
    goal: Literal["maximize", "minimize"] = "maximize"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.goal != METRICS[self.name]:
            raise ValueError(f"goal {self.goal!r} makes {self.name} worse: use {METRICS[self.name]!r}")
        return self


class Limits(StrictModel):
    """When to hold back and when to stop."""

    max_concurrent_trials: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    timeout: Annotated[Annotated[float, Field(gt=0)] | None, BeforeValidator(parse_duration)] = None
    """Seconds after which the sweep stops; what is unfinished goes on at the next start."""


class Resources(StrictModel):
    """What one trial holds while it trains."""

    cpus_per_trial: int = Field(default=1, ge=1)
    gpus_per_trial: Literal["auto"] | Annotated[float, Field(ge=0)] = "auto"
    """auto: a whole GPU where there are any. A fraction lets several trials share one."""

    @field_validator("gpus_per_trial")
    @classmethod
    def _check_gpus(cls, value: float | str) -> float | str:
        if isinstance(value, float) and value > 1 and value != int(value):
            raise ValueError(f"{value} GPUs: a fraction below 1 or a whole number")
        return value


class EarlyTerminate(StrictModel):
    """Which trials are stopped before their last epoch."""

    type: Literal["asha", "hyperband", "median", "none"] = "none"
    min_epochs: int = Field(default=1, ge=1)
    """No trial is stopped before."""
    reduction_factor: int = Field(default=3, ge=2)
    """asha, hyperband: one in this many goes on at each milestone."""


class SweepSpec(StrictModel):
    """One sweep: what may vary, how it is searched, and how much it may spend."""

    name: str
    description: str = ""
    method: Literal["bayes", "random", "grid"] = "bayes"
    """bayes: Optuna's TPE; random; grid: every combination in order."""
    metric: Metric = Metric()
    run_cap: int | None = Field(default=None, ge=1)
    """Trials. A grid without it runs every combination."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of the search. The training seed is `base.seed`."""
    limits: Limits = Limits()
    resources: Resources = Resources()
    early_terminate: EarlyTerminate = EarlyTerminate()
    start_with: tuple[dict[str, Any], ...] = ()
    """Assignments of parameters to try first."""
    base: dict[str, Any] = Field(default_factory=dict)
    """What every trial shares: any field of `TrainingConfig`."""
    parameters: dict[str, Parameter]
    """What varies: dotted paths into `TrainingConfig`."""

    @field_validator("name")
    @classmethod
    def _check_name(cls, value: str) -> str:
        return check_name(value)

    @field_validator("base")
    @classmethod
    def _check_base(cls, value: dict[str, Any]) -> dict[str, Any]:
        try:
            TrainingConfig.model_validate(value)
        except ValidationError as error:
            raise ValueError("\n".join(explain(error))) from None
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        mistakes: list[str] = []
        try:
            space = self.space
        except SpaceError as error:
            raise ValueError("\n".join(error.mistakes)) from None
        mistakes += space.unlisted_splits()
        if self.method == "grid":
            mistakes += space.not_enumerable() or self._too_large(space)
        elif self.run_cap is None:
            mistakes.append(f"run_cap: a {self.method} search needs a number of trials, such as run_cap: 24")
        if self.metric.name.startswith("val_") and space.least("data.validation_size") == 0:
            mistakes.append(f"metric.name: {self.metric.name} needs base.data.validation_size above 0, such as 2000")
        if self.early_terminate.type != "none" and "epochs" in self.parameters:
            mistakes.append(
                "parameters.epochs: cannot be searched together with early_terminate, which compares trials epoch "
                "by epoch: set early_terminate.type to none or epochs in base"
            )
        for place, start in enumerate(self.start_with):
            mistakes += [f"start_with[{place}].{mistake}" for mistake in space.mistakes_of(start)]
        if mistakes:
            raise ValueError("\n".join(mistakes))
        return self

    def _too_large(self, space: SearchSpace) -> list[str]:
        if space.cardinality() is not None:
            return []
        return [f"parameters: a grid of more than {MOST_COMBINATIONS:,} combinations: use method bayes or random"]

    @property
    def space(self) -> SearchSpace:
        return SearchSpace(parameters=self.parameters, base=self.base)

    def warnings(self) -> list[str]:
        """Return what is allowed and yet probably not meant."""
        return self.space.warnings()


def load_spec(path: Path, *, overrides: Sequence[str] = ()) -> SweepSpec:
    """Return the sweep that a YAML file describes.

    Args:
        path: the file.
        overrides: `path=value` for any key of the file, value in YAML.

    Raises:
        SpecError: with every mistake found, each naming key, value and what is allowed.
    """
    content = read_yaml(path, overrides=overrides)
    if "rungs" in content:
        raise SpecError(path, ["is a ladder, not a sweep: run it with `sweeps ladder`"])
    return validated(SweepSpec, content, path)


def validated(kind: type[Spec], content: dict[str, Any], path: Path) -> Spec:
    """Return a file's content as a record, or raise a `SpecError` that names every mistake."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        mistakes = []
        for line in explain(error):
            place, colon, rest = line.partition(": ")
            parts = rest.split("\n") if colon else line.split("\n")
            prefix = f"{place}." if colon and place == "base" else ""
            if len(parts) == 1 and not prefix:
                mistakes.append(line)
            else:
                mistakes += [f"{prefix}{part}" for part in parts]
        raise SpecError(path, mistakes) from None
