"""Replays of searches over recorded curves: the same decisions as a real search, on a simulated clock."""

from __future__ import annotations

import heapq
import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sweep_fakes import Cli, tiny, write_yaml

import sweeps
from sweeps.core.errors import SweepError
from sweeps.core.results import EpochResult
from sweeps.core.trial import Outcome
from sweeps.files.parameter import Parameter
from sweeps.files.space import SearchSpace
from sweeps.search.opening import read_study
from sweeps.search.stored_trials import read_records
from sweeps.simulation.curves import Curve, Curves
from sweeps.simulation.replay import Variant, interquartile_mean, replay_variants
from sweeps.simulation.replayed import Replayed, replay_search
from sweeps.stopping.rules import RULES
from sweeps.store.folder import SweepFolder

EPOCHS = 4
NETWORKS, RATES, SIZES = ("simple", "resnet"), (0.001, 0.01, 0.03, 0.1), (64, 256)
SPACE = SearchSpace(
    parameters={
        "model.name": Parameter(values=NETWORKS),
        "data.batch_size": Parameter(values=SIZES),
        "optimizer.lr": Parameter(min=0.001, max=0.1, distribution="log_uniform_values"),
    },
    base={"epochs": EPOCHS},
)


def curve(network: str, size: int, rate: float, *, seconds: float = 1.0, known: int = EPOCHS) -> Curve:
    """Return a curve that is better for resnet and near a rate of 0.03, recorded for some epochs."""
    assignment = {"model.name": network, "data.batch_size": size, "optimizer.lr": rate}
    top = 0.6 + 0.1 * (network == "resnet") - 0.05 * abs(math.log(rate / 0.03)) - 0.01 * (size == 256)
    epochs = tuple(
        EpochResult(epoch=n, seconds=seconds, finished_at=0, metrics={"val_accuracy": top * (1 - 0.5**n)})
        for n in range(1, known + 1)
    )
    is_complete = known == EPOCHS
    return Curve(
        config=SPACE.config(assignment),
        point=SPACE.encode(assignment),
        epochs=epochs,
        outcome=Outcome.COMPLETE if is_complete else Outcome.PRUNED,
        true_value=top if is_complete else math.nan,
    )


def curves(*, seconds: Sequence[float] = (1.0,), known: int = EPOCHS) -> Curves:
    points = itertools.product(NETWORKS, SIZES, RATES)
    times = itertools.cycle(seconds)
    found = [curve(*point, seconds=next(times), known=known) for point in points]
    if known < EPOCHS:
        found[0] = curve(NETWORKS[0], SIZES[0], RATES[0])
    return Curves(found, space=SPACE, metric="val_accuracy", maximize=True)


def replayed(found: Curves, *, method: str = "bayes", rule: str = "none", slots: int = 2, seed: int = 0) -> Replayed:
    return replay_search(found, method=method, rule=RULES[rule](), epochs=EPOCHS, run_cap=None, slots=slots, seed=seed)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("method", ["bayes", "random"])
def test_a_replay_is_deterministic_and_tries_each_configuration_once(method: str, rule: str) -> None:
    found = curves(seconds=(1, 2.5))

    first, again = (replayed(found, method=method, rule=rule, seed=3) for _ in range(2))

    assert first == again
    assert first.trials <= len(found)
    assert (first.trials == len(found)) or rule == "curve_model", "the model spends the epochs of asha on fewer trials"
    assert first.epochs <= len(found) * EPOCHS
    assert (first.epochs < len(found) * EPOCHS) == (rule != "none")


@settings(max_examples=20, deadline=None)
@given(seconds=st.lists(st.floats(0.1, 9), min_size=16, max_size=16), slots=st.integers(1, 5), seed=st.integers(0, 9))
def test_the_clock_agrees_with_a_list_of_jobs_in_slots(seconds: list[float], slots: int, seed: int) -> None:
    found = curves(seconds=seconds)
    order: list[float] = []
    ends = [0.0] * slots

    result = replayed(found, method="random", slots=slots, seed=seed)
    alone = replayed(found, method="random", slots=1, seed=seed)
    # Random proposals do not depend on results: each number of slots starts the trials in the same order.
    order = order_of_trials(found, seed=seed)
    for duration in order:
        heapq.heappush(ends, heapq.heappop(ends) + EPOCHS * duration)

    assert result.seconds == pytest.approx(max(ends))
    assert alone.seconds == pytest.approx(EPOCHS * sum(seconds))
    assert result.busy == pytest.approx(EPOCHS * sum(seconds) / (slots * max(ends)))
    assert alone.busy == pytest.approx(1)


def order_of_trials(found: Curves, *, seed: int) -> list[float]:
    """Return the seconds of an epoch of each trial in the order of a search with one slot."""
    taken: list[float] = []

    class Spy(Curves):
        def nearest(self, point, *, among):  # type: ignore[no-untyped-def]
            index = super().nearest(point, among=among)
            taken.append(self[index].epochs[0].seconds)
            return index

    spy = Spy([found[index] for index in range(len(found))], space=SPACE, metric="val_accuracy", maximize=True)
    replayed(spy, method="random", slots=1, seed=seed)
    return taken


def test_what_is_handed_over_has_its_true_value_not_the_observed_one() -> None:
    result = replayed(curves())

    assert result.handed_over is not None
    assert result.handed_over.true_value == pytest.approx(0.7)
    assert result.handed_over.observed == pytest.approx(0.7 * (1 - 0.5**EPOCHS))
    assert [each.observed for each in result.incumbents] == sorted(each.observed for each in result.incumbents)


def test_a_replay_ends_where_the_recorded_curve_ends() -> None:
    result = replayed(curves(known=2))

    assert result.epochs == 15 * 2 + EPOCHS
    assert result.handed_over is not None
    assert len(result.incumbents) == 1


