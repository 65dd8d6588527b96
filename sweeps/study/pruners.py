"""Which trials are stopped early: Optuna's pruners, and what they leave of a trial in the long run."""

from __future__ import annotations

from collections.abc import Iterable

import optuna

from sweeps.spec import EarlyTerminate


def make_pruner(early: EarlyTerminate, *, epochs: int) -> optuna.pruners.BasePruner:
    """Return Optuna's pruner. Resources are epochs."""
    if early.type == "asha":
        return optuna.pruners.SuccessiveHalvingPruner(
            min_resource=early.min_epochs, reduction_factor=early.reduction_factor
        )
    if early.type == "hyperband":
        return optuna.pruners.HyperbandPruner(
            min_resource=early.min_epochs, max_resource=epochs, reduction_factor=early.reduction_factor
        )
    if early.type == "median":
        return optuna.pruners.MedianPruner(n_warmup_steps=early.min_epochs - 1)
    return optuna.pruners.NopPruner()


def expected_epochs(epochs: int, early: EarlyTerminate) -> float:
    """Return the mean epochs of a trial when at each milestone one in `reduction_factor` goes on.

    Early in a search more go on, because there is little to compare with; median stops about half at the start.
    """
    if early.type == "none":
        return float(epochs)
    if early.type == "median":
        return early.min_epochs + (epochs - early.min_epochs) / 2
    kept, share, at = 0.0, 1.0, 0
    for milestone in _milestones(epochs, early):
        kept += share * (milestone - at)
        share, at = share / early.reduction_factor, milestone
    return kept + share * (epochs - at)


def _milestones(epochs: int, early: EarlyTerminate) -> Iterable[int]:
    milestone = early.min_epochs
    while milestone < epochs:
        yield milestone
        milestone *= early.reduction_factor
