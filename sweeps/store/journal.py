"""The journal file of a sweep, with a checksum for each line and a backup from the last start.

The journal itself is a plain Optuna journal, readable by `optuna-dashboard`; checksums are in a file next to it. A
line without checksum, written by another program or just before a crash, only has to be valid JSON.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cifar_core.common.files import NotAFileError, free_name, move_stray_aside, read_regular
from sweeps.core.commands import command_on
from sweeps.core.errors import DamagedJournalError, DiskFullError, StoreError, is_disk_full
from sweeps.store.files import error_reason, read_file, write_file

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Damage:
    """The first damaged line of a journal."""

    line: int
    """Counted from 1; 0 if the whole journal is unusable: it is missing, empty, or not a file."""
    lines: int
    """Number of lines in the journal."""
    reason: str


class JournalFile:
    """A sweep's journal on disk. Only the holder of the sweep's lock may change it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._checksummed_bytes = 0
        self._checksummed_lines = 0

    @property
    def checksums(self) -> Path:
        """File with the checksums of the lines."""
        return self.path.with_name(f"{self.path.name}.crc")

    @property
    def backup(self) -> Path:
        """Copy of the journal at the last start. A journal is only appended to, so it begins with its copy."""
        return self.path.with_name(f"{self.path.name}.backup")

    @property
    def exists(self) -> bool:
        """Whether the sweep has a journal: the path exists, or files next to it show that it was lost."""
        return self.path.exists() or self.path.is_symlink() or self._was_begun(self._line_checksums(), is_gone=True)

    def prepare(self) -> None:
        """Repair the journal for a new driver: cut an incomplete end, restore damaged lines from the backup.

        Raises:
            DamagedJournalError: A line is damaged and cannot be restored.
        """
        self.cut_torn_end()
        restored = self.restore()
        if restored:
            numbers = format_line_numbers(restored)
            _log.warning("%s was damaged in %s: restored from the backup of the last start", self.path, numbers)
        damage = self.damage()
        if damage is not None:
            raise self.error(damage)
        lines, known = self.lines(), self._line_checksums()
        lost = sum(line > len(lines) for line in known)
        if lost:
            _log.warning("%s was truncated: its last %d lines are lost. Resuming from the rest.", self.path, lost)
        self._checksummed_bytes, self._checksummed_lines = sum(map(len, lines)), len(lines)
        self._write_checksums(len(lines))
        write_file(self.backup, b"".join(lines))

    def cut_torn_end(self) -> None:
        """Cut an incomplete end left by a crash: a line appended to it would make the study unreadable."""
        known = self._line_checksums()
        if self._total_damage(known) is not None:
            return
        lines = self.lines()
        complete = lines[: _count_without_torn_end(lines, known)]
        if len(complete) < len(lines):
            with self.path.open("r+b") as file:
                file.truncate(sum(map(len, complete)))
                os.fsync(file.fileno())

    def restore(self) -> list[int]:
        """Restore damaged or missing lines from the backup if that repairs the journal; return their numbers."""
        known = self._line_checksums()
        is_lost = self._total_damage(known) is not None
        content, before = b"" if is_lost else b"".join(self.lines()), self._backup_content()
        if not before or (self.damage() is None and len(content) >= len(before)):
            return []
        lines = _split(before + content[len(before) :])
        if _first_damage(lines, known) is not None:
            return []
        pairs = itertools.zip_longest(lines, _split(content))
        damaged = [number for number, (line, found) in enumerate(pairs, start=1) if line != found]
        if is_lost:
            self._replace(lines)
        else:
            write_file(self.path, b"".join(lines))
        return damaged

    def damage(self) -> Damage | None:
        """Return the first damaged line; None if there is none."""
        return self.read()[1]

    def read(self) -> tuple[Sequence[bytes], Damage | None]:
        """Return the lines before the first damage, and the damage. Works while a driver writes."""
        # Checksums first: a line that is being written has none yet.
        known = self._line_checksums()
        if (lost := self._total_damage(known)) is not None:
            return [], lost
        lines = self.lines()
        damage = _first_damage(lines, known)
        return lines[: damage.line - 1 if damage else _count_without_torn_end(lines, known)], damage

    def error(self, damage: Damage) -> DamagedJournalError:
        """Return the error for a damaged journal."""
        repair = command_on("repair", self.path.parent.name, runs=self.path.parents[2])
        if damage.line == 0:
            action = "restore the backup of the last start" if self._backup_content() else "create an empty journal"
            return DamagedJournalError(
                f"{self.path} is damaged: {damage.reason}. Restore it from a copy, or run `{repair}` to {action}. "
                "Complete runs in MLflow are not trained again."
            )
        return DamagedJournalError(
            f"{self.path} is damaged in line {damage.line} of {damage.lines} ({damage.reason}). Restore it from a "
            f"copy, or run `{repair}` to resume from the lines before it. That keeps the damaged file, and complete "
            "runs in MLflow are not trained again."
        )

    def cut(self, damage: Damage) -> Path:
        """Keep the lines before the damage. Return the damaged file's new path (`path` if missing)."""
        lines = [] if damage.line == 0 else self.lines()[: damage.line - 1]
        aside = self._replace(lines)
        self._write_checksums(len(lines))
        # Deleted last. It could not restore the journal, and its lines after the cut must not return.
        move_stray_aside(self.backup)
        self.backup.unlink(missing_ok=True)
        return aside

    def _replace(self, lines: Sequence[bytes]) -> Path:
        """Replace the journal. Return the new path of the previous file; `path` if there was none.

        The previous file keeps both names until the new one is on disk, so that a crash in between loses nothing.
        """
        content = b"".join(lines)
        if not (self.path.exists() or self.path.is_symlink()):
            write_file(self.path, content)
            return self.path
        aside = free_name(self.path)
        if self.path.is_symlink() or not self.path.is_file():
            self.path.rename(aside)
            write_file(self.path, content)
            return aside
        try:
            os.link(self.path, aside)
        except OSError:  # a file system without hard links
            write_file(aside, self.path.read_bytes())
        try:
            write_file(self.path, content)
        except BaseException:
            aside.unlink()
            raise
        return aside

    def lines(self) -> Sequence[bytes]:
        """Return the lines with their newlines; the last one may lack it.

        Raises:
            StoreError: The path cannot be read or is not a file.
        """
        return _split(read_file(self.path) or b"")

    def revert_append(self, size: int, error: OSError) -> StoreError:
        """Truncate the journal to its size before a failed append, and return the error to raise."""
        os.truncate(self.path, size)
        if is_disk_full(error):
            return DiskFullError(self.path)
        return StoreError(
            f"{self.path} can no longer be written ({error.strerror or error}). All results up to here are saved. "
            "Run the same command again to resume."
        )

    def append_checksums(self) -> None:
        """Write the checksums of the lines added since the last call. On a full disk they are left out."""
        with self.path.open("rb") as file:
            file.seek(self._checksummed_bytes)
            added = [line for line in _split(file.read()) if line.endswith(b"\n")]
        entries = [
            _entry(self._checksummed_lines + index, zlib.crc32(line)) for index, line in enumerate(added, start=1)
        ]
        self._checksummed_bytes += sum(map(len, added))
        self._checksummed_lines += len(added)
        size = 0
        try:
            move_stray_aside(self.checksums)
            size = self.checksums.stat().st_size if self.checksums.exists() else 0
            with self.checksums.open("ab") as file:
                file.writelines(entries)
        except OSError:
            with contextlib.suppress(OSError):
                os.truncate(self.checksums, size)

    def _write_checksums(self, lines: int) -> None:
        """Rewrite the checksums of the first `lines` lines and drop the others."""
        kept = [_entry(line, crc) for line, crc in sorted(self._line_checksums().items()) if 0 < line <= lines]
        write_file(self.checksums, b"".join([_EMPTY_JOURNAL] if lines == 0 else kept))

    def _line_checksums(self) -> Mapping[int, int]:
        """Return line number → checksum. Damaged entries are ignored."""
        try:
            return dict(_entries(read_regular(self.checksums) or b""))
        except OSError:
            return {}

    def _backup_content(self) -> bytes:
        """Return the content of the backup; empty if it cannot be read."""
        try:
            return read_regular(self.backup) or b""
        except OSError:
            return b""

    def _total_damage(self, known: Mapping[int, int]) -> Damage | None:
        """Return the damage if no line of the journal can be used: it is not a file, or lost its lines.

        Raises:
            StoreError: The path cannot be read.
        """
        try:
            content = read_regular(self.path, follow=False)
        except NotAFileError as error:
            return Damage(line=0, lines=0, reason=f"{error.strerror}, not a file")
        except OSError as error:
            raise StoreError(f"{self.path} cannot be read: {error_reason(error)}") from None
        lines = _split(content or b"")
        if _count_without_torn_end(lines, known) or not self._was_begun(known, is_gone=content is None):
            return None
        problem = "it is missing" if content is None else "it is empty" if not content else "none of it can be read"
        return Damage(line=0, lines=0, reason=f"{problem}, although the sweep has started")

    def _was_begun(self, known: Mapping[int, int], *, is_gone: bool) -> bool:
        """Return whether the journal had lines, judging by its checksums and backup, else by files of trials."""
        if any(known) or self._backup_content():
            return True
        left = [] if is_gone or 0 in known else [self.path.with_name("checkpoints"), self.path.with_name("logs")]
        return any(folder.is_dir() and any(folder.iterdir()) for folder in left)


