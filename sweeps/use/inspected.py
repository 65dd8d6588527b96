"""What a person wants to look into: a network or an augmentation by its own name, of a file, or of a recorded run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import yaml

from cifar_core.common.errors import closest
from cifar_core.common.own_modules import is_import_path
from cifar_core.config import TrainingConfig
from cifar_core.models.registry import ARCHITECTURES
from cifar_core.recipes import RECIPES
from sweeps.core.errors import SweepError
from sweeps.store.kept_code import require_same_code
from sweeps.use.single_config import config_in_file, is_file_name, single_config
from sweeps.views.names import find_named

if TYPE_CHECKING:
    from sweeps.record.reader import RecordReader


@dataclass(frozen=True, kw_only=True)
class Inspected:
    """A configuration, and what to call it."""

    name: str
    config: TrainingConfig


def network_behind(reader: RecordReader, name: str, *, runs: Path, overrides: Sequence[str] = ()) -> Inspected:
    """Return the configuration of a network.

    Args:
        reader: of the record.
        name: a model of this project, one's own as `module:Class`; a file, of a ladder as `FILE:RUNG`; or a run, or a
            sweep for its best.
        runs: the runs folder.
        overrides: `path=value`, such as `model.width=16`.

    Raises:
        SweepError: there is nothing of this name, an override is wrong, or the code of a recorded run has changed.
    """
    if name in ARCHITECTURES or (is_import_path(name) and not is_file_name(name)):
        return Inspected(name=name, config=single_config({"model": {"name": name}}, overrides=overrides))
    if is_file_name(name):
        return Inspected(name=name, config=config_in_file(name, block="model.", overrides=overrides))
    return _recorded(reader, name, overrides=overrides, what=f"no model ({closest(name, ARCHITECTURES)})", code_in=runs)


def augmentation_behind(
    reader: RecordReader, name: str, *, normalization: str | None = None, overrides: Sequence[str] = ()
) -> Inspected:
    """Return a configuration with the augmentation that a person means.

    Args:
        reader: of the record.
        name: a recipe, or a list such as `[normalize, flip, {crop: {padding: 2}}]`; or a file or a run, as for
            `network_behind`.
        normalization: takes the place of the one that is recorded or written; None keeps it, and is `cifar10` where a
            recipe is named.
        overrides: `path=value`, such as `data.augmentation=flip`.

    Raises:
        SweepError: there is nothing of this name, or an override is wrong.
    """
    chosen = [] if normalization is None else [f"data.normalization={normalization}"]
    if name in RECIPES or name.startswith("["):
        data = {"augmentation": _operations(name), "normalization": "cifar10"}
        return Inspected(name=name, config=single_config({"data": data}, overrides=[*overrides, *chosen]))
    if is_file_name(name):
        config = config_in_file(name, block="data.augmentation", overrides=[*overrides, *chosen])
        return Inspected(name=name, config=config)
    what = f"no augmentation ({closest(name, RECIPES)})"
    return _recorded(reader, name, overrides=[*overrides, *chosen], what=what)


def _operations(name: str) -> Any:
    if name in RECIPES:
        return name
    try:
        return yaml.safe_load(name)
    except yaml.YAMLError:
        raise SweepError(f"{name!r} is not a list of operations such as '[normalize, flip, crop]'") from None


def _recorded(
    reader: RecordReader, name: str, *, overrides: Sequence[str], what: str, code_in: Path | None = None
) -> Inspected:
    try:
        named = find_named(reader, name)
    except SweepError as error:
        raise SweepError(f"{name!r} is {what}, no file of a sweep or ladder; and in the record: {error}") from None
    own = named.own
    recorded = reader.configuration(own["run_id"])
    if code_in is not None:
        require_same_code(recorded, own["source"], run=named.name, sweep=code_in / "sweeps" / str(own["sweep"]))
    config = single_config(cast("TrainingConfig", recorded), overrides=overrides)
    return Inspected(name=named.name, config=config)
