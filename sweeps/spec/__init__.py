"""What a file says: YAML with overrides becomes sweeps, ladders and ablations, and these become configurations.

Nothing else knows how a file is written; nothing here trains, records or asks a store.
"""

from sweeps.spec.ablation import WHOLE, ablation_of
from sweeps.spec.difference import Change, changes_between, join_changes
from sweeps.spec.distributions import suggest
from sweeps.spec.ladder import FULL_BUDGET, Budget, Ladder, Rung, load_ladder
from sweeps.spec.parameter import Assignment, Parameter
from sweeps.spec.settings import EarlyTerminate, Limits, Metric, Replicates, Resources, check_name
from sweeps.spec.space import SearchSpace
from sweeps.spec.space_check import SPLIT_FIELDS
from sweeps.spec.sweep import SweepSpec, load_spec
from sweeps.spec.yaml_file import flatten, read_yaml

__all__ = [
    "FULL_BUDGET",
    "SPLIT_FIELDS",
    "WHOLE",
    "Assignment",
    "Budget",
    "Change",
    "EarlyTerminate",
    "Ladder",
    "Limits",
    "Metric",
    "Parameter",
    "Replicates",
    "Resources",
    "Rung",
    "SearchSpace",
    "SweepSpec",
    "ablation_of",
    "changes_between",
    "check_name",
    "flatten",
    "join_changes",
    "load_ladder",
    "load_spec",
    "read_yaml",
    "suggest",
]
