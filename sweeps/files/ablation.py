"""Ablations: ladders that remove the changes of a recorded configuration one at a time."""

from __future__ import annotations

from sweeps.core.errors import SweepError
from sweeps.core.task import TaskConfig
from sweeps.core.trial import MeasuredOn
from sweeps.files.difference import changes_between
from sweeps.files.ladder import Ladder, Rung
from sweeps.files.settings import Limits, Metric, Resources
from sweeps.files.yaml_file import set_path
from sweeps.tasks.registry import task_of

FULL_RUNG = "whole"
"""Name of the rung with the full configuration."""

_UNCHANGED = ("epochs", "seed")
"""Fields that are not ablated, in addition to `Task.part_fields`: the rungs must stay comparable."""


def ablation_of(
    config: TaskConfig,
    *,
    run: str,
    key: str,
    measured_on: MeasuredOn = MeasuredOn.TEST,
    metric: Metric | None = None,
) -> Ladder:
    """Return a ladder with a run's full configuration and with it without each of its changes.

    A change is a difference from the default configuration. If the network or the schedule has another name, its whole
    block is one change, because its fields have no meaning under the default name.

    Args:
        config: the recorded configuration of the run.
        run: name of the run, `quick/3`.
        key: of the run, part of the ladder's name.
        measured_on: what to compare by.
        metric: the metric of a custom training.

    Raises:
        SweepError: the run has no changes.
    """
    reduced = task_of(config).ablated(config)
    if reduced is None:
        plain = task_of(config).config_type.model_validate({})
        reduced = {path: _without(config, path, plain) for path in _changed_paths(config, plain)}
    if not reduced:
        raise SweepError(f"run {run} has the default configuration. There is no change to remove.")
    full = Rung(
        name=FULL_RUNG, index=0, parent=None, note="", config=config, changes=tuple(changes_between(None, config))
    )
    variants = [
        _variant(config, path, without, index=index) for index, (path, without) in enumerate(reduced.items(), start=1)
    ]
    return Ladder(
        name=f"ablate-{key[:8]}",
        description=f"{run} without each of its changes",
        limits=Limits(),
        resources=Resources(),
        rungs=(full, *variants),
        measured_on=measured_on,
        metric=metric,
    )


def _variant(config: TaskConfig, path: str, without: TaskConfig, *, index: int) -> Rung:
    return Rung(
        name=f"without-{path.removesuffix('.name').replace('_', '-')}",
        index=index,
        parent=FULL_RUNG,
        note="",
        config=without,
        changes=tuple(changes_between(config, without)),
    )


def _changed_paths(full: TaskConfig, plain: TaskConfig) -> list[str]:
    reference, kept = plain.dotted(), (*_UNCHANGED, *task_of(full).part_fields)
    values = full.dotted().items()
    required = task_of(full).missing(())
    kept = (*kept, *required)
    changed = [path for path, value in values if reference.get(path) != value and path not in kept]
    renamed = {block for block in task_of(full).reset_by_name if f"{block}.name" in changed}
    return [path for path in changed if path.endswith(".name") or path.split(".")[0] not in renamed]


def _without(full: TaskConfig, path: str, plain: TaskConfig) -> TaskConfig:
    tree = full.model_dump(mode="json")
    block = path.split(".")[0]
    if path == f"{block}.name" and block in task_of(full).reset_by_name:
        tree[block] = plain.model_dump(mode="json")[block]
    else:
        set_path(tree, path, plain.dotted()[path])
    config: TaskConfig = task_of(full).config_type.model_validate(tree)
    return config
