"""Asynchronous successive halving (Li et al. 2020): pausing, or stopping with Optuna's pruner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sweeps.stopping.halving import Halving

if TYPE_CHECKING:
    import optuna


class Asha(Halving):
    """Compare a trial at each milestone with all trials that have reached it (Li et al. 2020)."""

    type: Literal["asha"] = "asha"
    mode: Literal["pause", "stop"] = "pause"
    """`pause`: a trial pauses at each milestone, and the best paused ones continue before new trials start. `stop`, the
    default for a `program`: a trial that is not among the best so far stops for good."""

    def pruner(self, *, epochs: int) -> optuna.pruners.BasePruner:
        import optuna

        if self.mode == "pause":
            return optuna.pruners.NopPruner()
        return optuna.pruners.SuccessiveHalvingPruner(
            min_resource=self.min_epochs, reduction_factor=self.reduction_factor
        )

    def milestones(self, *, epochs: int) -> tuple[int, ...]:
        return tuple(self._milestones(epochs)) if self.mode == "pause" else ()
