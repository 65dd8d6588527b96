"""Pictures as PNG bytes, from arrays: images in a grid, what an augmentation does, feature maps, mistakes, charts.

One style for all: a light background, a title that says what is seen, colours that any eye tells apart. Each takes
a few tenths of a second, and at most 200 kB for some sixty photographs. Nothing here reads a record, a file or a
network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cifar_core.lazy import lazy_face

if TYPE_CHECKING:
    from sweeps.pictures.charts import confusion_matrix, layer_chart, learning_curve
    from sweeps.pictures.grids import image_grid, mistakes_grid
    from sweeps.pictures.page import picture_page
    from sweeps.pictures.strips import Step, augmentation_steps, feature_maps, map_colours

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

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "Step": "strips",
        "augmentation_steps": "strips",
        "confusion_matrix": "charts",
        "feature_maps": "strips",
        "image_grid": "grids",
        "layer_chart": "charts",
        "learning_curve": "charts",
        "map_colours": "strips",
        "mistakes_grid": "grids",
        "picture_page": "page",
    },
)
