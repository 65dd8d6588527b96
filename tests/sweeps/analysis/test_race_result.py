"""What a race shows: who leads, who is out, and the sentences about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweep_fakes import epoch

from cifar_core.config import TrainingConfig
from sweeps.analysis.race import Race, race_of
from sweeps.core.race import RaceState
from sweeps.core.results import ConfirmResult
from sweeps.core.trial import Outcome, TrialRecord

STATE = RaceState(top=3, until=0.95, at_most=900.0, examples=0)
FAR = ([0.80, 0.801, 0.802, 0.803], [0.50, 0.501, 0.502, 0.503])
CLOSE = ([0.61, 0.64, 0.62], [0.60, 0.63, 0.62])


def trial(number: int, accuracy: float, **changes: Any) -> TrialRecord:
    config = TrainingConfig.model_validate(
        {"epochs": 1, "optimizer": {"lr": 0.1 + number}, "data": {"validation_size": 2000}}
    )
    record = TrialRecord(
        sweep="quick", study="s", number=number, key=f"k{number}", config_id=f"c{number}", config=config,
        outcome=Outcome.COMPLETE, epochs=(epoch(1, accuracy),), started=0.0,
    )  # fmt: skip
    return replace(record, **changes)


def runs(of: TrialRecord, values: Sequence[float], **changes: Any) -> list[TrialRecord]:
    """Return replicates of a trial under the seeds 1, 2, and so on."""
    return [
        replace(
            of, number=100 * of.number + seed, key=f"{of.key}-{seed}", epochs=(epoch(1, value),),
            replicate_of=of.number, config=of.config.model_copy(update={"seed": seed}), **changes,
        )
        for seed, value in enumerate(values, start=1)
    ]  # fmt: skip


def race(*values: Sequence[float], state: RaceState = STATE, extra: Sequence[TrialRecord] = ()) -> Race:
    search = [trial(number, 0.9 - number / 100) for number in range(len(values))]
    replicates = [run for record, own in zip(search, values, strict=True) for run in runs(record, own)]
    return race_of(search, [*replicates, *extra], state=state, metric="val_accuracy", maximize=True)


def test_a_decided_race_names_the_best_with_its_lead() -> None:
    found = race(*FAR)

    assert found.is_decided
    assert found.sentences() == (
        "quick-000 is the best with 95 %: 29.5 to 30.5 points better than quick-001 (4 seeds each)."
    )


def test_several_others_are_named_each_with_its_lead() -> None:
    text = race(*FAR, [0.3, 0.301, 0.302]).sentences()

    assert "points better than quick-001 (4 seeds against 4) and " in text
    assert text.endswith("points better than quick-002 (4 seeds against 3).")


def test_leaders_that_are_alike_at_the_end_are_named_with_bounds() -> None:
    text = race(*(3 * values for values in CLOSE), state=replace(STATE, ended=900.0)).sentences()

    assert text.startswith("quick-000 and quick-001 cannot be distinguished in 15 min: their difference is at most ")
    assert "would have been distinguished (9 seeds each). To continue, raise confirm.at_most." in text
    assert "inf" not in text


def test_too_few_seeds_for_any_difference_are_named() -> None:
    text = race(*CLOSE, state=replace(STATE, ended=900.0)).sentences()

    assert text == (
        "quick-000 and quick-001 cannot be distinguished in 15 min: 3 seeds each are too few for any difference. To "
        "continue, raise confirm.at_most."
    )


def test_a_race_before_its_end_says_how_to_continue() -> None:
    text = race(*CLOSE).sentences()

    assert "cannot be distinguished yet: quick-000 leads by 0.7 points (3 seeds each)" in text
    assert text.endswith("To continue, run the same command again.")
    assert race(*CLOSE).sentences(is_running=True).endswith("(3 seeds each).")


def test_too_few_runs_are_counted() -> None:
    text = race([0.6], []).sentences(is_running=True)

    assert text == "Too few runs for a comparison: quick-000 1 seed and quick-001 0 seeds."


@pytest.mark.parametrize("outcome", [Outcome.DIVERGED, Outcome.FAILED])
def test_a_configuration_with_a_lost_run_cannot_be_the_best(outcome: Outcome) -> None:
    lost = replace(runs(trial(0, 0.9), [0.9] * 5)[4], outcome=outcome)

    found = race(*FAR, [0.3, 0.301, 0.302], extra=[lost])

    assert found.is_decided
    assert found.sentences().startswith("quick-001 is the best with 95 %")
    assert f"quick-000 cannot be the best: it {outcome.value} under seed 5." in found.sentences()


def test_a_configuration_that_did_not_learn_once_cannot_be_the_best() -> None:
    assert (
        "quick-000 cannot be the best: it did not learn under seed 4" in race([0.8, 0.8, 0.8, 0.1], FAR[1]).sentences()
    )


def test_the_last_configuration_is_not_declared_the_best() -> None:
    found = race([0.8, 0.8, 0.1], [0.5, 0.5, 0.5])

    assert found.is_decided, "nothing is left to compare"
    assert found.sentences().startswith("The others are out: quick-001 was trained under 3 new seeds.")


def test_seeds_of_the_search_do_not_count() -> None:
    search = [trial(0, 0.9), trial(1, 0.8)]
    full = replace(search[0], number=9, replicate_of=0)  # as a pruned trial is trained to its end
    found = race_of(search, [full, *runs(search[0], [0.6])], state=STATE, metric="val_accuracy", maximize=True)

    assert [each.values for each in found.contenders] == [(0.6,), ()]


def test_on_a_confirmation_part_only_its_values_count() -> None:
    state = replace(STATE, examples=100)
    record = trial(0, 0.9)
    measured = ConfirmResult(part="p", examples=100, metrics={"val_accuracy": 0.5})
    new, old, other = runs(record, [0.6, 0.6, 0.6])
    found = race_of(
        [record],
        [replace(new, confirm=measured), old, replace(other, confirm=replace(measured, examples=99))],
        state=state,
        metric="val_accuracy",
        maximize=True,
    )

    assert [each.values for each in found.contenders] == [(0.5,)]


def test_a_smaller_loss_is_better() -> None:
    search = [trial(0, 0.9), trial(1, 0.8)]
    replicates = [run for record, own in zip(search, FAR, strict=True) for run in runs(record, own)]

    text = race_of(search, replicates, state=STATE, metric="val_loss", maximize=False).sentences()

    assert text == ("quick-000 is the best with 95 %: 0.2953 to 0.3047 lower val_loss than quick-001 (4 seeds each).")


VALUES = st.lists(st.lists(st.floats(0.3, 0.9), max_size=5), min_size=1, max_size=4)


@given(VALUES, st.booleans(), st.sampled_from([0.0, 900.0]))
def test_any_results_give_a_sentence(values: list[list[float]], is_running: bool, ended: float) -> None:
    found = race(*values, state=replace(STATE, ended=ended, top=4))

    text = found.sentences(is_running=is_running)
    assert text.endswith(".")
    assert "inf" not in text.replace("information", "")
    assert "nan" not in text
