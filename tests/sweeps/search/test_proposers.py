"""Proposers: order and end of the proposals."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.trial import TrialState
from sweep_fakes import key_of, tiny

from cifar_core.config import TrainingConfig
from sweeps.driver.estimate import preview
from sweeps.driver.plan import plan_of_sweep
from sweeps.files.sweep import SweepSpec
from sweeps.search.proposers import (
    REPEATS_BEFORE_GIVING_UP,
    REPEATS_BEFORE_LISTING,
    Candidate,
    GridProposer,
    ListProposer,
    Proposer,
    SamplerProposer,
    make_sampler,
    proposer_of,
)

optuna.logging.set_verbosity(optuna.logging.ERROR)


def spec(**changes: Any) -> SweepSpec:
    return SweepSpec.model_validate(tiny(**changes))


def rates(proposer: Proposer, study: optuna.Study, count: int) -> list[float]:
    """Ask and tell `count` trials; return the proposed learning rates."""
    found = []
    for _ in range(count):
        proposal = proposer.ask(study, repeats=0)
        assert proposal is not None
        proposal.trial.set_user_attr("key", key_of(proposal.config))
        study.tell(proposal.trial, -abs(proposal.config.optimizer.lr - 0.1))
        found.append(proposal.config.optimizer.lr)
    return found


LR = {"optimizer.lr": {"min": 0.001, "max": 0.3, "distribution": "log_uniform_values"}}


def test_a_reopened_search_proposes_what_an_uninterrupted_one_would() -> None:
    for method in ("bayes", "random"):
        search = spec(method=method, parameters=LR, run_cap=20)
        whole, halved = optuna.create_study(direction="maximize"), optuna.create_study(direction="maximize")

        uninterrupted = rates(proposer_of(search), whole, 16)
        reopened = rates(proposer_of(search), halved, 12) + rates(proposer_of(search), halved, 4)

        assert reopened == uninterrupted
        assert len(set(uninterrupted)) == 16


def test_another_seed_proposes_otherwise() -> None:
    first, second = (rates(proposer_of(spec(parameters=LR, seed=seed)), optuna.create_study(), 3) for seed in (0, 1))

    assert first != second


def test_the_plan_shows_what_the_search_will_propose_first() -> None:
    search = spec(method="bayes", parameters=LR, run_cap=10)

    shown = [config.optimizer.lr for config in preview(search)]

    assert shown == rates(proposer_of(search), optuna.create_study(direction="maximize"), 10)


def test_start_with_comes_first_and_the_sampler_fills_the_rest() -> None:
    starts = [{"optimizer.lr": 0.05, "data.batch_size": 64}, {"optimizer.lr": 0.02}]
    parameters = {"optimizer.lr": {"values": [0.01, 0.02, 0.05]}, "data.batch_size": {"values": [32, 64]}}
    search = spec(parameters=parameters, start_with=starts)

    configs = preview(search)

    assert (configs[0].optimizer.lr, configs[0].data.batch_size) == (0.05, 64)
    assert configs[1].optimizer.lr == 0.02


def test_a_grid_lists_its_combinations_in_the_order_of_the_file() -> None:
    assert rates(GridProposer(spec(method="grid").space), optuna.create_study(), 4) == [0.01, 0.02, 0.03, 0.05]


def test_a_resumed_grid_proposes_the_missing_combinations() -> None:
    study = optuna.create_study()
    rates(GridProposer(spec(method="grid").space), study, 3)

    again = GridProposer(spec(method="grid").space)

    assert rates(again, study, 1) == [0.05]
    assert again.ask(study, repeats=0) is None


def test_a_grid_proposes_lost_combinations_again() -> None:
    study = optuna.create_study()
    lost = GridProposer(spec(method="grid").space).ask(study, repeats=0)
    assert lost is not None
    study.tell(lost.trial, state=TrialState.FAIL)

    assert rates(GridProposer(spec(method="grid").space), study, 4) == [0.01, 0.02, 0.03, 0.05]


def test_a_lost_start_is_proposed_again() -> None:
    search = spec(start_with=[{"optimizer.lr": 0.05}])
    study = optuna.create_study()
    lost = proposer_of(search).ask(study, repeats=0)
    assert lost is not None
    study.tell(lost.trial, state=TrialState.FAIL)

    assert rates(proposer_of(search), study, 1) == [0.05]


SIZES = {"data.train_size": {"values": [300, 49_500]}, "data.validation_size": {"values": [200, 600]}}
"""Each possible with the base, all but the last two possible together."""


def test_a_grid_leaves_out_invalid_combinations() -> None:
    study = optuna.create_study()
    proposer = GridProposer(spec(method="grid", parameters=SIZES).space)

    proposals = [proposal.config.data for _ in range(4) if (proposal := proposer.ask(study, repeats=0))]

    sizes = [(data.train_size, data.validation_size) for data in proposals]
    assert sizes == [(300, 200), (300, 600), (49_500, 200)]


def test_a_sampler_skips_invalid_combinations() -> None:
    study = optuna.create_study()
    proposer = SamplerProposer(spec(parameters=SIZES).space, method="random", seed=0)

    proposals = [proposer.ask(study, repeats=0) for _ in range(20)]

    assert all(proposals)
    states = [trial.state for trial in study.get_trials(deepcopy=False)]
    assert states.count(TrialState.RUNNING) == 20
    assert states.count(TrialState.FAIL) == len(states) - 20 > 0


RANGES = {
    "optimizer.lr": {"min": 0.001, "max": 0.3, "distribution": "log_uniform_values"},
    "optimizer.momentum": {"min": 0.0, "max": 0.8, "distribution": "q_uniform", "q": 0.2},
    "data.batch_size": {"min": 16, "max": 256, "distribution": "log_uniform_values"},
    "model.width": {"min": 4, "max": 16, "distribution": "q_uniform", "q": 4},
    "model.head": {"values": [[64], [32, 16]]},
}


def test_a_trial_is_drawn_from_the_very_distributions_of_the_space() -> None:
    search = spec(parameters=RANGES, method="random")
    study = optuna.create_study()

    proposal = proposer_of(search).ask(study, repeats=0)

    assert proposal is not None
    assert study.trials[0].distributions == search.space.distributions


def test_tpe_is_multivariate_and_uses_running_trials() -> None:
    sampler = make_sampler("bayes", seed=3, number=5)

    assert isinstance(sampler, optuna.samplers.TPESampler)
    found = vars(sampler)
    assert (found["_multivariate"], found["_group"], found["_constant_liar"]) == (True, True, True)
    assert isinstance(make_sampler("random", seed=3, number=5), optuna.samplers.RandomSampler)


def test_a_search_uses_tpe_until_it_repeats_itself_too_often() -> None:
    proposer = proposer_of(spec(method="bayes", parameters=LR, run_cap=20))
    kinds = []
    for repeats in (0, REPEATS_BEFORE_LISTING - 1, REPEATS_BEFORE_LISTING):
        study = optuna.create_study()
        proposer.ask(study, repeats=repeats)
        kinds.append(type(study.sampler).__name__)

    assert kinds == ["WindowedTPESampler", "WindowedTPESampler", "RandomSampler"]


def test_a_failed_start_is_not_proposed_again() -> None:
    search = spec(start_with=[{"optimizer.lr": 0.05}, {"optimizer.lr": 0.02}])
    study = optuna.create_study()
    first = proposer_of(search).ask(study, repeats=0)
    assert first is not None
    first.trial.set_user_attr("key", "k")
    study.tell(first.trial, state=TrialState.FAIL)

    assert rates(proposer_of(search), study, 1) == [0.02]


def test_duplicate_starts_are_skipped() -> None:
    search = spec(start_with=[{"optimizer.lr": 0.05}], run_cap=2)
    study = optuna.create_study()
    proposal = proposer_of(search).ask(study, repeats=REPEATS_BEFORE_LISTING)

    assert proposal is not None
    assert proposal.config.optimizer.lr == 0.01


def test_only_valid_splits_of_the_images_are_proposed() -> None:
    splits = plan_of_sweep(spec(parameters=SIZES)).data

    assert [(data.train_size, data.validation_size) for data in (config.data for config in splits)] == [
        (300, 200),
        (300, 600),
        (49_500, 200),
    ]


def test_after_many_duplicates_the_untried_combinations_are_listed() -> None:
    study = optuna.create_study()
    rates(GridProposer(spec(method="grid").space), study, 3)
    sampler = SamplerProposer(spec().space, method="random", seed=0)

    left = sampler.ask(study, repeats=20)

    assert left is not None
    assert left.config.optimizer.lr == 0.05
    assert sampler.ask(study, repeats=20) is None


def listed(*rates: float) -> list[Candidate]:
    return [Candidate(config=TrainingConfig.model_validate({"optimizer": {"lr": rate}})) for rate in rates]


def test_a_list_is_proposed_in_order_without_recorded_entries() -> None:
    study = optuna.create_study()
    rates(ListProposer(listed(0.3), key_of=key_of), study, 1)

    assert rates(ListProposer(listed(0.1, 0.3, 0.2), key_of=key_of), study, 2) == [0.1, 0.2]


def test_a_list_with_costs_starts_with_the_longest() -> None:
    def proposer(*wanted: float) -> ListProposer:
        return ListProposer(listed(*wanted), key_of=key_of, cost=lambda config: config.optimizer.lr)

    assert rates(proposer(0.1, 0.3, 0.2), optuna.create_study(), 3) == [0.3, 0.2, 0.1]
    assert rates(proposer(0.1, 0.2), optuna.create_study(), 2) == [0.2, 0.1]
    assert proposer().ask(optuna.create_study(), repeats=0) is None


def test_a_list_counts_equal_configurations_once() -> None:
    assert ListProposer(listed(0.1, 0.2, 0.1), key_of=key_of).total() == 2


def test_in_an_infinite_space_duplicates_lead_to_random_sampling_then_the_end() -> None:
    search = spec(method="bayes", parameters=LR, run_cap=20)
    study = optuna.create_study(direction="maximize")
    proposer = proposer_of(search)

    proposal = proposer.ask(study, repeats=REPEATS_BEFORE_LISTING)

    assert proposal is not None
    assert isinstance(study.sampler, optuna.samplers.RandomSampler)
    assert proposer.ask(study, repeats=REPEATS_BEFORE_GIVING_UP) is None
