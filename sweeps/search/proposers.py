"""Who proposes the next configuration: a sampler over a space, every combination of it, or a list."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState
from pydantic import ValidationError

from sweeps.core.task import TaskConfig
from sweeps.core.trial import RungLabel
from sweeps.files.parameter import Assignment
from sweeps.files.space import SearchSpace
from sweeps.files.sweep import SweepSpec
from sweeps.search.tpe import Window, WindowedTPESampler

REPEATS_BEFORE_LISTING = 20
"""Proposals in a row that were all tried before, after which a finite space is searched for what is left."""
REPEATS_BEFORE_GIVING_UP = 500
"""As many in a space that cannot be listed, the later ones drawn blindly: where even they hit nothing new, it ends."""


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A trial that the study knows of, and what it should train."""

    trial: optuna.Trial
    config: TaskConfig
    rung: RungLabel | None = None
    """Of a ladder's trial."""
    replicate_of: int | None = None
    """Of a replicate."""


class Proposer(Protocol):
    """Asks a study for its next trial. The ledger calls it again when the proposal was recorded already."""

    def ask(self, study: optuna.Study, *, repeats: int) -> Proposal | None:
        """Return the next proposal, None when there is nothing left to propose.

        Args:
            study: what the proposal is entered into.
            repeats: how many of the last proposals had been tried before.
        """
        ...

    searches: bool
    """Whether it proposes points of a space, of which some may be impossible; False for a list."""

    def total(self) -> int | None:
        """Return how many proposals there are, None where there is no end to them."""
        ...

    def concerns(self, key: str) -> bool:
        """Return whether a trial that the study holds is one of those that could be proposed here."""
        ...


class SamplerProposer:
    """TPE or random search. The sampler is seeded by (seed, trial number): a resumed study goes on, not over."""

    searches = True

    def __init__(self, space: SearchSpace, *, method: str, seed: int, start_with: Sequence[Assignment] = ()) -> None:
        self._space = space
        self._method = method
        self._seed = seed
        self._start_with = list(start_with)
        self._unlisted: Iterator[Assignment] | None = None
        self._window = Window()

    def ask(self, study: optuna.Study, *, repeats: int) -> Proposal | None:
        while True:
            fixed = self._fixed(study, repeats)
            if fixed is None:
                return None
            trial = _begin(study, self._space.encode(fixed))
            # A sampler that comes back to the same point would do so for ever.
            method = self._method if repeats < REPEATS_BEFORE_LISTING else "random"
            # Optuna asks the sampler when the first value is wanted: the trial's number is known by then.
            study.sampler = make_sampler(method, seed=self._seed, number=trial.number, window=self._window)
            assignment = self._space.suggest(trial)
            try:
                return Proposal(trial=trial, config=self._space.config(assignment))
            except ValidationError:
                # Possible values, impossible together (such as two sizes that exceed the images there are).
                study.tell(trial, state=TrialState.FAIL)
                repeats += 1

    def _fixed(self, study: optuna.Study, repeats: int) -> Assignment | None:
        """Return what the next trial must have, `{}` to leave it to the sampler, None where nothing is left."""
        if self._start_with and repeats < REPEATS_BEFORE_LISTING:
            proposed = sum(not _is_lost(trial) for trial in study.get_trials(deepcopy=False))
            if proposed < len(self._start_with):
                return self._start_with[proposed]
            self._start_with = []
        if repeats < REPEATS_BEFORE_LISTING:
            return {}
        if self._space.cardinality is None:
            return {} if repeats < REPEATS_BEFORE_GIVING_UP else None
        if self._unlisted is None:
            self._unlisted = _untried(self._space, study)
        return next(self._unlisted, None)

    def total(self) -> int | None:
        return self._space.cardinality

    def concerns(self, key: str) -> bool:
        return True


