"""A ladder's YAML file: its keys, the file that it extends, and its resolved and scaled rungs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from cifar_core.common.errors import closest
from cifar_core.common.user_modules import written_name
from cifar_core.common.validation import explain
from sweeps.core.errors import SpecError
from sweeps.core.identity import Protocol
from sweeps.core.task import TaskConfig
from sweeps.core.trial import MeasuredOn
from sweeps.files.budget import MAX_SEEDS
from sweeps.files.difference import changes_between
from sweeps.files.ladder import FINAL, Ladder, Rung
from sweeps.files.own_code import FileOfOwnCode, renamed_for_program
from sweeps.files.scale import Scale
from sweeps.files.settings import (
    MAX_NAME,
    Limits,
    Metric,
    Name,
    Resources,
    check_name,
    checked,
    prepare_data,
)
from sweeps.files.space_check import value_at
from sweeps.files.yaml_file import Document, merge, read_yaml

OWN_KEYS = ("name", "from", "note")
"""Keys of a rung that are not fields of its configuration."""

_NOT_INHERITED = {"name", "description", "extends"}
"""Keys that an extending ladder does not inherit."""

_MERGED = ("base", "limits", "resources")
"""Blocks that an extending file may override in part."""


class LadderFile(FileOfOwnCode):
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
    metric: Metric | None = None
    """With `train` or `program`: the number that rungs are compared by, after the last epoch. Networks are compared by
    their accuracy."""
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

    @classmethod
    def _key_hint(cls, name: str) -> str:
        if name == "budget":
            return "a ladder trains all of its rungs. Set limits.timeout to stop a start, or train less with `scale`"
        return super()._key_hint(name)

    @model_validator(mode="before")
    @classmethod
    def _rename_for_program(cls, content: Any) -> Any:
        if not isinstance(content, Mapping) or content.get("program") is None:
            return content
        # The names of a rung are no arguments.
        return renamed_for_program(content, blocks=("base",), lists=("rungs",), kept=OWN_KEYS)

    @model_validator(mode="after")
    def _check_base(self) -> Self:
        # A partial base may be invalid although the merged one is valid.
        if self.extends is None and self.program is None:
            try:
                self.task.config_type.model_validate(merge({}, self.base))
            except ValidationError as error:
                raise ValueError("\n".join(f"base.{line}" for line in explain(error))) from None
        return self

    @model_validator(mode="after")
    def _check_own_code(self) -> Self:
        errors = self.key_errors() if self.extends is None else []
        code = self.user_code
        if code is None and self.extends is None and self.metric is not None:
            errors.append("metric: needs train or program. The rungs of networks are compared by their accuracy")
        if code is not None:
            label = written_name(code)
            if self.metric is None and self.extends is None:
                errors.append(f"metric: required for {label}. Set the name of a number that it yields, and the goal")
            elif self.metric is not None and self.metric.target is not None:
                errors.append("metric.target: has no effect in a ladder, which runs all its rungs. Remove it")
            if "evaluate" in self.model_fields_set:
                errors.append(f"evaluate: is for networks. The rungs of {label} are compared by metric. Remove it")
            unused = self.scale.model_dump(exclude_defaults=True).keys() - {"epochs"}
            errors += [f"scale.{name}: is for networks. Remove it" for name in sorted(unused)]
        if errors:
            raise ValueError("\n".join(errors))
        return self

    def configuration(self, values: Mapping[str, Any]) -> TaskConfig:
        """Return the configuration of a rung.

        Raises:
            pydantic.ValidationError: a value is invalid.
        """
        names = {name for block in (self.base, *self.rungs) for name in block}
        fixed = self.program_values(metric=self.metric.name if self.metric else "", names=names)
        config: TaskConfig = self.task.config_type.model_validate({**values, **fixed})
        return config

    @model_validator(mode="after")
    def _check_rungs(self) -> Self:
        if not self.rungs and ("rungs" in self.model_fields_set or self.extends is None):
            raise ValueError(
                "rungs: the list is empty. Add at least one rung, such as `- name: baseline`, or extend another ladder "
                "with `extends: FILE`"
            )
        return self

    def merged_over(self, other: LadderFile) -> LadderFile:
        """Return this file merged with the file that it extends, without `extends`."""
        own = self.model_dump(mode="json", exclude_unset=True, exclude={"extends"})
        inherited = other.model_dump(mode="json", exclude_unset=True, exclude=_NOT_INHERITED)
        shared = [key for key in _MERGED if key in own and key in inherited]
        blocks = {key: merge(inherited[key], own[key]) for key in shared}
        scale = other.scale.then(self.scale).model_dump(mode="json", exclude_defaults=True)
        rungs = [*other.rungs, *self.rungs]
        return LadderFile.model_validate({**inherited, **own, **blocks, "scale": scale, "rungs": rungs})


def is_ladder(content: Mapping[str, Any]) -> bool:
    """Return whether a file's content is a ladder."""
    return "rungs" in content or "extends" in content


