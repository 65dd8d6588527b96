"""A cluster of several nodes on one machine, started as users do, with Ray's token authentication."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_nodes import Node, free_port, wait_for
from sweep_fakes import Cli, outcomes, sweeps_process, tiny, write_yaml, written

from sweeps.backends.ray.environment import ensure_private_token

pytestmark = pytest.mark.usefixtures("nothing_of_ray_is_left")

GO_ON_SECONDS = 60


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[Node]]]:
    """Three nodes with one core each, and the address that `ray start` prints."""
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    # With a token in the user's home, `ray start` requires one.
    ensure_private_token()
    address = f"127.0.0.1:{free_port()}"
    nodes = []
    # Short, since it contains sockets.
    with tempfile.TemporaryDirectory(dir=os.environ["RAY_TMPDIR"], prefix="rc") as folder:
        try:
            port = address.rpartition(":")[2]
            head = ("--head", f"--port={port}", f"--temp-dir={folder}", "--include-dashboard=false")
            nodes.append(Node(*head, log=tmp_path / "head.log"))
            for number in range(2):
                log = tmp_path / f"node-{number}.log"
                nodes.append(Node(f"--address={address}", log=log, RAY_AUTH_MODE="token"))
            yield address, nodes
        finally:
            for node in reversed(nodes):
                node.stop()


@pytest.mark.slow
def test_trials_of_a_killed_node_resume_on_another(
    cluster: tuple[str, list[Node]], tmp_path: Path, recorded_runs: Path
) -> None:
    address, nodes = cluster
    epochs = 250
    base = tiny()["base"] | {"epochs": epochs}
    path = write_yaml(
        tmp_path,
        tiny(base=base, limits={"max_concurrent_trials": 2}, parameters={"optimizer.lr": {"values": [0.001, 0.002]}}),
    )
    journal = recorded_runs / "sweeps" / "tiny" / "journal.log"
    logs = recorded_runs / "sweeps" / "tiny" / "logs"

    with sweeps_process("run", path, "--runs", recorded_runs, "--address", address, cwd=tmp_path) as driver:
        both = lambda: journal.exists() and journal.read_bytes().count(b"epoch:0003") >= 2  # noqa: E731
        wait_for(both, seconds=90, what="two trials")
        busy = [node for node in nodes if node.trials()]
        # The driver's node must stay alive; a third one is free.
        killed = next(node for node in busy if node is not nodes[0])
        os.kill(killed.raylet, signal.SIGKILL)
        seconds = wait_for(
            lambda: any("resuming after epoch" in log.read_text(encoding="utf-8") for log in logs.iterdir()),
            seconds=GO_ON_SECONDS,
            what="the trial did not go on",
        )
        output, _ = driver.communicate(timeout=180)

    assert len(busy) == 2
    assert seconds < GO_ON_SECONDS
    assert driver.returncode == 0, output
    assert outcomes(recorded_runs) == [("FINISHED", "complete")] * 2
    assert [run.steps["val_accuracy"] for run in written(recorded_runs)] == [list(range(1, epochs + 1))] * 2


@pytest.mark.slow
def test_another_token_of_the_cluster_is_an_error_with_advice(
    cluster: tuple[str, list[Node]], tmp_path: Path, recorded_runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, _ = cluster
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0123456789abcdef")
    path = write_yaml(tmp_path, tiny())

    with sweeps_process("run", path, "--runs", recorded_runs, "--address", address, cwd=tmp_path) as driver:
        output, _ = driver.communicate(timeout=60)

    assert driver.returncode == 2
    assert "it requires a token" in output
    assert "~/.ray/auth_token" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(("address", "words"), [("127.0.0.1:1", "no Ray cluster answers"), ("here", "not HOST:PORT")])
def test_an_address_without_a_cluster_is_an_error_with_advice(
    address: str, words: str, tmp_path: Path, recorded_runs: Path, cli: Cli
) -> None:
    result = cli("run", write_yaml(tmp_path, tiny()), "--runs", recorded_runs, "--address", address)

    assert result.exit_code == 2
    assert words in result.stderr
    assert "ray start --head" in result.stderr
