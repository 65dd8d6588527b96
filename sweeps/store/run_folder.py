"""Files that a training writes in addition to its checkpoint: the trial's folder, and artifacts for its MLflow run.

The folder is next to the checkpoint and is deleted with it. Artifacts are next to the log and are kept like it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from sweeps.core.address import is_bucket
from sweeps.core.errors import StoreError
from sweeps.store.bucket import Bucket, open_bucket

_ARTIFACTS = ".artifacts"


def artifacts_name(log: str) -> str:
    """Return the path of the folder of artifacts that belongs to a log."""
    return log.removesuffix(".log") + _ARTIFACTS


@contextlib.contextmanager
def local_artifacts(log: str, *, runs: Path, scratch: Path) -> Iterator[Path | None]:
    """Yield a local folder with the artifacts of a trial; None if it has none, or they are unreachable.

    Args:
        log: Path of its log relative to the runs folder, or URL.
        runs: The runs folder.
        scratch: An empty folder for a copy of those in a bucket.
    """
    folder = scratch if is_bucket(log) else runs / artifacts_name(log)
    with contextlib.suppress(StoreError, OSError):
        if is_bucket(log):
            bucket, name = open_bucket(log)
            FolderInBucket(folder, bucket, artifacts_name(name)).fetch()
    has_files = folder.is_dir() and any(folder.iterdir())
    yield folder if has_files else None


class FolderInBucket:
    """A local folder and its copy in a bucket. Only changed files are copied."""

    def __init__(self, folder: Path, bucket: Bucket, name: str) -> None:
        """Create without copying.

        Args:
            folder: The local folder.
            bucket: The bucket.
            name: Name of the folder in the bucket.
        """
        self._folder, self._bucket, self._name = folder, bucket, name
        self._copied: dict[str, tuple[int, int]] = {}

    def fetch(self) -> None:
        """Copy all files from the bucket to the local folder.

        Raises:
            StoreError: The storage cannot be read.
            OSError: A file cannot be written.
        """
        for name in self._bucket.names(self._name):
            content = self._bucket.read(name)
            path = self._folder / PurePosixPath(name).relative_to(self._name)
            if content is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        self._copied = self._state()

    def put(self) -> None:
        """Copy new and changed files to the bucket, and delete files there that were deleted locally.

        Raises:
            StoreError: The storage cannot be written.
            OSError: A file cannot be read.
        """
        now = self._state()
        for name, state in now.items():
            if self._copied.get(name) != state:
                self._bucket.write(f"{self._name}/{name}", (self._folder / name).read_bytes())
                self._copied[name] = state
        for name in self._copied.keys() - now.keys():
            self._bucket.delete(f"{self._name}/{name}")
            del self._copied[name]

    def _state(self) -> dict[str, tuple[int, int]]:
        found = {}
        for folder, _, names in os.walk(self._folder):
            for path in (Path(folder) / name for name in names):
                about = path.stat()
                found[path.relative_to(self._folder).as_posix()] = (about.st_size, about.st_mtime_ns)
        return found
