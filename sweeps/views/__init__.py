"""Showing what is recorded: leaderboard and SQL, a sweep's status, one run, a ladder's table, pictures and page.

Everything here reads; nothing here trains or changes a record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cifar_core.lazy import lazy_face

if TYPE_CHECKING:
    from sweeps.views.boards import BoardView, ByValueView, ColumnsView, CompactBoardView, View
    from sweeps.views.columns import spoken_columns
    from sweeps.views.compare import print_comparison
    from sweeps.views.effects_table import effects_to_csv, effects_to_json, print_effects
    from sweeps.views.exports import to_csv, to_json
    from sweeps.views.inspected import Inspected, augmentation_behind, network_behind
    from sweeps.views.ladder_files import write_ladder
    from sweeps.views.ladder_table import print_ladder
    from sweeps.views.leaderboard import query_leaderboard, why_empty
    from sweeps.views.leaderboard_table import print_leaderboard
    from sweeps.views.mistakes import Mistake, Mistakes, find_mistakes
    from sweeps.views.names import Named, find_named, name_of_run, named_sweep
    from sweeps.views.page.write import report_path, verdict, write_report
    from sweeps.views.printed import Printed, preformatted
    from sweeps.views.queries import query
    from sweeps.views.show import print_confusion, print_named, print_run
    from sweeps.views.show_sweep import print_sweep
    from sweeps.views.status import headline, print_status
    from sweeps.views.tables import space_table
    from sweeps.views.weights import Weights, find_weights

__all__ = [
    "BoardView",
    "ByValueView",
    "ColumnsView",
    "CompactBoardView",
    "Inspected",
    "Mistake",
    "Mistakes",
    "Named",
    "Printed",
    "View",
    "Weights",
    "augmentation_behind",
    "effects_to_csv",
    "effects_to_json",
    "find_mistakes",
    "find_named",
    "find_weights",
    "headline",
    "name_of_run",
    "named_sweep",
    "network_behind",
    "preformatted",
    "print_comparison",
    "print_confusion",
    "print_effects",
    "print_ladder",
    "print_leaderboard",
    "print_named",
    "print_run",
    "print_status",
    "print_sweep",
    "query",
    "query_leaderboard",
    "report_path",
    "space_table",
    "spoken_columns",
    "to_csv",
    "to_json",
    "verdict",
    "why_empty",
    "write_ladder",
    "write_report",
]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "preformatted": "printed",
        "space_table": "tables",
        "verdict": "page.write",
        "Printed": "printed",
        "CompactBoardView": "boards",
        "Inspected": "inspected",
        "Mistake": "mistakes",
        "Mistakes": "mistakes",
        "Named": "names",
        "BoardView": "boards",
        "ByValueView": "boards",
        "ColumnsView": "boards",
        "View": "boards",
        "Weights": "weights",
        "effects_to_csv": "effects_table",
        "effects_to_json": "effects_table",
        "augmentation_behind": "inspected",
        "find_mistakes": "mistakes",
        "network_behind": "inspected",
        "find_named": "names",
        "find_weights": "weights",
        "headline": "status",
        "print_effects": "effects_table",
        "print_ladder": "ladder_table",
        "print_leaderboard": "leaderboard_table",
        "print_comparison": "compare",
        "name_of_run": "names",
        "named_sweep": "names",
        "print_confusion": "show",
        "print_named": "show",
        "print_run": "show",
        "print_status": "status",
        "print_sweep": "show_sweep",
        "query": "queries",
        "spoken_columns": "columns",
        "query_leaderboard": "leaderboard",
        "report_path": "page.write",
        "to_csv": "exports",
        "to_json": "exports",
        "why_empty": "leaderboard",
        "write_ladder": "ladder_files",
        "write_report": "page.write",
    },
)
