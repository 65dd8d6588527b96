"""The log of looks at the test set: who opened it when, and for what. It only grows, and no verb deletes it."""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from cifar_core.common.files import read_regular
from sweeps.core.errors import DiskFullError, StoreError, is_disk_full
from sweeps.store.files import read_file, reason_of

LOOKS_FILE = "test_looks.jsonl"
"""Under the runs folder: a line a look."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """One look at the test set: of one sweep's best, by one person."""

    when: str
    """ISO 8601, UTC, to the second."""
    who: str
    """`user@host`."""
    sweep: str
    runs: tuple[str, ...]
    """Keys of the runs that were measured."""


def note_look(runs: Path, *, sweep: str, keys: Sequence[str]) -> Look:
    """Add a look to the log; to be called before the test images are opened, so that none goes unnoted.

    Raises:
        DiskFullError: there is no room for the line.
        StoreError: the log cannot be written.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    look = Look(when=now, who=f"{_user()}@{socket.gethostname()}", sweep=sweep, runs=tuple(keys))
    _append(runs, [look])
    return look


def take_over_looks(source: Path, *, runs: Path, names: Mapping[str, str]) -> None:
    """Add the looks of another runs folder that are not here: how often the test set was opened goes with a sweep.

    Args:
        source: the other runs folder.
        runs: the one here.
        names: of each sweep that is taken over: its name there, and here.

    Raises:
        DiskFullError: there is no room for the lines.
        StoreError: one of the logs cannot be read or written.
    """
    known = set(read_looks(runs))
    theirs = (replace(look, sweep=names[look.sweep]) for look in read_looks(source) if look.sweep in names)
    _append(runs, [look for look in theirs if look not in known])


def _append(runs: Path, looks: Sequence[Look]) -> None:
    path = runs / LOOKS_FILE
    if not looks:
        return
    try:
        before = read_regular(path) or b""
        with path.open("a", encoding="utf-8") as file:
            # After a line that a crash has torn, a new one begins.
            torn = before and not before.endswith(b"\n")
            file.write(("\n" if torn else "") + "".join(json.dumps(asdict(look)) + "\n" for look in looks))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if is_disk_full(error):
            raise DiskFullError(path) from None
        raise StoreError(
            f"{path} cannot be written: {reason_of(error)}. Without it no look at the test set is taken"
        ) from None


def read_looks(runs: Path, *, sweep: str | None = None) -> Iterator[Look]:
    """Yield the looks that were taken, the oldest first; of one sweep, where it is named.

    Raises:
        StoreError: the log cannot be read.
    """
    for line in (read_file(runs / LOOKS_FILE) or b"").decode("utf-8", errors="replace").splitlines():
        try:
            fields = json.loads(line)
            look = Look(**fields | {"runs": tuple(map(str, fields["runs"]))})
        except (ValueError, TypeError, KeyError, RecursionError):
            continue  # half a line, of a crash
        if all(isinstance(text, str) for text in (look.when, look.who, look.sweep)) and sweep in (None, look.sweep):
            yield look


def looks_in_words(runs: Path, sweep: str | None) -> list[str]:
    """Return how often the test set was opened, and the last time; a line for each sweep that it was opened for."""
    taken: dict[str, list[Look]] = {}
    try:
        for look in read_looks(runs, sweep=sweep):
            taken.setdefault(look.sweep, []).append(look)
    except StoreError as error:
        return [f"how often the test set was opened is not known: {error}"]
    return [
        f"the test set was opened {'once' if len(looks) == 1 else f'{len(looks)} times'} for {name}, last by "
        f"{looks[-1].who} at {looks[-1].when}"
        for name, looks in taken.items()
    ]


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"user {os.getuid()}"
