"""The contract of what decides about paused trials, and its construction from a stopping rule."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import optuna

from sweeps.core.trial import Outcome
from sweeps.files.parameter import Assignment
from sweeps.files.space import SearchSpace
from sweeps.files.sweep import SweepSpec
from sweeps.search.positions import Point
from sweeps.search.promotion import Promotion
from sweeps.search.warm_start import warm_curves
from sweeps.stopping.curve_model import CurveModelRule
from sweeps.stopping.rule import StoppingRule

FITTED = "curve_model"
"""Attribute of a study: what `CurveSearch` has fitted last."""


class Pausing(Protocol):
    """Decides after which epochs a trial pauses, and which paused trial continues.

    It knows each trial from its start on, through `begin`, `enter`, `pause`, `resume` and `end`.
    """

    def is_milestone(self, epoch: int) -> bool:
        """Return whether a trial may pause after an epoch."""
        ...

    def begin(self, number: int, point: Point) -> None:
        """Add a trial with its configuration."""
        ...

    def enter(self, number: int, *, epoch: int, value: float) -> None:
        """Add an epoch of a trial; the value is NaN if the epoch has none."""
        ...

    def pause(self, number: int, *, epoch: int, value: float) -> None:
        """Pause a trial after an epoch that was entered."""
        ...

    def resume(self, number: int) -> None:
        """Remove a trial from the paused ones."""
        ...

    def end(self, number: int, outcome: Outcome) -> None:
        """End a trial, which cannot be continued."""
        ...

    def set_aside(self, number: int) -> None:
        """Remove a trial that a person skips, whether it runs or is paused."""
        ...

    def take_back(self, number: int) -> None:
        """Add a trial again that was set aside. It runs."""
        ...

    def resize(self, run_cap: int) -> None:
        """Change the maximum number of trials of the search."""
        ...

    def expected_gain(self) -> float | None:
        """Return the expected improvement on the best value by the most promising trial; None without a model."""
        ...

    def next(self, *, may_start: bool, is_closing: bool) -> int | None:
        """Return the paused trial to continue now; None if there is none, or if a new one shall start.

        Args:
            may_start: Whether the search may add a trial.
            is_closing: Whether no trial runs and no new one can start.
        """
        ...

    def may_start_new(self) -> bool:
        """Return whether a new trial may start; asked after `next` has returned None."""
        ...

    def proposal(self) -> Assignment | None:
        """Return the configuration to start; None if the proposer chooses it."""
        ...

    @property
    def first_points(self) -> int:
        """Number of trials whose configurations depend on no result; 0 if only the proposer knows."""
        ...

    def first_point(self, index: int) -> Assignment | None:
        """Return the configuration of one of the first trials; None if the proposer chooses it."""
        ...

    def expected(self) -> dict[int, float]:
        """Return the expected metric after the last epoch of complete trials; empty without a model."""
        ...

    @property
    def has_ended(self) -> bool:
        """Whether no trial shall be added or continued, although the search has trials left."""
        ...


def pausing_of_spec(spec: SweepSpec, study: optuna.Study, *, runs: Path | None = None) -> Pausing | None:
    """Return what decides about paused trials of a sweep; None if its pruner stops trials.

    Args:
        spec: The sweep.
        study: Its study.
        runs: The runs folder with the curves of `warm_start`; None to read none.
    """
    is_model = isinstance(spec.early_terminate, CurveModelRule)
    warm = warm_curves(study, runs=runs, space=spec.space) if is_model and runs is not None else []
    limits = [limit for limit in (spec.run_cap, spec.space.proposals) if limit is not None]
    return pausing_of(
        spec.early_terminate,
        space=spec.space,
        method=spec.method,
        seed=spec.seed,
        epochs=spec.expected_epochs,
        run_cap=min(limits, default=None),
        maximize=spec.metric.goal == "maximize",
        study=study,
        earlier=[(spec.space.encode(each.assignment), each.values) for each in warm],
    )


def pausing_of(
    rule: StoppingRule,
    *,
    space: SearchSpace,
    method: str,
    seed: int,
    epochs: int,
    run_cap: int | None,
    maximize: bool,
    study: optuna.Study,
    earlier: Sequence[tuple[Point, Sequence[float]]] = (),
) -> Pausing | None:
    """Return what decides about paused trials under a rule; None if its pruner stops trials.

    Args:
        rule: The rule of early stopping.
        space: The search space.
        method: `bayes`, `random` or `grid`.
        seed: Seed of the search.
        epochs: Epochs of a complete trial; 0 if unknown.
        run_cap: Maximum number of trials; None for no limit.
        maximize: Whether a larger value of the metric is better.
        study: Stores what the model has fitted.
        earlier: Configurations of other sweeps, and the metric after each of their epochs.
    """
    if not isinstance(rule, CurveModelRule):
        return Promotion.of(rule, epochs=epochs, maximize=maximize)
    # Imported here: scipy takes a second.
    from sweeps.search.curve_search import CurveSearch

    return CurveSearch(
        space,
        milestones=rule.milestones(epochs=epochs),
        epochs=epochs,
        run_cap=run_cap,
        expected_epochs=rule.expected_epochs(epochs),
        maximize=maximize,
        seed=seed,
        scores_new=method == "bayes",
        earlier=earlier,
        fitted=study.user_attrs.get(FITTED),
        on_fit=lambda fitted: study.set_user_attr(FITTED, list(fitted)),
    )