def load_ladder(path: Path, *, overrides: Sequence[str] = ()) -> Ladder:
    """Return the resolved ladder of a YAML file.

    Raises:
        SpecError: with every error found, each naming its rung, key and value.
    """
    (first, file), *more = _files(path, overrides)
    rungs = _rungs(file, first)
    last = first
    for extending, own in more:
        taken, last = len(file.rungs), extending
        try:
            file = own.merged_over(file)
        except ValidationError as error:
            raise SpecError(extending.path, extending.located("\n".join(explain(error)).split("\n"))) from None
        rungs = _rungs(file, extending, taken=taken)
    if file.evaluate == "validation" and file.user_code is None:
        _check_validation(file, rungs, last)
    return Ladder(
        name=file.name,
        description=file.description,
        limits=file.limits,
        resources=file.resources,
        rungs=rungs,
        seeds=file.seeds,
        measured_on=MeasuredOn(file.evaluate) if file.user_code is None else MeasuredOn.METRIC,
        metric=file.metric,
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
    """Raise SpecError unless all rungs hold out the same validation images."""
    errors = []
    without = [rung.name for rung in rungs if not _validation_split(rung)[0]]
    if without:
        which = f"rung {without[0]} has" if len(without) == 1 else f"{len(without)} of the rungs have"
        errors.append(f"evaluate: {which} no validation images. Set base.data.validation_size, such as 5000")
    first, *others = rungs
    other = next((rung for rung in others if _validation_split(rung) != _validation_split(first)), None)
    if not without and other is not None:
        errors.append(
            f"evaluate: the rungs {first.name} and {other.name} have different validation images. Set "
            "data.validation_size and data.split_seed in base only"
        )
    if len(file.name) + len(FINAL) > MAX_NAME:
        errors.append(f"name: with the suffix {FINAL} of the final evaluation it has more than {MAX_NAME} characters")
    if errors:
        raise SpecError(content.path, content.located(errors))


def _files(path: Path, overrides: Sequence[str]) -> list[tuple[Document, LadderFile]]:
    """Return a ladder's file and the files that it extends, raw and validated, the root of the chain first.

    Raises:
        SpecError: one of them is missing, is not a ladder, has invalid keys, or the chain is circular.
    """
    found: list[tuple[Document, LadderFile]] = []
    content = read_yaml(path, overrides=overrides)
    while True:
        if "parameters" in content:
            if not found:
                location = content.location_of("parameters")
                raise SpecError(path, [f"{location}: the file is a sweep, not a ladder. Run it with `sweeps run`"])
            raise _wrong_extension(found[0][0], f"{path} is a sweep. Only a ladder can be extended")
        found.insert(0, (content, _validated(content)))
        extends = found[0][1].extends
        if extends is None:
            return found
        other = path.parent / extends
        if not other.is_file():
            near = ", ".join(sorted(each.name for each in path.parent.glob("*.yaml") if each.name != path.name))
            hint = f". The folder contains {near}" if near else ""
            raise _wrong_extension(content, f"{extends!r} not found at {other}{hint}")
        if any(other.samefile(before.path) for before, _ in found):
            chain = " → ".join(str(before.path) for before, _ in reversed(found))
            raise _wrong_extension(content, f"{extends!r} is circular: {chain} → {other}")
        path, content = other, read_yaml(other)


def _wrong_extension(content: Document, what: str) -> SpecError:
    return SpecError(content.path, content.located([f"extends: {what}"]))


def _validated(content: Document) -> LadderFile:
    prepare_data(content)
    errors, file = checked(LadderFile, content)
    if errors or file is None:
        if file is not None and file.extends is None:
            # Also check the rungs, to report all errors at once.
            errors += _resolved(file)[1]
        raise SpecError(content.path, content.located(errors))
    return file


def _rungs(file: LadderFile, content: Document, *, taken: int = 0) -> tuple[Rung, ...]:
    """Return a ladder's rungs, resolved and scaled.

    Args:
        file: merged with the files that it extends.
        content: the raw file, for errors.
        taken: number of its first rungs that come from other files.

    Raises:
        SpecError: with every error found.
    """
    rungs, errors = _resolved(file, taken=taken)
    if errors:
        raise SpecError(content.path, content.located(errors))
    return tuple(rungs)


def _resolved(file: LadderFile, *, taken: int = 0) -> tuple[list[Rung], list[str]]:
    """Return a ladder's rungs, resolved and scaled, and their errors."""
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
            config = file.configuration(tree)
        except ValidationError as error:
            errors += [f"{where}.{line} (rung {name})" for line in explain(error)]
            continue
        errors += [
            f"{where}.{missing}: required by {file.train}, which has no default (rung {name}). Write base.{missing}"
            for missing in file.task.missing(tree)
        ]
        first = next(iter(full.values()), config)
        differing = [path for path in file.task.constant_fields if value_at(first, path) != value_at(config, path)]
        errors += [f"{where}.{path}: must be the same for all rungs: write it in base" for path in differing]
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
    """Return the scaled rungs, and errors. Each rung must still make the same changes."""
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
            errors += [
                f"scale: rung {rung.name} no longer differs from its parent in {change}. Change scale, or remove it"
                for change in lost
            ]
    return list(scaled.values()), errors


def _name_and_parent(entry: dict[str, Any], where: str, known: list[str]) -> tuple[str, str | None]:
    """Return the names of a rung and of its parent.

    Raises:
        ValueError: one of them is invalid.
    """
    name = entry.get("name")
    if not isinstance(name, str):
        raise ValueError(f"{where}.name: every rung needs a unique name, not {name!r}")
    if name in known:
        raise ValueError(f"{where}.name: {name!r} is used twice")
    try:
        check_name(name)
    except ValueError as error:
        raise ValueError(f"{where}.name: {error}".replace("a sweep", "a rung")) from None
    parent = entry.get("from", known[-1] if known else None)
    if parent is not None and parent not in known:
        hint = closest(str(parent), known)
        raise ValueError(f"{where}.from: there is no rung {parent!r} before {name!r}: {hint}")
    return name, parent
