"""Base class of the early stopping rules."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING

from pydantic import Field

from cifar_core.common.validation import StrictModel

if TYPE_CHECKING:
    import optuna


class StoppingRule(StrictModel, abc.ABC):
    """The block `early_terminate` of a sweep file. Each rule is a module, and `type` its name."""

    type: str
    min_epochs: int = Field(default=1, ge=1)
    """Number of epochs before which no trial is stopped."""

    @property
    def stops(self) -> bool:
        """Whether a trial is ever stopped before its last epoch."""
        return True

    @property
    def needs_epochs(self) -> bool:
        """Whether the rule depends on the number of epochs of a trial."""
        return False

    @abc.abstractmethod
    def pruner(self, *, epochs: int) -> optuna.pruners.BasePruner:
        """Return the Optuna pruner, whose resource is the epoch.

        Args:
            epochs: Epochs of a complete trial.
        """

    @abc.abstractmethod
    def expected_epochs(self, epochs: int) -> float:
        """Return the mean epochs of a trial in a long search, for estimates.

        Args:
            epochs: Epochs of a complete trial.
        """

    def milestones(self, *, epochs: int) -> tuple[int, ...]:
        """Return the epochs after which a trial pauses, and the best are continued; empty if the pruner decides.

        Args:
            epochs: Epochs of a complete trial; 0 if unknown.
        """
        return ()

    @property
    def sentence(self) -> str:
        """Description for the plan, such as `stopped early by asha`."""
        return f"stopped early by {self.type}"

    def never_acts(self, *, epochs: int, run_cap: int | None) -> str | None:
        """Return `key: reason` if the rule can never stop a trial of the sweep, else None.

        Args:
            epochs: Largest number of epochs of a complete trial in the search space.
            run_cap: Number of trials; None for no limit.
        """
        if self.min_epochs < epochs:
            return None
        return f"min_epochs: {self.min_epochs} with epochs {epochs}: no trial is ever stopped early"
