"""The conditions of a sweep (`where`): which ones are known before a training, and which ones a training measures."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cifar_core.common.errors import closest
from sweeps.core.errors import SweepError
from sweeps.core.task import AnyTask, TaskConfig
from sweeps.files.constraint import Constraint, ConstraintError
from sweeps.files.settings import paths_of
from sweeps.files.yaml_file import flatten
from sweeps.tasks.program.config import argument_path

if TYPE_CHECKING:
    from sweeps.files.space import SearchSpace

SECONDS = "train_seconds"
"""A number that each training has: the seconds of all its epochs."""
_NEAR = 3
"""Largest number of suggested names."""


class Conditions:
    """The conditions of one search space, by their key in the file, such as `where[0]`."""

    def __init__(self, texts: Sequence[str], *, space: SearchSpace) -> None:
        """Parse the conditions. Mistakes are in `errors`.

        Args:
            texts: the conditions.
            space: the space that they restrict, with its base and its task.
        """
        self._task = space.task
        self.errors: list[str] = []
        self.known: dict[str, Constraint] = {}
        """Conditions that are decided before a training."""
        self.measured: dict[str, Constraint] = {}
        """Conditions on a number that only a training yields."""
        if not texts:
            return
        self._fields = _fields(space)
        for index, text in enumerate(texts):
            key = f"where[{index}]"
            try:
                constraint = Constraint(text)
            except ConstraintError as error:
                self.errors.append(f"{key}: {error}")
                continue
            if unknown := [name for name in constraint.names if not self._is_known(name)]:
                mistakes = [self._mistake(name, space) for name in unknown]
                if found := [mistake for mistake in mistakes if mistake is not None]:
                    self.errors += [f"{key}: {mistake}" for mistake in found]
                    continue
            (self.measured if unknown else self.known)[key] = constraint

    def __bool__(self) -> bool:
        return bool(self.known or self.measured)

    @property
    def texts(self) -> list[str]:
        """The conditions in a uniform spelling, in the order of the file."""
        both = self.known | self.measured
        return [both[key].text for key in sorted(both, key=lambda key: int(key[6:-1]))]

    def refusals(self, config: TaskConfig) -> dict[str, float]:
        """Return the known conditions that a configuration violates, and by how much (see `Constraint.excess`).

        A condition on a value that the configuration does not use does not apply to it.

        Raises:
            SweepError: a condition cannot be computed for the types of the values.
        """
        return self._violated(self.known, config, {})

    def missing(self, measured: Mapping[str, float]) -> str | None:
        """Return an error message if an epoch lacks a number of a measured condition; None if it has all."""
        for key, constraint in self.measured.items():
            for name in constraint.names:
                if name not in measured and name != SECONDS and not self._is_known(name):
                    return f"the training yields no {name} ({closest(name, measured)}). Yield it, or change {key}."
        return None

    def violations(self, config: TaskConfig, measured: Mapping[str, float]) -> dict[str, float]:
        """Return the texts of the measured conditions that a training violates, and by how much.

        Args:
            config: the configuration.
            measured: metrics of the training after an epoch, and `train_seconds`.
        """
        found = self._violated(self.measured, config, measured)
        return {self.measured[key].text: excess for key, excess in found.items()}

    def undecided(self, key: str, unset: Sequence[str]) -> bool:
        """Return whether a condition depends on parameters that are not set."""
        names = [self._path(name) for name in self.known[key].names]
        return any(name in unset or (unset and name in self._task.quantities) for name in names)

    def _violated(
        self, conditions: Mapping[str, Constraint], config: TaskConfig, measured: Mapping[str, float]
    ) -> dict[str, float]:
        if not conditions:
            return {}
        used = config.dotted()
        found = {}
        for key, constraint in conditions.items():
            values = {name: self._value(name, config, used, measured) for name in constraint.names}
            if None in values.values():
                continue
            try:
                excess = constraint.excess(values)
            except ConstraintError as error:
                raise SweepError(f"{key}: {error}. Change the condition.") from None
            if excess:
                found[key] = excess
        return found

    def _value(self, name: str, config: TaskConfig, used: Mapping[str, Any], measured: Mapping[str, float]) -> Any:
        if name in self._task.quantities:
            return self._task.quantity(name, config)
        return used[path] if (path := self._path(name)) in used else measured.get(name)

    def _path(self, name: str) -> str:
        """Return the path of a name: that of a program's argument may differ from the argument."""
        return name if name in self._fields else argument_path(name)

    def _is_known(self, name: str) -> bool:
        return name in self._task.quantities or self._path(name) in self._fields

    def _mistake(self, name: str, space: SearchSpace) -> str | None:
        """Return why a name that is no field is wrong; None for a number that a training yields."""
        task = self._task
        yields = [*task.metrics, SECONDS]
        if name in yields:
            return None
        known = [*space.parameters, *task.quantities, *yields, *self._fields]
        near = list(dict.fromkeys([*paths_of(name, task=task), *difflib.get_close_matches(name, known, cutoff=0.75)]))
        if not task.metrics and not near:
            return None  # custom code may yield numbers of any name
        near = near or difflib.get_close_matches(name, known, n=_NEAR, cutoff=0.4)
        names = list(dict.fromkeys(near))[:_NEAR] or [*space.parameters, *task.quantities]
        asked = f"did you mean {' or '.join(map(repr, names))}?" if near else f"known are {', '.join(names)}"
        return f"unknown name {name!r}: {asked}"


def _fields(space: SearchSpace) -> frozenset[str]:
    """Return the dotted paths of all fields of a configuration."""
    task: AnyTask = space.task
    config = task.config_type.model_validate(space.tree)
    return frozenset({*space.parameters, *flatten(config.model_dump(mode="json")), *config.dotted(), *space.base})
