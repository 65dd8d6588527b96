"""Pause and promote: at each milestone a trial pauses, and one in `reduction_factor` is continued (Li et al. 2020).

Unlike a rule that stops trials, nothing is decided for good by who reported first: a paused trial can be continued
until the search ends.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from sweeps.core.trial import Outcome
from sweeps.search.positions import Point
from sweeps.stopping.halving import Halving
from sweeps.stopping.rule import StoppingRule

Place = tuple[float, int]
"""Sort key of a trial at a milestone, the best first: its value, negative if maximised, and its number."""


@dataclass
class _Milestone:
    reached: list[Place] = field(default_factory=list)
    """All trials that have reached it, the best first."""
    paused: list[Place] = field(default_factory=list)
    """Those that are paused at it, the best first."""


class Promotion:
    """The trials at each milestone. The cost of a decision does not grow with the number of trials, except for moving a
    list's elements."""

    def __init__(self, milestones: Iterable[int], *, reduction_factor: int, maximize: bool) -> None:
        """Create it without any trial.

        Args:
            milestones: Numbers of epochs after which a trial may pause, ascending.
            reduction_factor: One trial in this many continues at each milestone.
            maximize: Whether a larger value is better.
        """
        self._milestones = {epoch: _Milestone() for epoch in milestones}
        self._factor, self._maximize = reduction_factor, maximize
        self._paused: dict[int, tuple[int, Place]] = {}

    @classmethod
    def of(cls, rule: StoppingRule, *, epochs: int, maximize: bool) -> Self | None:
        """Return the promotion of a rule; None if its pruner stops trials.

        Args:
            rule: A rule of early stopping.
            epochs: Epochs of a complete trial; 0 if unknown.
            maximize: Whether a larger value is better.
        """
        milestones = rule.milestones(epochs=epochs)
        if not milestones:
            return None
        assert isinstance(rule, Halving)
        return cls(milestones, reduction_factor=rule.reduction_factor, maximize=maximize)

    def begin(self, number: int, point: Point) -> None:
        """Add a trial. Its configuration has no effect."""

    def end(self, number: int, outcome: Outcome) -> None:
        """End a trial. It stays among those that have reached its milestones."""

    def set_aside(self, number: int) -> None:
        """Remove a trial from the paused ones. It stays among those that have reached its milestones."""
        if number in self._paused:
            self.resume(number)

    def take_back(self, number: int) -> None:
        """Do nothing: a running trial is not among the paused ones."""

    def resize(self, run_cap: int) -> None:
        """Do nothing: no decision depends on the number of trials to come."""

    def expected_gain(self) -> None:
        return None

    has_ended = False

    def may_start_new(self) -> bool:
        return True

    def proposal(self) -> None:
        return None

    first_points = 0

    def first_point(self, index: int) -> None:
        return None

    def expected(self) -> dict[int, float]:
        return {}

    def is_milestone(self, epoch: int) -> bool:
        """Return whether a trial may pause after an epoch."""
        return epoch in self._milestones

    def enter(self, number: int, *, epoch: int, value: float) -> None:
        """Add a trial that has finished an epoch, if that is a milestone."""
        if epoch in self._milestones:
            bisect.insort(self._milestones[epoch].reached, self._place(number, value))

    def pause(self, number: int, *, epoch: int, value: float) -> None:
        """Pause a trial at the milestone that it has entered last."""
        place = self._place(number, value)
        bisect.insort(self._milestones[epoch].paused, place)
        self._paused[number] = (epoch, place)

    def resume(self, number: int) -> None:
        """Remove a trial from the paused ones."""
        epoch, place = self._paused.pop(number)
        paused = self._milestones[epoch].paused
        del paused[bisect.bisect_left(paused, place)]

    def next(self, *, may_start: bool, is_closing: bool) -> int | None:
        """Return the paused trial to continue: the best one among the best at the last possible milestone.

        When the search closes, at least one continues at each milestone, so that it ends with a complete trial.
        """
        for milestone in reversed(self._milestones.values()):
            if not milestone.paused:
                continue
            best = milestone.paused[0]
            count = len(milestone.reached)
            continued = max(1, count // self._factor) if is_closing else count // self._factor
            if bisect.bisect_left(milestone.reached, best) < continued:
                return best[1]
        return None

    def _place(self, number: int, value: float) -> Place:
        if math.isnan(value):
            return math.inf, number
        return (-value if self._maximize else value), number
