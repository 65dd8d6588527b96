"""MLflow's web pages of the record: a small server for this machine."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import IO

from sweeps.core.errors import NoSuchSweepError, RecordError
from sweeps.core.exit_codes import ExitCode
from sweeps.record.client import connect, store_errors
from sweeps.record.shared_view import TAG, page_of_runs, shared_view
from sweeps.record.sqlite_store import relocate_artifacts
from sweeps.record.store import is_absent, is_server, redact, sqlite_file, store_uri
from sweeps.record.stores import open_store

HOST = "127.0.0.1"
PORTS_TRIED = 20
START_SECONDS = 120.0
STOP_SECONDS = 5.0


def ui_command(runs: Path, *, host: str = HOST, port: int = 5000) -> list[str]:
    """Return the command of the server for a runs folder's record; `ui_environment` is its environment.

    Raises:
        RecordError: There is no record, or it is on a server.
    """
    uri = store_uri(runs)
    if is_server(uri):
        raise RecordError(f"the record is on a server with its own pages. Open {redact(uri)}.")
    if is_absent(uri):
        raise RecordError(f"there is no record at {redact(uri)} yet. `sweeps run` creates it.")
    # Four workers and the job runner take 1.6 GB and 19 s to start, without benefit for one user.
    return [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port), "--workers", "1"]


def ui_environment(runs: Path) -> dict[str, str]:
    """Return the server's environment. It contains the URI of the store, since command lines are public."""
    return os.environ | {
        "MLFLOW_BACKEND_STORE_URI": store_uri(runs),
        "MLFLOW_DEFAULT_ARTIFACT_ROOT": (runs.resolve() / "artifacts").as_uri(),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
    }


def _print_now(line: str) -> None:
    """Print and flush a line."""
    print(line, flush=True)


def serve(
    runs: Path,
    *,
    sweep: str | None = None,
    port: int = 5000,
    host: str = HOST,
    announce: Callable[[str], None] = _print_now,
) -> int:
    """Run the server until it is interrupted, then end all its processes.

    Args:
        runs: The runs folder.
        sweep: Sweep of the announced page; the newest one if None.
        port: Requested port; the next free one is used if it is taken.
        host: Address to listen on.
        announce: Called with a message once the pages are available.

    Returns:
        The exit code: 0, or 130 after Ctrl-C.

    Raises:
        NoSuchSweepError: The record has no such sweep.
        RecordError: There is no record, no port is free, or the server does not start.
    """
    chosen = _free_port(host, port)
    command = ui_command(runs, host=host, port=chosen)
    path = sqlite_file(store_uri(runs))
    if path is not None:
        relocate_artifacts(path)
    url = f"http://{host}:{chosen}"
    page = _page_of(runs, url, sweep=sweep)
    with _term_as_interrupt(), tempfile.TemporaryFile() as log:
        # In a new session, so that all its processes can be ended together.
        server = subprocess.Popen(
            command,
            env=ui_environment(runs),
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            if not _wait_until_healthy(server, url):
                raise RecordError(f"MLflow's server did not start on port {chosen}: {_last_line(log)}")
            announce(f"MLflow shows {redact(store_uri(runs))} (press Ctrl-C to stop) at\n{page}")
            return server.wait()
        except KeyboardInterrupt:
            return ExitCode.INTERRUPTED
        finally:
            _end(server)


def _page_of(runs: Path, url: str, *, sweep: str | None) -> str:
    """Store a view of a sweep's runs with the columns in which they differ; return its URL."""
    uri = store_uri(runs)
    found = [run for run in open_store(runs).runs({"kind": "sweep"}) if "sweep" in run.tags]
    newest = max(found, key=lambda run: run.start_ms, default=None)
    if sweep is not None and sweep not in {run.tags["sweep"] for run in found}:
        raise NoSuchSweepError.recorded(
            str(sqlite_file(uri) or redact(uri)), sweep, {run.tags["sweep"] for run in found}
        )
    if newest is None:
        return url
    name = sweep or newest.tags["sweep"]
    runs_of_it = open_store(runs).runs({"sweep": name})
    view, content = shared_view(name, runs_of_it)
    with store_errors(uri):
        client = connect(uri)
        experiment_id = client.get_run(newest.run_id).info.experiment_id
    try:
        with store_errors(uri):
            client.set_experiment_tag(experiment_id, f"{TAG}{view}", content)
    except RecordError:  # a read-only record
        return page_of_runs(url, experiment_id, view=None)
    return page_of_runs(url, experiment_id, view=view)


def _free_port(host: str, first: int) -> int:
    for port in range(first, min(first + PORTS_TRIED, 65536)):
        with socket.socket() as probe:
            # Like uvicorn: a port whose last connection has just closed is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((host, port))
                return port
    raise RecordError(f"ports {first} to {first + PORTS_TRIED - 1} of {host} are in use. Choose another with --port.")


def _wait_until_healthy(server: subprocess.Popen[bytes], url: str) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        # A proxy cannot reach this machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with contextlib.suppress(OSError), opener.open(f"{url}/health", timeout=2):
            return server.poll() is None
        time.sleep(0.25)
    return False


def _last_line(log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it wrote no log"


def _end(server: subprocess.Popen[bytes]) -> None:
    """Terminate the server and its workers, then kill the remaining ones."""
    if os.name == "nt":
        server.terminate()
        server.wait()
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(STOP_SECONDS)
    # Orphaned workers are still in its process group.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


@contextlib.contextmanager
def _term_as_interrupt() -> Iterator[None]:
    """Treat SIGTERM and SIGHUP like Ctrl-C, so that no child process remains."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
