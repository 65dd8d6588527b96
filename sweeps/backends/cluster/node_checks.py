"""Checks on a node of a cluster that it can train the driver's trials.

They run on every node before the sweep, and in each worker before its first trial, since nodes can join later.
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

MATCHED_PACKAGES = ("ray", "torch", "numpy")
"""Packages whose versions must match the driver's: they affect results or the communication with Ray."""
TRANSFER_SECONDS = 10.0
"""Time limit for sending a mebibyte to a node."""
REFUSAL_SECONDS = 20.0
"""How long a node that cannot train delays a refused trial, so that another node can take it."""

Versions = Mapping[str, str]
"""Package, or `python` → version."""


def installed_versions() -> dict[str, str]:
    """Return the installed versions without local parts such as `+cpu`, which differ between CPU and GPU builds."""
    found = {"python": platform.python_version()}
    for package in MATCHED_PACKAGES:
        try:
            found[package] = version(package).partition("+")[0]
        except PackageNotFoundError:
            found[package] = "none"
    return found


@dataclass(frozen=True, kw_only=True)
class WorkerSetup:
    """The driver's requirements for a worker on a cluster."""

    folder: str
    """The driver's working directory, to which relative paths in files refer if the node has it."""
    versions: Versions
    """Versions of the driver."""
    storage: str
    """Storage of checkpoints: the URL of a bucket, or a file that the driver has created in the folder."""

    def enter(self) -> None:
        """Change to the driver's working directory if this node has it."""
        if not Path(self.folder).is_dir():
            return
        os.chdir(self.folder)
        if self.folder not in sys.path:
            # Last, so that uploaded code takes precedence over an old copy on this node.
            sys.path.append(self.folder)

    def problem(self) -> str | None:
        """Return why this node cannot train, with advice; None if it can."""
        here = installed_versions()
        others = [
            f"{name} {here[name]} (driver: {expected})"
            for name, expected in self.versions.items()
            if here[name] != expected
        ]
        if others:
            return f"has {', '.join(others)}. Install the same versions there (`pip install -c requirements.lock ...`)"
        try:
            if is_bucket(self.storage):
                Bucket(self.storage).check()
            elif not Path(self.storage).is_file():
                return (
                    f"cannot read the driver's files in {Path(self.storage).parent}. Use a folder that every node "
                    "shares, or --storage s3://BUCKET/PREFIX"
                )
        except StoreError as error:
            return f"reports: {error} (set credentials and address in the environment of `ray start` there)"
        return None

    def refusal(self) -> str | None:
        """Return `problem` as a message with the name of this node; None if it can train."""
        problem = self.problem()
        if problem is None:
            return None
        address = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        return f"the node {address} ({socket.gethostname()}) accepts no trials: it {problem}"


def check_this_node(setup: WorkerSetup, stored: list[Any], seconds: float) -> str | None:
    """Return `WorkerSetup.problem`, or an error if this node cannot read the driver's object store.

    A node may be reachable although the transfer of large objects is blocked. Its trials would wait forever for their
    images.
    """
    try:
        ray.get(stored, timeout=seconds)
    except GetTimeoutError:
        return f"received no data within {seconds:.0f} s. Open all of Ray's ports between the nodes"
    return setup.problem()


class RefusedTrial:
    """A trial on a node that cannot train it: it is interrupted, without counting as a failure."""

    def __init__(self, message: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._message = message
        self._sleep = sleep

    def step(self) -> TrialMessage:
        self._sleep(REFUSAL_SECONDS)
        return TrialMessage(
            outcome=Outcome.INTERRUPTED,
            error=self._message,
            error_class=ErrorClass.UNFIT_NODE,
            warning=self._message,
        )

    def close(self) -> None:
        """Do nothing: no process runs."""
