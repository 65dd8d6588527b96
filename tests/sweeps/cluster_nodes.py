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
        wait_for(self._is_up, seconds=60, what=log.read_text(encoding="utf-8"))

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
