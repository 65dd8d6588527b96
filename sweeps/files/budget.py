"""How much of a ladder is run: what `sweeps ladder` says on its command line."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sweeps.core.errors import SweepError
from sweeps.core.identity import Protocol
from sweeps.core.task import LAST_SEED, TaskConfig
from sweeps.tasks.registry import task_of

MAX_SEEDS = 1000
"""Runs of one rung: more are a slip of the keyboard."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How much of a ladder's full budget is spent, for a small machine."""

    epochs_scale: float = 1.0
    train_size: int | None = None
    seeds: int | None = None
    """Runs of each rung; None for as many as the ladder's file says."""

    def __post_init__(self) -> None:
        # Of what is no number no comparison is true.
        if not 0 < self.epochs_scale < math.inf:
            raise SweepError(f"the share of the epochs is {self.epochs_scale}: it is more than 0, and a number")
        if self.seeds is not None and not 1 <= self.seeds <= MAX_SEEDS:
            raise SweepError(f"{self.seeds} seeds: at least 1, and {MAX_SEEDS} at most")

    def runs_of(self, config: TaskConfig, *, seeds: int) -> list[TaskConfig]:
        """Return a configuration's runs under this budget, one for each seed from its own on.

        Args:
            config: of the full budget.
            seeds: as many as there are where the budget does not say.

        Raises:
            SweepError: the last one's seed is larger than a seed can be.
        """
        cut, count = self.apply(config), self.seeds or seeds
        if cut.seed + count - 1 > LAST_SEED:
            raise SweepError(f"{count} seeds from {cut.seed} on: the largest there is is {LAST_SEED}")
        return [cut.model_copy(update={"seed": cut.seed + offset}) for offset in range(count)]

    def apply(self, config: TaskConfig) -> TaskConfig:
        """Return the configuration under this budget; what is counted in epochs shrinks with them."""
        shorter = config.shortened(self.epochs_scale)
        # A share that rounds to all of its epochs cuts nothing, of its schedule neither.
        cut = config if shorter.epochs == config.epochs else shorter
        return cut if self.train_size is None else task_of(cut).resized(cut, self.train_size)

    def reduced(self, config: TaskConfig) -> str | None:
        """Return how a configuration's budget was cut, None where it was not."""
        epochs, train_images = self.full(config)
        return Protocol.of(self.apply(config)).reduced_from(full_epochs=epochs, full_train_images=train_images)

    def full(self, config: TaskConfig) -> tuple[int | None, int | None]:
        """Return the epochs and the training images of the full budget, each None where this one does not cut it."""
        cut = self.apply(config)
        examples, before = task_of(cut).examples(cut), task_of(config).examples(config)
        return None if cut.epochs == config.epochs else config.epochs, before if examples < before else None


FULL_BUDGET = Budget()


@dataclass(frozen=True, kw_only=True)
class BudgetRange:
    """The budgets that a run can be of: its epochs are rounded, and a size that cuts nothing leaves no trace."""

    epochs: int
    """That it was trained for."""
    full_epochs: int
    train_size: int
    """Training images."""
    is_cut_to_size: bool
    """Whether the full budget has more training images."""

    @property
    def share(self) -> float:
        """Of the epochs."""
        return self.epochs / self.full_epochs

    @property
    def _shares(self) -> tuple[float, float]:
        lowest = self.epochs - 0.5 if self.epochs > 1 else 0.0
        return lowest / self.full_epochs - _ROUNDING, (self.epochs + 0.5) / self.full_epochs + _ROUNDING

    def overlaps(self, other: BudgetRange) -> bool:
        """Return whether both can be runs of one budget."""
        (low, high), (other_low, other_high) = self._shares, other._shares
        smallest, largest = sorted((self, other), key=lambda each: each.train_size)
        # What is not cut has no more images than the budget gives.
        fits = smallest.train_size == largest.train_size or not smallest.is_cut_to_size
        return max(low, other_low) <= min(high, other_high) and fits


_ROUNDING = 1e-9
