"""Pictures as PNG bytes, from arrays: images in a grid, what an augmentation does, feature maps, mistakes, charts.

One style for all, in `sweeps.mplstyle`. Nothing here reads a record, a file or a network.
"""

from __future__ import annotations

from sweeps.pictures.charts import confusion_matrix, layer_chart, learning_curve
from sweeps.pictures.grids import Step, augmentation_steps, feature_maps, image_grid, map_colours, mistakes_grid
from sweeps.pictures.page import picture_page

__all__ = [
    "Step",
    "augmentation_steps",
    "confusion_matrix",
    "feature_maps",
    "image_grid",
    "layer_chart",
    "learning_curve",
    "map_colours",
    "mistakes_grid",
    "picture_page",
]
