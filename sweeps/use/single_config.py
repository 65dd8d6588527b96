"""One configuration from a file, from the record or from defaults, with overrides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from cifar_core.common.validation import explain
from cifar_core.config import TrainingConfig
from cifar_core.recipes import canonical_augmentation
from sweeps.core.errors import SpecError
from sweeps.files.ladder_file import is_ladder, load_ladder
from sweeps.files.parameter import Parameter
from sweeps.files.sweep import load_spec
from sweeps.files.yaml_file import merge, parse_override, read_yaml, set_path

SUFFIXES = (".yaml", ".yml")


def single_config(base: TrainingConfig | Mapping[str, Any], *, overrides: Sequence[str] = ()) -> TrainingConfig:
    """Return a configuration with some fields changed.

    Args:
        base: a `TrainingConfig`, or some of its fields.
        overrides: `path=value`, value in YAML: `model.width=16`; a leading `base.` is ignored.

    Raises:
        SpecError: an override is malformed, or the resulting configuration is invalid.
    """
    tree = merge({}, _fields(base) if isinstance(base, TrainingConfig) else base)
    for override in overrides:
        path, value = parse_override(override)
        set_path(tree, path.removeprefix("base."), value)
    try:
        return TrainingConfig.model_validate(tree)
    except ValidationError as error:
        raise SpecError("--set" if overrides else "configuration", explain(error)) from None


def _fields(config: TrainingConfig) -> dict[str, Any]:
    """Return the fields that differ from the defaults, as a file would contain them."""
    fields = config.model_dump(mode="json", exclude_defaults=True)
    # `exclude_defaults` removes the names of operations.
    return merge(fields, {"data": {"augmentation": canonical_augmentation(config.data.augmentation)}})


def is_file_name(name: str) -> bool:
    """Return whether a name is that of a sweep or ladder file, possibly with a rung: `FILE:RUNG`."""
    return split_file_name(name)[0].suffix in SUFFIXES


def config_in_file(name: str, *, block: str, overrides: Sequence[str] = ()) -> TrainingConfig:
    """Return the configuration in a file: the base of a sweep, or one rung of a ladder.

    Args:
        name: `FILE`, or `FILE:RUNG` of a ladder.
        block: prefix of the fields of interest, such as `model.`: the sweep may not search them.
        overrides: as for `single_config`.

    Raises:
        SpecError: the file is invalid, or the sweep searches fields of the block; names the choices.
    """
    path, rung = split_file_name(name)
    if is_ladder(read_yaml(path)):
        ladder = load_ladder(path)
        if rung is None:
            names = ", ".join(each.name for each in ladder.rungs)
            raise SpecError(path, [f"this is a ladder. Name a rung: {path}:RUNG. Rungs: {names}"])
        return single_config(cast("TrainingConfig", ladder.rung(rung).config), overrides=overrides)
    if rung is not None:
        raise SpecError(path, [f"this is a sweep, which has no rung {rung!r}"])
    spec = load_spec(path)
    config = single_config(spec.base, overrides=overrides)
    chosen = {parse_override(override)[0].removeprefix("base.") for override in overrides}
    values = config.dotted()
    open_ = {
        name: parameter
        for name, parameter in spec.parameters.items()
        if name.startswith(block)
        and name not in chosen
        and all(values.get(other) in _listed(allowed) for other, allowed in parameter.when.items())
    }
    if open_:
        searched = "; ".join(f"{name} ({_choices(parameter)})" for name, parameter in open_.items())
        first = next(iter(open_))
        raise SpecError(path, [f"this sweep searches {searched}. Choose with --set {first}=VALUE"])
    return config


def split_file_name(name: str) -> tuple[Path, str | None]:
    """Return the path and the rung of `FILE:RUNG`; no rung for a sweep."""
    file, colon, rung = name.rpartition(":")
    if colon and Path(file).suffix in SUFFIXES:
        return Path(file), rung
    return Path(name), None


def _listed(allowed: Any) -> Sequence[Any]:
    return allowed if isinstance(allowed, list | tuple) else (allowed,)


def _choices(parameter: Parameter) -> str:
    if parameter.values is not None:
        return ", ".join(map(str, parameter.values))
    if parameter.min is not None:
        return f"{parameter.min} to {parameter.max}"
    return str(parameter.value)
