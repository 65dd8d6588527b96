"""Several objectives of a search (`metrics`): which one a training measures, and which ones are known before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sweeps.files.settings import Metric
from sweeps.files.space import SearchSpace
from sweeps.tasks.program.config import argument_path
from sweeps.tasks.program.reports import recorded_name
from sweeps.tasks.registry import IMAGES


def with_learnt_metric(content: Any) -> Any:
    """Return the content of a sweep file with `metric`, the one of its `metrics` that a training measures.

    Raises:
        ValueError: the file has `metric` too, or its `metrics` have not exactly one that a training measures.
    """
    if not isinstance(content, Mapping) or not content.get("metrics"):
        return content
    listed = content["metrics"]
    if not isinstance(listed, list | tuple) or not all(isinstance(each, Mapping | Metric) for each in listed):
        return content  # reported by the type of the field
    if content.get("metric") is not None:
        raise ValueError("metric: cannot be combined with metrics. Leave one of them out")
    entries = [each if isinstance(each, Mapping) else each.model_dump(exclude_unset=True) for each in listed]
    names = [str(each.get("name", "val_accuracy")) for each in entries]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"metrics: {twice[0]} is listed twice")
    known = _known_names(content)
    learnt = [entry for entry, name in zip(entries, names, strict=True) if name not in known]
    if len(learnt) != 1:
        raise ValueError(_wrong_number([str(each.get("name", "val_accuracy")) for each in learnt], content))
    for index, (entry, name) in enumerate(zip(entries, names, strict=True)):
        if name in known and entry.get("target") is not None:
            raise ValueError(
                f"metrics[{index}].target: {name} is known before a training. Write where: ['{name} <= …']"
            )
    if content.get("program") is not None:
        entries = [
            {**entry, "name": argument_path(name) if name in known else recorded_name(name)}
            for entry, name in zip(entries, names, strict=True)
        ]
    # `renamed_for_program` renames the metric itself.
    return {**content, "metrics": entries, "metric": dict(learnt[0])}


def _known_names(content: Mapping[str, Any]) -> set[str]:
    own_code = any(content.get(key) is not None for key in ("train", "program"))
    blocks = [block for key in ("parameters", "base") if isinstance(block := content.get(key), Mapping)]
    return {*({} if own_code else IMAGES.quantities), *(str(name) for block in blocks for name in block)}


def _wrong_number(learnt: Sequence[str], content: Mapping[str, Any]) -> str:
    known = sorted(_known_names(content))
    if not learnt:
        return (
            "metrics: all of them are known before a training, so that nothing has to be trained. Add one that a "
            "training measures, such as val_accuracy"
        )
    return (
        f"metrics: a training measures {' and '.join(learnt)}, and a search learns one of them. Keep one, and write a "
        f"limit on the other as where: ['{learnt[1]} <= …']. Known before a training are {', '.join(known)}"
    )


def objective_errors(space: SearchSpace, objectives: Sequence[Metric]) -> list[str]:
    """Return the errors of objectives that are known before a training."""
    errors = []
    for objective in objectives:
        name = objective.name
        if name in space.task.quantities:
            continue
        if name not in space.parameters:
            errors.append(f"metrics: {name} is the same for all trials. Search it under parameters, or leave it out")
        elif not space.parameters[name].is_range and not all(
            isinstance(value, int | float) and not isinstance(value, bool) for value in space.parameters[name].choices
        ):
            errors.append(f"metrics: {name} has values that are no numbers. Choose a numeric parameter")
    return errors
