"""Median stopping (Golovin et al. 2017), with Optuna's pruner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sweeps.stopping.rule import StoppingRule

if TYPE_CHECKING:
    import optuna

NEEDS = 5
"""Number of complete trials before Optuna's median pruner stops any trial."""


class Median(StoppingRule):
    """Stop a trial whose best value is worse than the median of the complete trials at the same epoch (Golovin et al.
    2017). It needs 5 complete trials."""

    type: Literal["median"] = "median"

    def pruner(self, *, epochs: int) -> optuna.pruners.BasePruner:
        import optuna

        return optuna.pruners.MedianPruner(n_startup_trials=NEEDS, n_warmup_steps=self.min_epochs)

    def expected_epochs(self, epochs: int) -> float:
        """Return the mean epochs of a trial. About half of the trials stop at `min_epochs`."""
        return self.min_epochs + max(0, epochs - self.min_epochs) / 2

    def never_acts(self, *, epochs: int, run_cap: int | None) -> str | None:
        if run_cap is not None and run_cap <= NEEDS:
            return (
                f"type: median compares with {NEEDS} complete trials, and run_cap is {run_cap}: no trial is ever "
                "stopped early"
            )
        return super().never_acts(epochs=epochs, run_cap=run_cap)
