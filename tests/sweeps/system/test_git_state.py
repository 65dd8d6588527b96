"""The recorded version of the user's code, with real repositories."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sweeps.system import git_state as module
from sweeps.system.git_state import GitState, git_state
from sweeps.system.machine import environment


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "net.py").write_text("width = 8\n", encoding="utf-8")
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        git(folder, *arguments)
    return folder


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    return subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout


def test_a_clean_repository_is_its_commit_alone(repository: Path) -> None:
    state = git_state(repository)

    assert state == GitState(commit=git(repository, "rev-parse", "HEAD")[:12])
    assert (state.name, state.diff_id) == (state.commit, "")
    assert "git_diff" not in environment(state)


def test_uncommitted_changes_are_stored_and_distinguished(repository: Path) -> None:
    (repository / "net.py").write_text("width = 16\n", encoding="utf-8")
    edited = git_state(repository)
    (repository / "new.py").write_text("", encoding="utf-8")
    added = git_state(repository)

    assert edited.name == f"{edited.commit}-dirty"
    assert "-width = 8\n+width = 16\n" in edited.diff
    assert "?? new.py" in added.diff
    assert len({edited.diff_id, added.diff_id, ""}) == 3
    assert environment(edited) | {"git_sha": edited.name, "git_diff": edited.diff_id} == environment(edited)


def test_the_text_does_not_depend_on_gits_configuration(repository: Path) -> None:
    (repository / "net.py").write_text("width = 16\n", encoding="utf-8")
    plain = git_state(repository)
    git(repository, "config", "color.ui", "always")
    git(repository, "config", "diff.external", "echo")

    assert git_state(repository) == plain


def test_a_large_diff_is_cut_and_still_distinguished(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_DIFF_BYTES", 300)
    states = []
    for end in "ab":
        (repository / "net.py").write_text("é" * 400 + end, encoding="utf-8")
        states.append(git_state(repository))

    assert all(len(state.diff.encode("utf-8")) < 500 for state in states)
    assert states[0].diff_id != states[1].diff_id


def test_without_a_repository_or_without_git_nothing_is_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert git_state(tmp_path) == GitState()
    monkeypatch.setenv("PATH", "")
    assert git_state(Path(__file__).parent) == GitState()


def test_a_missing_diff_is_logged_and_the_commit_recorded(repository: Path, caplog: pytest.LogCaptureFixture) -> None:
    (repository / ".gitattributes").write_text("*.bin filter=lfs diff=lfs\n", encoding="utf-8")
    (repository / "data.bin").write_bytes(b"1")
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "data")
    git(repository, "config", "filter.lfs.clean", "there-is-no-git-lfs")
    git(repository, "config", "filter.lfs.required", "true")
    (repository / "data.bin").write_bytes(b"22")

    state = git_state(repository)

    assert state.commit == git(repository, "rev-parse", "HEAD")[:12]
    assert state.name.endswith("-dirty")
    assert "lfs" in state.diff
    assert state.commit in caplog.text
    assert "lfs" in caplog.text


def test_a_diff_that_takes_too_long_is_too_large(
    repository: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    slow = repository / "slow.sh"
    slow.write_text("#!/bin/sh\nexec sleep 30\n", encoding="utf-8")
    slow.chmod(0o755)
    git(repository, "config", "filter.slow.clean", str(slow))
    (repository / ".gitattributes").write_text("*.py filter=slow\n", encoding="utf-8")
    (repository / "net.py").write_text("width = 9\n", encoding="utf-8")
    monkeypatch.setattr(module, "GIT_SECONDS", 0.5)

    state = git_state(repository)

    assert state.commit
    assert "too large" in state.diff
    assert "too large" in caplog.text


def test_a_repository_that_git_rejects_is_reported(repository: Path, caplog: pytest.LogCaptureFixture) -> None:
    (repository / ".git" / "HEAD").write_text("nonsense\n", encoding="utf-8")

    assert git_state(repository) == GitState()
    assert "could not record the commit" in caplog.text
