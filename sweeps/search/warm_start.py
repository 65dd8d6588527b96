"""Configurations of other sweeps and ladders of the runs folder that a search tries first, and their learning curves.

They are chosen once, at the first start, and stored in the study: a resumed search proposes the same, although the
other sweeps may have grown. Test results are never read.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from sweeps.core.errors import NoSuchSweepError
from sweeps.core.formatting import plural
from sweeps.core.identity import trial_name
from sweeps.core.task import TaskConfig
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.files.parameter import Assignment
from sweeps.files.space import SearchSpace
from sweeps.files.space_check import combination_errors, refusal_errors
from sweeps.search.best import best_first
from sweeps.search.opening import read_studies
from sweeps.search.positions import Point, distance
from sweeps.search.stored_trials import read_records
from sweeps.store.folder import SweepFolder

WARM_START = "warm_start"
"""Attribute of a study: the chosen configurations, as `WarmStart.stored` returns them."""
SHARE_OF_TRIALS = 0.2
"""Share of a search's trials that are taken from other sweeps, at least `LEAST`."""
LEAST = 2


@dataclass(frozen=True, kw_only=True)
class Start:
    """A configuration of another sweep as a point of the space."""

    run: str
    """Name of its run."""
    assignment: Assignment
    """Without the parameters that the other sweep does not have, which are drawn."""


@dataclass(frozen=True, kw_only=True)
class WarmStart:
    """The configurations that a search tries first."""

    names: tuple[str, ...]
    """Of the other sweeps."""
    at: float
    """Unix time of the choice: later results of the other sweeps are not read."""
    starts: tuple[Start, ...]
    known: int
    """Number of complete configurations of the other sweeps."""
    outside: Mapping[str, int]
    """Why configurations are left out, such as the path of a parameter → how many of them."""

    @property
    def stored(self) -> dict[str, Any]:
        """The content of the study's attribute `WARM_START`."""
        return {
            "names": self.names,
            "at": self.at,
            "starts": [{"run": each.run, "assignment": each.assignment} for each in self.starts],
            "known": self.known,
            "outside": self.outside,
        }

    def sentence(self) -> str:
        """Return in words which configurations are tried first and why others are left out."""
        of = " and ".join(self.names)
        if not self.known:
            return f"warm start: {of} has no complete configurations yet"
        runs = ", ".join(each.run for each in self.starts) or "none"
        text = f"warm start from {of}: {runs}, of {plural(self.known, 'complete configuration')}"
        causes = ", ".join(f"{path} ({count})" for path, count in sorted(self.outside.items()))
        count = sum(self.outside.values())
        return f"{text}; {count} {'lies' if count == 1 else 'lie'} outside the space: {causes}" if causes else text


@dataclass(frozen=True, kw_only=True)
class WarmCurve:
    """A learning curve of another sweep as one of a point of the space."""

    sweep: str
    run: str
    assignment: Assignment
    """As `Start.assignment`."""
    values: tuple[float, ...]
    """The metric after each epoch from the first; at least one."""


def stored_warm_start(study: optuna.Study) -> WarmStart | None:
    """Return the warm start that a study stores; None before the first start of a sweep with `warm_start`."""
    stored = study.user_attrs.get(WARM_START)
    if stored is None:
        return None
    starts = tuple(Start(**each) for each in stored["starts"])
    return WarmStart(**{**stored, "names": tuple(stored["names"]), "starts": starts})


