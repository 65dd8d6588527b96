"""Keeping a runs folder well: what a crash left wrong is found and mended, what nothing refers to is freed.

It lies above execution and record, and below the command line. Nothing here trains, and a sweep that somebody holds is
left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cifar_core.lazy import lazy_face

if TYPE_CHECKING:
    from sweeps.upkeep.doctor import Line, Verdict, examine
    from sweeps.upkeep.garbage import Collection, Garbage, Kind, find_garbage, free, held_garbage, total
    from sweeps.upkeep.record import rebuild_record
    from sweeps.upkeep.removing import keep_weights_of_others, own_runs, rewrite_board
    from sweeps.upkeep.take_over import import_record

__all__ = [
    "Collection",
    "Garbage",
    "Kind",
    "Line",
    "Verdict",
    "examine",
    "find_garbage",
    "free",
    "held_garbage",
    "import_record",
    "keep_weights_of_others",
    "own_runs",
    "rebuild_record",
    "rewrite_board",
    "total",
]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "Collection": "garbage",
        "Garbage": "garbage",
        "Kind": "garbage",
        "Line": "doctor",
        "Verdict": "doctor",
        "examine": "doctor",
        "find_garbage": "garbage",
        "free": "garbage",
        "held_garbage": "garbage",
        "import_record": "take_over",
        "keep_weights_of_others": "removing",
        "own_runs": "removing",
        "rebuild_record": "record",
        "rewrite_board": "removing",
        "total": "garbage",
    },
)
