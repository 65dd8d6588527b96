"""What a file says: YAML with overrides becomes sweeps, ladders and ablations, and these become configurations.

Nothing else knows how a file is written; nothing here trains, records or asks a store.
"""

from sweeps.spec.ablation import WHOLE, ablation_of
from sweeps.spec.budget import FULL_BUDGET, Budget, BudgetRange
from sweeps.spec.definition import canonical_definition, definition_changes, holds, space_of
from sweeps.spec.difference import Change, Differences, changes_between, join_changes
from sweeps.spec.distributions import suggest
from sweeps.spec.ladder import FINAL, Ladder, Rung
from sweeps.spec.ladder_file import is_ladder, load_ladder
from sweeps.spec.ladder_part import LadderPart, PartOptions, read_part, words_of
from sweeps.spec.parameter import Assignment, Parameter, label
from sweeps.spec.schema import FILE_KINDS, FileKind, configuration_fields, file_schema, schema_file, schema_text
from sweeps.spec.settings import Limits, Metric, Replicates, Resources, check_name, parse_duration
from sweeps.spec.single import config_in_file, is_file_name, single_config
from sweeps.spec.space import SearchSpace
from sweeps.spec.space_check import SPLIT_FIELDS
from sweeps.spec.starter import Size, Starter
from sweeps.spec.sweep import SweepSpec, load_spec
from sweeps.spec.yaml_file import flatten, read_yaml

__all__ = [
    "FILE_KINDS",
    "FINAL",
    "FULL_BUDGET",
    "SPLIT_FIELDS",
    "WHOLE",
    "Assignment",
    "Budget",
    "BudgetRange",
    "Change",
    "Differences",
    "FileKind",
    "Ladder",
    "LadderPart",
    "Limits",
    "Metric",
    "Parameter",
    "PartOptions",
    "Replicates",
    "Resources",
    "Rung",
    "SearchSpace",
    "Size",
    "Starter",
    "SweepSpec",
    "ablation_of",
    "canonical_definition",
    "changes_between",
    "check_name",
    "config_in_file",
    "configuration_fields",
    "definition_changes",
    "file_schema",
    "flatten",
    "holds",
    "is_file_name",
    "is_ladder",
    "join_changes",
    "label",
    "load_ladder",
    "load_spec",
    "parse_duration",
    "read_part",
    "read_yaml",
    "schema_file",
    "schema_text",
    "single_config",
    "space_of",
    "suggest",
    "words_of",
]