class GridProposer:
    """Every combination of a space's active parameters, in the file's order."""

    searches = True

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._remaining: Iterator[Assignment] | None = None

    def ask(self, study: optuna.Study, *, repeats: int) -> Proposal | None:
        if self._remaining is None:
            self._remaining = _untried(self._space, study)
        assignment = next(self._remaining, None)
        if assignment is None:
            return None
        trial = _begin(study, self._space.encode(assignment))
        return Proposal(trial=trial, config=self._space.config(self._space.suggest(trial)))

    def total(self) -> int | None:
        return self._space.cardinality

    def concerns(self, key: str) -> bool:
        return True


def _begin(study: optuna.Study, fixed: Mapping[str, Any]) -> optuna.Trial:
    """Return a new trial of a study, some of whose parameters are given."""
    if fixed:
        study.enqueue_trial(dict(fixed))
    return study.ask()


def _untried(space: SearchSpace, study: optuna.Study) -> Iterator[Assignment]:
    """Return the possible combinations that the study does not hold yet, in the file's order."""
    tried = {_identity(trial.params) for trial in study.get_trials(deepcopy=False) if not _is_lost(trial)}
    return (a for a in space.assignments() if _identity(space.encode(a)) not in tried and space.allows(a))


def _identity(params: Mapping[str, Any]) -> str:
    return json.dumps(params, sort_keys=True)


def _is_lost(trial: FrozenTrial) -> bool:
    """Return whether a crash came between the proposal of a trial and the note of what it is."""
    return trial.state == TrialState.FAIL and "key" not in trial.user_attrs


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A configuration that is to be run, and which rung it is."""

    config: TaskConfig
    rung: RungLabel | None = None
    replicate_of: int | None = None


class ListProposer:
    """A list of configurations, such as a ladder's rungs; the longest first where their cost is known."""

    searches = False

    def __init__(
        self,
        candidates: Sequence[Candidate],
        *,
        key_of: Callable[[TaskConfig], str],
        cost: Callable[[TaskConfig], float] | None = None,
    ) -> None:
        self._candidates = list(candidates)
        self._key_of = key_of
        self._cost = cost
        self._keys = {key_of(candidate.config) for candidate in self._candidates}
        self._remaining: list[Candidate] | None = None

    def ask(self, study: optuna.Study, *, repeats: int) -> Proposal | None:
        if self._remaining is None:
            known = {trial.user_attrs.get("key") for trial in study.get_trials(deepcopy=False)}
            self._remaining = [c for c in self._candidates if self._key_of(c.config) not in known]
            cost = self._cost
            if cost is not None and len(self._remaining) > 1:
                # A long one begun last would leave every other slot idle at the end.
                self._remaining.sort(key=lambda candidate: -cost(candidate.config))
        if not self._remaining:
            return None
        candidate = self._remaining.pop(0)
        return Proposal(
            trial=study.ask(), config=candidate.config, rung=candidate.rung, replicate_of=candidate.replicate_of
        )

    def total(self) -> int | None:
        return len(self._keys)

    def concerns(self, key: str) -> bool:
        # A ladder's study also holds its rungs under other budgets, which this start leaves alone.
        return key in self._keys


def proposer_of(spec: SweepSpec) -> Proposer:
    """Return who proposes a sweep's trials."""
    if spec.method == "grid":
        return GridProposer(spec.space)
    return SamplerProposer(spec.space, method=spec.method, seed=spec.seed, start_with=spec.start_with)


def make_sampler(method: str, *, seed: int, number: int, window: Window | None = None) -> optuna.samplers.BaseSampler:
    """Return the sampler for one trial of a search.

    Args:
        method: `random`, or another for TPE.
        seed: of the search.
        number: of the trial.
        window: what TPE has seen of the search so far; nothing yet where None.
    """
    derived = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    if method == "random":
        return optuna.samplers.RandomSampler(seed=derived)
    with warnings.catch_warnings():
        # `group` is marked experimental; without it a space with conditions is sampled parameter by parameter.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return WindowedTPESampler(window or Window(), seed=derived, multivariate=True, group=True, constant_liar=True)
