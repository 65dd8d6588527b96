"""Train each trial to its last epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sweeps.stopping.rule import StoppingRule

if TYPE_CHECKING:
    import optuna


class Never(StoppingRule):
    """Train each trial to its last epoch."""

    type: Literal["none"] = "none"

    @property
    def stops(self) -> bool:
        return False

    def pruner(self, *, epochs: int) -> optuna.pruners.BasePruner:
        import optuna

        return optuna.pruners.NopPruner()

    def expected_epochs(self, epochs: int) -> float:
        return float(epochs)

    @property
    def sentence(self) -> str:
        return "no early stopping"

    def never_acts(self, *, epochs: int, run_cap: int | None) -> str | None:
        return None
