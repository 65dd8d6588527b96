"""A network or an augmentation to inspect: by its name, from a file, or from a recorded run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import yaml

from cifar_core.common.errors import closest
from cifar_core.common.user_modules import is_import_path, library_of
from cifar_core.config import TrainingConfig
from cifar_core.models.registry import ARCHITECTURES
from cifar_core.recipes import RECIPES
from sweeps.core.errors import SweepError
from sweeps.store.kept_code import require_same_code
from sweeps.use.single_config import config_in_file, is_file_name, single_config
from sweeps.use.weights import require_network
from sweeps.views.names import find_named

if TYPE_CHECKING:
    from sweeps.record.reader import RecordReader


@dataclass(frozen=True, kw_only=True)
class Inspected:
    """A configuration and its display name."""

    name: str
    config: TrainingConfig


def resolve_network(reader: RecordReader, name: str, *, runs: Path, overrides: Sequence[str] = ()) -> Inspected:
    """Return the configuration of a network.

    Args:
        reader: of the record.
        name: a model of this project, `timm:NAME`, `torchvision:NAME`, or a custom one as `module:Class`; a file, of a
            ladder `FILE:RUNG`; a run; or a sweep, for its best run.
        runs: the runs folder.
        overrides: `path=value`, such as `model.width=16`.

    Raises:
        SweepError: the name is unknown, an override is invalid, or the code of a recorded run has changed.
    """
    if name in ARCHITECTURES or library_of(name) or (is_import_path(name) and not is_file_name(name)):
        return Inspected(name=name, config=single_config({"model": {"name": name}}, overrides=overrides))
    if is_file_name(name):
        return Inspected(name=name, config=config_in_file(name, block="model.", overrides=overrides))
    what = f"neither a model ({closest(name, ARCHITECTURES)})"
    return _recorded(reader, name, overrides=overrides, what=what, code_in=runs)


def resolve_augmentation(
    reader: RecordReader, name: str, *, normalization: str | None = None, overrides: Sequence[str] = ()
) -> Inspected:
    """Return a configuration with an augmentation.

    Args:
        reader: of the record.
        name: a recipe, or a list such as `[normalize, flip, {crop: {padding: 2}}]`; or a file or a run, as for
            `resolve_network`.
        normalization: replaces that of the file or the run; None keeps it, and is `cifar10` for a recipe or a list.
        overrides: `path=value`, such as `data.augmentation=flip`.

    Raises:
        SweepError: the name is unknown, or an override is invalid.
    """
    chosen = [] if normalization is None else [f"data.normalization={normalization}"]
    if name in RECIPES or name.startswith("["):
        data = {"augmentation": _operations(name), "normalization": "cifar10"}
        return Inspected(name=name, config=single_config({"data": data}, overrides=[*overrides, *chosen]))
    if is_file_name(name):
        config = config_in_file(name, block="data.augmentation", overrides=[*overrides, *chosen])
        return Inspected(name=name, config=config)
    what = f"neither an augmentation ({closest(name, RECIPES)})"
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
        raise SweepError(f"{name!r} is {what} nor the file of a sweep or ladder. In the record: {error}") from None
    require_network(reader, name)
    row = named.defining_row
    recorded = reader.configuration(row["run_id"])
    if code_in is not None:
        require_same_code(recorded, row["source"], run=named.name, sweep=code_in / "sweeps" / str(row["sweep"]))
    config = single_config(cast("TrainingConfig", recorded), overrides=overrides)
    return Inspected(name=named.name, config=config)
