"""A running sweep on a screen: what is seen of it, and how that is drawn. Its driver and who watches show the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cifar_core.lazy import lazy_face

if TYPE_CHECKING:
    from sweeps.live.drawing import draw
    from sweeps.live.notebook import NotebookScreen, is_notebook
    from sweeps.live.screen import Screen
    from sweeps.live.seen import Seen, SeenTrial, Watcher

__all__ = ["NotebookScreen", "Screen", "Seen", "SeenTrial", "Watcher", "draw", "is_notebook"]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "NotebookScreen": "notebook",
        "Screen": "screen",
        "Seen": "seen",
        "SeenTrial": "seen",
        "Watcher": "seen",
        "draw": "drawing",
        "is_notebook": "notebook",
    },
)
