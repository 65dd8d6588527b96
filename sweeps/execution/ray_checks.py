"""Asks every node of a cluster, before anything trains, what it has and what reaches it: software, images, storage."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError, RuntimeEnvSetupError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweeps.errors import StoreError, SweepError
from sweeps.execution.node_versions import NodeVersions, installed_versions, refusal
from sweeps.storage import Bucket, is_bucket

ANSWER_SECONDS = 20.0
"""For all nodes together: a first worker of a job starts in a few."""
TRANSFER_SECONDS = 10.0
"""For a mebibyte to reach a node."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one node said."""

    node: str
    """Its address and its host's name, as a person knows it."""
    said: Any = None
    problem: str | None = None
    """Why it said nothing; None where it did."""
    has_failed: bool = False
    """Whether it said nothing because what was asked could not run there."""


def require_same_versions(*, address: str, seconds: float = ANSWER_SECONDS) -> None:
    """Ask every node that is alive for its versions, all at once.

    Raises:
        SweepError: one has others, lacks one, or does not answer; the message names each such node and what to do.
    """
    here = installed_versions()
    # The function goes as source: on a node that lacks a package, nothing of this project could be imported.
    answers = [
        NodeVersions(node=answer.node, versions=answer.said, problem=answer.problem or "")
        for answer in ask_every_node(_by_value(list(here)), seconds=seconds)
    ]
    if words := refusal(here, answers, address=address):
        raise SweepError(words)


def require_transfer(*, seconds: float = ANSWER_SECONDS) -> None:
    """Let every node that is alive take something out of the object store here, as its trials will take the images.

    A node may answer and never get there: answers are small and take another way than what lies in the store. Its
    trials would wait for their images without a word.

    Args:
        seconds: for the answers of all nodes together.

    Raises:
        SweepError: on one it does not arrive; the message names each such node and what to do.
    """
    answers = ask_every_node(_take, _something_stored(), TRANSFER_SECONDS, seconds=seconds)
    if wrong := _complaints(answers):
        raise SweepError(
            f"not every node gets the images from this one: {wrong}. Nothing was trained: let the nodes "
            "reach each other on all of Ray's ports, or take such a node out of the cluster with `ray stop` on it; "
            "`ray start --object-manager-port` and `--node-manager-port` name ports that a firewall can be told"
        )


def _something_stored() -> list[Any]:
    """Return the name of what a node can take out of the object store here."""
    # More than what Ray sends along with a task. In a list it is fetched by the question, not before it.
    return [ray.put(bytes(2**20))]


def begin_transfer(node: str) -> Any:
    """Begin on one node, by its id, what `require_transfer` asks of all; return Ray's name of its answer."""
    return _ask([node], _take, _something_stored(), TRANSFER_SECONDS)[node]


def has_answered(answer: Any) -> bool:
    return bool(ray.wait([answer], timeout=0)[0])


def complaint_of(node: str, answer: Any) -> str:
    """Return in words why a trial would wait without end on a node that was asked; "" where it would not.

    Where the question failed so would the trial, and it is told why; where the node has died, Ray lists it among the
    living for some time more. The node is not waited for.
    """
    found = _answer(node, answer, deadline=time.monotonic())
    return "" if found.has_failed else _complaints([found])


def _take(stored: list[Any], seconds: float) -> str | None:
    """Return what keeps this node from getting what lies in another's object store, None where nothing does."""
    try:
        ray.get(stored, timeout=seconds)
    except GetTimeoutError:
        return f"received nothing within {seconds:.0f} s"
    return None


def require_storage(storage: str, *, seconds: float = ANSWER_SECONDS) -> None:
    """Let every node that is alive write and read where checkpoints will be kept.

    Args:
        storage: a folder, or a bucket's URL.
        seconds: for all nodes together.

    Raises:
        SweepError: one cannot; the message names each such node and what to do.
    """
    name, content = f".sweeps-check-{secrets.token_hex(6)}", secrets.token_hex(16)
    mark = None if is_bucket(storage) else Path(storage) / name
    try:
        if mark is not None:
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.write_text(content, encoding="ascii")
        answers = ask_every_node(_try_storage, storage, name, content, seconds=seconds)
    finally:
        if mark is not None:
            mark.unlink(missing_ok=True)
    if wrong := _complaints(answers):
        advice = (
            "the credentials and the address of the store have to be in the environment of `ray start` on each node"
            if mark is None
            else "name one that every node reaches, --storage s3://BUCKET/PREFIX or a shared folder"
        )
        raise SweepError(f"not every node reaches the storage {storage}: {wrong}. Nothing was trained: {advice}")


def _try_storage(storage: str, name: str, content: str) -> str | None:
    """Return what keeps this node from writing and reading a storage, None where nothing does."""
    try:
        if is_bucket(storage):
            Bucket(storage).check()
            return None
        mark = Path(storage) / name
        if not mark.is_file() or mark.read_text(encoding="ascii") != content:
            return "does not see what this machine writes there"
        own = mark.with_name(f"{name}-{socket.gethostname()}-{os.getpid()}")
        own.write_text(content, encoding="ascii")
        own.unlink()
    except (OSError, StoreError) as error:
        return f"says: {error}"
    return None


def ask_every_node(question: Callable[..., Any], *told: object, seconds: float) -> list[Answer]:
    """Return what a function returns on each node that lives, run on all of them at once.

    Args:
        question: the function.
        told: its arguments.
        seconds: for all nodes together; those that take longer did not answer.
    """
    nodes = node_names()
    deadline = time.monotonic() + seconds
    asked = _ask(nodes, question, *told)
    answers = {node: _answer(nodes[node], reference, deadline=deadline) for node, reference in asked.items()}
    # One that went away meanwhile is no concern of this sweep.
    still = node_names()
    return [answer for node, answer in answers.items() if node in still]


def _ask(nodes: Iterable[str], question: Callable[..., Any], *told: object) -> dict[str, Any]:
    """Begin a function on each of some nodes, by their ids; return Ray's names of what it returns there."""
    task = ray.remote(num_cpus=0, max_retries=0)(question)
    return {
        node: task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node_id=node, soft=False)).remote(*told)
        for node in nodes
    }


def node_names() -> dict[str, str]:
    """Return the nodes that a trial can run on, by their id: address and host. Some heads lend no core."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return {
        node["NodeID"]: f"{node['NodeManagerAddress']} ({node['NodeManagerHostname']})"
        for node in nodes
        if node["Alive"] and node["Resources"].get("CPU", 0) > 0
    }


def _answer(node: str, reference: Any, *, deadline: float) -> Answer:
    try:
        return Answer(node=node, said=ray.get(reference, timeout=max(0.0, deadline - time.monotonic())))
    except GetTimeoutError:
        ray.cancel(reference, force=True)
        return Answer(node=node, problem=f"gave no answer within {ANSWER_SECONDS:.0f} s")
    except RuntimeEnvSetupError as error:
        return Answer(node=node, problem=f"cannot take the sweep's code: {_last_line(error)}", has_failed=True)
    except RayError as error:
        return Answer(node=node, problem=f"cannot run anything: {_last_line(error)}", has_failed=True)


def _complaints(answers: list[Answer]) -> str:
    """Return in words which nodes gave no answer, or one that says what is wrong; "" where none did."""
    return "; ".join(f"{answer.node} {words}" for answer in answers if (words := answer.problem or answer.said))


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
