"""Random configurations of a space, drawn apart from any search, and the share of them that its conditions allow."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import optuna
from pydantic import ValidationError

from sweeps.core.errors import SweepError
from sweeps.core.task import TaskConfig
from sweeps.files.space import MAX_COUNTED, SearchSpace

DRAWS = 200
"""Random configurations for a share. If none is allowed, the share is below 1.5 % with a probability of 95 %."""


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """How much of a space its conditions allow."""

    configurations: int
    """Number of examined configurations."""
    allowed: int
    is_exact: bool
    """Whether all configurations of the space were examined."""
    refused_by: Mapping[str, int]
    """Condition to the number of configurations that violate it."""

    @property
    def sentence(self) -> str:
        """The share in words."""
        if self.is_exact:
            return f"where allows {self.allowed} of {self.configurations} combinations"
        share = f"about {100 * self.allowed / self.configurations:.0f} %" if self.allowed else "none"
        return f"where allows {share} of the space ({self.allowed} of {self.configurations} random configurations)"


def random_configs(space: SearchSpace, *, count: int, seed: int) -> Iterator[TaskConfig]:
    """Yield the valid ones of `count` random configurations, the same for the same seed. Conditions have no effect."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    for _ in range(count):
        with contextlib.suppress(ValidationError):
            yield space.config(space.suggest(study.ask()))


def allowed_share(space: SearchSpace, *, seed: int) -> Allowed:
    """Return how much of a space its conditions allow: exactly up to `MAX_COUNTED` combinations.

    Raises:
        SweepError: the conditions allow none of the examined configurations.
    """
    is_exact = space.cardinality is not None and space.cardinality <= MAX_COUNTED
    if is_exact:
        configs = [space.config(assignment) for assignment in space.assignments() if space.allows(assignment)]
    else:
        configs = list(random_configs(space, count=DRAWS, seed=seed))
    refusals = [space.conditions.refusals(config) for config in configs]
    share = Allowed(
        configurations=len(configs),
        allowed=sum(not refused for refused in refusals),
        is_exact=is_exact,
        refused_by=Counter(key for refused in refusals for key in refused),
    )
    if configs and not share.allowed:
        known = space.conditions.known
        each = "; ".join(f"{key} {known[key].text!r} refuses {share.refused_by[key]}" for key in known)
        kind = "combinations" if is_exact else "random configurations"
        raise SweepError(
            f"where: no configuration of the space satisfies it, of {len(configs)} {kind}: {each}. Relax a condition, "
            "or change parameters."
        )
    return share
