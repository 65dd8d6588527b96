"""A ladder: an ordered list of rungs, each a change to the one before or to the rung it names with `from`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator

from cifar_core.config import TRAIN_IMAGES, StrictModel, TrainingConfig, explain
from cifar_core.errors import closest
from sweeps.errors import SpecError, SweepError
from sweeps.proposers import Listed, ListProposer
from sweeps.spec import EarlyTerminate, Limits, Metric, Resources, check_name, validated
from sweeps.undertaking import KeyOf, Undertaking
from sweeps.yaml_files import flatten, merge, read_yaml

OWN_KEYS = ("name", "from", "note")
"""Keys of a rung that are not fields of its `TrainingConfig`."""


class LadderFile(StrictModel):
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
    place: int
    """In the file, counted from 0."""
    came_from: str | None
    """The rung that its gain is taken against, None for the first."""
    note: str
    config: TrainingConfig
    changes: tuple[str, ...]
    """What differs from the rung it came from, a line each."""


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """A ladder, resolved."""

    name: str
    description: str
    limits: Limits
    resources: Resources
    rungs: tuple[Rung, ...]

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

    def reduced(self, config: TrainingConfig) -> str | None:
        """Return how a configuration's budget was cut, None where it was not."""
        parts = []
        if self.epochs_scale != 1:
            parts.append(f"{self._epochs(config)} of {config.epochs} epochs")
        size = self._train_size(config)
        if size != config.data.train_size:
            parts.append(f"{size:,} training images")
        return ", ".join(parts) or None

    def _epochs(self, config: TrainingConfig) -> int:
        return max(1, round(config.epochs * self.epochs_scale))

    def _train_size(self, config: TrainingConfig) -> int | None:
        full = config.data.train_size or TRAIN_IMAGES - config.data.validation_size
        return config.data.train_size if self.train_size is None or self.train_size >= full else self.train_size

    def apply(self, config: TrainingConfig) -> TrainingConfig:
        """Return the configuration under this budget; the step schedule shrinks with the epochs."""
        step_size = max(1, round(config.schedule.step_size * self.epochs_scale))
        schedule = config.schedule.model_copy(update={"step_size": step_size})
        data = config.data.model_copy(update={"train_size": self._train_size(config)})
        return config.model_copy(update={"epochs": self._epochs(config), "schedule": schedule, "data": data})


def load_ladder(path: Path, *, overrides: Sequence[str] = ()) -> Ladder:
    """Return the ladder that a YAML file describes, every rung resolved.

    Raises:
        SpecError: with every mistake found, each naming its rung, key and value.
    """
    content = read_yaml(path, overrides=overrides)
    if "parameters" in content:
        raise SpecError(path, ["is a sweep, not a ladder: run it with `sweeps run`"])
    file = validated(LadderFile, content, path)
    mistakes: list[str] = []
    trees: dict[str, dict[str, Any]] = {}
    rungs: list[Rung] = []
    for place, entry in enumerate(file.rungs):
        name, came_from, problem = _identify(entry, place, [rung.name for rung in rungs])
        if problem:
            mistakes.append(problem)
            continue
        changes = {key: value for key, value in entry.items() if key not in OWN_KEYS}
        tree = merge(trees[came_from] if came_from else file.base, changes)
        try:
            config = TrainingConfig.model_validate(tree)
        except ValidationError as error:
            mistakes += [f"rungs[{place}] ({name}): {line}" for line in explain(error)]
            continue
        trees[name] = tree
        parent = next((rung.config for rung in rungs if rung.name == came_from), None)
        rungs.append(
            Rung(
                name=name,
                place=place,
                came_from=came_from,
                note=str(entry.get("note", "")),
                config=config,
                changes=tuple(differences(parent, config)),
            )
        )
    if not file.rungs:
        mistakes.append("rungs: is empty: list at least one, such as `- name: baseline`")
    if mistakes:
        raise SpecError(path, mistakes)
    return Ladder(
        name=file.name,
        description=file.description,
        limits=file.limits,
        resources=file.resources,
        rungs=tuple(rungs),
    )


