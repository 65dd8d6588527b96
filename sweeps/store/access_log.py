"""The log of test-set accesses: who, when, and for which runs. It is only appended to, and no verb deletes it."""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from sweeps.core.errors import DiskFullError, StoreError, is_disk_full
from sweeps.core.formatting import listed
from sweeps.store.files import append_lines, error_reason, read_file

ACCESS_LOG = "test_looks.jsonl"
"""File in the runs folder, one line per access."""


@dataclass(frozen=True, kw_only=True)
class TestSetAccess:
    """One access to the test set for runs of one sweep."""

    when: str
    """ISO 8601, UTC, to the second."""
    who: str
    """`user@host`."""
    sweep: str
    runs: tuple[str, ...]
    """Keys of the evaluated runs."""
    data: str = ""
    """Name and fingerprint of a further test set, `gaussian_noise (3f2a91bc...)`; empty for the sweep's own."""

    def line(self) -> str:
        """Return the access as a line of the log."""
        fields = asdict(self)
        return json.dumps(fields if self.data else {name: fields[name] for name in fields if name != "data"}) + "\n"


def record_access(runs: Path, *, sweep: str, keys: Sequence[str], data: str = "") -> TestSetAccess:
    """Add an access to the log. Call it before the test images are opened, so that each access is recorded.

    Args:
        runs: The runs folder.
        sweep: Sweep of the evaluated runs.
        keys: Their keys.
        data: See `TestSetAccess`.

    Raises:
        DiskFullError: The disk is full.
        StoreError: The log cannot be written.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    access = TestSetAccess(when=now, who=f"{_user()}@{socket.gethostname()}", sweep=sweep, runs=tuple(keys), data=data)
    _append(runs, [access])
    return access


def import_accesses(source: Path, *, runs: Path, names: Mapping[str, str]) -> None:
    """Copy the accesses for imported sweeps from another runs folder, without duplicates.

    Args:
        source: The other runs folder.
        runs: This runs folder.
        names: Name of each imported sweep there → name here.

    Raises:
        DiskFullError: The disk is full.
        StoreError: One of the logs cannot be read or written.
    """
    known = set(read_accesses(runs))
    imported = (replace(each, sweep=names[each.sweep]) for each in read_accesses(source) if each.sweep in names)
    _append(runs, [access for access in imported if access not in known])


def _append(runs: Path, accesses: Sequence[TestSetAccess]) -> None:
    path = runs / ACCESS_LOG
    if not accesses:
        return
    try:
        append_lines(path, "".join(access.line() for access in accesses))
    except OSError as error:
        if is_disk_full(error):
            raise DiskFullError(path) from None
        raise StoreError(
            f"{path} cannot be written: {error_reason(error)}. The test set is not opened without this record."
        ) from None


def read_accesses(runs: Path, *, sweep: str | None = None) -> Iterator[TestSetAccess]:
    """Yield the recorded accesses, the oldest first; only those for `sweep` unless it is None.

    Raises:
        StoreError: The log cannot be read.
    """
    for line in (read_file(runs / ACCESS_LOG) or b"").decode("utf-8", errors="replace").splitlines():
        try:
            fields = json.loads(line)
            found = TestSetAccess(**fields | {"runs": tuple(map(str, fields["runs"]))})
        except (ValueError, TypeError, KeyError, RecursionError):
            continue  # a line left incomplete by a crash
        texts = (found.when, found.who, found.sweep, found.data)
        if all(isinstance(text, str) for text in texts) and sweep in (None, found.sweep):
            yield found


def describe_accesses(runs: Path, sweep: str | None) -> list[str]:
    """Return one line per sweep with the number of accesses and the last one, and one for its further test sets."""
    by_sweep: dict[str, list[TestSetAccess]] = {}
    try:
        for access in read_accesses(runs, sweep=sweep):
            by_sweep.setdefault(access.sweep, []).append(access)
    except StoreError as error:
        return [f"the number of test-set accesses is unknown: {error}"]
    lines = []
    for name, accesses in by_sweep.items():
        own, further = ([each for each in accesses if bool(each.data) == is_further] for is_further in (False, True))
        sets = listed(dict.fromkeys(each.data for each in further), most=_LISTED)
        lines += [_opened("the test set was", own, name)] if own else []
        lines += [_opened(f"further test sets ({sets}) were", further, name)] if further else []
    return lines


_LISTED = 3
"""Further test sets that a line names."""


def _opened(what: str, accesses: Sequence[TestSetAccess], sweep: str) -> str:
    times, last = "once" if len(accesses) == 1 else f"{len(accesses)} times", accesses[-1]
    return f"{what} opened {times} for {sweep}, last by {last.who} at {last.when}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"user {os.getuid()}"
