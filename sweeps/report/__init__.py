"""Showing what is recorded: leaderboard and SQL, a sweep's status, one run, a ladder's table, pictures and page.

Everything here reads; nothing here trains or changes a record.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from cifar_core.lazy import lazy_face

if TYPE_CHECKING:
    from sweeps.report.columns import spoken_columns
    from sweeps.report.compare import print_comparison
    from sweeps.report.effects_table import effects_to_csv, effects_to_json, print_effects
    from sweeps.report.exports import to_csv, to_json
    from sweeps.report.inspected import Inspected, augmentation_behind, network_behind
    from sweeps.report.ladder_files import write_ladder
    from sweeps.report.ladder_table import print_ladder
    from sweeps.report.leaderboard import query_leaderboard, why_empty
    from sweeps.report.leaderboard_table import print_leaderboard
    from sweeps.report.mistakes import Mistake, Mistakes, find_mistakes
    from sweeps.report.names import Named, find_named, name_of_run, named_sweep
    from sweeps.report.page.write import report_path, verdict, write_report
    from sweeps.report.printed import Printed, preformatted
    from sweeps.report.queries import query
    from sweeps.report.show import print_confusion, print_named, print_run
    from sweeps.report.show_sweep import print_sweep
    from sweeps.report.status import headline, print_status
    from sweeps.report.tables import space_table
    from sweeps.report.views import BoardView, ByValueView, ColumnsView, CompactBoardView, View
    from sweeps.report.weights import Weights, find_weights

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
        "CompactBoardView": "views",
        "Inspected": "inspected",
        "Mistake": "mistakes",
        "Mistakes": "mistakes",
        "Named": "names",
        "BoardView": "views",
        "ByValueView": "views",
        "ColumnsView": "views",
        "View": "views",
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


class _PackageAndVerb(ModuleType):
    """A package hides the function of its name: called, it is the verb `sweeps.report`."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return importlib.import_module("sweeps.verbs").report(*arguments, **options)


sys.modules[__name__].__class__ = _PackageAndVerb
