"""A folder of prepared data, fetched if it is missing or incomplete."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from cifar_core.common.errors import DataUnavailableError
from cifar_core.common.progress import Reporter
from cifar_core.data import prepared
from cifar_core.data.images import (
    CIFAR10_FINGERPRINTS,
    Fingerprints,
    LabelledImages,
    Part,
    fingerprint,
)
from cifar_core.data.sources.contract import FetchedImages, Source, SourceFailedError
from cifar_core.data.sources.official import ARCHIVE_NAME, ARCHIVE_URL

_SCRATCH_PREFIX = ".fetching-"


@dataclass(frozen=True, kw_only=True)
class FetchedData:
    """The folder of the data and its source."""

    directory: Path
    source: str
    """Name of the source that the data was fetched from, now or earlier."""
    fingerprints: Fingerprints
    already_there: bool
    """True where nothing was fetched now."""
    seconds: float
    """Wall-clock seconds of this call."""


@dataclass(frozen=True, kw_only=True)
class Store:
    """The prepared data in one folder, fetched from the first source that returns valid data."""

    directory: Path
    sources: Sequence[Source]
    fingerprints: Fingerprints = CIFAR10_FINGERPRINTS
    reporter: Reporter = field(default_factory=Reporter)
    lock_seconds: float = 3600
    """Longest wait for another process that fetches into the same folder."""

    def load(self, part: Part) -> LabelledImages:
        """Return a part; fetch first if it is missing or incomplete. The other part's files are not read.

        Raises:
            DataUnavailableError: no source returns the data, or the folder cannot be written.
        """
        images = self._read(part, warn=True)
        if images is not None:
            return images
        self._fetch_under_lock(needed=(part,))
        return prepared.read(self.directory, part, fingerprints=self.fingerprints)

    def fetch(self, *, force: bool = False) -> FetchedData:
        """Fetch the data if it is missing or incomplete.

        Args:
            force: fetch again even if the data is complete; it is replaced only by complete data.

        Raises:
            DataUnavailableError: no source returns the data, or the folder cannot be written.
        """
        started = time.perf_counter()
        already_there = not force and self._is_complete(prepared.PARTS, warn=True)
        if not already_there:
            already_there = not self._fetch_under_lock(needed=() if force else prepared.PARTS)
        return FetchedData(
            directory=self.directory,
            source=str(prepared.read_meta(self.directory).get("source")),
            fingerprints=self.fingerprints,
            already_there=already_there,
            seconds=time.perf_counter() - started,
        )

    def fault(self) -> str | None:
        """Return the fault of the data in the folder, None if both parts are intact. Fetches and changes nothing."""
        for part in prepared.PARTS:
            try:
                prepared.read(self.directory, part, fingerprints=self.fingerprints)
            except (prepared.MissingDataError, prepared.DamagedDataError) as error:
                return str(error)
        return None

    def _read(self, part: Part, *, warn: bool) -> LabelledImages | None:
        try:
            return prepared.read(self.directory, part, fingerprints=self.fingerprints)
        except prepared.MissingDataError:
            return None
        except prepared.DamagedDataError as error:
            if warn:
                self.reporter.warn(f"{error}. Fetching the data again")
            return None

    def _is_complete(self, parts: Sequence[Part], *, warn: bool) -> bool:
        return all(self._read(part, warn=warn) is not None for part in parts)

    def _fetch_under_lock(self, *, needed: Sequence[Part]) -> bool:
        """Fetch, unless another process has just fetched the needed parts. Return whether this one fetched."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            with self._lock():
                if needed and self._is_complete(needed, warn=False):
                    return False
                self._fetch()
                return True
        except OSError as error:
            raise DataUnavailableError(
                f"the data folder {self.directory} cannot be written ({error}): make it writable, "
                "free some space, or set CIFAR10_DIR to another folder"
            ) from error

    @contextmanager
    def _lock(self) -> Iterator[None]:
        lock = FileLock(self.directory / ".lock")
        try:
            try:
                lock.acquire(timeout=0)
            except Timeout:
                self.reporter.info(f"waiting for another process that fetches into {self.directory}")
                lock.acquire(timeout=self.lock_seconds)
        except Timeout as error:
            raise DataUnavailableError(
                f"another process has held the lock {lock.lock_file} for {self.lock_seconds:g} s: end that process, "
                "or set CIFAR10_DIR to another folder"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def _fetch(self) -> None:
        for leftover in self.directory.glob(f"{_SCRATCH_PREFIX}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        failures: list[str] = []
        for source in self.sources:
            # A new scratch folder for each, so that no source finds files of another.
            with tempfile.TemporaryDirectory(
                dir=self.directory, prefix=_SCRATCH_PREFIX, ignore_cleanup_errors=True
            ) as name:
                scratch = Path(name)
                try:
                    images = source.fetch(self.directory, scratch=scratch, reporter=self.reporter)
                    self._verify(images)
                except SourceFailedError as error:
                    failures.append(f"  {source.name}: {error}")
                    self.reporter.info(f"{source.name}: {error}")
                    continue
                prepared.write(scratch, images, source=source.name, fingerprints=self.fingerprints)
                prepared.publish(scratch, self.directory)
            self.reporter.info(f"CIFAR-10 is in {self.directory} (source: {source.name})")
            return
        raise DataUnavailableError(
            "\n".join(
                [
                    "CIFAR-10 could not be fetched:",
                    *failures,
                    f"To add it manually, download {ARCHIVE_URL}",
                    f"into {self.directory} as {ARCHIVE_NAME}, then run the same command again.",
                ]
            )
        )

    def _verify(self, images: FetchedImages) -> None:
        for part in prepared.PARTS:
            labelled = images.train if part == "train" else images.test
            found = fingerprint(labelled.images_NHWC), fingerprint(labelled.labels_N.astype("uint8"))
            if found != self.fingerprints.of(part):
                raise SourceFailedError(
                    f"returned data other than CIFAR-10: the {part} images and labels have the MD5 sums "
                    f"{found[0]} and {found[1]}"
                )
