"""An evaluation on the test images while Ray is restarted, as after an out-of-memory kill."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cifar_core.config import TrainingConfig
from sweeps.backends.ray.backend import RayBackend, RaySession
from sweeps.tasks.image_classification import ImageClassification


class Images:
    """Evaluations of one connection, which ends."""

    is_over = False

    def measure(self, checkpoint: str, config: object, *, slots: object) -> Any:
        def measurement() -> tuple[Images, str] | None:
            if self.is_over:
                raise ValueError("a Ray object whose owner is unknown")
            return self, checkpoint

        return measurement


def test_an_evaluation_is_started_again_after_a_restart_of_ray(tmp_path: Path) -> None:
    slots: Any = SimpleNamespace(slots=None)
    session = RaySession(tmp_path, cluster=None, log=tmp_path / "ray.log", store_bytes=0, on_loss=lambda: None)
    backend: Any = RayBackend(ImageClassification(), session, slots=slots, setup=None, placement="auto")
    first, second = Images(), Images()
    backend._data = first
    measurement = backend.measure("state.pt", TrainingConfig())

    first.is_over, backend._data = True, None
    assert measurement() is None
    backend._data = second

    assert measurement() == (second, "state.pt")
