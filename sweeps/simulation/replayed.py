"""One search over recorded curves: the same proposer, ledger and stopping rule, on a simulated clock with slots."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import optuna

from sweeps.core.identity import Identifier
from sweeps.core.trial import Outcome, TrialMessage, TrialRecord
from sweeps.files.distributions import suggest
from sweeps.files.parameter import Assignment
from sweeps.files.settings import Metric
from sweeps.search.best import ConfigurationRanking, configuration_of, final_value
from sweeps.search.deadline import Deadline
from sweeps.search.ledger import Ledger
from sweeps.search.pausing import pausing_of
from sweeps.search.proposers import GridProposer, Proposal, Proposer, SamplerProposer, note_known
from sweeps.simulation.curves import Curve, Curves
from sweeps.stopping.rule import StoppingRule


@dataclass(frozen=True, kw_only=True)
class Incumbent:
    """The configuration that the search would hand over from a moment on."""

    seconds: float
    """Simulated time since the start."""
    epochs: int
    """Epochs trained in all trials so far."""
    observed: float
    """The metric in the search."""
    true_value: float
    """`Curve.true_value`."""


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """The course of one replayed search."""

    seed: int
    trials: int
    epochs: int
    """Epochs trained in all trials."""
    seconds: float
    """Simulated time until the last trial ended."""
    busy: float
    """Share of the slots' time in which they trained."""
    incumbents: tuple[Incumbent, ...]
    """In the order of time; empty if no trial was complete."""
    hypervolume: float | None = None
    """`relative_hypervolume` of its complete trials; None for a search with one objective."""

    @property
    def handed_over(self) -> Incumbent | None:
        """The configuration at the end; None if no trial was complete."""
        return self.incumbents[-1] if self.incumbents else None


class CurveProposer:
    """Proposes, instead of each proposal of another proposer, the nearest recorded configuration that is untried.

    The sampler receives the recorded point, not the one that it has proposed.
    """

    searches = True

    def __init__(self, proposer: Proposer, curves: Curves) -> None:
        self._proposer, self._curves = proposer, curves
        self._untried = np.ones(len(curves), dtype=bool)
        self.proposed: list[Curve] = []
        """The curves of all proposals, in the order of proposal."""

    def ask(self, study: optuna.Study, *, repeats: int, chosen: Assignment | None = None) -> Proposal | None:
        proposal = self._proposer.ask(study, repeats=repeats, chosen=chosen) if self._untried.any() else None
        if proposal is None:
            return None
        index = self._curves.nearest(proposal.trial.params, among=self._untried)
        self._untried[index] = False
        curve = self._curves[index]
        self.proposed.append(curve)
        trial = proposal.trial
        if dict(trial.params) != dict(curve.point):
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            study.enqueue_trial(dict(curve.point))
            trial = study.ask()
            for path in curve.point:
                suggest(trial, path, self._curves.space.distributions[path])
            note_known(trial, curve.known)
        return Proposal(trial=trial, config=curve.config)

    def total(self) -> int | None:
        return len(self._curves)

    def concerns(self, key: str) -> bool:
        return True


