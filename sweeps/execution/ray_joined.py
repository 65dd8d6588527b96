"""Asks a node that joins a running sweep's cluster whether the images reach it, as the others were asked before."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ray.exceptions import RayError

from sweeps.execution.ray_checks import ANSWER_SECONDS, begin_transfer, complaint_of, has_answered, node_names


@dataclass(frozen=True, kw_only=True)
class _Asked:
    name: str
    answer: Any
    """Ray's name of what the node will say."""
    until: float


class JoinedNodes:
    """Knows which nodes have been asked, and asks each new one once. A sweep goes on meanwhile.

    Ray may place a trial on such a node at once, and where images do not get there the trial waits for them without a
    word. No line of it runs before they are there, so the driver has to say it.
    """

    def __init__(self, asked: Iterable[str], *, say: Callable[[str], None]) -> None:
        """Ask nothing yet.

        Args:
            asked: ids of the nodes that were asked before anything trained.
            say: is told what a person should know.
        """
        self._known = set(asked)
        self._say = say
        self._open: dict[str, _Asked] = {}

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Leave what is open when the block ends, to ask it anew in the next: an answer is of one connection to Ray."""
        try:
            yield
        finally:
            self._known -= self._open.keys()
            self._open.clear()

    def look(self, living: Iterable[str]) -> None:
        """Ask the nodes that are new, and tell of those that have answered, or should have. Waits for none.

        Args:
            living: ids of the nodes that live now.
        """
        now, living = time.monotonic(), set(living)
        new = living - self._known
        self._known |= new
        for node, name in node_names().items() if new else ():
            # A full object store is no reason to end a sweep: the question is left out.
            with contextlib.suppress(RayError):
                if node in new:
                    self._open[node] = _Asked(name=name, answer=begin_transfer(node), until=now + ANSWER_SECONDS)
        for node, asked in list(self._open.items()):
            if node in living and now <= asked.until and not has_answered(asked.answer):
                continue
            del self._open[node]
            if node in living and (wrong := complaint_of(asked.name, asked.answer)):
                self._say(
                    f"of the nodes that have joined the cluster, {wrong}: a trial there may wait for its images "
                    "without end. Let the nodes reach each other on all of Ray's ports, or end it with `ray stop` on "
                    "it: its trial goes on elsewhere"
                )
