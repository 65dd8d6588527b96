"""What to try next, and the ledger: a sweep's folder and Optuna study, who proposes, who stops early, how it stands.

The study is the truth; what MLflow lacks after a crash is written from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cifar_core.lazy import lazy_face

if TYPE_CHECKING:
    from sweeps.study.best import Group, Standings, best_first, by_value, configuration_of, final_value
    from sweeps.study.checkpoints import SweepCheckpoints, find_checkpoints
    from sweeps.study.files import fault_of_folder, store_error
    from sweeps.study.folder import CHECKPOINT_FILE, SweepFolder
    from sweeps.study.kept_code import keep_code, require_same_code
    from sweeps.study.ledger import EXHAUSTED, Exhausted, Ledger, RecordedResults
    from sweeps.study.looks import LOOKS_FILE, Look, looks_in_words, note_look, read_looks, take_over_looks
    from sweeps.study.opening import (
        Studies,
        delete_studies,
        is_of_a_ladder,
        open_replicates,
        open_study,
        read_all_studies,
        read_studies,
        read_study,
    )
    from sweeps.study.proposers import Candidate, ListProposer, Proposer, proposer_of
    from sweeps.study.repair import repair_journal
    from sweeps.study.replicates import can_be_confirmed, candidates_to_confirm, replicates_of
    from sweeps.study.searched import Searched, SearchedParameter, searched_of
    from sweeps.study.state import Measuring, SweepState, read_state, sweep_names
    from sweeps.study.stored_trials import read_records, store_test

__all__ = [
    "CHECKPOINT_FILE",
    "EXHAUSTED",
    "LOOKS_FILE",
    "Candidate",
    "Exhausted",
    "Group",
    "Ledger",
    "ListProposer",
    "Look",
    "Measuring",
    "Proposer",
    "RecordedResults",
    "Searched",
    "SearchedParameter",
    "Standings",
    "Studies",
    "SweepCheckpoints",
    "SweepFolder",
    "SweepState",
    "best_first",
    "by_value",
    "can_be_confirmed",
    "candidates_to_confirm",
    "configuration_of",
    "delete_studies",
    "fault_of_folder",
    "final_value",
    "find_checkpoints",
    "is_of_a_ladder",
    "keep_code",
    "looks_in_words",
    "note_look",
    "open_replicates",
    "open_study",
    "proposer_of",
    "read_all_studies",
    "read_looks",
    "read_records",
    "read_state",
    "read_studies",
    "read_study",
    "repair_journal",
    "replicates_of",
    "require_same_code",
    "searched_of",
    "store_error",
    "store_test",
    "sweep_names",
    "take_over_looks",
]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "CHECKPOINT_FILE": "folder",
        "Candidate": "proposers",
        "EXHAUSTED": "ledger",
        "Exhausted": "ledger",
        "Group": "best",
        "LOOKS_FILE": "looks",
        "Ledger": "ledger",
        "ListProposer": "proposers",
        "Look": "looks",
        "Measuring": "state",
        "Proposer": "proposers",
        "RecordedResults": "ledger",
        "Searched": "searched",
        "SearchedParameter": "searched",
        "Standings": "best",
        "Studies": "opening",
        "SweepCheckpoints": "checkpoints",
        "SweepFolder": "folder",
        "SweepState": "state",
        "best_first": "best",
        "by_value": "best",
        "can_be_confirmed": "replicates",
        "candidates_to_confirm": "replicates",
        "configuration_of": "best",
        "delete_studies": "opening",
        "final_value": "best",
        "fault_of_folder": "files",
        "find_checkpoints": "checkpoints",
        "is_of_a_ladder": "opening",
        "keep_code": "kept_code",
        "looks_in_words": "looks",
        "note_look": "looks",
        "open_replicates": "opening",
        "open_study": "opening",
        "proposer_of": "proposers",
        "read_all_studies": "opening",
        "read_looks": "looks",
        "take_over_looks": "looks",
        "read_records": "stored_trials",
        "read_state": "state",
        "read_studies": "opening",
        "read_study": "opening",
        "repair_journal": "repair",
        "replicates_of": "replicates",
        "require_same_code": "kept_code",
        "searched_of": "searched",
        "store_error": "files",
        "store_test": "stored_trials",
        "sweep_names": "state",
    },
)
