"""Nodes of a Ray cluster on this machine, each started as its users do."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

START_SECONDS = 90


def free_port() -> int:
    """Return a port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(condition: Callable[[], bool], *, seconds: float, what: str) -> float:
    """Wait until a condition holds and return how many seconds that took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, what
        time.sleep(0.2)
    return time.monotonic() - began


class Node:
    """One `ray start --block` of a core."""

    def __init__(self, *options: str, log: Path, cwd: Path | None = None, **environment: str) -> None:
        """Start it and wait until it is up.

        Args:
            options: of `ray start`.
            log: file for what it says.
            cwd: where it, and so its workers, stand; here where None.
            environment: what differs from this process's.
        """
        command = [str(Path(sys.executable).with_name("ray")), "start", "--num-cpus=1", "--block", *options]
        self._log = log
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                command, stdout=file, stderr=file, cwd=cwd, env=os.environ | environment, start_new_session=True
            )
        try:
            wait_for(self._is_up, seconds=START_SECONDS, what=f"the node did not start: see {log}")
        except AssertionError:
            self.stop()
            raise

    def _is_up(self) -> bool:
        return "Ray runtime started" in self._log.read_text(encoding="utf-8")

    @property
    def raylet(self) -> int:
        found = subprocess.run(
            ["pgrep", "-f", "-P", str(self._process.pid), "raylet/raylet"], capture_output=True, text=True, check=True
        )
        return int(found.stdout.split()[0])

    def trials(self) -> list[int]:
        """Return the workers of this node that train."""
        found = subprocess.run(
            ["pgrep", "-f", "-P", str(self.raylet), "ray::.*Trainable"], capture_output=True, text=True, check=False
        )
        return [int(pid) for pid in found.stdout.split()]

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


NOTHING_OF_OURS = """
import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "Editable" not in getattr(finder, "__name__", "")]
"""
"""Python runs it at its start where it finds it: an installed checkout of this project cannot be imported then."""


class Cluster:
    """Two nodes of a core each, neither of which has this project's code, or images."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.nodes: list[Node] = []
        elsewhere = folder / "elsewhere"
        elsewhere.mkdir()
        blocked = folder / "blocked"
        blocked.mkdir()
        (blocked / "sitecustomize.py").write_text(NOTHING_OF_OURS, encoding="utf-8")
        # No folder can be made below a file: a node that opens the images by itself fails.
        (folder / "no-data").touch()
        self.environment = {
            "PYTHONPATH": str(blocked),
            "CIFAR10_DIR": str(folder / "no-data" / "cifar10"),
            "RAY_AUTH_MODE": "token",
        }
        self.elsewhere = elsewhere
        self.address = f"127.0.0.1:{free_port()}"

    def start(self, sockets: str, *options: str, **environment: str) -> None:
        """Start both nodes.

        Args:
            sockets: folder for Ray's sockets, with a short name.
            options: of the head's `ray start`.
            environment: of the head, beside that of both.
        """
        port = self.address.rpartition(":")[2]
        head = ("--head", f"--port={port}", f"--temp-dir={sockets}", *options)
        self.add("head", *head, **self.environment | environment)
        self.add("node", f"--address={self.address}", **self.environment)

    def add(self, name: str, *options: str, **environment: str) -> Node:
        log = self._folder / f"{name}.log"
        node = Node(*options, log=log, cwd=self.elsewhere, **environment)
        self.nodes.append(node)
        return node

    def stop(self) -> None:
        for node in reversed(self.nodes):
            node.stop()
