"""What to try next, and the ledger: a sweep's folder and Optuna study, who proposes, who stops early, how it stands.

The study is the truth; what MLflow lacks after a crash is written from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cifar_core.lazy import lazy_face

if TYPE_CHECKING:
    from sweeps.study.folder import CHECKPOINT_FILE, SweepFolder
    from sweeps.study.ledger import EXHAUSTED, Exhausted, Ledger, RecordedResults
    from sweeps.study.looks import LOOKS_FILE, Look, looks_in_words, note_look, read_looks
    from sweeps.study.opening import open_replicates, open_study, read_replicates, read_study
    from sweeps.study.proposers import Candidate, ListProposer, Proposer, proposer_of
    from sweeps.study.pruners import expected_epochs, make_pruner
    from sweeps.study.repair import repair_journal
    from sweeps.study.replicates import candidates_to_confirm, replicates_of
    from sweeps.study.state import SweepState, read_state, sweep_names
    from sweeps.study.stored_trials import read_records, store_test

__all__ = [
    "CHECKPOINT_FILE",
    "EXHAUSTED",
    "LOOKS_FILE",
    "Candidate",
    "Exhausted",
    "Ledger",
    "ListProposer",
    "Look",
    "Proposer",
    "RecordedResults",
    "SweepFolder",
    "SweepState",
    "candidates_to_confirm",
    "expected_epochs",
    "looks_in_words",
    "make_pruner",
    "note_look",
    "open_replicates",
    "open_study",
    "proposer_of",
    "read_looks",
    "read_records",
    "read_replicates",
    "read_state",
    "read_study",
    "repair_journal",
    "replicates_of",
    "store_test",
    "sweep_names",
]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "CHECKPOINT_FILE": "folder",
        "LOOKS_FILE": "looks",
        "Look": "looks",
        "EXHAUSTED": "ledger",
        "Candidate": "proposers",
        "Exhausted": "ledger",
        "Ledger": "ledger",
        "ListProposer": "proposers",
        "Proposer": "proposers",
        "RecordedResults": "ledger",
        "SweepFolder": "folder",
        "SweepState": "state",
        "candidates_to_confirm": "replicates",
        "expected_epochs": "pruners",
        "looks_in_words": "looks",
        "make_pruner": "pruners",
        "note_look": "looks",
        "open_replicates": "opening",
        "open_study": "opening",
        "proposer_of": "proposers",
        "read_looks": "looks",
        "read_records": "stored_trials",
        "read_replicates": "opening",
        "read_state": "state",
        "read_study": "opening",
        "repair_journal": "repair",
        "replicates_of": "replicates",
        "store_test": "stored_trials",
        "sweep_names": "state",
    },
)
