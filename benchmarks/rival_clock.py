"""Runs a search of another tool over a table of learning curves, on a simulated clock with slots.

Needs NumPy only, so that tools in environments of their own use it too. The tool decides which trial starts and which
one stops; the clock trains: each epoch ends when the recorded one would.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Course = list[tuple[int, float, float]]
"""Epochs so far, seconds so far and true value of each configuration that would have been handed over, by time."""


@dataclass(frozen=True, kw_only=True)
class PlainTable:
    """A table of learning curves as arrays."""

    name: str
    epochs: int
    maximize: bool
    space: Mapping[str, Mapping[str, Any]]
    """Parameter to `{choices: number}`, or `{low, high, log, integer}`."""
    points: NDArray[np.float64]
    """N×P: the values, of a list their index."""
    observed: NDArray[np.float64]
    """N×E: the metric; NaN from where training diverged."""
    seconds: NDArray[np.float64]
    """N×E."""
    true_values: NDArray[np.float64]
    """Of shape N."""

    def __len__(self) -> int:
        return len(self.points)

    def length(self, curve: int) -> int:
        """Return the number of epochs of a curve."""
        return int(np.isfinite(self.observed[curve]).sum())

    def point(self, curve: int) -> dict[str, Any]:
        """Return the values of a curve: an index, an integer or a float for each parameter."""
        pairs = zip(self.space.items(), self.points[curve], strict=True)
        return {
            path: int(value) if "choices" in each or each["integer"] else float(value) for (path, each), value in pairs
        }

    def positions(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the position of each value of M×P points on its axis: 0 to 1, of a list its index."""
        found = points.copy()
        for column, each in enumerate(self.space.values()):
            if "choices" in each:
                continue
            low, high, values = each["low"], each["high"], points[:, column]
            if each["log"]:
                low, high, values = np.log(low), np.log(high), np.log(values)
            found[:, column] = (values - low) / (high - low) if high > low else 0.0
        return found

    def save(self, path: Path) -> None:
        """Write the table as an .npz file."""
        about = {"name": self.name, "epochs": self.epochs, "maximize": self.maximize, "space": self.space}
        np.savez_compressed(
            path,
            about=np.array(json.dumps(about)),
            points=self.points,
            observed=self.observed,
            seconds=self.seconds,
            true_values=self.true_values,
        )

    @classmethod
    def load(cls, path: Path) -> PlainTable:
        """Read an .npz file."""
        with np.load(path) as content:
            arrays = {name: content[name] for name in ("points", "observed", "seconds", "true_values")}
            return cls(**json.loads(str(content["about"])), **arrays)


class Untried:
    """The curves that a search has not tried, by their distance from a proposed point.

    The distance is that of `sweeps.simulation.curves`: the sum over the parameters, 1 for another listed value.
    """

    def __init__(self, table: PlainTable) -> None:
        self._table = table
        self._positions = table.positions(table.points)
        self._is_listed = np.array(["choices" in each for each in table.space.values()])
        self._untried = np.ones(len(table), dtype=bool)

    def take(self, point: Mapping[str, float]) -> int | None:
        """Return the nearest untried curve; None if all were tried."""
        if not self._untried.any():
            return None
        proposed = np.array([[point[path] for path in self._table.space]], dtype=float)
        apart = np.abs(self._positions - self._table.positions(proposed))
        apart[:, self._is_listed] = np.minimum(apart[:, self._is_listed], 1.0)
        distance = apart.sum(axis=1)
        distance[~self._untried] = np.inf
        curve = int(np.argmin(distance))
        self._untried[curve] = False
        return curve


class Rival(Protocol):
    """A search of another tool."""

    def start(self) -> tuple[int, int] | None:
        """Return a trial and its curve: a new trial, or one that stopped before its last epoch and continues.

        None: nothing can start before another epoch ends.
        """

    def report(self, trial: int, epoch: int, value: float) -> bool:
        """Receive the metric of an epoch. Return whether the trial continues."""

    def end(self, trial: int, value: float, *, complete: bool) -> None:
        """Receive the end of a trial after its last epoch, or after the last one before it diverged."""


def run(rival: Rival, table: PlainTable, *, slots: int, budget: int) -> Course:
    """Train the trials of a search until they have trained `budget` epochs in total.

    A search would hand over the complete trial with the best observed value.
    """
    ends: list[tuple[float, int, int, int, int]] = []
    order = itertools.count()
    trained: dict[int, int] = {}
    course: Course = []
    now, epochs, best = 0.0, 0, -np.inf
    sign = 1.0 if table.maximize else -1.0

    def begin(trial: int, curve: int) -> None:
        heapq.heappush(ends, (now + table.seconds[curve, trained[trial]], next(order), trial, curve, trained[trial]))

    def fill() -> None:
        while len(ends) < slots and (started := rival.start()) is not None:
            trained.setdefault(started[0], 0)
            begin(*started)

    fill()
    while ends and epochs < budget:
        now, _, trial, curve, index = heapq.heappop(ends)
        epochs += 1
        trained[trial] = index + 1
        value = float(table.observed[curve, index])
        continues = rival.report(trial, index + 1, value)
        is_last = index + 1 == table.length(curve)
        if is_last:
            complete = index + 1 == table.epochs
            rival.end(trial, value, complete=complete)
            if complete and sign * value > best:
                best = sign * value
                course.append((epochs, float(now), float(table.true_values[curve])))
        elif continues:
            begin(trial, curve)
            continue
        fill()
    return course


def main_of(rivals: Mapping[str, Callable[[PlainTable, int], Rival]]) -> None:
    """Run a search by name under each seed, and write the courses as JSON: the command of a tool's own environment."""
    parser = argparse.ArgumentParser()
    parser.add_argument("table", type=Path, help=".npz file of `PlainTable.save`")
    parser.add_argument("name", choices=rivals)
    parser.add_argument("--slots", type=int, required=True)
    parser.add_argument("--budget", type=int, required=True, help="epochs of a search")
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    table, build = PlainTable.load(options.table), rivals[options.name]
    found = [run(build(table, seed), table, slots=options.slots, budget=options.budget) for seed in options.seeds]
    options.out.write_text(json.dumps(found), encoding="utf-8")
