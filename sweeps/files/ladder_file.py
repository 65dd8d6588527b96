"""A ladder's file: its keys, what it takes over from a file that it extends, and its rungs, resolved and scaled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from cifar_core.common.errors import closest
from cifar_core.common.validation import explain
from sweeps.core.errors import SpecError
from sweeps.core.identity import Protocol
from sweeps.core.task import TaskConfig
from sweeps.core.trial import MeasuredOn
from sweeps.files.budget import MAX_SEEDS
from sweeps.files.difference import changes_between
from sweeps.files.ladder import FINAL, Ladder, Rung
from sweeps.files.scale import Scale
from sweeps.files.settings import (
    MAX_NAME,
    FileOfConfigurations,
    Limits,
    Name,
    Resources,
    check_name,
    checked,
)
from sweeps.files.yaml_file import Document, merge, read_yaml
from sweeps.tasks.registry import IMAGES

OWN_KEYS = ("name", "from", "note")
"""Keys of a rung that are not fields of its configuration."""

_NOT_TAKEN_OVER = {"name", "description", "extends"}
"""Keys that a ladder has for itself alone; every other one is taken over by a ladder that extends it."""

_MERGED = ("base", "limits", "resources")
"""Blocks of which an extending file may say a part."""


class LadderFile(FileOfConfigurations):
    """A ladder: rungs in order, each a change to an earlier one."""

    name: Name
    """Name of the ladder, and of its folder under `runs/sweeps`."""
    description: str = ""
    """One line for readers: the purpose of the ladder."""
    extends: str | None = None
    """Path of another ladder file, relative to this one. Its rungs come first, and its keys apply where this file has
    none."""
    seeds: int = Field(default=1, ge=1, le=MAX_SEEDS)
    """Runs per rung, each under its own seed. Three or more give the interval of a gain."""
    evaluate: Literal["test", "validation"] = "test"
    """Images that rungs are compared on. `validation` is for a ladder that is still being chosen: each rung holds out
    `data.validation_size` images. `sweeps ladder FILE --final` holds none out, and evaluates the rungs on the test
    images."""
    scale: Scale = Scale()
    """Changes to every rung alike, for a smaller machine."""
    limits: Limits = Limits()
    """Limits of concurrency and of time."""
    resources: Resources = Resources()
    """Resources of one run."""
    base: dict[str, Any] = Field(default_factory=dict)
    """Configuration that the first rung starts from: any field of a training configuration."""
    rungs: tuple[dict[str, Any], ...] = ()
    """Each with a `name`, optionally `from` and `note`, and the fields that it changes."""

    @model_validator(mode="after")
    def _check_base(self) -> Self:
        # A part of a base alone may be wrong where the base that it is a part of is right.
        if self.extends is None:
            try:
                IMAGES.config_type.model_validate(merge({}, self.base))
            except ValidationError as error:
                raise ValueError("\n".join(f"base.{line}" for line in explain(error))) from None
        return self

    @model_validator(mode="after")
    def _check_rungs(self) -> Self:
        if not self.rungs and ("rungs" in self.model_fields_set or self.extends is None):
            raise ValueError(
                "rungs: is empty: list at least one, such as `- name: baseline`, or name a ladder's file by `extends`"
            )
        return self

    def over(self, other: LadderFile) -> LadderFile:
        """Return this file with what it takes over from the one it extends, as a file that needs no other one."""
        own = self.model_dump(mode="json", exclude_unset=True, exclude={"extends"})
        whole = other.model_dump(mode="json", exclude_unset=True, exclude=_NOT_TAKEN_OVER)
        shared = [key for key in _MERGED if key in own and key in whole]
        blocks = {key: merge(whole[key], own[key]) for key in shared}
        scale = other.scale.then(self.scale).model_dump(mode="json", exclude_defaults=True)
        rungs = [*other.rungs, *self.rungs]
        return LadderFile.model_validate({**whole, **own, **blocks, "scale": scale, "rungs": rungs})


def is_ladder(content: Mapping[str, Any]) -> bool:
    """Return whether a file's content is meant as a ladder's."""
    return "rungs" in content or "extends" in content


def load_ladder(path: Path, *, overrides: Sequence[str] = ()) -> Ladder:
    """Return the ladder that a YAML file describes, every rung resolved.

    Raises:
        SpecError: with every error found, each naming its rung, key and value.
    """
    (first, file), *more = _files(path, overrides)
    rungs = _rungs(file, first)
    last = first
    for extending, own in more:
        taken, last = len(file.rungs), extending
        try:
            file = own.over(file)
        except ValidationError as error:
            raise SpecError(extending.path, extending.located("\n".join(explain(error)).split("\n"))) from None
        rungs = _rungs(file, extending, taken=taken)
    if file.evaluate == "validation":
        _check_validation(file, rungs, last)
    return Ladder(
        name=file.name,
        description=file.description,
        limits=file.limits,
        resources=file.resources,
        rungs=rungs,
        seeds=file.seeds,
        measured_on=MeasuredOn(file.evaluate),
        text=file.to_yaml(),
        files=(first.path, *(extending.path for extending, _ in more)),
        tensorboard=file.tensorboard,
        notify=file.notify,
        storages=file.storages,
    )


def _validation_split(rung: Rung) -> tuple[int, int]:
    protocol = Protocol.of(rung.config)
    return protocol.validation_images, protocol.split_seed


def _check_validation(file: LadderFile, rungs: Sequence[Rung], content: Document) -> None:
    """Refuse a ladder that is compared by validation images and has none, or not the same ones on each rung."""
    errors = []
    without = [rung.name for rung in rungs if not _validation_split(rung)[0]]
    if without:
        which = f"rung {without[0]} sets" if len(without) == 1 else f"{len(without)} of its rungs set"
        errors.append(
            f"evaluate: validation, but {which} no images aside: give base.data.validation_size, such as 5000"
        )
    first, *others = rungs
    other = next((rung for rung in others if _validation_split(rung) != _validation_split(first)), None)
    if not without and other is not None:
        errors.append(
            f"evaluate: validation, but rungs {first.name} and {other.name} set different images aside: "
            "data.validation_size and data.split_seed belong into base"
        )
    if len(file.name) + len(FINAL) > MAX_NAME:
        errors.append(f"name: with {FINAL} behind it, of the last measurement, it has more than {MAX_NAME} characters")
    if errors:
        raise SpecError(content.path, content.located(errors))


def _files(path: Path, overrides: Sequence[str]) -> list[tuple[Document, LadderFile]]:
    """Return a ladder's file and those that it extends, each as it is written too, the one that extends none first.

    Raises:
        SpecError: one of them is missing, is no ladder, has wrong keys, or extends one that extends it.
    """
    found: list[tuple[Document, LadderFile]] = []
    content = read_yaml(path, overrides=overrides)
    while True:
        if "parameters" in content:
            if not found:
                location = content.location_of("parameters")
                raise SpecError(path, [f"{location}: is a sweep, not a ladder: run it with `sweeps run`"])
            raise _wrong_extension(found[0][0], f"{path} is a sweep; only a ladder can be extended")
        found.insert(0, (content, _validated(content)))
        extends = found[0][1].extends
        if extends is None:
            return found
        other = path.parent / extends
        if not other.is_file():
            near = ", ".join(sorted(each.name for each in path.parent.glob("*.yaml") if each.name != path.name))
            hint = f"; beside it there are {near}" if near else ""
            raise _wrong_extension(content, f"{extends!r} is no file, looked for as {other}{hint}")
        if any(other.samefile(before.path) for before, _ in found):
            way = " → ".join(str(before.path) for before, _ in reversed(found))
            raise _wrong_extension(content, f"{extends!r} leads back to where it came from: {way} → {other}")
        path, content = other, read_yaml(other)


def _wrong_extension(content: Document, what: str) -> SpecError:
    return SpecError(content.path, content.located([f"extends: {what}"]))


def _validated(content: Document) -> LadderFile:
    errors, file = checked(LadderFile, content)
    if errors or file is None:
        if file is not None and file.extends is None:
            # Of what is left the rungs can be looked at too: every mistake at once.
            errors += _resolved(file)[1]
        raise SpecError(content.path, content.located(errors))
    return file


def _rungs(file: LadderFile, content: Document, *, taken: int = 0) -> tuple[Rung, ...]:
    """Return a ladder's rungs, resolved and scaled.

    Args:
        file: with what it takes over from others.
        content: the file as it is written, for errors.
        taken: how many of its rungs, the first ones, are another file's.

    Raises:
        SpecError: with every error found.
    """
    rungs, errors = _resolved(file, taken=taken)
    if errors:
        raise SpecError(content.path, content.located(errors))
    return tuple(rungs)


def _resolved(file: LadderFile, *, taken: int = 0) -> tuple[list[Rung], list[str]]:
    """Return a ladder's rungs, resolved and scaled, and what is wrong with them."""
    errors: list[str] = []
    trees: dict[str, dict[str, Any]] = {}
    full: dict[str, TaskConfig] = {}
    rungs: list[Rung] = []
    for index, entry in enumerate(file.rungs):
        where = f"rungs[{index - taken}]" if index >= taken else f"extends: its rungs[{index}]"
        try:
            name, parent = _name_and_parent(entry, where, list(full))
        except ValueError as error:
            errors.append(str(error))
            continue
        changes = {key: value for key, value in entry.items() if key not in OWN_KEYS}
        tree = merge(trees[parent] if parent else file.base, changes)
        try:
            config: TaskConfig = IMAGES.config_type.model_validate(tree)
        except ValidationError as error:
            errors += [f"{where}.{line} (rung {name})" for line in explain(error)]
            continue
        trees[name], full[name] = tree, config
        rungs.append(
            Rung(
                name=name,
                index=index,
                parent=parent,
                note=str(entry.get("note", "")),
                config=config,
                changes=tuple(changes_between(full[parent] if parent else None, config)),
            )
        )
    if not errors:
        rungs, errors = _scaled(rungs, file.scale)
    return rungs, errors


def _scaled(rungs: Sequence[Rung], scale: Scale) -> tuple[list[Rung], list[str]]:
    """Return the rungs, scaled, and what is wrong with that: each must still be the change that it was."""
    scaled: dict[str, Rung] = {}
    errors = scale.unused([rung.config for rung in rungs])
    for rung in rungs:
        try:
            config = scale.apply(rung.config)
        except ValueError as error:
            errors.append(f"{error} (rung {rung.name})")
            config = rung.config
        before = scaled[rung.parent].config if rung.parent else None
        changes = tuple(changes_between(before, config))
        scaled[rung.name] = replace(rung, config=config, changes=changes)
        lost = [change for change in rung.changes if change.path not in {each.path for each in changes}]
        if before is not None and not errors:
            errors += [f"scale: undoes what rung {rung.name} changes: {change}" for change in lost]
    return list(scaled.values()), errors


def _name_and_parent(entry: dict[str, Any], where: str, known: list[str]) -> tuple[str, str | None]:
    """Return a rung's name and that of the rung it comes from.

    Raises:
        ValueError: one of them is impossible; says where and what is allowed.
    """
    name = entry.get("name")
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
