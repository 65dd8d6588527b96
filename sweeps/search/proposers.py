"""Proposers of the next configuration: a sampler, a grid, or a list."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState
from pydantic import ValidationError

from sweeps.core.front import KnownValue
from sweeps.core.task import TaskConfig
from sweeps.core.trial import RungLabel
from sweeps.files.parameter import Assignment
from sweeps.files.settings import Metric
from sweeps.files.space import SearchSpace
from sweeps.files.sweep import SweepSpec
from sweeps.search.front import known_values
from sweeps.search.prior import Prior
from sweeps.search.staircase import Staircase
from sweeps.search.stored_trials import ASKED, KNOWN
from sweeps.search.tpe import Window, WindowedTPESampler
from sweeps.search.warm_start import first_proposals

REPEATS_BEFORE_LISTING = 20
"""Consecutive duplicate proposals after which the untried combinations of a finite space are listed."""
REPEATS_BEFORE_GIVING_UP = 500
"""Consecutive duplicate or refused proposals after which the search of an infinite space ends. Of the duplicates, the
later ones are random."""
REFUSALS_BEFORE_LISTING = 50
"""Consecutive refused proposals after which the untried combinations of a finite space are listed."""

_PRIOR_STREAM = 1
"""Third part of the seed for draws from the prior, so that they do not depend on those of the sampler."""


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A new trial of the study and its configuration."""

    trial: optuna.Trial
    config: TaskConfig
    rung: RungLabel | None = None
    replicate_of: int | None = None
    confirm_until: float | None = None
    """See `TrialRecord`."""


class Proposer(Protocol):
    """Proposes trials of a study. The ledger asks again when the proposal is a duplicate."""

    def ask(self, study: optuna.Study, *, repeats: int, chosen: Assignment | None = None) -> Proposal | None:
        """Return the next proposal, or None if nothing is left.

        Args:
            study: Study to which the trial is added.
            repeats: Number of duplicates that were proposed in a row.
            chosen: The configuration to propose, unless others come first; None if the proposer chooses.
        """
        ...

    searches: bool
    """Whether it proposes points of a space, some of which may be invalid; False for a list."""

    def total(self) -> int | None:
        """Return the number of possible proposals; None if it is infinite."""
        ...

    def concerns(self, key: str) -> bool:
        """Return whether this proposer could have proposed the trial with this key."""
        ...


@runtime_checkable
class SearchProposer(Proposer, Protocol):
    """Proposes points of a space, also with values that a person asks for."""

    def ask_for(self, study: optuna.Study, values: Mapping[str, Any], *, repeats: int) -> Proposal | None:
        """Return a proposal with given values for some parameters; None if it is not allowed.

        Args:
            study: Study to which the trial is added.
            values: Parameter to value. The others are proposed.
            repeats: Number of duplicates that were proposed in a row.
        """
        ...

    def is_whole(self, values: Mapping[str, Any]) -> bool:
        """Return whether values have one for each parameter that is active under them."""
        ...


