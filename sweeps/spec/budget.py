"""How much of a ladder is run: what `sweeps ladder` says on its command line."""

from __future__ import annotations

from dataclasses import dataclass

from cifar_core.config import TrainingConfig


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How much of a ladder's full budget is spent, for a small machine."""

    epochs_scale: float = 1.0
    train_size: int | None = None
    seeds: int | None = None
    """Runs of each rung; None for as many as the ladder's file says."""

    def apply(self, config: TrainingConfig) -> TrainingConfig:
        """Return the configuration under this budget; what is counted in epochs shrinks with them."""
        data = config.data.model_copy(update={"train_size": self._train_size(config)})
        shorter = config.shortened(self.epochs_scale)
        # A share that rounds to all of its epochs cuts nothing, of its schedule neither.
        return (config if shorter.epochs == config.epochs else shorter).model_copy(update={"data": data})

    def reduced(self, config: TrainingConfig) -> str | None:
        """Return how a configuration's budget was cut, None where it was not."""
        parts, cut = [], self.apply(config)
        if cut.epochs != config.epochs:
            parts.append(f"{cut.epochs} of {config.epochs} epochs")
        if cut.data.train_size != config.data.train_size:
            parts.append(f"{cut.data.train_size:,} training images")
        return ", ".join(parts) or None

    def _train_size(self, config: TrainingConfig) -> int | None:
        full = config.train_images()
        return config.data.train_size if self.train_size is None or self.train_size >= full else self.train_size


FULL_BUDGET = Budget()
