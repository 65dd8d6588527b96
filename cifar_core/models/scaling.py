"""How the size of a layer follows the width of its network."""

from __future__ import annotations


def scaled(size: int, *, width: int, default_width: int) -> int:
    """Return the units of a layer that has `size` units at the default width: rounded, at least 1."""
    return max(1, round(size * width / default_width))