class SamplerProposer:
    """TPE or random search, with draws from the parameters' priors.

    Both are seeded by (seed, trial number), so that a resumed study does not repeat.
    """

    searches = True

    def __init__(
        self,
        space: SearchSpace,
        *,
        method: str,
        seed: int,
        start_with: Sequence[Assignment] = (),
        objectives: Sequence[Metric] = (),
    ) -> None:
        self._space = space
        self._objectives = objectives
        self._staircase = Staircase(space, objectives, seed=seed)
        self._method = method
        self._seed = seed
        self._prior = Prior(space)
        self._start_with = list(start_with) or ([space.priors] if self._prior else [])
        self._knows_warm_start = False
        self._unlisted: Iterator[Assignment] | None = None
        self._window = Window()

    def ask(self, study: optuna.Study, *, repeats: int, chosen: Assignment | None = None) -> Proposal | None:
        def fixed(repeats: int, refused: int) -> Assignment | None:
            return self._fixed(study, repeats, refused, chosen)

        return self._first_allowed(study, fixed, repeats=repeats)

    def ask_for(self, study: optuna.Study, values: Mapping[str, Any], *, repeats: int) -> Proposal | None:
        attempts = 1 if self.is_whole(values) else REFUSALS_BEFORE_LISTING
        last = repeats + attempts

        def fixed(repeats: int, refused: int) -> Assignment | None:
            return self._space.typed(values) if repeats + refused < last else None

        return self._first_allowed(study, fixed, repeats=repeats)

    def is_whole(self, values: Mapping[str, Any]) -> bool:
        return not self._space.unset(self._space.typed(values))

    def _first_allowed(
        self, study: optuna.Study, fixed_values: Callable[[int, int], Assignment | None], *, repeats: int
    ) -> Proposal | None:
        """Return the first allowed proposal; None if there are no fixed values after so many repeats and refusals."""
        refused = 0
        while True:
            fixed = fixed_values(repeats, refused)
            if fixed is None:
                return None
            trial = _begin(study, self._space.encode(fixed))
            # A sampler that has converged to one point would propose it forever.
            method = self._method if repeats < REPEATS_BEFORE_LISTING else "random"
            # Set after `ask`: the seed needs the trial's number, and Optuna samples at the first `suggest`.
            study.sampler = make_sampler(
                method, seed=self._seed, number=trial.number, window=self._window, staircase=self._staircase
            )
            assignment = self._space.suggest(trial)
            # Without this, a fixed value of such a distribution would come back with other last digits.
            inexact = [path for path in fixed if path in assignment and self._space.is_inexact(path)]
            assignment |= {path: fixed[path] for path in inexact}
            try:
                config = self._space.config(assignment)
            except ValidationError:
                # Each value is valid, but not their combination, such as two sizes that exceed the data set.
                study.tell(trial, state=TrialState.FAIL)
                repeats += 1
                continue
            excesses = self._space.conditions.refusals(config)
            if not excesses:
                note_known(trial, known_values(self._space, self._objectives, config))
                return Proposal(trial=trial, config=config)
            _refuse(study, trial, excesses)
            refused += 1

    def _fixed(self, study: optuna.Study, repeats: int, refused: int, chosen: Assignment | None) -> Assignment | None:
        """Return fixed values of the next trial, `{}` for a sampled trial, or None if no combination is left."""
        if not self._knows_warm_start:
            self._start_with += first_proposals(study)
            self._knows_warm_start = True
        if self._start_with and repeats < REPEATS_BEFORE_LISTING and refused < REFUSALS_BEFORE_LISTING:
            trials = study.get_trials(deepcopy=False)
            proposed = sum(not _is_lost(trial) and ASKED not in trial.user_attrs for trial in trials)
            if proposed < len(self._start_with):
                return self._start_with[proposed]
            self._start_with = []
        if chosen is not None and not repeats and not refused:
            return chosen
        if repeats < REPEATS_BEFORE_LISTING and refused < REFUSALS_BEFORE_LISTING:
            return self._drawn_from_prior(study)
        if self._space.cardinality is None:
            return {} if repeats + refused < REPEATS_BEFORE_GIVING_UP else None
        if self._unlisted is None:
            self._unlisted = _untried(self._space, study)
        return next(self._unlisted, None)

    def _drawn_from_prior(self, study: optuna.Study) -> Assignment:
        """Return values near the priors for a share of the trials, `{}` for the others."""
        if not self._prior:
            return {}
        trials = study.get_trials(deepcopy=False)
        rng = np.random.default_rng([self._seed, len(trials), _PRIOR_STREAM])
        share = self._prior.weight(trials, direction=study.direction)
        return self._prior.draw(rng) if rng.uniform() < share else {}

    def total(self) -> int | None:
        return self._space.proposals

    def concerns(self, key: str) -> bool:
        return True


