"""A search until a deadline: what starts, what is completed and confirmed, and when it ends, on a simulated clock."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sweep_fakes import IDENTIFY

from cifar_core.config import TrainingConfig
from sweeps.core.results import EpochResult
from sweeps.core.trial import Outcome, TrialMessage, TrialRecord
from sweeps.files.parameter import Parameter
from sweeps.files.settings import Metric, Replicates
from sweeps.files.space import SearchSpace
from sweeps.search.confirming import LikelyReplicates, SearchAndReplicates
from sweeps.search.deadline import Deadline
from sweeps.search.ledger import Ledger
from sweeps.search.pausing import pausing_of
from sweeps.search.proposers import Proposal
from sweeps.search.replicates import candidates_to_confirm
from sweeps.stopping.never import Never
from sweeps.stopping.rule import StoppingRule
from sweeps.stopping.rules import parse_rule

PAUSE: dict[str, Any] = {"type": "asha", "min_epochs": 1, "reduction_factor": 2}
STOP: dict[str, Any] = {**PAUSE, "mode": "stop"}
NONE: dict[str, Any] = {"type": "none"}
MODEL: dict[str, Any] = {"type": "curve_model"}
SPACE = SearchSpace(parameters={"optimizer.lr": Parameter.model_validate({"min": 1e-6, "max": 1e-2})}, base={})
MOST_TRIALS = 2_000


class Endless:
    """Proposes a new configuration each time."""

    searches = True

    def __init__(self, epochs: int) -> None:
        self._epochs, self._count = epochs, itertools.count()

    def ask(self, study: optuna.Study, *, repeats: int, chosen: Any = None) -> Proposal:
        lr = 1e-6 * (1 + next(self._count))
        return Proposal(
            trial=study.ask(),
            config=TrainingConfig.model_validate({"epochs": self._epochs, "optimizer": {"lr": lr}}),
        )

    def total(self) -> None:
        return None

    def concerns(self, key: str) -> bool:
        return True


@dataclass
class Course:
    """A search that ended."""

    search: Sequence[TrialRecord]
    replicates: Sequence[TrialRecord]
    seconds: float
    """When the last run ended."""
    begun: list[tuple[float, TrialRecord]] = field(default_factory=list)
    """Time and state of each start."""

    def complete(self) -> list[TrialRecord]:
        return [record for record in self.search if record.outcome is Outcome.COMPLETE]

    def interrupted(self) -> list[TrialRecord]:
        return [record for record in self.search if record.outcome is Outcome.INTERRUPTED]


def carry_out(
    budget: float,
    *,
    rule: dict[str, Any] = PAUSE,
    epochs: int = 9,
    slots: int = 1,
    replicates: Replicates | None = None,
    speed: Callable[[TrainingConfig], float] = lambda config: 1.0,
    value: Callable[[TrainingConfig, int], float] | None = None,
    run_cap: int | None = None,
    start_seconds: float = 0.0,
) -> Course:
    """Search, complete and confirm on simulated slots. An epoch takes `speed` seconds."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    draw = random.Random(0)
    drawn: dict[tuple[str, int], float] = {}
    at = value or (lambda config, epoch: drawn.setdefault((config.config_id(), epoch), draw.random()))
    now = 0.0
    parsed = parse_rule(rule)
    deadline = Deadline(
        budget,
        clock=lambda: now,
        budget=budget,
        slots=slots,
        epochs=epochs,
        metric=Metric(),
        milestones=parsed.milestones(epochs=epochs),
        replicates=replicates,
    )

    def ledger(proposer: Any, gate: Any, rule: StoppingRule) -> Ledger:
        study = optuna.create_study(direction="maximize", pruner=rule.pruner(epochs=epochs))
        return Ledger(
            study,
            sweep="tiny",
            metric="val_accuracy",
            proposer=proposer,
            run_cap=run_cap if proposer.searches else None,
            identify=IDENTIFY,
            pausing=pausing_of(
                rule, space=SPACE, method="random", seed=0, epochs=epochs, run_cap=run_cap, maximize=True, study=study
            ),
            gate=gate,
        )

    search = ledger(Endless(epochs), deadline, parsed)
    likely = LikelyReplicates(
        deadline, replicates or Replicates(), key_of=lambda config: IDENTIFY(config).key, used_seeds=lambda: [0]
    )
    again = ledger(likely, likely, Never())
    both = search if replicates is None else SearchAndReplicates(search, again, deadline=deadline)
    course = Course(search=(), replicates=(), seconds=0.0)
    ends: list[tuple[float, int, int, int]] = []
    configs: dict[int, TrainingConfig] = {}
    order = itertools.count()

    def begin(number: int, epoch: int, more: float = 0.0) -> None:
        heapq.heappush(ends, (now + more + speed(configs[number]), next(order), number, epoch))

    def fill() -> None:
        while len(ends) < slots and not deadline.is_past and len(search.records) < MOST_TRIALS:
            proposed = both.next_trial()
            if not isinstance(proposed, TrialRecord):
                return
            course.begun.append((now, proposed))
            assert isinstance(proposed.config, TrainingConfig)
            configs[proposed.number] = proposed.config
            begin(proposed.number, len(proposed.epochs) + 1, start_seconds)

    fill()
    while ends and not deadline.is_past:
        now, _, number, epoch = heapq.heappop(ends)
        config = configs[number]
        result = EpochResult(
            epoch=epoch, seconds=speed(config), finished_at=now, metrics={"val_accuracy": at(config, epoch)}
        )
        outcome = Outcome.COMPLETE if epoch == epochs else None
        if not both.receive(number, TrialMessage(epoch=result, outcome=outcome)):
            begin(number, epoch + 1)
        fill()
    for each in (search, again):
        each.interrupt()
    course.search, course.replicates, course.seconds = search.records, again.records, now
    return course


