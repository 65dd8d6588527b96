"""A trial's curves, images, graph and hyperparameters for TensorBoard, beside the record: nothing reads them back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cifar_core.lazy import lazy_face

if TYPE_CHECKING:
    from sweeps.tensorboard.folder import curves_folder, remove_curves, require_tensorboard, trial_folder
    from sweeps.tensorboard.trial_curves import TrialCurves

__all__ = ["TrialCurves", "curves_folder", "remove_curves", "require_tensorboard", "trial_folder"]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "TrialCurves": "trial_curves",
        "curves_folder": "folder",
        "remove_curves": "folder",
        "require_tensorboard": "folder",
        "trial_folder": "folder",
    },
)
