"""`--submit`: a sweep as a job of a cluster on which this project is not installed."""

from __future__ import annotations

import http.server
import importlib.util
import os
import re
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster_nodes import Cluster, free_port, wait_for
from sweep_fakes import Cli, outcomes, own_net, sweeps_process, tiny, write_yaml, written

from sweeps.cli.submit import place_options
from sweeps.errors import SweepError
from sweeps.execution.job_submission import JobRequest, forwarded_environment, job_server
from sweeps.execution.ray_environment import ensure_private_token

PACKAGES = importlib.util.find_spec("aiohttp_cors")
needs_job_server = pytest.mark.skipif(PACKAGES is None, reason="a job server is part of ray[default]")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a cluster's job server."""
    assert PACKAGES is not None
    assert PACKAGES.origin is not None
    ensure_private_token()
    port = free_port()
    with tempfile.TemporaryDirectory(dir=os.environ["RAY_TMPDIR"], prefix="rj") as sockets:
        cluster = Cluster(tmp_path_factory.mktemp("cluster"))
        cluster.environment["PYTHONPATH"] += f":{Path(PACKAGES.origin).parents[1]}"
        # The driver, which a job's is too, hands the images out.
        images = {"CIFAR10_DIR": os.environ.get("CIFAR10_DIR", "")}
        try:
            cluster.start(sockets, "--include-dashboard=true", f"--dashboard-port={port}", **images)
            yield f"http://127.0.0.1:{port}"
        finally:
            cluster.stop()


@needs_job_server
@pytest.mark.slow
def test_a_sweep_of_an_own_network_runs_as_a_job_that_is_shown_until_it_ends(
    server: str, tmp_path: Path, recorded_runs: Path
) -> None:
    base = own_net(tmp_path, module="net_of_a_job", hook="pass")
    path = write_yaml(tmp_path, tiny(base=base))
    arguments = ("run", path, "--submit", "--address", server, "--runs", recorded_runs)

    for said in ("trained 2 in", "nothing was trained"):
        with sweeps_process(*arguments, "--set", "run_cap=2", cwd=tmp_path) as process:
            output, _ = process.communicate(timeout=150)

        assert process.returncode == 0, output
        assert said in output
    assert outcomes(recorded_runs) == [("FINISHED", "complete")] * 2


@needs_job_server
@pytest.mark.slow
def test_the_exit_code_is_the_jobs_and_a_ladders_options_travel(
    server: str, tmp_path: Path, recorded_runs: Path
) -> None:
    base = own_net(tmp_path, module="net_that_fails_in_a_job", hook="raise ValueError('as asked')")
    rungs = [
        {"name": "a", "model": {"name": "simple"}},
        {"name": "b", "model": {"name": "net_that_fails_in_a_job:Net"}},
    ]
    path = write_yaml(tmp_path, {"name": "steps", "base": base | {"model": {"width": 4}}, "rungs": rungs})

    with sweeps_process(
        "ladder", path, "--submit", "--address", server, "--runs", recorded_runs, "--rungs", "b", cwd=tmp_path
    ) as process:
        output, _ = process.communicate(timeout=150)

    assert process.returncode == 1, output
    assert "as asked" in output
    assert [run.tags["rung"] for run in written(recorded_runs, sweep="steps")] == ["b"]


@needs_job_server
@pytest.mark.slow
def test_an_interrupt_leaves_the_job_running_and_says_how_to_look_at_it(
    server: str, tmp_path: Path, recorded_runs: Path
) -> None:
    path = write_yaml(tmp_path, tiny(run_cap=1))
    with sweeps_process("run", path, "--submit", "--address", server, "--runs", recorded_runs, cwd=tmp_path) as process:
        assert process.stdout is not None
        line = next(line for line in process.stdout if line.startswith("job "))
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)

    found = re.search(r"job (sweeps-tiny-\w+) is submitted", line)
    assert found
    assert process.returncode == 130
    assert f"ray job logs --follow {found[1]} --address {server}" in output
    assert f"ray job stop {found[1]} --address {server}" in output
    wait_for(lambda: outcomes(recorded_runs) == [("FINISHED", "complete")], seconds=120, what="the job ended too")


