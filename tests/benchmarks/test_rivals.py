"""Searches of other tools on a simulated clock, and their comparison with a random search."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import replay_tables
from hypothesis import given, settings
from hypothesis import strategies as st
from replay_tables import Table
from rival_clock import PlainTable, Untried, run
from rival_methods import FULL_RANDOM, METHODS, RAY, OneEpochThenBest, plain
from rivals import main, markdown, regrets, summary

EPOCHS = 6
SLOTS = 2


def made_table(count: int = 60) -> Table:
    """Return a table with a float, an integer and a listed parameter, and three curves that diverge."""
    draw = np.random.default_rng(1)
    points = {
        "lr": 10 ** draw.uniform(-3, 0, count),
        "depth": draw.integers(1, 9, count),
        "kind": [str(each) for each in draw.choice(["a", "b"], count)],
    }
    final = 1 - (np.log10(points["lr"]) + 1.5) ** 2 / 4 - 0.1 * (np.array(points["kind"]) == "a")
    observed = final[:, None] * (1 - 0.5 ** np.arange(1, EPOCHS + 1)) + draw.normal(0, 0.02, (count, EPOCHS))
    observed[:3, 2:] = np.nan
    curves = replay_tables._curves(
        "made",
        points,
        {"lr": (0.001, 1.0), "depth": (1, 8), "kind": ["a", "b"]},
        observed=observed,
        true_values=final,
        seconds=draw.uniform(1, 2, (count, EPOCHS)),
        metric="accuracy",
        maximize=True,
    )
    return Table(name="made", curves=curves, epochs=EPOCHS, judged=False)


TABLE = made_table()
PLAIN = plain(TABLE)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_hands_over_complete_trials_within_its_budget(method: str) -> None:
    budget = 15 * EPOCHS
    course = METHODS[method](TABLE, PLAIN, SLOTS, budget, 0)
    epochs, seconds = [each[0] for each in course], [each[1] for each in course]
    assert course
    assert epochs == sorted(epochs)
    assert seconds == sorted(seconds)
    assert epochs[-1] <= budget
    assert {each[2] for each in course} <= set(PLAIN.true_values[3:])
    assert METHODS[method](TABLE, PLAIN, SLOTS, budget, 0) == course


@pytest.mark.parametrize("method", METHODS)
def test_a_method_ends_when_it_has_tried_the_whole_table(method: str) -> None:
    small = made_table(12)
    assert METHODS[method](small, plain(small), SLOTS, 10_000, 0)


class Scripted:
    """Starts the curves 3, 4, 5, …; stops trial 0 after two epochs, and continues it after trial 1."""

    def __init__(self) -> None:
        self.reports: list[tuple[int, int]] = []
        self.ends: list[tuple[int, bool]] = []
        self._starts = iter([(0, 3), (1, 4), (0, 3), (2, 0)])

    def start(self) -> tuple[int, int] | None:
        return next(self._starts, None)

    def report(self, trial: int, epoch: int, value: float) -> bool:
        self.reports.append((trial, epoch))
        return (trial, epoch) != (0, 2)

    def end(self, trial: int, value: float, *, complete: bool) -> None:
        self.ends.append((trial, complete))


def test_each_epoch_is_trained_once_and_a_stopped_trial_continues() -> None:
    rival = Scripted()
    course = run(rival, PLAIN, slots=1, budget=1_000)
    assert rival.reports == [
        *((0, epoch) for epoch in (1, 2)),
        *((1, epoch) for epoch in range(1, EPOCHS + 1)),
        *((0, epoch) for epoch in range(3, EPOCHS + 1)),
        *((2, epoch) for epoch in (1, 2)),
    ]
    assert rival.ends == [(1, True), (0, True), (2, False)]
    seconds = PLAIN.seconds[3, :2].sum() + PLAIN.seconds[4].sum()
    assert course[0][:2] == (2 + EPOCHS, pytest.approx(seconds))


def test_slots_train_at_the_same_time() -> None:
    rival = Scripted()
    run(rival, PLAIN, slots=2, budget=2)
    assert {trial for trial, _ in rival.reports} == {0, 1}


@given(st.floats(0.001, 1), st.integers(1, 8), st.integers(0, 1), st.integers(1, 40))
@settings(deadline=None, max_examples=50)
def test_the_nearest_untried_curve_is_that_of_a_replay(lr: float, depth: int, kind: int, tried: int) -> None:
    untried, among = Untried(PLAIN), np.ones(len(PLAIN), dtype=bool)
    for _ in range(tried):
        expected = TABLE.curves.nearest({"lr": lr, "depth": depth, "kind": "ab"[kind]}, among=among)
        among[expected] = False
        assert untried.take({"lr": lr, "depth": depth, "kind": kind}) == expected


def test_a_table_is_the_same_after_a_file(tmp_path: Path) -> None:
    PLAIN.save(tmp_path / "table.npz")
    read = PlainTable.load(tmp_path / "table.npz")
    assert (read.space, read.epochs, read.maximize) == (PLAIN.space, PLAIN.epochs, PLAIN.maximize)
    assert np.array_equal(read.observed, PLAIN.observed, equal_nan=True)
    assert [read.point(index) for index in range(3)] == [PLAIN.point(index) for index in range(3)]


def test_one_epoch_then_best_continues_the_best_first_value() -> None:
    course_of: dict[int, list[int]] = {}

    class Watched(OneEpochThenBest):
        def report(self, trial: int, epoch: int, value: float) -> bool:
            course_of.setdefault(epoch, []).append(self._curve[trial])
            return super().report(trial, epoch, value)

    run(Watched(PLAIN, 0), PLAIN, slots=1, budget=2 * EPOCHS)
    tried = course_of[1][:EPOCHS]
    assert course_of[2][0] == max(tried, key=lambda curve: PLAIN.observed[curve, 0])


def test_finding_the_best_at_once_needs_the_shortest_share_of_random() -> None:
    seeds = range(8)
    random = [METHODS[FULL_RANDOM](TABLE, PLAIN, SLOTS, 8 * EPOCHS, seed) for seed in seeds]
    found = {
        FULL_RANDOM: [regrets(random, TABLE, 8)],
        RAY: [regrets(random, TABLE, 8)],
        "at once": [regrets([[(1, 0.0, TABLE.curves.best)] for _ in seeds], TABLE, 8)],
        "never": [regrets([[] for _ in seeds], TABLE, 8)],
        "five seeds": [regrets(random[:5], TABLE, 8)],
    }
    result = summary(found, trainings=8)
    assert result["at once"]["of_random"][0] == pytest.approx(0.2 / 8)
    assert result["at once"]["regret"]["8"] == [0.0, 0.0, 0.0]
    assert result["at once"]["tables_within_a_quarter"] == 1
    assert result["never"]["of_random"] == [np.inf] * 3
    assert 0 < result[FULL_RANDOM]["of_random"][0] <= 1
    assert result[RAY]["of_ray"] == [1.0, 1.0, 1.0]
    assert result["five seeds"]["seeds"] == 5
    about = {"tables": 1, "collection": "made", "slots": SLOTS, "trainings": 8, "date": "", "versions": ""}
    assert "| never | 8 |" in markdown({"methods": result, **about})


def test_a_comparison_resumes_from_its_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(replay_tables.COLLECTIONS, "own", lambda: iter([TABLE]))  # type: ignore[arg-type]
    command = ["--tables", "own", "--methods", "random, pause", "--trainings", "4", "--cache", str(tmp_path / "cache")]
    main([*command, "--seeds", "2", "--out", str(tmp_path / "first.json")])
    [file] = (tmp_path / "cache").rglob("random,_pause.json")
    content = json.loads(file.read_text())
    content["courses"]["0"] = [[1, 1.0, TABLE.curves.best]]
    file.write_text(json.dumps(content))
    main([*command, "--seeds", "3", "--out", str(tmp_path / "second.json")])
    after = json.loads(file.read_text())["courses"]
    assert after["0"] == content["courses"]["0"]
    assert set(after) == {"0", "1", "2"}
    assert json.loads((tmp_path / "second.json").read_text())[0]["methods"]["random, pause"]["seeds"] == 3
    assert (tmp_path / "second.md").read_text().startswith("1 table of own")


def own_rows(*, seeds: dict[str, list[int]]) -> list[dict[str, object]]:
    return [
        {
            "config_id": config,
            "seed": seed,
            "network": ["simple", "deep"][number % 2],
            "batch_size": 64,
            "augmentation": "none",
            "lr": 0.001 * (number + 1),
            "step_size": 1,
            "gamma": 0.5,
            "diverged": number == 1,
            "val_accuracy": [0.1, 0.2, 0.3 + 0.1 * seed][: 2 if number == 1 else 3],
            "seconds": [1.0, 2.0, 5.0][: 2 if number == 1 else 3],
        }
        for number, (config, of_config) in enumerate(seeds.items())
        for seed in of_config
    ]


def own_table(path: Path, rows: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch) -> list[Table]:
    table = pa.Table.from_pylist(rows).replace_schema_metadata({"milestones": "0.5,1,2"})
    pq.write_table(table, path / "curves.parquet")
    monkeypatch.setattr(replay_tables, "OWN", path / "curves.parquet")
    return list(replay_tables.own())


def test_own_curves_are_judged_by_further_seeds_where_there_are_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = {f"c{number}": [0, 1, 2] if number == 0 else [0] for number in range(20)}
    [table] = own_table(tmp_path, own_rows(seeds=seeds), monkeypatch)
    first, diverged, third = (table.curves[index] for index in range(3))
    assert table.name == "own 20 configurations, 1 under further seeds"
    assert table.epochs == 2
    assert [each.metrics["val_accuracy"] for each in first.epochs] == pytest.approx([0.2, 0.3])
    assert [each.seconds for each in first.epochs] == [2.0, 3.0]
    assert first.true_value == pytest.approx(0.45)
    assert third.true_value == pytest.approx(0.3)
    assert len(diverged.epochs) == 1
    assert np.isnan(diverged.true_value)


def test_too_few_own_curves_make_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = own_rows(seeds={f"c{number}": [0, 1] for number in range(19)})
    assert own_table(tmp_path, rows, monkeypatch) == []


@pytest.mark.skipif(not (replay_tables.FOLDER / "lcbench").exists(), reason="no curves in SWEEPS_CURVES")
def test_curves_of_lcbench_rise_and_differ() -> None:
    observed = plain(next(replay_tables.lcbench(judged=False))).observed
    gains = observed[:, -1] - observed[:, 0]
    assert np.median(gains) > 0.01
    assert len(np.unique(observed[:, -1])) > len(observed) / 2
