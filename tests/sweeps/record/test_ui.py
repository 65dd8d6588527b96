"""The command that shows the record in MLflow's pages. Serving was tested manually, since a start takes 10 s."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from sweeps.core.errors import RecordError
from sweeps.record.ui import _free_port, serve, ui_command, ui_environment


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlflow.db").write_text("not opened here")
    return tmp_path


def test_the_server_listens_here_alone_with_one_worker_and_our_store(runs: Path) -> None:
    command = ui_command(runs)
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--workers") + 1] == "1"
    environment = ui_environment(runs)
    assert environment["MLFLOW_BACKEND_STORE_URI"] == f"sqlite:///{runs}/mlflow.db"
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"


def test_a_taken_port_gives_way_to_the_next_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert _free_port("127.0.0.1", port) > port


def test_a_missing_record_is_an_error_before_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(RecordError, match="there is no record"):
        serve(tmp_path)


def test_a_record_on_a_server_is_shown_there(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@mlflow.example:5000")
    with pytest.raises(RecordError, match=r"Open http://mlflow\.example:5000\.$"):
        ui_command(runs)
