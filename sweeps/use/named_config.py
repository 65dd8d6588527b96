"""One configuration by the name of a recorded run, from a file, or as changes to another configuration."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from cifar_core.common.user_modules import NETWORK
from cifar_core.common.validation import explain
from cifar_core.config import TrainingConfig
from sweeps.core.errors import SpecError, SweepError
from sweeps.core.measure import Measure
from sweeps.core.task import TaskConfig
from sweeps.files.ladder_file import is_ladder, load_ladder
from sweeps.files.metric_goal import is_better_if_larger
from sweeps.files.settings import Resources
from sweeps.files.sweep import load_spec
from sweeps.files.yaml_file import parse_override, read_yaml, set_path
from sweeps.record.reader import MlflowReader
from sweeps.tasks.registry import task_of
from sweeps.use.single_config import is_file_name, single_config, split_file_name
from sweeps.views.names import find_named

if TYPE_CHECKING:
    from sweeps.record.table import Row

_CHANGE = re.compile(r"[A-Za-z_][\w.]*=")
_OF_FILES = frozenset({"base", "parameters", "method", "rungs", "extends", "run_cap"})
"""Keys of which a sweep or ladder file has at least one. A file without them contains one configuration."""


@dataclass(frozen=True, kw_only=True)
class NamedConfig:
    """A configuration and its origin."""

    name: str
    config: TaskConfig
    measure: Measure | None = None
    """What its search or its ladder compares by; None if the origin does not say."""
    run: str | None = None
    """Name of the recorded configuration; None for a file or for changes."""
    sweep: str | None = None
    """Sweep of that."""
    source: str | None = None
    """Hash of the custom code that the recorded run was trained with."""
    recorded: TaskConfig | None = None
    """The configuration of the recorded run, before overrides."""
    resources: Resources | None = None
    """Resources in its file; None if it has none."""


def named_pair(
    first: str, second: str, *, runs: Path, overrides: Sequence[str] = ()
) -> tuple[NamedConfig, NamedConfig]:
    """Return two configurations.

    Args:
        first: A recorded run or configuration, a file (`FILE`, `FILE:RUNG`), or changes to the second:
            `optimizer.lr=0.05 model.width=32`.
        second: As `first`.
        runs: The runs folder.
        overrides: `path=value` for both.

    Raises:
        SweepError: A name, a file or a value is invalid, or both are changes.
    """
    if is_change(first) and is_change(second):
        raise SweepError(
            f"{first!r} and {second!r} are changes, of no configuration. Name a recorded run or a file as one of them"
        )
    if is_change(first):
        base = _named(second, runs=runs, overrides=overrides)
        return _changed(base, first), base
    base = _named(first, runs=runs, overrides=overrides)
    if is_change(second):
        return base, _changed(base, second)
    other = _named(second, runs=runs, overrides=overrides)
    if other.name == base.name:  # two files of the same name in two folders
        base, other = replace(base, name=first), replace(other, name=second)
    return base, other


def is_change(name: str) -> bool:
    """Return whether a name consists of changes, `optimizer.lr=0.05`, and not of a run or a file."""
    return bool(_CHANGE.match(name)) and not is_file_name(name)


def with_values(config: TaskConfig, overrides: Sequence[str], *, where: str = "--set") -> TaskConfig:
    """Return a configuration of any task with some values changed.

    Args:
        config: The configuration.
        overrides: `path=value`, the value in YAML; a leading `base.` is ignored.
        where: What the overrides are, for the message.

    Raises:
        SpecError: An override is malformed, or the changed configuration is invalid.
    """
    if not overrides:
        return config
    if isinstance(config, TrainingConfig):
        try:
            return single_config(config, overrides=overrides)
        except SpecError as error:
            raise SpecError(where, error.errors) from None
    tree: dict[str, Any] = config.model_dump(mode="json")
    for override in overrides:
        path, value = parse_override(override)
        set_path(tree, path.removeprefix("base."), value)
    try:
        changed: TaskConfig = task_of(config).config_type.model_validate(tree)
    except ValidationError as error:
        raise SpecError(where, explain(error)) from None
    return changed


def _changed(base: NamedConfig, changes: str) -> NamedConfig:
    config = with_values(base.config, changes.split(), where=repr(changes))
    return NamedConfig(name=changes, config=config, measure=base.measure, resources=base.resources, sweep=base.sweep)


def _named(name: str, *, runs: Path, overrides: Sequence[str]) -> NamedConfig:
    found = _in_file(name) if is_file_name(name) else _recorded(name, runs=runs)
    return replace(found, config=with_values(found.config, overrides))


def _recorded(name: str, *, runs: Path) -> NamedConfig:
    reader = MlflowReader(runs)
    named = find_named(reader, name)
    row = named.defining_row
    config = reader.configuration(row["run_id"])
    return NamedConfig(
        name=named.name,
        config=config,
        measure=_measure_of(row, config),
        run=named.name,
        sweep=row["sweep"],
        source=row["source"],
        recorded=config,
    )


def _measure_of(row: Row, config: TaskConfig) -> Measure | None:
    metric = row["metric"]
    if metric is None or (task_of(config).code_kind is NETWORK and metric.startswith("train_")):
        return None
    goal = row["goal"]
    return Measure(name=metric, maximize=is_better_if_larger(metric) if goal is None else goal == "maximize")


def _in_file(name: str) -> NamedConfig:
    path, rung = split_file_name(name)
    content = read_yaml(path)
    if not content.keys() & _OF_FILES:
        return NamedConfig(name=path.stem, config=single_config(content))
    if is_ladder(content):
        ladder = load_ladder(path)
        if rung is None:
            names = ", ".join(each.name for each in ladder.rungs)
            raise SpecError(path, [f"this is a ladder. Name a rung: {path}:RUNG. Rungs: {names}"])
        measure = (
            None
            if ladder.metric is None
            else Measure(name=ladder.metric.name, maximize=ladder.metric.goal == "maximize")
        )
        return NamedConfig(
            name=f"{path.stem}:{rung}", config=ladder.rung(rung).config, measure=measure, resources=ladder.resources
        )
    if rung is not None:
        raise SpecError(path, [f"this is a sweep, which has no rung {rung!r}"])
    spec = load_spec(path)
    if spec.space.cardinality != 1:
        searched = ", ".join(path for path, each in spec.parameters.items() if each.value is None)
        raise SpecError(path, [f"this sweep searches {searched}. Name one of its runs, or give each a single value"])
    config = spec.space.config(next(iter(spec.space.assignments())))
    measure = Measure(name=spec.metric.name, maximize=spec.metric.goal == "maximize")
    return NamedConfig(name=path.stem, config=config, measure=measure, resources=spec.resources)
