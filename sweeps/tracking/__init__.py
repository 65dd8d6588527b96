"""MLflow, the record that people read: one writer thread in the driver, the reader, and the pages.

No other package knows MLflow; nothing here may end a sweep that is running.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cifar_core.lazy import lazy_face

if TYPE_CHECKING:
    from sweeps.tracking.answering import is_given_up, is_lost, is_record_damaged, record_fault, record_in_words
    from sweeps.tracking.child_run import record_of
    from sweeps.tracking.columns import COLUMNS, LAST_COLUMNS, RECORD_COLUMNS, Column, Unit, column_of
    from sweeps.tracking.complete_results import CompleteResults
    from sweeps.tracking.deleted_runs import DeletedRuns, find_deleted_runs, forget_deleted_runs
    from sweeps.tracking.files import RunFiles
    from sweeps.tracking.logged_model import ModelAbout, log_model, say_winner
    from sweeps.tracking.names import names_of_runs
    from sweeps.tracking.opening import set_damaged_record_aside
    from sweeps.tracking.ownership import OWNER, OwnRuns, note_owner, noted_owners, owner_of_folder
    from sweeps.tracking.reader import MlflowReader, RecordReader, delete_sweep
    from sweeps.tracking.recorded_run import RecordedRun
    from sweeps.tracking.review import RecordReview, bring_level, end_as_interrupted
    from sweeps.tracking.store import uri_of_file
    from sweeps.tracking.sweep_progress import Aim
    from sweeps.tracking.taking_over import TakenOver, TakeOver
    from sweeps.tracking.tracker import Tracker
    from sweeps.tracking.trial_run import UnreadableRun
    from sweeps.tracking.ui import serve

__all__ = [
    "COLUMNS",
    "LAST_COLUMNS",
    "OWNER",
    "RECORD_COLUMNS",
    "Aim",
    "Column",
    "CompleteResults",
    "DeletedRuns",
    "MlflowReader",
    "ModelAbout",
    "OwnRuns",
    "RecordReader",
    "RecordReview",
    "RecordedRun",
    "RunFiles",
    "TakeOver",
    "TakenOver",
    "Tracker",
    "Unit",
    "UnreadableRun",
    "bring_level",
    "column_of",
    "delete_sweep",
    "end_as_interrupted",
    "find_deleted_runs",
    "forget_deleted_runs",
    "is_given_up",
    "is_lost",
    "is_record_damaged",
    "log_model",
    "names_of_runs",
    "note_owner",
    "noted_owners",
    "owner_of_folder",
    "record_fault",
    "record_in_words",
    "record_of",
    "say_winner",
    "serve",
    "set_damaged_record_aside",
    "uri_of_file",
]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "Aim": "sweep_progress",
        "COLUMNS": "columns",
        "Column": "columns",
        "CompleteResults": "complete_results",
        "DeletedRuns": "deleted_runs",
        "LAST_COLUMNS": "columns",
        "MlflowReader": "reader",
        "ModelAbout": "logged_model",
        "OWNER": "ownership",
        "OwnRuns": "ownership",
        "RECORD_COLUMNS": "columns",
        "RecordReader": "reader",
        "RecordReview": "review",
        "RecordedRun": "recorded_run",
        "RunFiles": "files",
        "TakeOver": "taking_over",
        "TakenOver": "taking_over",
        "Tracker": "tracker",
        "Unit": "columns",
        "UnreadableRun": "trial_run",
        "bring_level": "review",
        "column_of": "columns",
        "delete_sweep": "reader",
        "end_as_interrupted": "review",
        "find_deleted_runs": "deleted_runs",
        "forget_deleted_runs": "deleted_runs",
        "is_record_damaged": "answering",
        "is_given_up": "answering",
        "is_lost": "answering",
        "log_model": "logged_model",
        "names_of_runs": "names",
        "note_owner": "ownership",
        "noted_owners": "ownership",
        "owner_of_folder": "ownership",
        "record_fault": "answering",
        "record_in_words": "answering",
        "record_of": "child_run",
        "say_winner": "logged_model",
        "serve": "ui",
        "set_damaged_record_aside": "opening",
        "uri_of_file": "store",
    },
)
