"""What to try next, and the ledger: a sweep's folder and Optuna study, who proposes, who stops early, how it stands.

The study is the truth; what MLflow lacks after a crash is written from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cifar_core.lazy import lazy_face

if TYPE_CHECKING:
    from sweeps.study.folder import CHECKPOINT_FILE, SweepFolder
    from sweeps.study.ledger import EXHAUSTED, Exhausted, Ledger, RecordedResults
    from sweeps.study.opening import open_replicates, open_study, read_replicates, read_study
    from sweeps.study.proposers import Candidate, ListProposer, Proposer, proposer_of
    from sweeps.study.pruners import expected_epochs, make_pruner
    from sweeps.study.repair import repair_journal
    from sweeps.study.replicates import candidates_to_confirm, replicates_of
    from sweeps.study.state import SweepState, read_state, sweep_names
    from sweeps.study.stored_trials import read_records

__all__ = [
    "CHECKPOINT_FILE",
    "EXHAUSTED",
    "Candidate",
    "Exhausted",
    "Ledger",
    "ListProposer",
    "Proposer",
    "RecordedResults",
    "SweepFolder",
    "SweepState",
    "candidates_to_confirm",
    "expected_epochs",
    "make_pruner",
    "open_replicates",
    "open_study",
    "proposer_of",
    "read_records",
    "read_replicates",
    "read_state",
    "read_study",
    "repair_journal",
    "replicates_of",
    "sweep_names",
]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "CHECKPOINT_FILE": "folder",
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
        "make_pruner": "pruners",
        "open_replicates": "opening",
        "open_study": "opening",
        "proposer_of": "proposers",
        "read_records": "stored_trials",
        "read_replicates": "opening",
        "read_state": "state",
        "read_study": "opening",
        "repair_journal": "repair",
        "replicates_of": "replicates",
        "sweep_names": "state",
    },
)
