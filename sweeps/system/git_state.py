"""The version of the user's code that a run used: the commit, and the uncommitted changes."""

from __future__ import annotations

import hashlib
import logging
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

MAX_DIFF_BYTES = 2_000_000
"""Stored part of a diff, so that a changed data file does not fill the record."""

GIT_SECONDS = 20.0
"""Timeout of one git command, for which the start of a sweep waits."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class GitState:
    """The repository that contains a folder. Both fields are empty if there is none, or no git."""

    commit: str = ""
    """Of HEAD, its first twelve digits."""
    diff: str = ""
    """Output of `git status`, then of `git diff HEAD` or the reason why it is missing; empty without changes."""

    @property
    def name(self) -> str:
        """Return the commit, followed by `-dirty` if there are changes."""
        return f"{self.commit}-dirty" if self.diff else self.commit

    @property
    def diff_id(self) -> str:
        """Return the hash of the diff; empty without changes."""
        return hashlib.sha256(self.diff.encode("utf-8")).hexdigest()[:12] if self.diff else ""


def git_state(folder: Path | None = None) -> GitState:
    """Return the state of the repository that contains a folder.

    If git returns the commit but not the changes, the diff contains the reason, which is also logged.

    Args:
        folder: None for the working directory.
    """
    try:
        commit = _git("rev-parse", "--short=12", "HEAD", folder=folder).strip()
    except (OSError, subprocess.SubprocessError) as error:
        path = (folder or Path()).resolve()
        if any((parent / ".git").exists() for parent in (path, *path.parents)):
            _log.warning("could not record the commit: %s", _in_words(error))
        return GitState()
    changed = ""
    try:
        changed = _git("status", "--porcelain", folder=folder)
        # Independent of the user's configuration, such as colours or another diff program.
        diff = _git("diff", "--no-color", "--no-ext-diff", "HEAD", folder=folder) if changed else ""
    except (OSError, subprocess.SubprocessError) as error:
        reason = _in_words(error)
        _log.warning("recorded the commit %s without the uncommitted changes: %s", commit, reason)
        diff = f"(not recorded: {reason})\n"
    return GitState(commit=commit, diff=changed + diff)


def _git(*arguments: str, folder: Path | None) -> str:
    """Return the output of a git command, cut at `MAX_DIFF_BYTES`, so that memory is bounded.

    Raises:
        OSError: git is not installed.
        subprocess.SubprocessError: the command failed, or took longer than `GIT_SECONDS`.
    """
    command = ["git", *arguments]
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
        ) as process,
    ):
        assert process.stdout is not None
        timer = threading.Timer(GIT_SECONDS, process.kill)
        timer.start()
        started = time.monotonic()
        kept, digest, size = bytearray(), hashlib.sha256(), 0
        try:
            while block := process.stdout.read(1 << 20):
                digest.update(block)
                size += len(block)
                kept += block[: MAX_DIFF_BYTES - len(kept)]
            code = process.wait()
        finally:
            timer.cancel()
        if code and time.monotonic() - started >= GIT_SECONDS:
            raise subprocess.TimeoutExpired(command, GIT_SECONDS)
        if code:
            errors.seek(0)
            raise subprocess.CalledProcessError(code, command, stderr=errors.read())
    text = kept.decode("utf-8", errors="ignore" if size > len(kept) else "replace")
    if size == len(kept):
        return text
    # The checksum distinguishes diffs that are equal up to the cut. The text is part of `diff_id`: do not reword it.
    return f"{text}\n(diff too large: {size:,} bytes, cut here; the whole has the SHA-256 {digest.hexdigest()})\n"


def _in_words(error: OSError | subprocess.SubprocessError) -> str:
    if isinstance(error, subprocess.TimeoutExpired):
        return f"diff too large: `{' '.join(error.cmd[:2])}` takes longer than {GIT_SECONDS:g} s"
    if isinstance(error, subprocess.CalledProcessError):
        lines = error.stderr.decode("utf-8", errors="replace").strip().splitlines()
        return f"`{' '.join(error.cmd[:2])}` failed: {'; '.join(lines[-2:]) or error.returncode}"
    return str(error)


def has_uncommitted_changes(file: Path) -> bool:
    """Return whether a file differs from the last commit of its repository, or is not in it.

    False without a repository or without git.
    """
    try:
        output = subprocess.run(
            ["git", "status", "--porcelain", "--ignored", "--", f":(literal){file.name}"],
            cwd=file.absolute().parent,
            capture_output=True,
            check=True,
            timeout=10,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return False
    return bool(output.strip())
