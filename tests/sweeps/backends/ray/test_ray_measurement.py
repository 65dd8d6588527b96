"""A measurement on the test images while Ray is started anew, as after a kill for memory."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sweeps.backends.ray.backend import RayBackend
from sweeps.files.settings import Limits, Resources
from sweeps.tasks.image_classification import ImageClassification


class Images:
    """Those of one connection, which ends."""

    is_over = False

    def measure(self, checkpoint: str, *, slots: object) -> Any:
        def measurement() -> tuple[Images, str] | None:
            if self.is_over:
                raise ValueError("a Ray object whose owner is unknown")
            return self, checkpoint

        return measurement


def test_what_was_begun_with_the_ray_before_is_begun_anew(tmp_path: Path) -> None:
    backend: Any = RayBackend(
        ImageClassification(),
        Resources(),
        Limits(),
        address=None,
        runs=tmp_path,
        log=tmp_path / "ray.log",
        on_loss=lambda: None,
    )
    backend._cluster = SimpleNamespace(slots=None)
    first, second = Images(), Images()
    backend._data = first
    measurement = backend.measure("state.pt")

    first.is_over, backend._data = True, None
    assert measurement() is None
    backend._data = second

    assert measurement() == (second, "state.pt")
