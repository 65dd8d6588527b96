"""W&B's hyperband as a rule of early stopping of this project."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sweeps.core.formatting import listed

_KEYS = ("min_iter", "max_iter", "s", "eta", "strict")
_ETA = 3
"""W&B's default."""


def is_of_wandb(rule: Any) -> bool:
    """Return whether `early_terminate` has keys that only W&B's hyperband has."""
    return isinstance(rule, Mapping) and rule.get("type") == "hyperband" and bool(rule.keys() & set(_KEYS))


def translated_stopping(rule: Mapping[str, Any]) -> tuple[dict[str, Any], str, tuple[str, str] | None]:
    """Return the rule with the same milestones, a note on what differs, and an error of a key, if there is one.

    W&B's hyperband has one bracket: at each milestone it stops a trial that is not among the best 1/eta of all trials
    that reached it. That is ASHA, not the hyperband of this project, which has several brackets.
    """
    numbers: dict[str, float] = {}
    for key in ("min_iter", "max_iter", "s", "eta"):
        value = rule.get(key)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 1:
            return {}, "", (key, f"needs a number of at least 1, not {value!r}")
        numbers[key] = value
    if "min_iter" not in numbers and "max_iter" not in numbers:
        return {}, "", ("type", "W&B's hyperband needs min_iter, or max_iter and s")
    eta = numbers.get("eta", _ETA)
    factor = max(2, round(eta))
    first = int(numbers["min_iter"]) if "max_iter" not in numbers else _first_of(numbers, eta)
    content = {key: value for key, value in rule.items() if key not in _KEYS}
    content |= {"type": "asha", "min_epochs": first, "reduction_factor": factor}
    differences = ["counts epochs instead of logged values"]
    if factor != eta:
        differences.append(f"rounds eta {eta:g}")
    if rule.get("strict") is not True:
        differences.append("compares the value at the milestone, as strict: true does")
    note = (
        f"asha with min_epochs {first} and reduction_factor {factor} has the milestones of W&B's hyperband. It "
        f"{listed(differences)}"
    )
    return content, note, None


def _first_of(numbers: Mapping[str, float], eta: float) -> int:
    """Return the first milestone of `max_iter`, from which W&B counts backwards `s` times."""
    most = math.floor(math.log(numbers["max_iter"]) / math.log(eta) + 1e-9) if eta > 1 else 0
    steps = min(int(numbers.get("s", most)), most)
    return max(1, int(numbers["max_iter"] / eta**steps + 1e-9))