@given(
    network=st.sampled_from(NETWORKS), size=st.sampled_from(SIZES), rate=st.floats(0.001, 0.1), taken=st.integers(0, 15)
)
def test_the_nearest_curve_is_untried_and_no_other_is_nearer(network: str, size: int, rate: float, taken: int) -> None:
    found = curves()
    among = np.ones(len(found), dtype=bool)
    among[taken] = False
    point = SPACE.encode({"model.name": network, "data.batch_size": size, "optimizer.lr": rate})

    nearest = found.nearest(point, among=among)

    def distance(index: int) -> float:
        other = found[index].point
        differs = sum(other[path] != point[path] for path in ("model.name", "data.batch_size"))
        return differs + abs(math.log(other["optimizer.lr"] / rate)) / math.log(100)

    assert nearest != taken
    assert distance(nearest) <= min(distance(index) for index in range(len(found)) if among[index]) + 1e-9


def test_a_search_that_sees_more_is_better_with_an_interval_above_zero() -> None:
    few, all_of_them = (Variant(method="random", rule=RULES["none"](), run_cap=cap, slots=1) for cap in (2, 16))

    first, second = replay_variants(curves(), [few, all_of_them], seeds=20)
    difference = second.minus(first)

    assert difference is not None
    assert 0 < difference.low < difference.mean < difference.high
    assert (second.found_best, first.found_best < 0.5) == (1, True)


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1, 2, 3, 100], 2.5), ([1, 2, 3, math.nan, 100], 2.5), (list(range(8)), 3.5), ([5], 5), ([0, 1, 9], 13 / 6)],
)
def test_the_interquartile_mean_weights_the_ends_of_the_middle_half(values: list[float], expected: float) -> None:
    assert interquartile_mean(values) == pytest.approx(expected)


@pytest.fixture
def searched(recorded_runs: Path, tmp_path: Path, cli: Cli, instant_training: None) -> Path:
    """A runs folder with a grid of six trials, in one slot and without early stopping."""
    parameters = {"optimizer.lr": {"values": [0.0001, 0.01, 0.05]}, "data.batch_size": {"values": [16, 32]}}
    content = tiny(run_cap=6, method="grid", parameters=parameters)
    result = cli("run", write_yaml(tmp_path, content), "--runs", recorded_runs, "--backend", "inline")
    assert result.exit_code == 0, result.output
    return recorded_runs


def test_a_replay_with_the_recorded_settings_repeats_the_recorded_search(searched: Path, cli: Cli) -> None:
    records = list(read_records(read_study(SweepFolder(searched, "tiny")), sweep="tiny"))

    found = sweeps.replay("tiny", methods=["grid"], early=["none"], slots=1, seeds=1, runs=searched)

    [result] = found.results
    [once] = result.replays
    assert once.trials == len(records) == 6
    assert once.epochs == sum(len(record.epochs) for record in records)
    assert once.seconds == pytest.approx(sum(record.train_seconds for record in records))
    assert once.handed_over is not None
    assert once.handed_over.true_value == max(record.epochs[-1].value("val_accuracy") or 0 for record in records)


def test_replicates_decide_the_true_value(searched: Path, cli: Cli) -> None:
    before = sweeps.replay("tiny", early=["none"], seeds=1, runs=searched).curves
    replicated = cli("replicate", "tiny", "--top", 6, "--seeds", 2, "--runs", searched, "--backend", "inline")
    assert replicated.exit_code == 0, replicated.output
    after = sweeps.replay("tiny", early=["none"], seeds=1, runs=searched).curves
    board = sweeps.leaderboard("tiny", runs=searched)

    means = {f"{value:.9f}" for value in board["val_accuracy"]}
    assert {f"{after[index].true_value:.9f}" for index in range(6)} == means
    assert [before[index].true_value for index in range(6)] != [after[index].true_value for index in range(6)]


def test_table_json_and_python_agree(searched: Path, cli: Cli) -> None:
    arguments = ("replay", "tiny", "--early", "none", "--early", "{type: asha, min_epochs: 1}", "--seeds", 3)

    table = cli(*arguments, "--runs", searched)
    as_json = cli(*arguments, "--json", "--runs", searched)
    found = sweeps.replay("tiny", early=["none", {"type": "asha", "min_epochs": 1}], seeds=3, runs=searched)

    assert table.exit_code == as_json.exit_code == 0
    assert max(map(len, table.stdout.splitlines()[:4])) <= 120
    content = json.loads(as_json.stdout)
    assert [variant["epochs"] for variant in content["variants"]] == list(found.variants["epochs"])
    assert content["configurations"] == 6
    assert "asha" in table.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nobody",), "no sweep 'nobody'"),
        (("tiny", "--early", "ahsa"), "did you mean 'asha'"),
        (("tiny", "--early", "{type: asha, min_epoch: 1}"), "min_epochs"),
        (("tiny", "--slots", "0"), "--slots"),
    ],
)
def test_wrong_arguments_are_one_error(arguments: tuple[str, ...], message: str, searched: Path, cli: Cli) -> None:
    result = cli("replay", *arguments, "--runs", searched)

    assert result.exit_code == 2
    assert message in result.stderr


def test_a_search_with_one_complete_trial_cannot_be_replayed(
    recorded_runs: Path, tmp_path: Path, cli: Cli, instant_training: None
) -> None:
    cli("run", write_yaml(tmp_path, tiny(run_cap=1)), "--runs", recorded_runs, "--backend", "inline")

    with pytest.raises(SweepError, match="1 complete trial, and a replay needs at least 2"):
        sweeps.replay("tiny", runs=recorded_runs)
