"""The journal's file: whole to its last line, with a checksum for each line, and a copy of it from the last start.

Optuna's own readers (`optuna-dashboard` too) find a plain Optuna journal; the checksums lie beside it. A line without
one (written by another program, or just before a crash) counts as unchecked: it needs to be JSON, no more.
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

from cifar_core.common.files import NotAFileError, free_name, make_way, read_regular
from sweeps.core.commands import command_on
from sweeps.core.errors import DamagedJournalError, DiskFullError, StoreError, is_disk_full
from sweeps.store.files import read_file, reason_of, write_file

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Damage:
    """The first line of a journal that is not what was written, or that nothing of it is."""

    line: int
    """Counted from 1; 0 where there is no line to name: it is empty, or no file."""
    lines: int
    """Of the whole journal."""
    reason: str


class JournalFile:
    """A sweep's journal on disk, line by line. Only what holds the sweep's lock may change it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._sealed_bytes = 0
        self._sealed_lines = 0

    @property
    def checksums(self) -> Path:
        """Where the checksums of its lines are."""
        return self.path.with_name(f"{self.path.name}.crc")

    @property
    def backup(self) -> Path:
        """A copy of the journal as the last start found it. A journal only grows: it begins as its copy does."""
        return self.path.with_name(f"{self.path.name}.backup")

    @property
    def is_there(self) -> bool:
        """Whether anything was begun: something has its name, or what lies beside it says that it was there."""
        return self.path.exists() or self.path.is_symlink() or self._was_begun(self._known(), is_gone=True)

    def prepare(self) -> None:
        """Make the journal whole for a new driver: cut a torn end, take damaged lines from the backup, say so.

        Raises:
            DamagedJournalError: a line is damaged and cannot be had from the backup.
        """
        self.mend()
        restored = self.restore()
        if restored:
            numbers = numbers_in_words(restored)
            _log.warning("%s was damaged in %s: taken from the copy of the last start", self.path, numbers)
        damage = self.damage()
        if damage is not None:
            raise self.error(damage)
        lines, known = self.lines(), self._known()
        lost = sum(line > len(lines) for line in known)
        if lost:
            _log.warning("%s was cut short: its last %d lines are lost, all before them are used", self.path, lost)
        self._sealed_bytes, self._sealed_lines = sum(map(len, lines)), len(lines)
        self._write_checksums(len(lines))
        write_file(self.backup, b"".join(lines))

    def mend(self) -> None:
        """Cut what a crash left half written at the end: an append behind it would make the study unreadable."""
        known = self._known()
        if self._damage_of_all(known) is not None:
            return
        lines = self.lines()
        whole = lines[: _without_torn_end(lines, known)]
        if len(whole) < len(lines):
            with self.path.open("r+b") as file:
                file.truncate(sum(map(len, whole)))
                os.fsync(file.fileno())

    def restore(self) -> list[int]:
        """Take damaged or missing lines from the backup where that makes the journal whole; return their numbers."""
        known = self._known()
        is_lost = self._damage_of_all(known) is not None
        content, before = b"" if is_lost else b"".join(self.lines()), self._copied()
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
        """Return the first line that is not what was written, None where all are."""
        return self.read()[1]

    def read(self) -> tuple[Sequence[bytes], Damage | None]:
        """Return the lines before the first damage, and the damage. Also while a driver writes."""
        # In this order: a line that is being written has no checksum yet.
        known = self._known()
        if (lost := self._damage_of_all(known)) is not None:
            return [], lost
        lines = self.lines()
        damage = _first_damage(lines, known)
        return lines[: damage.line - 1 if damage else _without_torn_end(lines, known)], damage

    def error(self, damage: Damage) -> DamagedJournalError:
        """Return the error for a damaged journal, with what to do about it."""
        repair = command_on("repair", self.path.parent.name, runs=self.path.parents[2])
        if damage.line == 0:
            can = "restores it from the copy of the last start" if self._copied() else "begins another one"
            return DamagedJournalError(
                f"{self.path} is damaged: {damage.reason}. Put back a copy of the file if you have one; else "
                f"`{repair}` {can}, and what MLflow has recorded as complete is not trained again"
            )
        return DamagedJournalError(
            f"{self.path} is damaged in line {damage.line} of {damage.lines} ({damage.reason}): put back a copy of the "
            "file if you have one, or go on from the lines before it with "
            f"`{repair}`: it keeps the damaged file, and what MLflow has recorded as complete is not trained again"
        )

    def cut(self, damage: Damage) -> Path:
        """Keep the lines before the damage, and return where the damaged file is put; its own name where it is gone."""
        lines = [] if damage.line == 0 else self.lines()[: damage.line - 1]
        aside = self._replace(lines)
        self._write_checksums(len(lines))
        # Last: it could not help, and what it holds behind the cut is given up.
        make_way(self.backup)
        self.backup.unlink(missing_ok=True)
        return aside

    def _replace(self, lines: Sequence[bytes]) -> Path:
        """Put lines in the journal's place, and return where the damaged file is; its own name where it is gone.

        A file has both names until the lines are on the disk: whatever ends this before, nothing of it is lost.
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
        """Return its lines, each with its end; the last one may lack it.

        Raises:
            StoreError: it cannot be read, or is no file.
        """
        return _split(read_file(self.path) or b"")

    def undo(self, size: int, error: OSError) -> StoreError:
        """Take back what a failed append has left of itself, and return the error to raise."""
        os.truncate(self.path, size)
        if is_disk_full(error):
            return DiskFullError(self.path)
        return StoreError(
            f"{self.path} cannot be written any more ({error.strerror or error}): what was written before is whole, "
            "and the same command goes on from it"
        )

    def seal(self) -> None:
        """Write the checksums of the lines added since the last call. Where there is no room they stay unchecked."""
        with self.path.open("rb") as file:
            file.seek(self._sealed_bytes)
            added = [line for line in _split(file.read()) if line.endswith(b"\n")]
        entries = [_entry(self._sealed_lines + index, zlib.crc32(line)) for index, line in enumerate(added, start=1)]
        self._sealed_bytes += sum(map(len, added))
        self._sealed_lines += len(added)
        size = 0
        try:
            make_way(self.checksums)
            size = self.checksums.stat().st_size if self.checksums.exists() else 0
            with self.checksums.open("ab") as file:
                file.writelines(entries)
        except OSError:
            with contextlib.suppress(OSError):
                os.truncate(self.checksums, size)

    def _write_checksums(self, lines: int) -> None:
        """Forget the checksums of what follows so many lines."""
        kept = [_entry(line, crc) for line, crc in sorted(self._known().items()) if 0 < line <= lines]
        write_file(self.checksums, b"".join([_BEGUN_ANEW] if lines == 0 else kept))

    def _known(self) -> Mapping[int, int]:
        """Return the checksum of each line that has one. An entry that is damaged itself counts for nothing."""
        try:
            return dict(_entries(read_regular(self.checksums) or b""))
        except OSError:
            return {}

    def _copied(self) -> bytes:
        """Return what the backup holds, nothing where it cannot be had."""
        try:
            return read_regular(self.backup) or b""
        except OSError:
            return b""

    def _damage_of_all(self, known: Mapping[int, int]) -> Damage | None:
        """Return why nothing of the journal can be used: it is no file, or empty although something was begun.

        Raises:
            StoreError: it cannot be read.
        """
        try:
            content = read_regular(self.path, follow=False)
        except NotAFileError as error:
            return Damage(line=0, lines=0, reason=f"{error.strerror}, not a file")
        except OSError as error:
            raise StoreError(f"{self.path} cannot be read: {reason_of(error)}") from None
        lines = _split(content or b"")
        if _without_torn_end(lines, known) or not self._was_begun(known, is_gone=content is None):
            return None
        what = "it is gone" if content is None else "it is empty" if not content else "nothing in it can be read"
        return Damage(line=0, lines=0, reason=f"{what}, and there was a sweep in it")

    def _was_begun(self, known: Mapping[int, int], *, is_gone: bool) -> bool:
        """Return whether the journal had lines: by its checksums and its copy, else by what its trials have left."""
        if any(known) or self._copied():
            return True
        left = [] if is_gone or 0 in known else [self.path.with_name("checkpoints"), self.path.with_name("logs")]
        return any(folder.is_dir() and any(folder.iterdir()) for folder in left)


def numbers_in_words(lines: Sequence[int]) -> str:
    """Return which lines, the first five and the last: `line 3`, `line 1, 2, 3, 4, 5 to 69`."""
    return f"line {', '.join(map(str, lines[:5]))}" + (f" to {lines[-1]}" if len(lines) > 5 else "")


def _without_torn_end(lines: Sequence[bytes], known: Mapping[int, int]) -> int:
    """Return how many lines there are without those at the end that a crash, or a driver just now, left half written.

    A line with a checksum was whole once. Where it is not now, that is damage, unless the file was cut short in it.
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
    for number, line in enumerate(lines[: _without_torn_end(lines, known)], start=1):
        reason = _fault(line, known.get(number))
        if reason is not None:
            return Damage(line=number, lines=len(lines), reason=reason)
    return None


def _fault(line: bytes, crc: int | None) -> str | None:
    """Return what is wrong with a line, None where nothing is known to be."""
    if crc is not None:
        return None if zlib.crc32(line) == crc else "its checksum is wrong"
    if not line.endswith(b"\n"):
        return "it has no end"
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return "it is not JSON"
    return None


def _split(content: bytes) -> list[bytes]:
    *whole, torn = content.split(b"\n")
    return [line + b"\n" for line in whole] + ([torn] if torn else [])


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


_BEGUN_ANEW = _entry(0, 0)
"""The checksum of no line: the journal holds none, and that is as it should be."""
