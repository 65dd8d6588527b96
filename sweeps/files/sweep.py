"""`SweepSpec`: the parsed and validated YAML file of a sweep."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    Field,
    PrivateAttr,
    SerializeAsAny,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from cifar_core.common.errors import closest
from cifar_core.common.user_modules import written_name
from cifar_core.common.validation import explain
from sweeps.core.errors import SpecError
from sweeps.files.confirmation import ConfirmationPart, confirmation_part, part_configs
from sweeps.files.definition import WHERE
from sweeps.files.foreign import foreign_file
from sweeps.files.ladder_file import is_ladder
from sweeps.files.objectives import objective_errors, with_learnt_metric
from sweeps.files.own_code import FileOfOwnCode, renamed_for_program
from sweeps.files.parameter import Parameter
from sweeps.files.settings import (
    METRICS,
    Confirm,
    Duration,
    Keep,
    Limits,
    Metric,
    Name,
    Replicates,
    Resources,
    StopWhen,
    prepare_data,
    validated,
    with_target,
)
from sweeps.files.space import MAX_COMBINATIONS, SearchSpace
from sweeps.files.space_check import (
    SpaceError,
    assignment_errors,
    combination_errors,
    grid_errors,
    refusal_errors,
    shape_error,
    split_errors,
    warnings,
)
from sweeps.files.wandb import Translation, is_wandb, translated
from sweeps.files.yaml_file import Document, flatten, read_yaml
from sweeps.stopping.curve_model import CurveModelRule
from sweeps.stopping.never import Never
from sweeps.stopping.rule import StoppingRule
from sweeps.stopping.rules import parse_rule
from sweeps.tasks.program.config import argument_path
from sweeps.tasks.registry import PROGRAMS, task_named

VALIDATION = "data.validation_size"
Method = Literal["bayes", "random", "grid"]
METHODS: Mapping[Method, str] = {
    "bayes": "Optuna's TPE, which uses the results of earlier trials.",
    "random": "Independent draws from the search space.",
    "grid": "Every combination in order. It takes lists of values, and ranges of integers or with a step.",
}
"""Sampler to its description."""


class SweepSpec(FileOfOwnCode):
    """A sweep: its search space, search method and budget."""

    name: Name
    """Name of the sweep, and of its folder under `runs/sweeps`. A name belongs to one search space."""
    description: str = ""
    """One line for readers: the purpose of the search."""
    method: Method = "bayes"
    """Sampler that proposes configurations: `bayes`, `random` or `grid`."""
    metric: Metric = Metric()
    """Metric that the search optimises."""
    metrics: tuple[Metric, ...] = ()
    """Several objectives instead of `metric`: one that the training measures, and ones that are known before it, such
    as `parameters_millions` or a numeric parameter. The search looks for their front."""
    run_cap: int | None = Field(default=None, ge=1)
    """Number of trials. A grid without it runs every combination. The other methods require it or `budget`."""
    budget: Duration = None
    """Time of the whole sweep over all its starts: `20m`, `1h30m`, `90s` or a number of seconds. At its end the best
    configuration is complete, and confirmed if there are `replicates` or `confirm`. With `run_cap`, the first that is
    reached ends the search."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seed of the search. The training seed is `base.seed`."""
    limits: Limits = Limits()
    """Limits of concurrency and of time."""
    resources: Resources = Resources()
    """Resources of one trial."""
    early_terminate: SerializeAsAny[StoppingRule] = Never()
    """Rule that stops trials before their last epoch. Without it, none."""
    replicates: Replicates | None = None
    """Configurations to confirm under new seeds at the end of the search. Without it, none."""
    confirm: Confirm | None = None
    """A race of the best configurations at the end of the search instead of a fixed number of `replicates`."""
    stop_when: StopWhen = StopWhen()
    """When the search ends before `run_cap`: `{val_accuracy: 0.7}` or `{patience: 30, expected_gain: 0.3}`."""
    keep: Keep = Keep()
    """Weights to keep on the disk."""
    start_with: tuple[dict[str, Any], ...] = ()
    """Configurations to try first, each as dotted path to value."""
    where: tuple[str, ...] = ()
    """Conditions on each configuration, such as `model.width * epochs <= 800` or `parameters_millions < 1`. One that
    violates them is not trained. A condition on a metric, such as `val_loss < 2`, is measured by the training."""
    warm_start: tuple[Name, ...] = ()
    """Other sweeps or ladders of the same runs folder, of which the best and most different configurations are tried
    first. They are chosen at the first start."""
    base: dict[str, Any] = Field(default_factory=dict)
    """Values that all trials share: any field of a training configuration."""
    _notes: tuple[str, ...] = PrivateAttr(())
    parameters: dict[str, Parameter]
    """Search space: dotted path of a field to its values or range."""

    @model_validator(mode="before")
    @classmethod
    def _rename_for_program(cls, content: Any) -> Any:
        """Give arguments and the metric of a program names that the record does not use itself."""
        content = with_target(with_learnt_metric(content))
        if not isinstance(content, Mapping) or content.get("program") is None:
            return content
        changed = renamed_for_program(content, blocks=("base", "parameters"), lists=("start_with",))
        early = content.get("early_terminate")
        if isinstance(early, Mapping) and early.get("type") == "asha":
            # A script that saves nothing would train again from its first epoch.
            changed["early_terminate"] = {"mode": "stop", **early}
        return changed

    @field_validator("early_terminate", mode="before")
    @classmethod
    def _parse_rule(cls, value: Any) -> Any:
        return parse_rule(value)

    @field_validator("base")
    @classmethod
    def _check_base(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if info.data.get("program") is not None:
            return value  # a program takes any arguments
        if "train" not in info.data:
            return value  # `train` is invalid, so its keyword arguments are unknown
        try:
            task_named(info.data["train"]).config_type.model_validate(value)
        except ValidationError as error:
            raise ValueError("\n".join(map(_with_search, explain(error)))) from None
        return value

    @field_validator("parameters", mode="before")
    @classmethod
    def _check_shape(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, Mapping) and "train" in info.data:
            task = task_named(info.data["train"]) if info.data.get("program") is None else PROGRAMS
            errors = [
                f"{path}: {error}"
                for path, content in value.items()
                if (error := shape_error(path, content, task=task))
            ]
            if errors:
                raise ValueError("\n".join(errors))
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        errors = self._program_errors()
        if self.command is not None and self.program is None:
            raise ValueError(errors[0])  # the others are those of the built-in networks
        try:
            space = self.space
        except SpaceError as error:
            raise ValueError("\n".join(error.errors)) from None
        errors += split_errors(space)
        if self.method == "grid":
            errors += grid_errors(space) or self._too_large(space)
        elif self.run_cap is None and self.budget is None:
            errors.append(
                f"run_cap: method {self.method} needs the number of trials, such as run_cap: 24, or a time, such as "
                "budget: 20m"
            )
        if self.method == "grid" and self.budget is not None:
            errors.append(
                "budget: a grid runs every combination, however long it takes. Use method random or bayes, or "
                "limits.timeout, which stops a start that the next one resumes"
            )
        missing = [name for name in self.task.missing([*self.base, *self.parameters]) if name]
        errors += [
            f"parameters.{name}: required by {self.train}, which has no default. Write {name}: {{values: [...]}} or "
            f"base.{name}"
            for name in missing
        ]
        code = self.user_code
        if code is not None and "metric" not in self.model_fields_set:
            errors.append(
                f"metric: required for {written_name(code)}. Set the name of a number that it yields, and the goal"
            )
        if code is None and self.metric.name not in METRICS:
            errors.append(f"metric.name: unknown metric {self.metric.name!r}: {closest(self.metric.name, METRICS)}")
        elif code is None and self.metric.name.startswith("val_") and space.min_value(VALIDATION) == 0:
            where = "parameters" if VALIDATION in self.parameters else "base"
            errors.append(
                f"{where}.data.validation_size: is 0, and metric.name {self.metric.name} needs validation images. "
                "Set base.data.validation_size above 0, such as 2000"
            )
        errors += objective_errors(space, self.known_objectives)
        if self.early_terminate.stops:
            errors += self._stopping_errors(space)
        for index, start in enumerate(self.start_with):
            found = [f"start_with[{index}].{error}" for error in assignment_errors(space, start)]
            found = found or [f"start_with[{index}]: {error}" for error in combination_errors(space, start)]
            found = found or [f"start_with[{index}]: {error}" for error in refusal_errors(space, start)]
            errors += found
        errors += [f"parameters: the priors together: {error}" for error in refusal_errors(space, space.priors)]
        if self.replicates is not None and self.confirm is not None:
            errors.append(
                "confirm: cannot be combined with replicates, which trains a fixed number of seeds. Remove one of them"
            )
        elif not errors:
            try:
                self.confirmation  # noqa: B018  # raises
            except ValueError as error:
                errors.append(f"{'replicates' if self.confirm is None else 'confirm'}.{error}")
        if self.name in self.warm_start:
            errors.append(f"warm_start: {self.name} is this sweep itself, whose trials it continues. Name other sweeps")
        if errors:
            raise ValueError("\n".join(errors))
        return self

    @property
    def confirmation(self) -> ConfirmationPart | None:
        """The data on which its replicates are compared; None without replicates.

        Raises:
            ValueError: fewer images are left than the file requests.
        """
        wanted = self.confirm or self.replicates
        if wanted is None:
            return None
        return confirmation_part(self.task, part_configs(self.space), metric=self.metric.name, images=wanted.images)

    def _program_errors(self) -> list[str]:
        """Return what is wrong with the keys of a program."""
        names = list(self.parameters) if self.program is not None else []
        nested = ((name, other) for name in names for other in names if other.startswith(f"{name}."))
        return [
            *(
                f"parameters.{name}: cannot be combined with {other}, whose name begins with it. Rename one"
                for name, other in nested
            ),
            *self.key_errors(),
        ]

    def _stopping_errors(self, space: SearchSpace) -> list[str]:
        """Return an error for each parameter and setting that cannot be combined with early stopping."""
        errors = []
        if isinstance(self.early_terminate, CurveModelRule) and (self.method == "grid" or self.metrics):
            what = "starts only some combinations of a grid" if self.method == "grid" else "has one objective"
            errors.append(f"early_terminate.type: curve_model {what}. Use type: asha")
        if self.early_terminate.needs_epochs and not self.expected_epochs:
            errors.append(
                f"early_terminate.type: {self.early_terminate.type} needs the number of results of a trial. Write "
                "epochs: 10 at the top of the file, or type: asha"
            )
        if not space.is_constant("epochs"):
            errors.append(
                "parameters.epochs: cannot be searched with early_terminate, which compares trials at equal epochs. "
                "Set early_terminate.type to none, or set epochs in base"
            )
        if not space.is_constant("seed") and self.program is None:
            errors.append(
                "parameters.seed: cannot be searched with early_terminate, which would stop unlucky seeds. Write "
                "`replicates: {top: 3, seeds: 3}` instead, or set early_terminate.type to none"
            )
        return errors

    def _too_large(self, space: SearchSpace) -> list[str]:
        if space.cardinality is not None:
            return []
        return [f"parameters: the grid has more than {MAX_COMBINATIONS:,} combinations. Use method bayes or random"]

    @property
    def known_objectives(self) -> tuple[Metric, ...]:
        """The objectives that are known before a training; empty for a search with one objective."""
        return tuple(each for each in self.metrics if each.name != self.metric.name)

    def to_yaml(self) -> str:
        """Return the file with all overrides as YAML; see `FileOfConfigurations.to_yaml`."""
        # `metric` follows from `metrics`, and a file with both is refused.
        return self._yaml_without({"metric"} if self.metrics else set())

    @cached_property
    def space(self) -> SearchSpace:
        return SearchSpace(parameters=self.parameters, base=self.shared_values, task=self.task, where=self.where)

    @property
    def shared_values(self) -> dict[str, Any]:
        """The base, with the values that other keys set for a program."""
        names = {*self.base, *self.parameters}
        return {**self.base, **self.program_values(metric=self.metric.name, names=names)}

    @property
    def expected_epochs(self) -> int:
        """The largest number of results of a trial; 0 if it is unknown."""
        path = argument_path("epochs") if self.program is not None and self.epochs is None else "epochs"
        try:
            largest = self.space.max_value(path)
        except (AttributeError, LookupError):
            return 0
        return int(largest) if isinstance(largest, int | float) else 0

    @property
    def notes(self) -> tuple[str, ...]:
        """Differences between the file and this sweep, if the file is one of W&B."""
        return self._notes

    def warnings(self) -> list[str]:
        """Return warnings about probable mistakes."""
        return [*warnings(self.space), *self._without_effect(), *self.missing_here()]

    def _without_effect(self) -> list[str]:
        """Return warnings about keys without effect."""
        found = []
        epochs = self.expected_epochs
        argument = self.base.get(argument_path("epochs")) if self.epochs is not None else None
        if argument not in (None, self.epochs):
            found.append(f"epochs: a trial ends after {self.epochs} results, and its program gets --epochs={argument}")
        if epochs and (idle := self.early_terminate.never_acts(epochs=epochs, run_cap=self.run_cap)) is not None:
            found.append(f"early_terminate.{idle}")
        if self.warm_start and self.method == "grid":
            found.append("warm_start: has no effect in a grid, which runs all combinations in order")
        is_model = isinstance(self.early_terminate, CurveModelRule)
        if self.stop_when.expected_gain is not None and not is_model:
            found.append(
                "stop_when.expected_gain: has no effect without early_terminate.type curve_model. Only patience counts"
            )
        patience = self.stop_when.patience
        if patience is not None and self.run_cap is not None and patience >= self.run_cap:
            found.append(f"stop_when.patience: {patience} with run_cap {self.run_cap} never ends the search early")
        if self.start_with and self.method == "grid":
            found.append("start_with: has no effect in a grid, which runs all combinations in order")
        elif self.run_cap is not None and len(self.start_with) > self.run_cap:
            found.append(f"start_with: lists {len(self.start_with)} trials, and run_cap only allows {self.run_cap}")
        if self.method == "grid" and self.space.priors:
            found.append(f"parameters.{next(iter(self.space.priors))}.prior: has no effect in a grid")
        if self.method != "grid" and not self.space.is_constant("seed"):
            found.append(
                f"parameters.seed: a {self.method} search selects the luckiest seed. Write "
                "`replicates: {top: 3, seeds: 3}` instead, or use a grid, which averages seeds"
            )
        return found

    def definition(self) -> dict[str, Any]:
        """Return the definition that identifies its study: space, base and metric as flat JSON values."""
        parameters = {
            f"parameters.{path}": parameter.model_dump(mode="json", exclude_unset=True, exclude={"prior", "confidence"})
            for path, parameter in self.parameters.items()
        }
        base = {f"base.{path}": value for path, value in flatten(self.shared_values).items()}
        metric = {"metric.name": self.metric.name, "metric.goal": self.metric.goal}
        name = self.train if self.program is None else PROGRAMS.name
        task = {} if name is None else {"base.train": name}
        metric |= {f"metrics.{each.name}": each.goal for each in self.known_objectives}
        where = {WHERE: self.space.conditions.texts} if self.where else {}
        # Converted through JSON, so that the types equal those of a stored definition.
        definition: dict[str, Any] = json.loads(json.dumps({**parameters, **base, **task, **metric, **where}))
        return definition


def _with_search(error: str) -> str:
    """Return an error of `base`, with a hint to `parameters` if the value is a list."""
    key, _, rest = error.partition(": ")
    listed = re.search(r"\(got (\[.*\])\)", rest)
    if listed is None or "one value, not a list" not in rest:
        return error
    return f"{error}. To search over them, write `{key}: {{values: {listed[1]}}}` under parameters"


def load_spec(path: Path, *, overrides: Sequence[str] = ()) -> SweepSpec:
    """Return the sweep of a YAML file.

    Args:
        path: the file.
        overrides: `path=value` for any key of the file, the value in YAML.

    Raises:
        SpecError: with every error, each with key, value and allowed values.
    """
    content = read_yaml(path, overrides=overrides)
    if is_ladder(content):
        key = "rungs" if "rungs" in content else "extends"
        location = content.location_of(key)
        raise SpecError(path, [f"{location}: the file is a ladder, not a sweep. Run it with `sweeps ladder`"])
    if (reason := foreign_file(content)) is not None:
        raise SpecError(path, [reason])
    if not is_wandb(content):
        prepare_data(content)
        return validated(SweepSpec, content)
    return validated_translation(content, translated(content, stem=path.stem))


def validated_translation(content: Document, translation: Translation, *, with_errors: bool = True) -> SweepSpec:
    """Return the sweep of a translated file.

    Args:
        content: the file of W&B.
        translation: its content as that of a sweep file.
        with_errors: report keys without an equivalent as errors; otherwise they are left out.

    Raises:
        SpecError: with every error, each with the line of the file.
    """
    prepare_data(translation.content)
    mistakes = translation.errors if with_errors else {}
    spec = validated(
        SweepSpec, content.with_content(translation.content, renamed=translation.renamed, mistakes=mistakes)
    )
    spec._notes = tuple(translation.lines())
    return spec