@needs_job_server
@pytest.mark.slow
def test_a_job_server_that_asks_for_another_token_says_what_to_do(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0123456789abcdef")

    with sweeps_process("run", write_yaml(tmp_path, tiny()), "--submit", "--address", server, cwd=tmp_path) as process:
        output, _ = process.communicate(timeout=60)

    assert process.returncode == 2
    assert "asks for a token" in output
    assert "~/.ray/auth_token" in output
    assert "Traceback" not in output


class _Silent(http.server.BaseHTTPRequestHandler):
    """Answers, and is no job server."""

    def do_GET(self) -> None:
        self.send_response(404)
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture
def stranger() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), _Silent) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()


def test_what_is_no_job_server_says_what_to_do_within_seconds(tmp_path: Path, cli: Cli, stranger: str) -> None:
    path = write_yaml(tmp_path, tiny())
    nobody = f"http://127.0.0.1:{free_port()}"
    began = time.monotonic()

    for address, words in ((stranger, "is no job server"), (nobody, "no job server of a Ray cluster answers at")):
        result = cli("run", path, "--submit", "--address", address)

        assert result.exit_code == 2
        assert words in result.stderr
        assert address in result.stderr
        assert "ray start --head" in result.stderr
    assert time.monotonic() - began < 30


def test_a_port_that_answers_nothing_is_no_job_server(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.execution.job_submission._ANSWER_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"http://127.0.0.1:{mute.getsockname()[1]}"
        result = cli("run", write_yaml(tmp_path, tiny()), "--submit", "--address", address)

    assert result.exit_code == 2
    assert "is no job server" in result.stderr


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (None, "needs the address"),
        ("10.0.0.1:6379", "10.0.0.1:6379 is none"),
        ("ray://10.0.0.1:10001", "is none"),
        ("http://me:hidden@10.0.0.1:8265", "without a password"),
        ("me:hidden@10.0.0.1:6379", "10.0.0.1:6379 is none"),
    ],
)
def test_an_address_that_is_no_job_servers_is_refused_without_its_secret(address: str | None, words: str) -> None:
    with pytest.raises(SweepError, match=re.escape(words)) as raised:
        job_server(address)

    assert "hidden" not in str(raised.value)


def test_a_relative_runs_folder_means_nothing_on_the_cluster(tmp_path: Path, cli: Cli) -> None:
    result = cli(
        "run", write_yaml(tmp_path, tiny()), "--submit", "--address", "http://127.0.0.1:1", "--runs", "elsewhere"
    )

    assert result.exit_code == 2
    assert "give an absolute path there" in result.stderr


def test_the_command_of_a_job_says_where_it_writes() -> None:
    request = JobRequest(verb="run", sweep="tiny", text="", runs=None, options=["--new"])

    assert request.command == 'python -m sweeps_job run tiny.yaml --new --runs "$HOME"/runs'
    named = JobRequest(verb="run", sweep="tiny", text="", runs="/a b")
    assert named.command == "python -m sweeps_job run tiny.yaml --runs '/a b'"


@pytest.mark.parametrize(
    ("uri", "is_sent"),
    [
        ("http://10.0.0.9:5000", True),
        ("http://me:hidden@10.0.0.9:5000", False),
        ("https://10.0.0.9/?token=hidden", False),
        ("postgresql://me:hidden@10.0.0.9/mlflow", False),
        ("sqlite:///here.db", False),
    ],
)
def test_the_address_of_the_record_is_sent_only_without_a_secret(
    uri: str, is_sent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)

    assert forwarded_environment() == ({"MLFLOW_TRACKING_URI": uri} if is_sent else {})


def test_the_storage_of_here_is_the_jobs_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEPS_STORAGE", "s3://bucket/lab")
    monkeypatch.setenv("SWEEPS_STUDY_STORAGE", "postgresql://me:hush@host/studies")

    assert place_options(None, None) == [
        "--storage", "s3://bucket/lab", "--study-storage", "postgresql://me@host/studies"
    ]  # fmt: skip
    assert place_options("s3://other", None)[:2] == ["--storage", "s3://other"]
    with pytest.raises(SweepError, match="give a URL"):
        place_options("here", None)
