"""MLflow, the record that people read: one writer thread in the driver, the reader, and the pages.

No other package knows MLflow; nothing here may end a sweep that is running.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cifar_core.lazy import lazy_face

if TYPE_CHECKING:
    from sweeps.tracking.complete_results import CompleteResults
    from sweeps.tracking.frame import COLUMNS, LAST_COLUMNS
    from sweeps.tracking.logged_model import ModelAbout, log_model, say_winner
    from sweeps.tracking.reader import MlflowReader, RecordReader, delete_sweep
    from sweeps.tracking.tracker import Tracker
    from sweeps.tracking.ui import serve

__all__ = [
    "COLUMNS",
    "LAST_COLUMNS",
    "CompleteResults",
    "MlflowReader",
    "ModelAbout",
    "RecordReader",
    "Tracker",
    "delete_sweep",
    "log_model",
    "say_winner",
    "serve",
]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "COLUMNS": "frame",
        "CompleteResults": "complete_results",
        "LAST_COLUMNS": "frame",
        "MlflowReader": "reader",
        "ModelAbout": "logged_model",
        "RecordReader": "reader",
        "Tracker": "tracker",
        "delete_sweep": "reader",
        "log_model": "logged_model",
        "say_winner": "logged_model",
        "serve": "ui",
    },
)
