"""Rules of early stopping, a file each: fields, Optuna's pruner, expected epochs, the sentence on screens.

A new rule is a new file here. tests/sweeps/stopping runs the conformance tests on each rule.
"""

from collections.abc import Mapping
from typing import Any

from cifar_core.common.errors import closest
from cifar_core.common.family import members
from sweeps.stopping.rule import StoppingRule

RULES: Mapping[str, type[StoppingRule]] = {
    rule.model_fields["type"].default: rule for rule in members("sweeps.stopping", StoppingRule)
}
"""Name → rule."""


def parse_rule(value: Any) -> Any:
    """Return the rule of an `early_terminate` block; return any value that is not a mapping unchanged.

    Raises:
        ValueError: the type is missing or unknown.
        pydantic.ValidationError: a field of the rule is invalid.
    """
    if not isinstance(value, Mapping):
        return value
    name = value.get("type")
    if not isinstance(name, str) or name not in RULES:
        known = f"one of {', '.join(RULES)}"
        raise ValueError(
            f"type is required: {known}" if name is None else f"unknown type {name!r}: {closest(str(name), RULES)}"
        )
    return RULES[name].model_validate(dict(value))
