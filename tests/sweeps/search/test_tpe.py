"""The window of trials that TPE reads: bounded, correct, and the same after an interruption."""

from __future__ import annotations

import warnings
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution
from optuna.samplers import TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from sweeps.search import proposers
from sweeps.search.proposers import make_sampler
from sweeps.search.tpe import Window, WindowedTPESampler

optuna.logging.set_verbosity(optuna.logging.ERROR)

RATE = FloatDistribution(0.0, 1.0)
STATES = [TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]


def trial(number: int, state: TrialState, curve: list[float]) -> FrozenTrial:
    made = create_trial(
        state=state,
        value=curve[-1] if state is TrialState.COMPLETE else None,
        params={"rate": 0.5},
        distributions={"rate": RATE},
        intermediate_values=dict(enumerate(curve, start=1)),
    )
    made.number = number
    return made


histories = st.lists(
    st.tuples(
        st.sampled_from(STATES),
        # Few values, so that some are equal.
        st.lists(st.sampled_from([0.0, 0.25, 0.5, float("nan")]), max_size=3),
        st.integers(0, 3),
    ),
    max_size=30,
)


@settings(max_examples=200, deadline=None)
@given(history=histories, direction=st.sampled_from([StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]))
def test_the_window_holds_running_trials_tpes_best_and_the_newest(
    history: list[tuple[TrialState, list[float], int]], direction: StudyDirection
) -> None:
    trials = []
    for number, (state, curve, _) in enumerate(history):
        is_whole = bool(curve) and curve[-1] == curve[-1]
        wanted = TrialState.PRUNED if state is TrialState.COMPLETE and not is_whole else state
        trials.append(trial(number, wanted, curve))
    asked_often = Window(best=3, newest=4)
    for count in range(len(trials) + 1):
        # Some trials end between the calls.
        now = [
            trial(each.number, TrialState.RUNNING, []) if count < len(trials) and history[each.number][2] == 0 else each
            for each in trials[:count]
        ]
        shown = asked_often.of(now, direction=direction)

        assert [each.number for each in shown] == expected(now, direction, best=3, newest=4)
        assert [each.number for each in Window(best=3, newest=4).of(now, direction=direction)] == [
            each.number for each in shown
        ]


def expected(trials: list[FrozenTrial], direction: StudyDirection, *, best: int, newest: int) -> list[int]:
    """Return the numbers of the window by Optuna's own order of good and bad trials."""
    from optuna.samplers._tpe.sampler import _split_trials

    ended = [each for each in trials if each.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    if len(ended) <= best + newest:
        return [each.number for each in trials]
    good, others = _split_trials(optuna.create_study(direction=direction.name.lower()), ended, best)
    is_open = [each for each in trials if not each.state.is_finished()]
    return sorted(each.number for each in [*good, *others[-newest:], *is_open])


def search(study: optuna.Study, sampler: Any, *, trials: int, window: Window | None) -> list[float]:
    """Return the rates that a driver with this window proposes."""
    rates = []
    for _ in range(trials):
        asked = study.ask()
        study.sampler = sampler(asked.number, window)
        rates.append(asked.suggest_float("rate", 0.0, 1.0))
        study.tell(asked, -abs(rates[-1] - 0.3))
    return rates


def windowed(number: int, window: Window | None) -> optuna.samplers.BaseSampler:
    return make_sampler("bayes", seed=1, number=number, window=window)


def plain(number: int, _: Window | None) -> optuna.samplers.BaseSampler:
    """Return Optuna's own sampler with the randomness of ours."""
    ours = make_sampler("bayes", seed=1, number=number)
    assert isinstance(ours, WindowedTPESampler)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = TPESampler(multivariate=True, group=True, constant_liar=True)
    sampler._rng, sampler._random_sampler = ours._rng, ours._random_sampler
    return sampler


def test_a_search_that_fits_the_window_proposes_what_tpe_does() -> None:
    found = search(optuna.create_study(direction="maximize"), windowed, trials=40, window=Window())
    of_tpe = search(optuna.create_study(direction="maximize"), plain, trials=40, window=None)

    assert found == of_tpe


def test_an_interruption_beyond_the_window_changes_no_search() -> None:
    whole, halved = (optuna.create_study(direction="maximize") for _ in range(2))

    uninterrupted = search(whole, windowed, trials=40, window=Window(best=5, newest=10))
    first = search(halved, windowed, trials=30, window=Window(best=5, newest=10))

    assert first + search(halved, windowed, trials=10, window=Window(best=5, newest=10)) == uninterrupted


def test_the_sampler_reads_only_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    study = optuna.create_study(direction="maximize")
    search(study, windowed, trials=60, window=Window())
    read: list[int] = []
    split = optuna.samplers._tpe.sampler._split_trials

    def counted(study: optuna.Study, trials: list[FrozenTrial], below: int) -> Any:
        read.append(len(trials))
        return split(study, trials, below)

    monkeypatch.setattr(optuna.samplers._tpe.sampler, "_split_trials", counted)

    search(study, windowed, trials=3, window=Window(best=5, newest=10))

    assert read == [15, 15, 15]


def test_a_search_keeps_one_window_for_all_of_its_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Window | None] = []
    before = make_sampler

    def noted(method: str, **options: Any) -> optuna.samplers.BaseSampler:
        made.append(options.get("window"))
        return before(method, **options)

    monkeypatch.setattr(proposers, "make_sampler", noted)
    from sweep_fakes import tiny

    from sweeps.files.sweep import SweepSpec

    spec = SweepSpec.model_validate(tiny(method="bayes", run_cap=3))
    proposer, study = proposers.proposer_of(spec), optuna.create_study()
    for _ in range(3):
        assert proposer.ask(study, repeats=0) is not None

    assert len(made) == 3
    assert made[0] is not None
    assert all(window is made[0] for window in made)


def test_tpe_proposes_under_hyperband_although_it_sees_one_bracket() -> None:
    pruner = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=9, reduction_factor=3)
    study = optuna.create_study(study_name="brackets", pruner=pruner)
    window = Window()
    for number in range(40):
        asked = study.ask()
        study.sampler = windowed(number, window)
        asked.report(asked.suggest_float("rate", 0, 1), step=1)
        ended = TrialState.PRUNED if asked.should_prune() else TrialState.COMPLETE
        study.tell(asked, None if ended is TrialState.PRUNED else asked.params["rate"], state=ended)

    assert {each.state for each in study.trials} == {TrialState.PRUNED, TrialState.COMPLETE}
