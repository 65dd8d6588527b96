"""What differs between two configurations, or among many: the only module that says so."""

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
    """Dotted, into the configuration."""
    before: Any = None
    after: Any = None
    is_new: bool = False
    """Whether the field means something else than under the former network or schedule, or did not exist there."""

    def __str__(self) -> str:
        if self.is_new:
            return f"{self.path} {value_text(self.after)}"
        return f"{self.path} {value_text(self.before) or 'unset'} → {value_text(self.after) or 'unset'}"


def changes_between(before: TaskConfig | None, after: TaskConfig) -> list[Change]:
    """Return what a configuration changes, a field each, the seed not counted.

    Of a network or schedule of another name those fields are listed that are not its defaults; the former one's
    are not its predecessors.

    Args:
        before: what it is compared with; None lists all that is not a default.
        after: the configuration.
    """
    new, said = after.dotted(), _non_default_values(after)
    if before is None:
        return [Change(path=path, after=value, is_new=True) for path, value in said.items()]
    old = before.dotted()
    renamed = {block for block in task_of(after).reset_by_name if old[f"{block}.name"] != new[f"{block}.name"]}
    changes = []
    for path in [*new, *(path for path in old if path not in new)]:
        block, _, field = path.partition(".")
        if path == "seed" or old.get(path) == new.get(path):
            continue
        if field == "name" or (path in old and path in new and block not in renamed):
            changes.append(Change(path=path, before=old[path], after=new[path]))
        elif path in said:
            changes.append(Change(path=path, after=new[path], is_new=True))
    return changes


def _non_default_values(config: TaskConfig) -> dict[str, Any]:
    """Return the values that are no defaults."""
    said = flatten(config.canonical())
    return {path: value for path, value in config.dotted().items() if path in said or ".options." in path}


def join_changes(changes: Sequence[Change]) -> str:
    """Return changes in one line: `data.batch_size 64 → 256, epochs 20 → 30`."""
    return ", ".join(map(str, changes))


class Differences:
    """In which parameters configurations differ. Each is looked at once, however many there will be."""

    def __init__(self) -> None:
        self._texts: dict[str, set[str]] = {}
        self._by_name: dict[str, dict[str, set[str]]] = {}
        """Dotted path to the values under each name of its block: a network's, a schedule's."""

    def add(self, configuration: Mapping[str, Any]) -> None:
        """Look at a configuration under its dotted paths. One that lacks a path does not make it vary."""
        for path, value in configuration.items():
            text = str(value)
            self._texts.setdefault(path, set()).add(text)
            chosen = f"{path.partition('.')[0]}.name"
            if path != chosen and chosen in configuration:
                self._by_name.setdefault(path, {}).setdefault(str(configuration[chosen]), set()).add(text)

    def paths(self) -> list[str]:
        """Return the dotted paths in which they differ, in the order in which they came.

        Without those that follow from their block's name, such as the layers of a network's head.
        """
        return [path for path, texts in self._texts.items() if len(texts) > 1 and not self._follows(path)]

    def _follows(self, path: str) -> bool:
        under = self._by_name.get(path)
        return under is not None and all(len(texts) == 1 for texts in under.values())
