"""Differences between two or more configurations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sweeps.core.task import TaskConfig
from sweeps.files.yaml_file import flatten
from sweeps.tasks.registry import task_of
from sweeps.tasks.values import value_text


@dataclass(frozen=True, kw_only=True)
class Change:
    """One field that differs."""

    path: str
    """Dotted path of the field."""
    before: Any = None
    after: Any = None
    is_new: bool = False
    """Whether the field had another meaning, or did not exist, under the former network or schedule."""

    def __str__(self) -> str:
        if self.is_new:
            return f"{self.path} {value_text(self.after)}"
        return f"{self.path} {value_text(self.before) or 'unset'} → {value_text(self.after) or 'unset'}"


def changes_between(before: TaskConfig | None, after: TaskConfig) -> list[Change]:
    """Return the changed fields of a configuration, without the seed.

    If the network or the schedule has another name, its non-default fields are listed as new: the former one's fields
    are not their predecessors.

    Args:
        before: the configuration to compare with; None lists all non-default values.
        after: the changed configuration.
    """
    new, non_defaults = after.dotted(), _non_default_values(after)
    if before is None:
        return [Change(path=path, after=value, is_new=True) for path, value in non_defaults.items()]
    old = before.dotted()
    renamed = {block for block in task_of(after).reset_by_name if old[f"{block}.name"] != new[f"{block}.name"]}
    changes = []
    for path in [*new, *(path for path in old if path not in new)]:
        block, _, field = path.partition(".")
        if path == "seed" or old.get(path) == new.get(path):
            continue
        if field == "name" or (path in old and path in new and block not in renamed):
            changes.append(Change(path=path, before=old[path], after=new[path]))
        elif path in non_defaults:
            changes.append(Change(path=path, after=new[path], is_new=True))
        elif path not in new and not task_of(after).fields_of_kind:  # an argument of a program is left out
            changes.append(Change(path=path, before=old[path]))
    return changes


def _non_default_values(config: TaskConfig) -> dict[str, Any]:
    canonical = flatten(config.canonical())
    return {path: value for path, value in config.dotted().items() if path in canonical or ".options." in path}


def join_changes(changes: Sequence[Change]) -> str:
    """Return changes in one line: `data.batch_size 64 → 256, epochs 20 → 30`."""
    return ", ".join(map(str, changes))


class Differences:
    """Collects the fields in which configurations differ, reading each configuration once."""

    def __init__(self) -> None:
        self._texts: dict[str, set[str]] = {}
        self._by_name: dict[str, dict[str, set[str]]] = {}
        """Dotted path, to the name of its block (a network or a schedule), to the values under that name."""

    def add(self, configuration: Mapping[str, Any]) -> None:
        """Add a configuration by its dotted paths. A missing path does not count as a difference."""
        for path, value in configuration.items():
            text = str(value)
            self._texts.setdefault(path, set()).add(text)
            chosen = f"{path.partition('.')[0]}.name"
            if path != chosen and chosen in configuration:
                self._by_name.setdefault(path, {}).setdefault(str(configuration[chosen]), set()).add(text)

    def paths(self) -> list[str]:
        """Return the dotted paths that differ, in the order of their first appearance.

        Paths that follow from the name of their block, such as the head of a network, are left out.
        """
        return [path for path, texts in self._texts.items() if len(texts) > 1 and not self._follows(path)]

    def _follows(self, path: str) -> bool:
        under = self._by_name.get(path)
        return under is not None and all(len(texts) == 1 for texts in under.values())
