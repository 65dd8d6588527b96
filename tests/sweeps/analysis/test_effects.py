"""Effects and verdicts of searched parameters, on simulated sweeps."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import pytest

from benchmarks.effects_power import GroundTruth, made_sweep
from sweeps.analysis.effect_data import MIN_TRIALS
from sweeps.analysis.effects import Effects, ParameterEffect, effects_of
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.search.recorded_search import RecordedSearch, SearchedParameter

RESNET = GroundTruth(adds={"model.name": {"resnet": 20.0}})
RECORDS, SEARCHED = made_sweep(RESNET, trials=40, seed=3)


def of(effects: Effects, name: str) -> ParameterEffect:
    return next(parameter for parameter in effects.parameters if parameter.name == name)


def valued(values: Sequence[float], **fields: Any) -> list[TrialRecord]:
    """Return complete trials whose metric is the same after each of their epochs."""
    name = fields.pop("metric", "val_accuracy")
    made = zip(RECORDS, values, strict=False)
    return [
        replace(
            record,
            outcome=Outcome.COMPLETE,
            epochs=tuple(replace(e, metrics={**e.metrics, name: value}) for e in record.epochs[:1]),
        )
        for record, value in made
    ]


def one(values: Sequence[Any], *, path: str = "model.name", choices: tuple[Any, ...] | None = None) -> RecordedSearch:
    return RecordedSearch(
        sweep="made",
        metric="val_accuracy",
        maximize=True,
        parameters=(SearchedParameter(path=path, choices=choices),),
        values={number: {path: value} for number, value in enumerate(values)},
    )


def test_a_large_effect_is_found_with_its_size_among_trials_stopped_early() -> None:
    assert sum(record.outcome is Outcome.COMPLETE for record in RECORDS) < 15
    effects = effects_of(RECORDS, searched=SEARCHED)

    model = effects.parameters[0]
    resnet = next(level for level in model.levels if level.label == "resnet")
    # After the first epoch 28 % of the effect is reached.
    assert (model.name, effects.epochs_used, effects.trials) == ("model.name", (1,), 40)
    assert model.verdict == "resnet is best (conclusive, 99 %)"
    assert resnet.low is not None
    assert resnet.high is not None
    share = 1 - sum(level.trials for level in model.levels if level.label == "resnet") / 40
    assert resnet.low < 20 * 0.283 * share < resnet.high


def test_a_difference_by_chance_is_not_called_sure() -> None:
    effects = effects_of(RECORDS, searched=SEARCHED)

    assert not of(effects, "data.augmentation").verdict.startswith(("flip", "none", "pad"))


def test_effects_are_relative_to_the_average_of_the_compared_trials() -> None:
    for parameter in effects_of(RECORDS, searched=SEARCHED).parameters:
        known = [(level.effect, level.trials) for level in parameter.levels if level.effect is not None]
        assert sum(effect * trials for effect, trials in known) == pytest.approx(0, abs=1e-9)


def test_the_same_trials_give_the_same_numbers() -> None:
    assert effects_of(RECORDS, searched=SEARCHED) == effects_of(RECORDS, searched=SEARCHED)


@pytest.mark.parametrize("count", range(MIN_TRIALS))
def test_too_few_trials_give_no_estimate_but_a_missing_count(count: int) -> None:
    effects = effects_of(RECORDS[:count], searched=SEARCHED)

    missing = MIN_TRIALS - count
    assert (effects.enough, effects.more_trials) == (False, missing)
    assert all(parameter.importance is None for parameter in effects.parameters)
    assert of(effects, "model.name").verdict == f"too few trials: at least {missing} more needed"


def test_failed_trials_give_no_estimate() -> None:
    failed = [replace(record, outcome=Outcome.FAILED) for record in RECORDS]

    effects = effects_of(failed, searched=SEARCHED)

    assert (effects.trials, effects.epochs_used, effects.enough) == (0, (), False)
    assert effects.parameters[0].verdict == "no trial has a val_accuracy to compare"


def test_no_complete_trial_is_needed() -> None:
    stopped = [record for record in RECORDS if record.outcome is Outcome.PRUNED]

    assert effects_of(stopped, searched=SEARCHED).parameters[0].importance is not None


def test_a_diverged_trial_counts_as_the_worst_of_the_others() -> None:
    good = valued([0.5, 0.48, 0.49, 0.5, 0.4, 0.47, 0.49, 0.48])
    lost = [replace(record, outcome=Outcome.DIVERGED, epochs=()) for record in RECORDS[8:14]]
    searched = one(["calm"] * 8 + ["wild"] * 6, choices=("calm", "wild"))

    effects = effects_of(good + lost, searched=searched)

    assert effects.trials == 14
    assert effects.parameters[0].verdict == "calm is best (conclusive, 99 %)"


def test_none_has_a_name_and_an_untried_value_no_effect() -> None:
    searched = one([None, "cifar10"] * 10, choices=(None, "cifar10", "imagenet"))

    levels = effects_of(valued([0.3, 0.5] * 10), searched=searched).parameters[0].levels

    # Nothing else differs, so the noise is 0.
    assert [(level.label, level.trials) for level in levels] == [("null", 10), ("cifar10", 10), ("imagenet", 0)]
    assert levels[1].effect == pytest.approx(10, abs=0.5)
    assert levels[2].effect is None


def test_true_and_1_are_two_values() -> None:
    levels = effects_of(valued([0.3, 0.5] * 10), searched=one([True, 1] * 10, choices=(True, 1))).parameters[0].levels

    assert [(level.label, level.trials) for level in levels] == [("true", 10), ("1", 10)]


def test_a_range_is_cut_into_parts_of_as_many_trials() -> None:
    rates = [10 ** (-3 + index / 15) for index in range(30)]

    levels = effects_of(valued([0.5 - rate / 10 for rate in rates]), searched=one(rates, path="optimizer.lr"))

    found = levels.parameters[0].levels
    assert [level.trials for level in found] == [10, 10, 10]
    assert [level.label for level in found] == ["0.001 to 0.00398", "0.00464 to 0.0185", "0.0215 to 0.0858"]
    assert found[0].effect is not None
    assert found[2].effect is not None
    assert found[0].effect > found[2].effect


def test_a_range_of_few_values_keeps_them_apart() -> None:
    found = effects_of(valued([0.5] * 20 + [0.6] * 10), searched=one([1, 2, 3] * 10, path="schedule.step_size"))

    assert [level.label for level in found.parameters[0].levels] == ["1", "2", "3"]


def test_levels_of_a_conditional_parameter_count_the_trials_where_it_is_active() -> None:
    effects = effects_of(RECORDS, searched=SEARCHED)

    width = of(effects, "model.width")
    simple = next(level.trials for level in of(effects, "model.name").levels if level.label == "simple")
    assert sum(level.trials for level in width.levels) == 40 - simple
    assert width.condition == "model.name is not simple"


def test_a_common_effect_of_a_conditional_parameter_belongs_to_its_condition() -> None:
    wide = [{"model.name": "deep", "model.width": (8, 16)[number % 2]} for number in range(20)]
    searched = RecordedSearch(
        sweep="made",
        metric="val_accuracy",
        maximize=True,
        parameters=(
            SearchedParameter(path="model.name", choices=("simple", "deep")),
            SearchedParameter(path="model.width", choices=(8, 16), condition="model.name is deep"),
        ),
        values=dict(enumerate([*wide, *[{"model.name": "simple"}] * 20])),
    )
    values = [0.60 + 0.01 * (number % 5) for number in range(20)] + [0.40 + 0.01 * (number % 5) for number in range(20)]

    effects = effects_of(valued(values), searched=searched)

    model, width = effects.parameters
    assert model.name == "model.name"
    assert model.verdict == "deep is best (conclusive, 99 %)"
    assert [level.effect for level in model.levels] == pytest.approx([-10, 10], abs=0.6)
    assert width.importance is not None
    assert width.importance < 0.02


def test_if_epochs_are_searched_trials_are_compared_at_their_last_epoch() -> None:
    records = [replace(r, outcome=Outcome.COMPLETE) for r in RECORDS]
    lengths = [len(record.epochs) for record in records]

    effects = effects_of(records, searched=one(lengths, path="epochs"))

    assert effects.epochs_used == ()
    assert effects.parameters[0].verdict == "9 is best (conclusive, 99 %)"
    assert "compared at its last epoch" in effects.method


def test_the_lowest_loss_is_best_and_one_extreme_loss_decides_nothing() -> None:
    losses = [1.0, 0.8] * 15
    losses[1] = 1e30
    searched = replace(one(["sgd", "adam"] * 15, choices=("sgd", "adam")), metric="val_loss", maximize=False)

    effects = effects_of(valued(losses, metric="val_loss"), searched=searched)

    assert effects.unit == "nats"
    assert effects.parameters[0].verdict == "adam is best (conclusive, 99 %)"
    adam = effects.parameters[0].levels[1].effect
    assert adam is not None
    assert -0.15 < adam < -0.05


def test_the_verdict_on_trials_with_equal_values_says_so() -> None:
    effects = effects_of(valued([0.5] * 20), searched=one(["a", "b"] * 10, choices=("a", "b")))

    assert effects.parameters[0].verdict == "all trials have the same val_accuracy"
    assert effects.more_trials is None


def test_differences_among_networks_at_chance_are_no_effect() -> None:
    # On 2,000 images 10 and 10.4 % are chance, even if each belongs to one value.
    data = RECORDS[0].config.data.model_copy(update={"validation_size": 2000})
    config = RECORDS[0].config.model_copy(update={"data": data})
    records = [replace(record, config=config) for record in valued([0.100, 0.104] * 10)]

    effects = effects_of(records, searched=one(["a", "b"] * 10, choices=("a", "b")))

    assert effects.parameters[0].verdict == "no trial was better than chance at the compared epoch"
    assert not effects.parameters[0].is_conclusive


def test_a_value_at_chance_is_worse_than_one_that_learns() -> None:
    effects = effects_of(valued([0.102, 0.60, 0.098, 0.61] * 6), searched=one(["a", "b"] * 12, choices=("a", "b")))

    assert effects.parameters[0].verdict == "b is best (conclusive, 99 %)"


def test_a_schedule_that_changed_no_learning_rate_is_not_estimated() -> None:
    effects = effects_of(RECORDS, searched=SEARCHED)

    verdict = of(effects, "schedule.gamma").verdict
    assert verdict == "not estimated: no learning rate had changed by the compared epoch"
    assert of(effects, "schedule.gamma").importance is None


def test_a_later_epoch_is_used_only_if_enough_trials_reached_it() -> None:
    records, searched = made_sweep(RESNET, trials=200, seed=0)

    assert effects_of(records[:60], searched=searched).epochs_used == (1,)
    effects = effects_of(records, searched=searched)
    assert effects.epochs_used == (1, 3)
    assert of(effects, "schedule.gamma").importance is not None


def test_the_record_can_be_written_as_json() -> None:
    for records in (RECORDS, RECORDS[:2], []):
        json.dumps(asdict(effects_of(records, searched=SEARCHED)), allow_nan=False)


def test_a_thousand_trials_take_less_than_three_seconds() -> None:
    records, searched = made_sweep(RESNET, trials=1000, seed=0)

    began = time.process_time()
    effects_of(records, searched=searched)

    assert time.process_time() - began < 3
