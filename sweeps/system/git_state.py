"""What of the user's code a run was made with: the commit, and what differs from it."""

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
"""Of what is kept of a diff: a data file that somebody has changed does not fill the record."""

GIT_SECONDS = 20.0
"""For one command: that many a start of a sweep waits for."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class GitState:
    """The repository around a folder. Both fields are empty where there is none, or no git."""

    commit: str = ""
    """Of HEAD, its first twelve digits."""
    diff: str = ""
    """What `git status` lists, then what `git diff HEAD` says, or why it says nothing; empty where nothing differs."""

    @property
    def name(self) -> str:
        """The commit, with `-dirty` where something differs from it."""
        return f"{self.commit}-dirty" if self.diff else self.commit

    @property
    def diff_id(self) -> str:
        """What tells one diff from another; empty where nothing differs."""
        return hashlib.sha256(self.diff.encode("utf-8")).hexdigest()[:12] if self.diff else ""


def git_state(folder: Path | None = None) -> GitState:
    """Return how the repository around a folder stands.

    Where git names the commit but cannot say what differs from it, the diff says why, and a warning does.

    Args:
        folder: the working folder where None.
    """
    try:
        commit = _git("rev-parse", "--short=12", "HEAD", folder=folder).strip()
    except (OSError, subprocess.SubprocessError) as error:
        path = (folder or Path()).resolve()
        if any((parent / ".git").exists() for parent in (path, *path.parents)):
            _log.warning("no commit is recorded: %s", _in_words(error))
        return GitState()
    changed = ""
    try:
        changed = _git("status", "--porcelain", folder=folder)
        # One that was configured, such as for colours or for another program that shows it, would not be the same text.
        diff = _git("diff", "--no-color", "--no-ext-diff", "HEAD", folder=folder) if changed else ""
    except (OSError, subprocess.SubprocessError) as error:
        reason = _in_words(error)
        _log.warning("the commit %s is recorded without what differs from it: %s", commit, reason)
        diff = f"(not recorded: {reason})\n"
    return GitState(commit=commit, diff=changed + diff)


def _git(*arguments: str, folder: Path | None) -> str:
    """Return what a git command prints, cut where it is long: a large file that has changed is never held whole.

    Raises:
        OSError: there is no git.
        subprocess.SubprocessError: it failed, or took longer than `GIT_SECONDS`.
    """
    command = ["git", *arguments]
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
        ) as process,
    ):
        assert process.stdout is not None
        late = threading.Timer(GIT_SECONDS, process.kill)
        late.start()
        began = time.monotonic()
        kept, whole, size = bytearray(), hashlib.sha256(), 0
        try:
            while block := process.stdout.read(1 << 20):
                whole.update(block)
                size += len(block)
                kept += block[: MAX_DIFF_BYTES - len(kept)]
            code = process.wait()
        finally:
            late.cancel()
        if code and time.monotonic() - began >= GIT_SECONDS:
            raise subprocess.TimeoutExpired(command, GIT_SECONDS)
        if code:
            errors.seek(0)
            raise subprocess.CalledProcessError(code, command, stderr=errors.read())
    text = kept.decode("utf-8", errors="ignore" if size > len(kept) else "replace")
    if size == len(kept):
        return text
    # What is cut still tells one from another.
    return f"{text}\n(diff too large: {size:,} bytes, cut here; the whole has the SHA-256 {whole.hexdigest()})\n"


def _in_words(error: OSError | subprocess.SubprocessError) -> str:
    if isinstance(error, subprocess.TimeoutExpired):
        return f"diff too large: `{' '.join(error.cmd[:2])}` takes longer than {GIT_SECONDS:g} s"
    if isinstance(error, subprocess.CalledProcessError):
        lines = error.stderr.decode("utf-8", errors="replace").strip().splitlines()
        return f"`{' '.join(error.cmd[:2])}` failed: {'; '.join(lines[-2:]) or error.returncode}"
    return str(error)


def has_uncommitted_changes(file: Path) -> bool:
    """Return whether a file differs from what the last commit of its repository holds, or is not in it.

    False where there is no repository, or no git.
    """
    try:
        said = subprocess.run(
            ["git", "status", "--porcelain", "--ignored", "--", f":(literal){file.name}"],
            cwd=file.absolute().parent,
            capture_output=True,
            check=True,
            timeout=10,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return False
    return bool(said.strip())
