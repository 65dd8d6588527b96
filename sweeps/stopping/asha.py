"""Asynchronous successive halving (Li et al. 2020), with Optuna's pruner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sweeps.stopping.halving import Halving

if TYPE_CHECKING:
    import optuna


class Asha(Halving):
    """Compare a trial at each milestone with all trials that have reached it (Li et al. 2020)."""

    type: Literal["asha"] = "asha"

    def pruner(self, *, epochs: int) -> optuna.pruners.BasePruner:
        import optuna

        return optuna.pruners.SuccessiveHalvingPruner(
            min_resource=self.min_epochs, reduction_factor=self.reduction_factor
        )
