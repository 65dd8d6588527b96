"""A tracking server that hangs or gives invalid answers: a real one on a local port."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from sweep_fakes import Cli

from sweeps.core.errors import RecordError
from sweeps.record import timeouts
from sweeps.record.availability import is_unresponsive
from sweeps.record.client import connect, store_errors
from sweeps.record.parent_run import RecordedStudy
from sweeps.record.reader import MlflowReader
from sweeps.record.writer import Tracker

Serve = Callable[[str], str]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Start a server that answers all requests in one way, use it as record, and return its URL."""
    servers = []
    hanging = threading.Event()
    monkeypatch.setattr(timeouts, "CALL_SECONDS", 1.5)
    monkeypatch.setattr(timeouts, "END_SECONDS", 1.5)
    monkeypatch.setattr(timeouts, "NOTICE_SECONDS", 0.3)

    def begin(manner: str) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if manner == "hangs":
                    hanging.wait(30)
                elif manner == "trickles":
                    self.send_response(200)
                    for number in range(30):
                        if hanging.wait(0.2):
                            return
                        self.send_header(f"X-{number}", "slow")
                        self.flush_headers()
                elif manner == "redirects":
                    self.send_response(302)
                    self.send_header("Location", "/login")
                    if self.path == "/login":
                        self._answer(200, "<html>please log in</html>", "text/html")
                    else:
                        self.end_headers()
                elif manner == "html":
                    self._answer(200, "<html>welcome</html>", "text/html")
                elif manner == "other JSON":
                    self._answer(200, "[1, 2]", "application/json")
                else:
                    self._answer(int(manner), '{"error_code": "SAYS_NO", "message": "no"}', "application/json")

            do_POST = do_GET

            def _answer(self, status: int, text: str, kind: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        uri = f"http://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        return uri

    yield begin
    hanging.set()
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("manner", ["hangs", "trickles", "500", "401", "html", "redirects", "other JSON"])
def test_a_start_fails_within_seconds(manner: str, serve: Serve, runs: Path) -> None:
    uri = serve(manner)
    with pytest.raises(RecordError, match=uri):  # MLflow is imported by then
        Tracker(RecordedStudy(sweep="tiny", name="tiny-1"), runs=runs, environment={})

    began = time.monotonic()
    with pytest.raises(RecordError, match=uri):
        MlflowReader(runs).runs()
    assert time.monotonic() - began < 8


def test_a_warning_is_logged_while_a_call_hangs(serve: Serve, runs: Path, caplog: pytest.LogCaptureFixture) -> None:
    uri = serve("hangs")

    with pytest.raises(RecordError, match="does not answer within"):
        MlflowReader(runs).runs()

    assert f"waiting for the record at {uri}" in caplog.text


def test_everything_at_the_end_shares_one_deadline(serve: Serve, runs: Path) -> None:
    uri = serve("hangs")
    client = connect(uri)
    budget = timeouts.wait_budget(uri)
    budget.start_final_phase()

    began = time.monotonic()
    for _ in range(20):
        with pytest.raises(RecordError, match=uri), store_errors(uri):
            client.get_experiment_by_name("cifar10")

    assert time.monotonic() - began < 4
    assert is_unresponsive(runs)
    budget.reset()
    assert not is_unresponsive(runs)


@pytest.mark.parametrize(("limit", "waits"), [("30", True), ("20", False), ("5", False), ("", False)])
def test_a_slow_server_has_mlflows_own_limit(limit: str, waits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "CALL_SECONDS", 0.1)
    monkeypatch.setattr(timeouts, "END_SECONDS", 0.1)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", limit)
    budget = timeouts.WaitBudget("http://slow")

    with contextlib.nullcontext() if waits else pytest.raises(TimeoutError):
        assert budget.call(lambda: time.sleep(0.5) or "an answer") == "an answer"
    budget.start_final_phase()
    with pytest.raises(TimeoutError):  # at the end the user's limit changes nothing
        budget.call(lambda: time.sleep(0.5))


def test_a_verb_ends_with_one_error_message(
    serve: Serve, runs: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = serve("401")

    said = cli("leaderboard", "--runs", runs)

    assert said.exit_code == 2
    assert uri in said.output
    assert len(said.output.strip().splitlines()) == 1