def replay_search(
    curves: Curves,
    *,
    method: str,
    rule: StoppingRule,
    epochs: int,
    run_cap: int | None,
    slots: int,
    seed: int,
    budget: float | None = None,
    until: Callable[[int, float], bool] = lambda epochs, seconds: False,
) -> Replayed:
    """Search among recorded curves. The result is the same for the same arguments.

    Args:
        curves: The recorded curves.
        method: `bayes`, `random` or `grid`.
        rule: The rule of early stopping.
        epochs: Epochs of a complete trial.
        run_cap: Maximum number of trials; None for all configurations.
        slots: Number of trials that train at once.
        seed: Seed of the search.
        budget: Simulated seconds after which the best configuration is complete; None for no limit. Seconds of a start
            and replicates are not simulated.
        until: Called with the epochs and seconds so far; the search ends when it returns True.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # The name decides about the bracket of a trial in Hyperband.
    study = optuna.create_study(
        study_name=f"replay-{seed}",
        direction="maximize" if curves.maximize else "minimize",
        pruner=rule.pruner(epochs=epochs),
    )
    study.set_user_attr("metric", curves.metric)
    space = curves.space
    inner: Proposer = (
        GridProposer(space)
        if method == "grid"
        else SamplerProposer(space, method=method, seed=seed, objectives=curves.objectives)
    )
    proposer = CurveProposer(inner, curves)
    time = _Time()
    deadline = None
    if budget is not None:
        deadline = Deadline(
            budget,
            clock=lambda: time.now,
            budget=budget,
            slots=slots,
            epochs=epochs,
            metric=Metric(name=curves.metric, goal="maximize" if curves.maximize else "minimize"),
            milestones=rule.milestones(epochs=epochs),
        )
    ledger = Ledger(
        study,
        sweep="replay",
        metric=curves.metric,
        proposer=proposer,
        run_cap=run_cap,
        identify=Identifier(data_fingerprint=""),
        pausing=pausing_of(
            rule,
            space=space,
            method=method,
            seed=seed,
            epochs=epochs,
            run_cap=min(run_cap or len(curves), len(curves)),
            maximize=curves.maximize,
            study=study,
        ),
        conditions=space.conditions if space.conditions.measured else None,
        gate=deadline,
    )
    return _Clock(ledger, proposer, curves=curves, slots=slots, until=until, time=time).run(seed=seed)


@dataclass
class _Time:
    """The simulated time."""

    now: float = 0.0
    """Seconds since the start."""


class _Clock:
    """Trains the ledger's trials in slots: each epoch ends when the recorded one would."""

    def __init__(
        self,
        ledger: Ledger,
        proposer: CurveProposer,
        *,
        curves: Curves,
        slots: int,
        until: Callable[[int, float], bool],
        time: _Time,
    ) -> None:
        self._ledger, self._proposer, self._slots, self._until = ledger, proposer, slots, until
        self._ranking = ConfigurationRanking(metric=curves.metric, maximize=curves.maximize)
        self._metric = curves.metric
        self._curve_of: dict[int, Curve] = {}
        self._ends: list[tuple[float, int, int, int]] = []
        """Heap of running epochs: end, order of the start, trial, index of the epoch."""
        self._order = itertools.count()
        self._time, self._epochs, self._trained = time, 0, 0.0
        self._incumbents: list[Incumbent] = []
        self._curves, self._complete = curves, dict[int, Curve]()

    def run(self, *, seed: int) -> Replayed:
        self._ledger.observe(self._on_change)
        self._fill_slots()
        while self._ends and not self._until(self._epochs, self._time.now):
            self._time.now, _, number, index = heapq.heappop(self._ends)
            if self._end_epoch(number, index):
                self._fill_slots()
            else:
                self._begin_epoch(number, index + 1)
        return Replayed(
            seed=seed,
            trials=len(self._ledger.records),
            epochs=self._epochs,
            seconds=self._time.now,
            busy=self._trained / (self._slots * self._time.now) if self._time.now else 0.0,
            incumbents=tuple(self._incumbents),
            hypervolume=self._curves.front_share(list(self._complete.values())),
        )

    def _fill_slots(self) -> None:
        while len(self._ends) < self._slots:
            proposed = self._ledger.next_trial()
            if not isinstance(proposed, TrialRecord):
                return
            if proposed.number not in self._curve_of:
                self._curve_of[proposed.number] = self._proposer.proposed[-1]
            curve = self._curve_of[proposed.number]
            if len(proposed.epochs) == len(curve.epochs):  # paused where its recorded curve ends
                self._ledger.finish(proposed.number, curve.outcome)
            else:
                self._begin_epoch(proposed.number, len(proposed.epochs))

    def _begin_epoch(self, number: int, index: int) -> None:
        seconds = self._curve_of[number].epochs[index].seconds
        heapq.heappush(self._ends, (self._time.now + seconds, next(self._order), number, index))

    def _end_epoch(self, number: int, index: int) -> bool:
        """Report an epoch to the ledger. Return whether the trial has ended."""
        curve = self._curve_of[number]
        epoch, is_last = curve.epochs[index], index + 1 == len(curve.epochs)
        self._epochs += 1
        self._trained += epoch.seconds
        is_complete = is_last and curve.outcome is Outcome.COMPLETE
        message = TrialMessage(epoch=epoch, outcome=Outcome.COMPLETE if is_complete else None)
        has_ended = self._ledger.receive(number, message)
        if is_last and not has_ended:
            self._ledger.finish(number, curve.outcome)
        return has_ended or is_last

    def _on_change(self, record: TrialRecord) -> None:
        if record.outcome is not Outcome.COMPLETE:
            return
        self._complete[record.number] = self._curve_of[record.number]
        before = self._ranking.first()
        self._ranking.enter(record)
        first = self._ranking.first()
        if first is None or first == before:
            return
        [best] = self._ranking.trials(first)
        assert configuration_of(best) == first
        observed = final_value(best, self._metric)
        assert observed is not None, "it is ranked"
        self._incumbents.append(
            Incumbent(
                seconds=self._time.now,
                epochs=self._epochs,
                observed=observed,
                true_value=self._curve_of[best.number].true_value,
            )
        )