class GridProposer:
    """Every combination of a space's active parameters, in the file's order."""

    searches = True

    def __init__(self, space: SearchSpace, *, objectives: Sequence[Metric] = ()) -> None:
        self._space = space
        self._objectives = objectives
        self._remaining: Iterator[Assignment] | None = None

    def ask(self, study: optuna.Study, *, repeats: int, chosen: Assignment | None = None) -> Proposal | None:
        if self._remaining is None:
            self._remaining = _untried(self._space, study)
        assignment = next(self._remaining, None)
        return None if assignment is None else self._proposal(study, assignment)

    def ask_for(self, study: optuna.Study, values: Mapping[str, Any], *, repeats: int) -> Proposal | None:
        wanted = self._space.typed(values).items()
        assignment = next((each for each in _untried(self._space, study) if wanted <= each.items()), None)
        return None if assignment is None else self._proposal(study, assignment)

    def is_whole(self, values: Mapping[str, Any]) -> bool:
        return not self._space.unset(self._space.typed(values))

    def _proposal(self, study: optuna.Study, assignment: Assignment) -> Proposal:
        trial = _begin(study, self._space.encode(assignment))
        config = self._space.config(self._space.suggest(trial))
        note_known(trial, known_values(self._space, self._objectives, config))
        return Proposal(trial=trial, config=config)

    def total(self) -> int | None:
        return self._space.proposals

    def concerns(self, key: str) -> bool:
        return True


def _begin(study: optuna.Study, fixed: Mapping[str, Any]) -> optuna.Trial:
    """Return a new trial of a study with fixed values for some parameters."""
    if fixed:
        study.enqueue_trial(dict(fixed))
    return study.ask()


def note_known(trial: optuna.Trial, known: Sequence[KnownValue]) -> None:
    """Store the objectives that are known before a training in its trial."""
    if known:
        trial.set_user_attr(KNOWN, [[each.name, each.goal, each.value] for each in known])


def _refuse(study: optuna.Study, trial: optuna.Trial, excesses: Mapping[str, float]) -> None:
    """End a trial that violates conditions before its training. TPE takes it for worse than all others."""
    for key, excess in excesses.items():
        trial.set_constraint(key, excess)
    study.tell(trial, state=TrialState.PRUNED)


def _untried(space: SearchSpace, study: optuna.Study) -> Iterator[Assignment]:
    """Return the valid combinations that are not in the study, in the file's order."""
    trials = [trial for trial in study.get_trials(deepcopy=False) if not _is_lost(trial)]
    tried = {space.identity(trial.params) for trial in trials}
    new = (a for a in space.assignments() if space.identity(space.encode(a)) not in tried)
    return filter(space.satisfies, new)


def _is_lost(trial: FrozenTrial) -> bool:
    """Return whether a crash came between a trial's proposal and the storing of its configuration."""
    return trial.state == TrialState.FAIL and "key" not in trial.user_attrs


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A configuration to run, with its rung or the trial that it replicates."""

    config: TaskConfig
    rung: RungLabel | None = None
    replicate_of: int | None = None


class ListProposer:
    """Proposes a list of configurations, such as a ladder's rungs; the most expensive first if costs are given."""

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

    def ask(self, study: optuna.Study, *, repeats: int, chosen: Assignment | None = None) -> Proposal | None:
        if self._remaining is None:
            known = {trial.user_attrs.get("key") for trial in study.get_trials(deepcopy=False)}
            self._remaining = [c for c in self._candidates if self._key_of(c.config) not in known]
            cost = self._cost
            if cost is not None and len(self._remaining) > 1:
                # A long trial that starts last would leave the other slots idle.
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
        # A ladder's study also contains rungs with other budgets.
        return key in self._keys


def proposer_of(spec: SweepSpec) -> Proposer:
    """Return the proposer for a sweep file."""
    if spec.method == "grid":
        return GridProposer(spec.space, objectives=spec.known_objectives)
    return SamplerProposer(
        spec.space,
        method=spec.method,
        seed=spec.seed,
        start_with=spec.start_with,
        objectives=spec.known_objectives,
    )


def make_sampler(
    method: str, *, seed: int, number: int, window: Window | None = None, staircase: Staircase | None = None
) -> optuna.samplers.BaseSampler:
    """Return the sampler for one trial of a search.

    Args:
        method: `random`; anything else is TPE.
        seed: Seed of the search.
        number: Number of the trial.
        window: Trials that TPE reads; a new, empty window if None.
        staircase: Limits on further objectives for TPE.
    """
    derived = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    if method == "random":
        return optuna.samplers.RandomSampler(seed=derived)
    with warnings.catch_warnings():
        # `group` is experimental. Without it TPE samples a conditional space one parameter at a time.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return WindowedTPESampler(
            window or Window(), staircase=staircase, seed=derived, multivariate=True, group=True, constant_liar=True
        )
