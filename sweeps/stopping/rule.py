"""Contract of a rule of early stopping."""

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
        """Return Optuna's pruner; its resource is the epoch.

        Args:
            epochs: of a whole trial.
        """

    @abc.abstractmethod
    def expected_epochs(self, epochs: int) -> float:
        """Return the mean epochs of a trial of a long search, for an estimate.

        Args:
            epochs: of a whole trial.
        """

    @property
    def sentence(self) -> str:
        """How trials end, for a screen."""
        return f"stopped early by {self.type}"

    def never_acts(self, *, epochs: int, run_cap: int | None) -> str | None:
        """Return why no trial is ever stopped in a sweep, behind the key that is wrong; None where one may be.

        Args:
            epochs: of a whole trial, the most that the space holds.
            run_cap: trials of the sweep; None for no limit.
        """
        if self.min_epochs < epochs:
            return None
        return f"min_epochs: {self.min_epochs} with epochs {epochs}: no trial is ever stopped early"