def _identify(entry: dict[str, Any], place: int, known: list[str]) -> tuple[str, str | None, str | None]:
    name = entry.get("name")
    where = f"rungs[{place}]"
    if not isinstance(name, str):
        return "", None, f"{where}.name: every rung needs a name of its own, not {name!r}"
    if name in known:
        return name, None, f"{where}.name: {name!r} stands twice"
    try:
        check_name(name)
    except ValueError as error:
        return name, None, f"{where}.name: {error}".replace("a sweep", "a rung")
    came_from = entry.get("from", known[-1] if known else None)
    if came_from is not None and came_from not in known:
        return (
            name,
            None,
            f"{where}.from: no rung {came_from!r} stands before {name!r}. {closest(str(came_from), known)}",
        )
    return name, came_from, None


def differences(before: TrainingConfig | None, after: TrainingConfig) -> list[str]:
    """Return what a configuration changes, a line a field: `data.batch_size 64 → 256`."""
    new = flatten(after.resolved())
    old = {} if before is None else flatten(before.resolved())
    if before is None:
        return [f"{path} {_shown(value)}" for path, value in flatten(after.canonical()).items()]
    renamed = {path.split(".")[0] for path in ("model.name", "schedule.name") if old[path] != new[path]}
    lines = []
    for path in [*new, *(path for path in old if path not in new)]:
        if old.get(path) == new.get(path) or path == "seed":
            continue
        block = path.split(".")[0]
        if path.endswith(".name"):
            lines.append(f"{path} {_shown(old[path])} → {_shown(new[path])}")
        elif block in renamed or path not in old:
            # Of another network or schedule: the old value is not this field's predecessor.
            if path in new and path in flatten(after.canonical()):
                lines.append(f"{path} {_shown(new[path])}")
        elif path in new:
            lines.append(f"{path} {_shown(old[path])} → {_shown(new[path])}")
    return lines


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " ".join(_shown(entry) for entry in value) or "none"
    if isinstance(value, dict):
        return str(value.get("op", value))
    return str(value)


def ladder_undertaking(
    ladder: Ladder,
    *,
    budget: Budget = Budget(),
    only: Sequence[str] = (),
    cost: Callable[[TrainingConfig], float] | None = None,
) -> Undertaking:
    """Return a ladder as the runner takes it.

    Args:
        ladder: the ladder.
        budget: how much of it is spent.
        only: names of the rungs to run; all where empty.
        cost: seconds that a configuration takes; where given, the longest are begun first.
    """
    rungs = [ladder.rung(name) for name in only] if only else list(ladder.rungs)
    entries = []
    for rung in rungs:
        shared = budget.apply(rung.config)
        for offset in range(budget.seeds):
            config = shared.model_copy(update={"seed": shared.seed + offset})
            labels = {"rung": rung.name, "place": rung.place, "came_from": rung.came_from}
            entries.append(Listed(config=config, labels={**labels, "reduced": budget.reduced(rung.config)}))

    def proposer(key_of: KeyOf) -> ListProposer:
        return ListProposer(entries, key_of=key_of, cost=cost)

    return Undertaking(
        name=ladder.name,
        description=ladder.description,
        # One study for all budgets and seeds: a rung is identified by its key, not by its place in a space.
        definition={"kind": "ladder"},
        metric=Metric(name="train_loss", goal="minimize"),
        run_cap=None,
        limits=ladder.limits,
        resources=ladder.resources,
        early_terminate=EarlyTerminate(),
        epochs=max(entry.config.epochs for entry in entries),
        data=[entry.config.data for entry in entries],
        models=list(dict.fromkeys(entry.config.model.name for entry in entries)),
        proposer=proposer,
        tested=True,
    )
