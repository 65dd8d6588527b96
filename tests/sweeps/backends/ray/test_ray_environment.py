"""Session folders and tokens of Ray; no Ray is started here."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from sweeps.backends.ray.environment import ensure_private_token, prepare_environment, session_folder

HOLD = """
import time
from pathlib import Path
from sweeps.backends.ray.environment import session_folder
with session_folder(Path("runs")) as folder:
    (folder / "left").touch()
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _folders_of_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)


def test_a_drivers_folder_is_private_and_deleted_at_its_end() -> None:
    with session_folder(Path("runs")) as folder:
        assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
        (folder / "session" / "logs").mkdir(parents=True)

    assert not folder.exists()


def test_folders_of_killed_drivers_are_deleted_at_the_next_start() -> None:
    with (
        subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True) as killed,
        subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True) as living,
    ):
        assert killed.stdout is not None
        assert living.stdout is not None
        left, used = Path(killed.stdout.readline().strip()), Path(living.stdout.readline().strip())
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert left.exists()

        with session_folder(Path("runs")) as own:
            found = {left.exists(), used.exists(), own.exists()}

        living.send_signal(signal.SIGKILL)
    assert not left.exists()
    assert (used / "left").exists()
    assert found == {False, True}


def test_a_new_token_is_private(tmp_path: Path) -> None:
    ensure_private_token()

    path = tmp_path / ".ray" / "auth_token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_text(encoding="ascii")) == 64


def test_a_readable_token_is_kept_and_made_private(tmp_path: Path) -> None:
    path = tmp_path / ".ray" / "auth_token"
    path.parent.mkdir()
    path.write_text("a token of Ray's own", encoding="ascii")
    path.chmod(0o644)

    ensure_private_token()

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text(encoding="ascii") == "a token of Ray's own"


def test_without_a_home_the_token_is_a_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "")
    (tmp_path / ".ray").write_text("a file", encoding="ascii")

    prepare_environment(address=None)

    path = Path(os.environ["RAY_AUTH_TOKEN_PATH"])
    assert tmp_path not in path.parents
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_text(encoding="ascii")) == 64
