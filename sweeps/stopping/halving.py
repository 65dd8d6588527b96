"""Base of the successive-halving rules: milestones, at each of which one trial in `reduction_factor` continues."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from sweeps.stopping.rule import StoppingRule

_UNKNOWN_EPOCHS = 1_000_000
"""More than any trial has whose number of epochs is unknown."""


class Halving(StoppingRule):
    """Continue one trial in `reduction_factor` at each milestone, and stop the others."""

    reduction_factor: int = Field(default=3, ge=2)
    """One trial in this many continues at each milestone. Milestones are `min_epochs` times its powers."""

    def expected_epochs(self, epochs: int) -> float:
        """Return the mean epochs of a trial. Early in a search more trials continue, because few can be compared."""
        kept, share, at = 0.0, 1.0, 0
        for milestone in self._milestones(epochs):
            kept += share * (milestone - at)
            share, at = share / self.reduction_factor, milestone
        return kept + share * (epochs - at)

    def _milestones(self, epochs: int) -> Iterator[int]:
        milestone = self.min_epochs
        while milestone < (epochs or _UNKNOWN_EPOCHS):
            yield milestone
            milestone *= self.reduction_factor
