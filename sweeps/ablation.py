"""Leave one change out at a time of a recorded configuration: what was each worth?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cifar_core.config import TrainingConfig
from cifar_core.models.registry import is_import_path
from sweeps.errors import SweepError
from sweeps.ladder import Ladder, Rung, differences
from sweeps.spec import Limits, Resources
from sweeps.yaml_files import flatten, set_path

WHOLE_BLOCKS = ("model", "schedule")
"""Blocks whose fields have no meaning under another name: they are left out together with it."""

KEPT = ("epochs", "seed", "data.train_size", "data.validation_size", "data.split_seed")
"""The budget and the images are no change: without them nothing could be compared."""


def ablation_of(row: Mapping[str, Any]) -> Ladder:
    """Return a ladder of a run's whole configuration, and of it without each of its changes.

    Args:
        row: the run as the record's reader gives it, its configuration under dotted names.

    Raises:
        SweepError: the run has no change that could be left out.
    """
    config = _config_of(row)
    plain = TrainingConfig()
    whole = config.resolved()
    changes = _changes(whole, plain)
    if not changes:
        raise SweepError(f"run {row['run_id']} is the plain configuration: there is no change to leave out")
    rungs = [
        Rung(name="whole", place=0, came_from=None, note="", config=config, changes=tuple(differences(None, config)))
    ]
    for place, path in enumerate(changes, start=1):
        without = _without(config, path, plain)
        rungs.append(
            Rung(
                name=f"without-{path.removesuffix('.name').replace('_', '-')}",
                place=place,
                came_from="whole",
                note="",
                config=without,
                changes=tuple(differences(config, without)),
            )
        )
    name = f"ablate-{row['key'][:8]}"
    return Ladder(
        name=name,
        description=f"{row['sweep']}/{row['trial']} without each of its changes",
        limits=Limits(),
        resources=Resources(),
        rungs=tuple(rungs),
    )


def _config_of(row: Mapping[str, Any]) -> TrainingConfig:
    import pandas as pd

    known = {"epochs": row["epochs"]} | {
        path: value for path, value in row.items() if path.split(".")[0] in TrainingConfig.model_fields
    }
    tree: dict[str, Any] = {}
    for path, value in known.items():
        if isinstance(value, str) and value.startswith("["):
            set_path(tree, path, json.loads(value))
        elif not pd.isna(value):
            set_path(tree, path, value)
    model = tree.get("model", {})
    if is_import_path(model.get("name", "")):
        # The record shows the options of a network of the user's own as fields.
        tree["model"] = {"name": model.pop("name"), "options": model}
    return TrainingConfig.model_validate(tree)


def _changes(whole: Mapping[str, Any], plain: TrainingConfig) -> list[str]:
    reference = flatten(plain.resolved())
    changed = [path for path, value in flatten(whole).items() if reference.get(path) != value and path not in KEPT]
    renamed = {block for block in WHOLE_BLOCKS if f"{block}.name" in changed}
    return [path for path in changed if path.endswith(".name") or path.split(".")[0] not in renamed]


def _without(whole: TrainingConfig, path: str, plain: TrainingConfig) -> TrainingConfig:
    tree = whole.model_dump(mode="json")
    block = path.split(".")[0]
    if path == f"{block}.name" and block in WHOLE_BLOCKS:
        tree[block] = plain.model_dump(mode="json")[block]
    else:
        set_path(tree, path, flatten(plain.resolved())[path])
    return TrainingConfig.model_validate(tree)
