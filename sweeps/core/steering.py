"""Commands that a person gives to a sweep, and what follows from those that its study stores."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from sweeps.core.formatting import duration, plural
from sweeps.core.identity import trial_name

Verb = Literal["add", "skip", "set", "pause", "resume", "file"]
"""What is asked for. `file` is written by a driver: a limit in the sweep's file has changed since it was set."""

PERSON = "person"
"""`TrialRecord.proposed_by` of a trial of `sweeps add`."""

LIMITS = ("run_cap", "max_concurrent_trials", "timeout", "budget")
"""The limits that `sweeps set` changes."""

PREFIX = "steered:"
"""Attributes of a study: the commands that were applied, one per attribute, numbered in their order."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command, as it is stored."""

    id: str
    """Random, so that a command is applied once."""
    verb: Verb
    study: str
    """Name in the record of the study that it was given for."""
    given: float
    """Unix time."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """`add`: parameter to value. `skip`: `trial`, `undo` and `until`. `set`, `file`: limit to value."""
    reply: str = ""
    """What the driver has answered; empty before it is applied."""
    is_refused: bool = False
    """Whether the driver has refused it: it has no effect."""

    def text(self, sweep: str) -> str:
        """Return the command line of the command."""
        values = [f"{name}={value}" for name, value in self.values.items()]
        if self.verb == "skip":
            values = ["--undo"] if self.values["undo"] else []
            return " ".join(["sweeps skip", *values, trial_name(sweep, self.values["trial"])])
        return " ".join([f"sweeps {self.verb} {sweep}", *values])

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Self:
        """Return a command from its stored form, without fields of a later version."""
        return cls(**{name: value for name, value in stored.items() if name in cls.__dataclass_fields__})


@dataclass(frozen=True, kw_only=True)
class Added:
    """A configuration of `sweeps add`."""

    id: str
    """Of its command."""
    values: Mapping[str, Any]
    """Parameter to value. The sampler proposes the others."""


class Steering:
    """What the commands in a study ask for. Equal studies lead to equal decisions."""

    def __init__(self, attributes: Mapping[str, Any] | None = None) -> None:
        """Read the commands from the attributes of a study; None for a sweep without commands."""
        self._known: set[str] = set()
        self.count = 0
        """Number of stored commands."""
        self.added: list[Added] = []
        """The configurations to try, in the order of the commands, also those that were tried."""
        self.until: dict[int, int] = {}
        """Trials to skip, by their number in the study, to the epoch after which they end."""
        self.limits: dict[str, Any] = {}
        """The limits that `sweeps set` has changed."""
        self.of_file: dict[str, Any] = {}
        """The value in the file of each of them when it was changed."""
        self.paused_at: float | None = None
        """When the sweep was paused; None while it is not."""
        names = sorted(name for name in attributes or {} if name.startswith(PREFIX))
        for name in names:
            assert attributes is not None
            self.enter(Command.read(attributes[name]), of_file=attributes[name].get("of_file", {}))

    def knows(self, command: Command) -> bool:
        """Return whether a command is stored."""
        return command.id in self._known

    def enter(self, command: Command, *, of_file: Mapping[str, Any]) -> None:
        """Add a stored command.

        Args:
            command: The command.
            of_file: For `set`: the value of each limit in the file.
        """
        self._known.add(command.id)
        self.count += 1
        if command.is_refused:
            return
        if command.verb == "add":
            self.added.append(Added(id=command.id, values=command.values))
        elif command.verb == "skip":
            self.until.pop(command.values["number"], None)
            if not command.values["undo"]:
                self.until[command.values["number"]] = command.values["until"]
        elif command.verb == "set":
            self.limits |= command.values
            self.of_file |= of_file
        elif command.verb == "file":
            for limit in command.values:
                self.limits.pop(limit, None)
                self.of_file.pop(limit, None)
        else:
            self.paused_at = command.given if command.verb == "pause" else None

    def of_limits(self) -> SharedLimits:
        """Return the part of it that concerns another study of the same driver; it follows changes."""
        return SharedLimits(self)

    @property
    def is_paused(self) -> bool:
        return self.paused_at is not None

    @property
    def most_live(self) -> int | None:
        """Maximum number of trials at the same time after `sweeps set`; None for that of the file."""
        found = self.limits.get("max_concurrent_trials")
        return found if isinstance(found, int) else None

    def changed_in_file(self, limits: Mapping[str, Any]) -> dict[str, Any]:
        """Return the limits whose value in the file has changed since `sweeps set` changed them."""
        return {name: limits[name] for name, before in self.of_file.items() if limits[name] != before}

    def sentences(self, *, pending: int, clock: Callable[[float], str]) -> list[str]:
        """Return in words what the commands ask for; empty if there are none in effect.

        Args:
            pending: Number of added configurations that were not proposed yet.
            clock: Returns the time of day of a Unix time.
        """
        found = []
        if self.paused_at is not None:
            found.append(f"paused since {clock(self.paused_at)} by `sweeps pause`; `sweeps resume` continues it")
        if self.limits:
            texts = (f"{name} {limit_text(name, value)}" for name, value in self.limits.items())
            found.append(f"limits of `sweeps set`: {', '.join(texts)}")
        if pending:
            found.append(f"{plural(pending, 'configuration')} of `sweeps add` will be tried next")
        return found


class SharedLimits(Steering):
    """Pauses and limits of a sweep, for the replicates that its time budget includes."""

    def __init__(self, of: Steering) -> None:
        super().__init__()
        self._of = of

    @property
    def is_paused(self) -> bool:
        return self._of.is_paused

    @property
    def most_live(self) -> int | None:
        return self._of.most_live


def limit_text(name: str, value: Any) -> str:
    """Return the value of a limit in words."""
    if value is None:
        return "none"
    is_time = name in ("timeout", "budget") and isinstance(value, int | float) and math.isfinite(value)
    return duration(value) if is_time else str(value)


def stored_commands(attributes: Mapping[str, Any]) -> Sequence[Command]:
    """Return the commands in the attributes of a study, in their order."""
    return [Command.read(attributes[name]) for name in sorted(attributes) if name.startswith(PREFIX)]