RULE = st.sampled_from([PAUSE, STOP, NONE])
REPLICATES = st.one_of(st.none(), st.builds(Replicates, top=st.integers(1, 3), seeds=st.integers(1, 3)))


@settings(max_examples=12, deadline=None)
@given(budget=st.floats(1, 90), rule=RULE, epochs=st.integers(1, 9), slots=st.integers(1, 3), replicates=REPLICATES)
def test_with_exact_estimates_all_that_begins_ends_in_time(
    budget: float, rule: dict[str, Any], epochs: int, slots: int, replicates: Replicates | None
) -> None:
    course = carry_out(budget, rule=rule, epochs=epochs, slots=slots, replicates=replicates)

    # What began before the first epoch, without any estimate, may be too long.
    assert course.seconds <= max(budget, 1.0)
    assert not [r for r in course.interrupted() if len(r.epochs) > 1] or budget < epochs
    if budget >= epochs:
        assert not course.interrupted()
        assert course.complete()


@settings(max_examples=12, deadline=None)
@given(
    data=st.data(),
    rule=RULE,
    epochs=st.integers(1, 9),
    slots=st.integers(1, 4),
    top=st.integers(1, 3),
    seeds=st.integers(1, 3),
)
def test_the_best_are_confirmed_if_there_is_time_for_it(
    data: st.DataObject, rule: dict[str, Any], epochs: int, slots: int, top: int, seeds: int
) -> None:
    enough = epochs * (2 * slots + top + top * seeds + top)
    budget = data.draw(st.floats(enough, 1.5 * enough))

    course = carry_out(budget, rule=rule, epochs=epochs, slots=slots, replicates=Replicates(top=top, seeds=seeds))

    [best, *_] = candidates_to_confirm(course.search, metric=Metric(), top=1)
    of_best = [r for r in course.replicates if r.replicate_of == best.trial and r.outcome is Outcome.COMPLETE]
    assert best.outcome is Outcome.COMPLETE
    assert len(of_best) == seeds


