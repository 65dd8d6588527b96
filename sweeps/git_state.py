"""What of the user's code a run was made with: the commit, and what differs from it."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path

MAX_DIFF_BYTES = 2_000_000
"""Of what is kept of a diff: a data file that somebody has changed does not fill the record."""


@dataclass(frozen=True, kw_only=True)
class GitState:
    """The repository around a folder. Both fields are empty where there is none, or no git."""

    commit: str = ""
    """Of HEAD, its first twelve digits."""
    diff: str = ""
    """What `git status` lists, then what `git diff HEAD` says; empty where nothing differs."""

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

    Args:
        folder: the working folder where None.
    """

    def git(*arguments: str) -> str:
        said = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, check=True, timeout=10).stdout
        return said.decode("utf-8", errors="replace")

    try:
        commit = git("rev-parse", "--short=12", "HEAD").strip()
        changed = git("status", "--porcelain")
        # One that was configured, such as for colours or for another program that shows it, would not be the same text.
        diff = git("diff", "--no-color", "--no-ext-diff", "HEAD") if changed else ""
    except (OSError, subprocess.SubprocessError):
        return GitState()
    return GitState(commit=commit, diff=_cut(changed + diff))


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


def _cut(text: str) -> str:
    content = text.encode("utf-8")
    if len(content) <= MAX_DIFF_BYTES:
        return text
    # What is cut still tells one from another.
    rest = hashlib.sha256(content).hexdigest()
    return content[:MAX_DIFF_BYTES].decode("utf-8", errors="ignore") + f"\n(cut; the whole has the SHA-256 {rest})\n"