def format_line_numbers(lines: Sequence[int]) -> str:
    """Return line numbers as text, the first five and the last: `line 3`, `line 1, 2, 3, 4, 5 to 69`."""
    return f"line {', '.join(map(str, lines[:5]))}" + (f" to {lines[-1]}" if len(lines) > 5 else "")


def _count_without_torn_end(lines: Sequence[bytes], known: Mapping[int, int]) -> int:
    """Return the number of lines without incomplete ones at the end, left by a crash or being written now.

    A line with a checksum was complete once: if it is invalid now it is damaged, unless the file was truncated in it.
    """
    count = len(lines)
    while count and _fault(lines[count - 1], None) is not None:
        crc = known.get(count)
        is_cut = not lines[count - 1].endswith(b"\n") and zlib.crc32(lines[count - 1][:-1] + b"\n") != crc
        if crc is not None and not is_cut:
            break
        count -= 1
    return count


def _first_damage(lines: Sequence[bytes], known: Mapping[int, int]) -> Damage | None:
    for number, line in enumerate(lines[: _count_without_torn_end(lines, known)], start=1):
        reason = _fault(line, known.get(number))
        if reason is not None:
            return Damage(line=number, lines=len(lines), reason=reason)
    return None


def _fault(line: bytes, crc: int | None) -> str | None:
    """Return why a line is invalid; None if it is valid."""
    if crc is not None:
        return None if zlib.crc32(line) == crc else "its checksum is wrong"
    if not line.endswith(b"\n"):
        return "it is incomplete"
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return "it is not JSON"
    return None


def _split(content: bytes) -> list[bytes]:
    *complete, torn = content.split(b"\n")
    return [line + b"\n" for line in complete] + ([torn] if torn else [])


def _entry(line: int, crc: int) -> bytes:
    text = f"{line} {crc:08x}".encode("ascii")
    return text + f" {zlib.crc32(text):08x}\n".encode("ascii")


def _entries(content: bytes) -> Iterator[tuple[int, int]]:
    for entry in _split(content):
        number, _, rest = entry.partition(b" ")
        try:
            line, crc = int(number), int(rest[:8], 16)
        except ValueError:
            continue
        if entry == _entry(line, crc):
            yield line, crc


_EMPTY_JOURNAL = _entry(0, 0)
"""Entry for line 0: the journal is empty on purpose."""
