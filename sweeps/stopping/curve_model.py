"""Early stopping by a model of learning curves: trials pause, and continue where the model expects the most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sweeps.stopping.halving import Halving

if TYPE_CHECKING:
    import optuna


class CurveModelRule(Halving):
    """Continue the paused trial, or start the configuration, that a model expects to improve most on the best one."""

    type: Literal["curve_model"] = "curve_model"

    @property
    def needs_epochs(self) -> bool:
        return True

    def pruner(self, *, epochs: int) -> optuna.pruners.BasePruner:
        import optuna

        return optuna.pruners.NopPruner()

    def milestones(self, *, epochs: int) -> tuple[int, ...]:
        """Return the epochs after which the model decides: from `min_epochs` on, each half as large again."""
        milestones = []
        milestone = self.min_epochs
        while milestone < epochs:
            milestones.append(milestone)
            milestone += max(1, milestone // 2)
        return tuple(milestones)
