"""What a worker does before its first trial on a cluster: it stands where its driver stands, and looks at its versions.

The nodes that are there when a sweep starts were asked before (`ray_checks`). This is for one that joins later.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ray

from sweeps.execution.node_versions import Versions, differences, installed_versions
from sweeps.trial_record import ErrorClass, Outcome, Report

REFUSAL_SECONDS = 20.0
"""For which a node that cannot train keeps a trial: else it would take each one again before another node can."""


@dataclass(frozen=True, kw_only=True)
class WorkerSetup:
    """What a worker on a cluster is told of its driver."""

    folder: str
    """The driver's working folder: what a file names relative to it is looked for there, where a node has it."""
    versions: Versions
    """Of the driver."""

    @classmethod
    def of_this_driver(cls) -> WorkerSetup:
        return cls(folder=str(Path.cwd()), versions=installed_versions())

    def enter(self) -> None:
        """Stand in the driver's folder, where this node has one. Ray has put the worker into that of the code."""
        if not Path(self.folder).is_dir():
            return
        os.chdir(self.folder)
        if self.folder not in sys.path:
            # Last: what has travelled comes first, and an old copy that lies here never hides it.
            sys.path.append(self.folder)

    def refusal(self) -> str | None:
        """Return why this node cannot train what the driver means, None where it can."""
        found = differences(self.versions, installed_versions())
        if not found:
            return None
        address = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        node = f"{address} ({socket.gethostname()})"
        return (
            f"the node {node} joined the cluster with {', '.join(found)}: it takes no trial; install the same versions "
            "there as here, or take it out of the cluster with `ray stop` on it"
        )


class RefusedTrial:
    """A trial on a node that cannot train it: says so, and costs the trial nothing."""

    def __init__(self, words: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._words = words
        self._sleep = sleep

    def step(self) -> Report:
        self._sleep(REFUSAL_SECONDS)
        return Report(
            outcome=Outcome.INTERRUPTED,
            error=self._words,
            error_class=ErrorClass.OTHER_VERSIONS,
            warning=self._words,
        )
