"""Pictures as PNG bytes, from arrays: images in a grid, what an augmentation does, feature maps, mistakes, charts.

One style for all, in `sweeps.mplstyle`. Nothing here reads a record, a file or a network.
"""
