"""Who proposes the next configuration: a sampler over a space, every combination of it, or a list."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import optuna
from pydantic import ValidationError

from cifar_core.config import TrainingConfig
from sweeps.space import Assignment, SearchSpace

REPEATS_BEFORE_LISTING = 20
"""Proposals in a row that were all tried before, after which a finite space is searched for what is left."""


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A trial that the study knows of, and what it should train."""

    trial: optuna.Trial
    config: TrainingConfig
    labels: dict[str, Any] = field(default_factory=dict)
    """What the record shows besides: the rung, its place, a reduced budget."""


class Proposer(Protocol):
    """Asks a study for its next trial. The ledger calls it again when the proposal was recorded already."""

    def ask(self, study: optuna.Study, *, repeats: int) -> Proposal | None:
        """Return the next proposal, None when there is nothing left to propose.

        Args:
            study: what the proposal is entered into.
            repeats: how many of the last proposals had been tried before.
        """
        ...

    def total(self) -> int | None:
        """Return how many proposals there are, None where there is no end to them."""
        ...


class SamplerProposer:
    """TPE or random search. The sampler is seeded by (seed, trial number): a resumed study goes on, not over."""

    def __init__(
        self, space: SearchSpace, *, method: str, seed: int, start_with: Sequence[Assignment] = ()
    ) -> None:
        self._space = space
        self._method = method
        self._seed = seed
        self._start_with = list(start_with)
        self._unlisted: Iterator[Assignment] | None = None

    def ask(self, study: optuna.Study, *, repeats: int) -> Proposal | None:
        number = len(study.get_trials(deepcopy=False))
        fixed = self._fixed(number, repeats)
        if fixed is None and repeats >= REPEATS_BEFORE_LISTING:
            return None
        if fixed:
            study.enqueue_trial(self._space.encode(fixed))
        study.sampler = make_sampler(self._method, seed=self._seed, number=number)
        trial = study.ask()
        assignment = self._space.suggest(trial)
        try:
            return Proposal(trial=trial, config=self._space.config(assignment))
        except ValidationError:
            # Possible values, impossible together (such as two sizes that exceed the images there are).
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            return self.ask(study, repeats=repeats + 1)

    def _fixed(self, number: int, repeats: int) -> Assignment | None:
        if number < len(self._start_with):
            return self._start_with[number]
        if repeats < REPEATS_BEFORE_LISTING:
            return {}
        if self._unlisted is None:
            self._unlisted = iter(()) if self._space.cardinality() is None else self._space.assignments()
        return next(self._unlisted, None)

    def total(self) -> int | None:
        return self._space.cardinality()


class GridProposer:
    """Every combination of a space's active parameters, in the file's order."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._remaining: Iterator[Assignment] | None = None

    def ask(self, study: optuna.Study, *, repeats: int) -> Proposal | None:
        if self._remaining is None:
            tried = [trial.params for trial in study.get_trials(deepcopy=False)]
            self._remaining = iter(
                [a for a in self._space.assignments() if self._space.encode(a) not in tried]
            )
        for assignment in self._remaining:
            study.enqueue_trial(self._space.encode(assignment))
            trial = study.ask()
            suggested = self._space.suggest(trial)
            try:
                return Proposal(trial=trial, config=self._space.config(suggested))
            except ValidationError:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
        return None

    def total(self) -> int | None:
        return self._space.cardinality()


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A configuration to run, and what the record shows besides."""

    config: TrainingConfig
    labels: dict[str, Any] = field(default_factory=dict)


class ListProposer:
    """A list of configurations, such as a ladder's rungs, in the order given."""

    def __init__(self, entries: Sequence[Listed], *, key_of: Callable[[TrainingConfig], str]) -> None:
        self._entries = list(entries)
        self._key_of = key_of
        self._remaining: list[Listed] | None = None

    def ask(self, study: optuna.Study, *, repeats: int) -> Proposal | None:
        if self._remaining is None:
            known = {trial.user_attrs.get("key") for trial in study.get_trials(deepcopy=False)}
            self._remaining = [e for e in self._entries if self._key_of(e.config) not in known]
        if not self._remaining:
            return None
        entry = self._remaining.pop(0)
        return Proposal(trial=study.ask(), config=entry.config, labels=entry.labels)

    def total(self) -> int | None:
        return len(self._entries)


def make_sampler(method: str, *, seed: int, number: int) -> optuna.samplers.BaseSampler:
    """Return the sampler for one trial of a search."""
    derived = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    if method == "random":
        return optuna.samplers.RandomSampler(seed=derived)
    with warnings.catch_warnings():
        # `group` is marked experimental; without it a space with conditions is sampled parameter by parameter.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(seed=derived, multivariate=True, group=True, constant_liar=True)
