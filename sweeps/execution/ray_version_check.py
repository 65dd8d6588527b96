"""Asks every node of a Ray cluster which software it has, before anything trains there."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError, RuntimeEnvSetupError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweeps.errors import SweepError
from sweeps.execution.node_versions import NodeVersions, installed_versions, refusal

ANSWER_SECONDS = 20.0
"""For all nodes together: a first worker of a job starts in a few."""


def require_same_versions(*, address: str, seconds: float = ANSWER_SECONDS) -> None:
    """Ask every node that is alive for its versions, all at once.

    Raises:
        SweepError: one has others, lacks one, or does not answer; the message names each such node and what to do.
    """
    here = installed_versions()
    nodes = _alive()
    # The function goes as source: on a node that lacks a package, nothing of this project could be imported.
    task = ray.remote(num_cpus=0, max_retries=0)(_by_value(list(here)))
    deadline = time.monotonic() + seconds
    asked = {
        node: task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node_id=node, soft=False)).remote()
        for node in nodes
    }
    answers = {node: _answer(nodes[node], reference, deadline=deadline) for node, reference in asked.items()}
    # One that went away meanwhile is no concern of this sweep.
    still = _alive()
    if words := refusal(here, [answer for node, answer in answers.items() if node in still], address=address):
        raise SweepError(words)


def _alive() -> dict[str, str]:
    """Return the nodes that a trial can run on, by their id: address and host. Some heads lend no core."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return {
        node["NodeID"]: f"{node['NodeManagerAddress']} ({node['NodeManagerHostname']})"
        for node in nodes
        if node["Alive"] and node["Resources"].get("CPU", 0) > 0
    }


def _answer(node: str, reference: Any, *, deadline: float) -> NodeVersions:
    try:
        versions = ray.get(reference, timeout=max(0.0, deadline - time.monotonic()))
    except GetTimeoutError:
        ray.cancel(reference, force=True)
        return NodeVersions(node=node, versions=None, problem=f"gave no answer within {ANSWER_SECONDS:.0f} s")
    except RuntimeEnvSetupError as error:
        return NodeVersions(node=node, versions=None, problem=f"cannot take the sweep's code: {_last_line(error)}")
    except RayError as error:
        return NodeVersions(node=node, versions=None, problem=f"cannot run anything: {_last_line(error)}")
    return NodeVersions(node=node, versions=versions)


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


def _by_value(packages: list[str]) -> Callable[[], dict[str, str | None]]:
    """Return a function that needs nothing but Python's own library where it runs."""

    def versions() -> dict[str, str | None]:
        import importlib.metadata
        import platform

        found: dict[str, str | None] = {}
        for package in packages:
            if package == "python":
                found[package] = platform.python_version()
                continue
            try:
                found[package] = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                found[package] = None
        return found

    return versions
