"""A ladder: an ordered list of rungs, each a change to the one before or to the rung it names with `from`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator

from cifar_core.config import TrainingConfig
from cifar_core.errors import closest
from cifar_core.validation import explain
from sweeps.errors import SpecError, SweepError
from sweeps.spec.difference import Change, changes_between
from sweeps.spec.settings import FileOfConfigurations, Limits, Resources, check_name, validated
from sweeps.spec.yaml_file import merge, read_yaml

OWN_KEYS = ("name", "from", "note")
"""Keys of a rung that are not fields of its `TrainingConfig`."""


class LadderFile(FileOfConfigurations):
    """A ladder as its YAML file holds it."""

    name: str
    description: str = ""
    limits: Limits = Limits()
    resources: Resources = Resources()
    base: dict[str, Any] = Field(default_factory=dict)
    """What the first rung starts from: any field of `TrainingConfig`."""
    rungs: tuple[dict[str, Any], ...]
    """Each with a `name`, perhaps `from` and `note`, and the fields that it changes."""

    @field_validator("name")
    @classmethod
    def _check_name(cls, value: str) -> str:
        return check_name(value)


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One step of a ladder with its whole configuration."""

    name: str
    index: int
    """In the file, counted from 0."""
    parent: str | None
    """The rung that its gain is taken against, None for one that the ladder starts with."""
    note: str
    config: TrainingConfig
    changes: tuple[Change, ...]
    """What differs from its parent."""


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """A ladder, resolved."""

    name: str
    description: str
    limits: Limits
    resources: Resources
    rungs: tuple[Rung, ...]
    text: str = ""
    """The file, with every override in it."""
    tensorboard: bool = False
    notify: tuple[str, ...] = ()

    def rung(self, name: str) -> Rung:
        """Return a rung by name.

        Raises:
            SweepError: there is none.
        """
        for rung in self.rungs:
            if rung.name == name:
                return rung
        raise SweepError(f"{self.name} has no rung {name!r}: {closest(name, [rung.name for rung in self.rungs])}")


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How much of a ladder's full budget is spent, for a small machine."""

    epochs_scale: float = 1.0
    train_size: int | None = None
    seeds: int = 1

    def apply(self, config: TrainingConfig) -> TrainingConfig:
        """Return the configuration under this budget; what is counted in epochs shrinks with them."""
        data = config.data.model_copy(update={"train_size": self._train_size(config)})
        shorter = config.shortened(self.epochs_scale)
        # A share that rounds to all of its epochs cuts nothing, of its schedule neither.
        return (config if shorter.epochs == config.epochs else shorter).model_copy(update={"data": data})

    def reduced(self, config: TrainingConfig) -> str | None:
        """Return how a configuration's budget was cut, None where it was not."""
        parts, cut = [], self.apply(config)
        if cut.epochs != config.epochs:
            parts.append(f"{cut.epochs} of {config.epochs} epochs")
        if cut.data.train_size != config.data.train_size:
            parts.append(f"{cut.data.train_size:,} training images")
        return ", ".join(parts) or None

    def _train_size(self, config: TrainingConfig) -> int | None:
        full = config.train_images()
        return config.data.train_size if self.train_size is None or self.train_size >= full else self.train_size


FULL_BUDGET = Budget()


def load_ladder(path: Path, *, overrides: Sequence[str] = ()) -> Ladder:
    """Return the ladder that a YAML file describes, every rung resolved.

    Raises:
        SpecError: with every error found, each naming its rung, key and value.
    """
    content = read_yaml(path, overrides=overrides)
    if "parameters" in content:
        raise SpecError(path, ["is a sweep, not a ladder: run it with `sweeps run`"])
    file = validated(LadderFile, content, path)
    errors: list[str] = []
    trees: dict[str, dict[str, Any]] = {}
    rungs: list[Rung] = []
    for index, entry in enumerate(file.rungs):
        try:
            name, parent = _name_and_parent(entry, index, [rung.name for rung in rungs])
        except ValueError as error:
            errors.append(str(error))
            continue
        changes = {key: value for key, value in entry.items() if key not in OWN_KEYS}
        tree = merge(trees[parent] if parent else file.base, changes)
        try:
            config = TrainingConfig.model_validate(tree)
        except ValidationError as error:
            errors += [f"rungs[{index}] ({name}): {line}" for line in explain(error)]
            continue
        trees[name] = tree
        before = next((rung.config for rung in rungs if rung.name == parent), None)
        rungs.append(
            Rung(
                name=name,
                index=index,
                parent=parent,
                note=str(entry.get("note", "")),
                config=config,
                changes=tuple(changes_between(before, config)),
            )
        )
    if not file.rungs:
        errors.append("rungs: is empty: list at least one, such as `- name: baseline`")
    if errors:
        raise SpecError(path, errors)
    return Ladder(
        name=file.name,
        description=file.description,
        limits=file.limits,
        resources=file.resources,
        rungs=tuple(rungs),
        text=file.to_yaml(),
        tensorboard=file.tensorboard,
        notify=file.notify,
    )


def _name_and_parent(entry: dict[str, Any], index: int, known: list[str]) -> tuple[str, str | None]:
    """Return a rung's name and that of the rung it comes from.

    Raises:
        ValueError: one of them is impossible; says where and what is allowed.
    """
    name, where = entry.get("name"), f"rungs[{index}]"
    if not isinstance(name, str):
        raise ValueError(f"{where}.name: every rung needs a name of its own, not {name!r}")
    if name in known:
        raise ValueError(f"{where}.name: {name!r} stands twice")
    try:
        check_name(name)
    except ValueError as error:
        raise ValueError(f"{where}.name: {error}".replace("a sweep", "a rung")) from None
    parent = entry.get("from", known[-1] if known else None)
    if parent is not None and parent not in known:
        hint = closest(str(parent), known)
        raise ValueError(f"{where}.from: no rung {parent!r} stands before {name!r}. {hint}")
    return name, parent
