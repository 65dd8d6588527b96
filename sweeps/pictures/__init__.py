"""Pictures as PNG bytes, from arrays: image grids, augmentation steps, feature maps, mistakes, charts.

All share the style in `sweeps.mplstyle`. This package reads no record, file or network.
"""