@settings(max_examples=12, deadline=None)
@given(
    budget=st.floats(5, 150),
    rule=RULE,
    slots=st.integers(1, 4),
    replicates=REPLICATES,
    speeds=st.lists(st.floats(0.2, 8), min_size=1, max_size=5),
    start_seconds=st.floats(0, 2),
)
def test_a_search_with_any_speeds_ends_within_an_epoch_of_the_budget(
    budget: float,
    rule: dict[str, Any],
    slots: int,
    replicates: Replicates | None,
    speeds: list[float],
    start_seconds: float,
) -> None:
    def speed(config: TrainingConfig) -> float:
        return speeds[round(config.optimizer.lr * 1e6) % len(speeds)]

    course = carry_out(budget, rule=rule, slots=slots, replicates=replicates, speed=speed, start_seconds=start_seconds)

    assert course.seconds <= budget + max(speeds) + start_seconds
    if budget > 3 * 9 * (max(speeds) + start_seconds):
        assert course.complete()


def test_the_time_is_searched_until_the_reserve() -> None:
    course = carry_out(100, replicates=Replicates(top=2, seeds=2), slots=2)

    finishing = min(at for at, record in course.begun if record.replicate_of is not None)
    assert finishing > 55
    assert 85 < course.seconds <= 100
    assert sum(record.outcome is Outcome.COMPLETE for record in course.replicates) == 4


def test_a_free_slot_begins_replicates_while_other_trials_still_run() -> None:
    def speed(config: TrainingConfig) -> float:
        return 1 + 0.3 * (round(config.optimizer.lr * 1e6) % 3)

    course = carry_out(80, rule=NONE, replicates=Replicates(top=1, seeds=2), slots=3, speed=speed)

    first = min(at for at, record in course.begun if record.replicate_of is not None)
    assert first < max(record.epochs[-1].finished_at for record in course.search)


def test_a_raised_budget_continues_the_paused_trials_of_an_ended_search() -> None:
    deadline = Deadline(100, clock=lambda: 0.0, budget=100, slots=1, epochs=9, metric=Metric(), milestones=(1, 3))
    ended = carry_out(30).search

    for record in ended:
        deadline.enter(record)

    paused = next(record for record in ended if record.outcome is Outcome.PRUNED)
    assert deadline.may_begin()
    assert deadline.may_continue(paused)


def test_a_trial_that_is_slower_than_expected_yields_to_the_reserve() -> None:
    def speed(config: TrainingConfig) -> float:
        return 12.0 if round(config.optimizer.lr * 1e6) == 18 else 1.0

    course = carry_out(40, speed=speed, rule=NONE, epochs=2)

    slow = next(record for record in course.search if speed(record.config) == 12.0)  # type: ignore[arg-type]
    assert slow.outcome is Outcome.INTERRUPTED
    assert course.seconds <= 52


@pytest.mark.parametrize("rule", [PAUSE, STOP, NONE])
def test_run_cap_ends_the_search_before_the_budget_does(rule: dict[str, Any]) -> None:
    course = carry_out(1_000, rule=rule, run_cap=6, replicates=Replicates(top=1, seeds=2), slots=2)

    assert len(course.search) == 6
    assert course.seconds < 200
    assert sum(record.outcome is Outcome.COMPLETE for record in course.replicates) >= 2


@pytest.mark.parametrize(
    ("rule", "budget", "run_cap", "seeds"), [(PAUSE, 21.6, 6, 0), (PAUSE, 33.4, 2, 2), (MODEL, 37.6, None, 2)]
)
def test_the_best_is_completed_when_no_other_trial_can_begin(
    rule: dict[str, Any], budget: float, run_cap: int | None, seeds: int
) -> None:
    replicates = Replicates(top=1, seeds=seeds) if seeds else None

    course = carry_out(budget, rule=rule, run_cap=run_cap, replicates=replicates)

    assert course.complete()
    assert course.seconds <= budget
    assert len(course.replicates) == seeds


def test_a_slot_searches_on_if_the_chosen_trial_takes_too_long() -> None:
    course = carry_out(60, rule=MODEL, slots=2, epochs=27)

    assert course.complete()
    assert 53 < course.seconds <= 60  # 5 s are the margin
