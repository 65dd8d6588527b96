"""Pause and promote: which trials pause, which continue, what the sampler sees, and what a killed driver leaves."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState
from sweep_fakes import Book, book, epoch, next_trial

from cifar_core import TrainingConfig
from sweeps.core.trial import Outcome, TrialMessage, TrialRecord
from sweeps.search.ledger import EXHAUSTED, Ledger
from sweeps.search.opening import read_study
from sweeps.search.promotion import Promotion
from sweeps.search.proposers import Proposal, make_sampler

EPOCHS = 9
RATES = [0.01, 0.02, 0.03, 0.04, 0.05, 0.06]
EARLY = {"type": "asha", "min_epochs": 1, "reduction_factor": 3}
RULES = [EARLY, {"type": "curve_model"}]
"""The rules that pause trials."""
BASE = {"epochs": EPOCHS, "data": {"train_size": 300, "validation_size": 200}}


def search(runs: Path, *, cap: int | None = None, early: dict[str, Any] = EARLY, rates: list[float] = RATES) -> Book:
    """Return a search of learning rates, a grid if the rule allows it: the larger the rate, the better."""
    method: dict[str, Any] = {"method": "grid", "run_cap": cap}
    if early["type"] == "curve_model":
        method = {"method": "random", "run_cap": cap or len(rates)}
    return book(runs, **method, base=BASE, early_terminate=early, parameters={"optimizer.lr": {"values": rates}})


def value_of(record: TrialRecord, after: int) -> float:
    return float(record.config.optimizer.lr) * (1 - 0.5**after)  # type: ignore[attr-defined]


def epochs_of(ledger: Ledger, trial: TrialRecord) -> int:
    return next(len(record.epochs) for record in ledger.records if record.number == trial.number)


def train(ledger: Ledger, record: TrialRecord) -> bool:
    """Train one epoch of a trial. Return whether its slot is free again."""
    done = epochs_of(ledger, record) + 1
    outcome = Outcome.COMPLETE if done == EPOCHS else None
    return ledger.receive(record.number, TrialMessage(epoch=epoch(done, value_of(record, done)), outcome=outcome))


def run(ledger: Ledger, *, most: int = 10_000) -> list[tuple[int, int]]:
    """Train in one slot to the end, at most some epochs. Return trial and epoch in order."""
    order: list[tuple[int, int]] = []
    while isinstance(record := ledger.next_trial(), TrialRecord):
        while len(order) < most:
            order.append((record.number, epochs_of(ledger, record) + 1))
            if train(ledger, record):
                break
        else:
            return order
    return order


def sampled(runs: Path, *, cap: int, early: dict[str, Any]) -> Book:
    """Return a search by `bayes` over a range of learning rates."""
    rates = {"optimizer.lr": {"min": 0.001, "max": 0.1, "distribution": "log_uniform_values"}}
    return book(runs, method="bayes", run_cap=cap, base=BASE, early_terminate=early, parameters=rates)


def outcomes(ledger: Ledger) -> list[tuple[str, int]]:
    return [(record.outcome.value, len(record.epochs)) for record in ledger.records]


def test_trials_pause_at_a_milestone_and_the_best_third_continues(runs: Path) -> None:
    ledger = search(runs).open()

    order = run(ledger)

    # The third trial is the best of three, and continues in place to the next milestone, where it is alone.
    assert order[:6] == [(0, 1), (1, 1), (2, 1), (2, 2), (2, 3), (3, 1)]
    # Each later trial is the best so far; the fifth is the best of three at the second milestone.
    assert outcomes(ledger) == [*[("pruned", 1)] * 2, *[("pruned", 3)] * 2, *[("complete", EPOCHS)] * 2]
    assert ledger.is_done


def test_a_paused_trial_continues_before_a_new_one_starts(runs: Path) -> None:
    # The first trial is the best: after three trials it belongs to the best third.
    ledger = search(runs, rates=[0.06, 0.01, 0.02, 0.03]).open()
    for _ in range(2):
        assert train(ledger, next_trial(ledger))
    assert outcomes(ledger) == [("paused", 1), ("paused", 1)]

    assert train(ledger, next_trial(ledger))
    promoted = next_trial(ledger)

    assert (promoted.number, promoted.outcome, len(promoted.epochs)) == (0, Outcome.RUNNING, 1)


def test_a_free_slot_gets_the_best_paused_trial_while_others_run(runs: Path) -> None:
    ledger = search(runs, rates=[0.03, 0.04, 0.01, 0.02]).open()
    started = [next_trial(ledger) for _ in range(4)]
    assert [train(ledger, each) for each in started[:3]] == [True, True, True]

    assert next_trial(ledger).number == 1
    assert ledger.next_trial() is None  # the fourth still runs, and no other may continue yet


@pytest.mark.parametrize("early", RULES, ids=lambda early: early["type"])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_every_search_ends_with_a_complete_trial(count: int, early: dict[str, Any], runs: Path) -> None:
    ledger = search(runs, rates=RATES[:count], early=early).open()

    run(ledger)

    assert outcomes(ledger).count(("complete", EPOCHS)) == 1
    assert ledger.next_trial() is EXHAUSTED
    best = max(ledger.records, key=lambda record: value_of(record, EPOCHS))
    assert best.outcome is Outcome.COMPLETE


def test_a_larger_run_cap_continues_what_was_paused(runs: Path) -> None:
    rates = [0.05, 0.06, 0.01, 0.02, 0.03, 0.04]
    first = search(runs, cap=3, rates=rates).open()
    run(first)
    assert outcomes(first) == [("pruned", 1), ("complete", EPOCHS), ("pruned", 1)]

    second = search(runs, cap=6, rates=rates).open()
    assert outcomes(second)[0] == ("pruned", 1)
    order = run(second)

    assert (0, 2) in order, "the second best of six"
    assert (0, 1) not in order
    assert outcomes(search(runs, cap=6, rates=rates).open()) == outcomes(second)


@pytest.mark.parametrize("early", RULES, ids=lambda early: early["type"])
def test_nothing_is_left_to_do_after_the_end(early: dict[str, Any], runs: Path) -> None:
    for tiny in (search(runs / "grid", early=early), sampled(runs / "sampled", cap=6, early=early)):
        run(tiny.open())

        again = tiny.open()

        assert again.is_done
        assert again.next_trial() is EXHAUSTED


@settings(max_examples=25, deadline=None)
@given(killed_after=st.integers(0, 30), rates=st.permutations(RATES), early=st.sampled_from(RULES), grid=st.booleans())
def test_a_killed_search_continues_as_if_it_had_not_been(
    killed_after: int, rates: list[float], early: dict[str, Any], grid: bool
) -> None:
    def tiny(runs: str) -> Ledger:
        made = search(Path(runs), rates=rates, early=early) if grid else sampled(Path(runs), cap=6, early=early)
        return made.open()

    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        whole = tiny(one)
        uninterrupted = run(whole)
        first = run(tiny(other), most=killed_after)
        resumed = tiny(other)
        paused = [record.number for record in resumed.records if record.outcome is Outcome.PAUSED]
        second = run(resumed)

    assert first + second == uninterrupted
    assert len(first + second) == len(set(first + second)), "no epoch is trained twice"
    assert outcomes(resumed) == outcomes(whole)
    assert set(paused) <= set(range(len(rates)))


def test_the_sampler_sees_a_paused_trial_with_its_curve_as_pruned(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    early = {**EARLY, "min_epochs": 2}
    tiny = book(
        runs,
        method="bayes",
        run_cap=14,
        base=BASE,
        early_terminate=early,
        parameters={"optimizer.lr": {"min": 0.001, "max": 0.1, "distribution": "log_uniform_values"}},
    )
    ledger = tiny.open()
    for _ in range(2):
        record = next_trial(ledger)
        while not train(ledger, record):
            pass
    seen: list[tuple[TrialState, dict[int, float]]] = []
    split = optuna.samplers._tpe.sampler._split_trials

    def spy(study: optuna.Study, trials: list[optuna.trial.FrozenTrial], below: int) -> Any:
        seen.extend((each.state, each.intermediate_values) for each in trials)
        return split(study, trials, below)

    monkeypatch.setattr(optuna.samplers._tpe.sampler, "_split_trials", spy)
    study = read_study(tiny.folder)
    assert [each.state for each in study.get_trials()] == [TrialState.RUNNING] * 2
    in_memory = optuna.create_study(direction="maximize")
    for each in study.get_trials():
        in_memory.add_trial(each)
    sampler = make_sampler("bayes", seed=0, number=2)
    sampler._n_startup_trials = 1  # type: ignore[attr-defined]
    in_memory.sampler = sampler
    in_memory.ask().suggest_float("optimizer.lr", 0.001, 0.1, log=True)

    assert [state for state, _ in seen] == [TrialState.PRUNED] * 2
    assert all(len(curve) == 2 for _, curve in seen)


def test_a_rule_that_stops_for_good_ends_what_was_paused(runs: Path) -> None:
    ledger = search(runs).open()
    train(ledger, next_trial(ledger))

    changed = search(runs, early={**EARLY, "mode": "stop"}).open()

    assert outcomes(changed) == [("pruned", 1)]
    [trial] = read_study(search(runs).folder).get_trials()
    assert trial.state is TrialState.PRUNED


class Repeating:
    """Proposes two learning rates, the first one twice."""

    searches = False

    def __init__(self) -> None:
        self._rates = [0.01, 0.01, 0.02]

    def ask(self, study: optuna.Study, *, repeats: int, chosen: Any = None) -> Proposal | None:
        if not self._rates:
            return None
        config = TrainingConfig.model_validate({**BASE, "optimizer": {"lr": self._rates.pop(0)}})
        return Proposal(trial=study.ask(), config=config)

    def total(self) -> int | None:
        return None

    def concerns(self, key: str) -> bool:
        return True


def test_a_duplicate_of_a_paused_trial_is_pruned_with_its_curve(runs: Path) -> None:
    tiny = Book(runs=runs, spec=search(runs).spec, proposer=Repeating)
    ledger = tiny.open()
    train(ledger, next_trial(ledger))

    assert next_trial(ledger).number == 2
    first, duplicate, _ = read_study(tiny.folder).get_trials()
    assert (first.state, duplicate.state) == (TrialState.RUNNING, TrialState.PRUNED)
    assert duplicate.intermediate_values == first.intermediate_values


@given(
    values=st.lists(st.one_of(st.floats(0, 1), st.just(float("nan"))), min_size=1, max_size=40),
    factor=st.integers(2, 4),
    maximize=st.booleans(),
)
def test_only_the_best_share_is_continued_the_best_first(values: list[float], factor: int, maximize: bool) -> None:
    promotion = Promotion([1], reduction_factor=factor, maximize=maximize)
    for number, value in enumerate(values):
        promotion.enter(number, epoch=1, value=value)
        promotion.pause(number, epoch=1, value=value)

    continued = []
    while (number := promotion.next(may_start=False, is_closing=False)) is not None:
        promotion.resume(number)
        continued.append(number)

    def key(number: int) -> tuple[bool, float, int]:
        value = values[number]
        return (value != value, 0.0 if value != value else -value if maximize else value, number)

    assert continued == sorted(range(len(values)), key=key)[: len(values) // factor]
    assert (promotion.next(may_start=False, is_closing=True) is not None) == (len(values) < factor)
