"""Several brackets of successive halving with different first milestones (Li et al. 2018), with Optuna's pruner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sweeps.stopping.halving import Halving

if TYPE_CHECKING:
    import optuna


class Hyperband(Halving):
    """Assign each trial to one of several ASHA brackets with different first milestones (Li et al. 2018), so that slow
    starters are not always stopped."""

    type: Literal["hyperband"] = "hyperband"

    @property
    def needs_epochs(self) -> bool:
        return True

    def pruner(self, *, epochs: int) -> optuna.pruners.BasePruner:
        import optuna

        return optuna.pruners.HyperbandPruner(
            min_resource=self.min_epochs, max_resource=epochs, reduction_factor=self.reduction_factor
        )
