"""The budget of a ladder: a share of its epochs, training images and seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sweeps.core.errors import SweepError
from sweeps.core.identity import Protocol
from sweeps.core.task import LAST_SEED, TaskConfig
from sweeps.tasks.registry import task_of

MAX_SEEDS = 1000
"""Largest number of runs of one rung, to catch typing errors."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The part of a ladder's full budget that is spent."""

    epochs_scale: float = 1.0
    train_size: int | None = None
    seeds: int | None = None
    """Runs of each rung; None for the number in the ladder's file."""

    def __post_init__(self) -> None:
        if not 0 < self.epochs_scale < math.inf:  # also false for NaN
            raise SweepError(f"--epochs-scale (epochs_scale) is {self.epochs_scale}. Write a finite number above 0.")
        if self.seeds is not None and not 1 <= self.seeds <= MAX_SEEDS:
            raise SweepError(f"the number of seeds is {self.seeds}. It must be between 1 and {MAX_SEEDS}.")

    def runs_of(self, config: TaskConfig, *, seeds: int) -> list[TaskConfig]:
        """Return a configuration's runs under this budget, with consecutive seeds from its own seed on.

        Args:
            config: the configuration of the full budget.
            seeds: number of seeds if the budget has none.

        Raises:
            SweepError: the last seed is larger than `LAST_SEED`.
        """
        cut, count = self.apply(config), self.seeds or seeds
        if cut.seed + count - 1 > LAST_SEED:
            raise SweepError(f"{count} seeds from {cut.seed} on exceed the largest seed, {LAST_SEED}")
        return [cut.model_copy(update={"seed": cut.seed + offset}) for offset in range(count)]

    def apply(self, config: TaskConfig) -> TaskConfig:
        """Return the configuration under this budget. Fields counted in epochs shrink with the epochs."""
        shorter = config.shortened(self.epochs_scale)
        # A share that rounds to all epochs must not change the schedule either.
        cut = config if shorter.epochs == config.epochs else shorter
        return cut if self.train_size is None else task_of(cut).resized(cut, self.train_size)

    def reduced(self, config: TaskConfig) -> str | None:
        """Return a text that describes how a configuration's budget is reduced; None if it is not."""
        epochs, train_images = self.full(config)
        return Protocol.of(self.apply(config)).reduced_from(full_epochs=epochs, full_train_images=train_images)

    def full(self, config: TaskConfig) -> tuple[int | None, int | None]:
        """Return epochs and training images of the full budget, each None if this budget does not reduce it."""
        cut = self.apply(config)
        examples, before = task_of(cut).examples(cut), task_of(config).examples(config)
        return None if cut.epochs == config.epochs else config.epochs, before if examples < before else None


FULL_BUDGET = Budget()


@dataclass(frozen=True, kw_only=True)
class BudgetRange:
    """The range of budgets that a run may have had: its epochs were rounded, and a `train_size` without effect is not
    recorded."""

    epochs: int
    """Trained epochs."""
    full_epochs: int
    train_size: int
    """Training images."""
    is_cut_to_size: bool
    """Whether the budget reduced the training images."""

    @property
    def share(self) -> float:
        """Share of the full epochs."""
        return self.epochs / self.full_epochs

    @property
    def _shares(self) -> tuple[float, float]:
        lowest = self.epochs - 0.5 if self.epochs > 1 else 0.0
        return lowest / self.full_epochs - _ROUNDING, (self.epochs + 0.5) / self.full_epochs + _ROUNDING

    def overlaps(self, other: BudgetRange) -> bool:
        """Return whether both can be runs of the same budget."""
        (low, high), (other_low, other_high) = self._shares, other._shares
        smallest, largest = sorted((self, other), key=lambda each: each.train_size)
        # A run whose images were not reduced has at most as many as the budget allows.
        fits = smallest.train_size == largest.train_size or not smallest.is_cut_to_size
        return max(low, other_low) <= min(high, other_high) and fits


_ROUNDING = 1e-9