def choose(
    names: Sequence[str], *, runs: Path, space: SearchSpace, metric: str, maximize: bool, run_cap: int | None
) -> WarmStart:
    """Return the best and most different complete configurations of other sweeps that lie in a space.

    Each sweep ranks its own, by the metric; those without it follow, the last first, as on a ladder. The first is the
    best one of the first sweep. Each further one has the largest product of its distance to the chosen ones and of the
    share of its sweep's configurations that are not better.

    Args:
        names: Of sweeps or ladders.
        runs: The runs folder.
        space: The space of the search.
        metric: Metric of the search.
        maximize: Whether a larger value is better.
        run_cap: Number of trials of the search.

    Raises:
        NoSuchSweepError: There is no sweep of this name.
    """
    at, known, outside = time.time(), 0, Counter[str]()
    candidates: dict[str, tuple[float, Start]] = {}
    for name in names:
        ranked = _ranked(_records(runs, name), metric=metric, maximize=maximize)
        known += len(ranked)
        for place, record in enumerate(ranked):
            found = translated(record.config, space)
            if isinstance(found, str):
                outside[found] += 1
            else:
                start = Start(run=_name_of(record), assignment=found)
                candidates.setdefault(json.dumps(found, sort_keys=True), (1 - place / len(ranked), start))
    count = max(LEAST, int(SHARE_OF_TRIALS * (run_cap or 0)))
    starts = _best_and_different(list(candidates.values()), space, count=count)
    return WarmStart(names=tuple(names), at=at, starts=tuple(starts), known=known, outside=dict(outside))


def _records(runs: Path, name: str) -> list[TrialRecord]:
    folder = SweepFolder(runs, name)
    if not folder.exists:
        raise NoSuchSweepError.under(runs, name)
    return list(read_records(read_studies(folder).search, sweep=name))


def _name_of(record: TrialRecord) -> str:
    return trial_name(record.sweep, record.trial, rung=None if record.rung is None else record.rung.name)


def _ranked(records: Iterable[TrialRecord], *, metric: str, maximize: bool) -> list[TrialRecord]:
    complete = [record for record in records if record.outcome is Outcome.COMPLETE]
    ranked = best_first(complete, metric=metric, maximize=maximize)
    known = {record.config_id for record in ranked}
    unranked = {record.config_id: record for record in reversed(complete) if record.config_id not in known}
    return [*ranked, *unranked.values()]


def translated(config: TaskConfig, space: SearchSpace) -> Assignment | str:
    """Return a configuration of another sweep as values of a space's parameters, or what keeps it outside.

    Fields that the configuration does not use are left out, so that they are drawn.
    """
    used = config.dotted()
    assignment: Assignment = {}
    for path in space.parameters:
        if not space.is_active(path, assignment) or not any(f"{each}.".startswith(f"{path}.") for each in used):
            continue
        values = space.values_like(path, config, assignment)
        if not values:
            return path
        assignment[path] = values[0]
    if not assignment:
        return "no common parameter"
    if combination_errors(space, assignment):
        return "an invalid combination"
    return "a condition of where" if refusal_errors(space, assignment) else assignment


def _best_and_different(candidates: Sequence[tuple[float, Start]], space: SearchSpace, *, count: int) -> list[Start]:
    remaining = [(rank, start, space.encode(start.assignment)) for rank, start in candidates]
    chosen: list[tuple[float, Start, Point]] = []
    while remaining and len(chosen) < count:
        # The first of equal ones.
        scores = [
            rank * min((distance(point, other, space.distributions) for *_, other in chosen), default=1.0)
            for rank, _, point in remaining
        ]
        chosen.append(remaining.pop(scores.index(max(scores))))
    return [start for _, start, _ in chosen]


def first_proposals(study: optuna.Study) -> list[Assignment]:
    """Return the configurations of other sweeps that a study's search tries first."""
    warm = stored_warm_start(study)
    return [] if warm is None else [start.assignment for start in warm.starts]


def warm_curves(study: optuna.Study, *, runs: Path, space: SearchSpace) -> list[WarmCurve]:
    """Return the learning curves of the other sweeps as they were when the study's warm start was chosen.

    Curves of the study's metric, complete or not, of configurations in the space; none of sweeps that were deleted.

    Args:
        study: Study of a search with `warm_start`.
        runs: The runs folder.
        space: The space of the search.
    """
    warm = stored_warm_start(study)
    metric = study.user_attrs.get("metric", "val_accuracy")
    curves = []
    for name in () if warm is None else warm.names:
        for record in _records(runs, name) if SweepFolder(runs, name).exists else ():
            assert warm is not None
            known = [each.value(metric) for each in record.epochs if each.finished_at <= warm.at]
            values = tuple(value for value in known if value is not None)
            found = translated(record.config, space)
            if values and len(values) == len(known) and not isinstance(found, str):
                curves.append(WarmCurve(sweep=name, run=_name_of(record), assignment=found, values=values))
    return curves
