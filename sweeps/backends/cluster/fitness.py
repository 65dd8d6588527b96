"""Whether a node of a cluster trains what its driver means: it looks at itself, before a sweep and before each worker.

Every node is asked before anything trains; each worker looks again before its first trial, since nodes join later.
"""

from __future__ import annotations

import os
import platform
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError

from sweeps.core.address import is_bucket
from sweeps.core.errors import StoreError
from sweeps.core.trial import ErrorClass, Outcome, TrialMessage
from sweeps.store.bucket import Bucket

MUST_AGREE = ("ray", "torch", "numpy")
"""Packages that a trial computes or talks with: another version of one gives other numbers, or none."""
TRANSFER_SECONDS = 10.0
"""For a mebibyte to reach a node."""
REFUSAL_SECONDS = 20.0
"""For which a node that cannot train keeps a trial: else it would take each one again before another node can."""

Versions = Mapping[str, str]
"""By package, and `python`."""


def installed_versions() -> dict[str, str]:
    """Return what is installed for this process; what follows `+` tells builds for a CPU and for a GPU apart."""
    found = {"python": platform.python_version()}
    for package in MUST_AGREE:
        try:
            found[package] = version(package).partition("+")[0]
        except PackageNotFoundError:
            found[package] = "none"
    return found


@dataclass(frozen=True, kw_only=True)
class WorkerSetup:
    """What a worker on a cluster is told of its driver."""

    folder: str
    """The driver's working folder: what a file names relative to it is looked for there, where a node has it."""
    versions: Versions
    """Of the driver."""
    storage: str
    """Where checkpoints are kept: a bucket's URL, or a file that the driver has made in the folder."""

    def enter(self) -> None:
        """Stand in the driver's folder, where this node has one. Ray has put the worker into that of the code."""
        if not Path(self.folder).is_dir():
            return
        os.chdir(self.folder)
        if self.folder not in sys.path:
            # Last: what has travelled comes first, and an old copy that lies here never hides it.
            sys.path.append(self.folder)

    def fault(self) -> str | None:
        """Return what keeps this node from training as the driver means it, None where nothing does."""
        here = installed_versions()
        others = [
            f"{name} {here[name]} (the driver {told})" for name, told in self.versions.items() if here[name] != told
        ]
        if others:
            return f"has {', '.join(others)}: install the same versions (`pip install -c requirements.lock ...`)"
        try:
            if is_bucket(self.storage):
                Bucket(self.storage).check()
            elif not Path(self.storage).is_file():
                return (
                    f"does not see what the driver writes to {Path(self.storage).parent}: name a folder that every "
                    "node has, or --storage s3://BUCKET/PREFIX"
                )
        except StoreError as error:
            return f"says: {error} (credentials and address have to be in the environment of `ray start` there)"
        return None

    def refusal(self) -> str | None:
        """Return why this node takes no trial, as `fault`, with its name."""
        fault = self.fault()
        if fault is None:
            return None
        address = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        return f"the node {address} ({socket.gethostname()}) takes no trial: it {fault}"


def fault_of_this_node(setup: WorkerSetup, stored: list[Any], seconds: float) -> str | None:
    """Return as `WorkerSetup.fault`; also take something out of the driver's object store, as a trial its images.

    A node may answer and never get there: answers are small and take another way. Its trials would wait for their
    images without a word.
    """
    try:
        ray.get(stored, timeout=seconds)
    except GetTimeoutError:
        return f"receives no images ({seconds:.0f} s): let the nodes reach each other on all of Ray's ports"
    return setup.fault()


class RefusedTrial:
    """A trial on a node that cannot train it: says so, and costs the trial nothing."""

    def __init__(self, words: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._words = words
        self._sleep = sleep

    def step(self) -> TrialMessage:
        self._sleep(REFUSAL_SECONDS)
        return TrialMessage(
            outcome=Outcome.INTERRUPTED,
            error=self._words,
            error_class=ErrorClass.UNFIT_NODE,
            warning=self._words,
        )

    def close(self) -> None:
        """Nothing runs."""
