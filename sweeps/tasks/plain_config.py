"""A base class for configurations of tasks with plain field names, without blocks or unused fields."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field

from cifar_core.common.digest import digest
from sweeps.core.task import LAST_SEED


class PlainConfig(BaseModel):
    """Implements `sweeps.core.task.TaskConfig`. A task adds its fields."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    key_version: ClassVar[int] = 1
    """Part of each key. Increase it if the same configuration would be trained differently."""

    epochs: int = Field(default=1, ge=1)
    """How many results its training yields."""
    seed: int = Field(default=0, ge=0, le=LAST_SEED)
    """Of every random number of its training."""

    def canonical(self) -> dict[str, Any]:
        values = self.model_dump(mode="json")
        del values["seed"]
        return dict(sorted(values.items()))

    def resolved(self) -> dict[str, Any]:
        return self.model_dump(mode="json")

    def dotted(self, *, only_non_default: bool = False) -> dict[str, Any]:
        return self.canonical() if only_non_default else self.resolved()

    def protocol(self) -> dict[str, Any]:
        return {"train_images": 0, "validation_images": 0, "split_seed": 0, "epochs": self.epochs}

    def shortened(self, scale: float) -> Self:
        return self.model_copy(update={"epochs": max(1, round(self.epochs * scale))})

    def is_same_run(self, other: Any) -> bool:
        return (self.canonical(), self.seed) == (other.canonical(), other.seed)

    def config_id(self) -> str:
        return digest(self.canonical())

    def key(self, *, data_fingerprint: str, source_hash: str | None = None) -> str:
        identity = {
            "key_version": self.key_version,
            "config": self.canonical(),
            "seed": self.seed,
            "data": data_fingerprint,
        }
        return digest(identity | ({} if source_hash is None else {"source": source_hash}))
