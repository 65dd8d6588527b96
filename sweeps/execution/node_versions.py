"""Which software decides what a trial computes, and whether the nodes of a cluster have the same as the driver.

No Ray here: `ray_checks` asks the nodes.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

MUST_AGREE = ("ray", "torch", "numpy")
"""Packages that a trial computes or talks with."""
MUST_BE_THERE = ("filelock", "optuna", "pandas", "platformdirs", "pyarrow", "pydantic", "PyYAML", "rich")
"""What a trial imports besides. Another version of these gives the same numbers."""
MAY_BE_MISSING = ("cifar-sweeps",)
"""This package: its code travels with the job, so a node need not have it."""

Versions = Mapping[str, str | None]
"""By package, and `python`; None for what is not installed."""


@dataclass(frozen=True, kw_only=True)
class NodeVersions:
    """What one node answered."""

    node: str
    """Its address and its host's name, as a person knows it."""
    versions: Versions | None
    """None where it did not answer."""
    problem: str = ""
    """Why it did not, where that is known."""


def installed_versions() -> dict[str, str | None]:
    """Return what is installed for this process."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in (*MUST_AGREE, *MUST_BE_THERE, *MAY_BE_MISSING):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def differences(here: Versions, there: Versions) -> list[str]:
    """Return in words what keeps a node from training as the driver means it, one entry a package; empty if nothing.

    Args:
        here: of the driver.
        there: of the node.
    """
    found = []
    for package in ("python", *MUST_AGREE, *MUST_BE_THERE, *MAY_BE_MISSING):
        ours, theirs = here.get(package), there.get(package)
        if theirs is None:
            if package not in MAY_BE_MISSING and ours is not None:
                found.append(f"no {package} (here {ours})")
        elif ours is not None and package not in MUST_BE_THERE and not _agree(ours, theirs):
            found.append(f"{package} {theirs} (here {ours})")
    return found


def _agree(one: str, other: str) -> bool:
    """Return whether two versions are the same release; what follows `+` tells builds for a CPU and for a GPU apart."""
    return one.partition("+")[0] == other.partition("+")[0]


def refusal(here: Versions, answers: Sequence[NodeVersions], *, address: str) -> str | None:
    """Return the sentence that says why a cluster cannot be used as it is; None where it can.

    Args:
        here: of the driver.
        answers: of every node that is alive.
        address: of the cluster.
    """
    differing = [(answer, differences(here, answer.versions)) for answer in answers if answer.versions is not None]
    told = [f"{answer.node} has {', '.join(found)}" for answer, found in differing if found]
    silent = [f"{answer.node} {answer.problem or 'does not answer'}" for answer in answers if answer.versions is None]
    if not told and not silent:
        return None
    advice = []
    if told:
        advice.append("install the same versions there as here (`pip install -c requirements.lock ...`)")
    if silent:
        advice.append("look at what does not answer with `ray status` and in the logs of its Ray")
    return (
        f"not every node of the Ray cluster at {address} can train this sweep: {'; '.join([*told, *silent])}. "
        f"Nothing was trained: {', and '.join(advice)}, or take the node out of the cluster with `ray stop` on it"
    )


def other_release(said: str) -> str | None:
    """Return one sentence for what Ray says where it or Python is another release on the cluster than here.

    Args:
        said: Ray's words; None is returned for any others.
    """
    found = re.search(r"Version mismatch.*?Ray: (\S+)\s+Python: (\S+).*?Ray: (\S+)\s+Python: (\S+)", said, re.DOTALL)
    if found is None:
        return None
    their_ray, their_python, our_ray, our_python = found.groups()
    return (
        f"it runs Ray {their_ray} on Python {their_python}, and here is Ray {our_ray} on Python {our_python}: "
        "install the same versions of both, here or there"
    )
