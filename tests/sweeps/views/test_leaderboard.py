"""The leaderboard ranks comparable configurations only, with correct intervals."""

from __future__ import annotations

import io
import json
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text
from scipy.stats import ttest_ind

from cifar_core.config import TrainingConfig
from sweeps.core.errors import LeaderboardError, NoSuchSweepError
from sweeps.core.identity import Protocol
from sweeps.core.results import Confusion, EpochResult
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.record.columns import COLUMNS, LAST_COLUMNS
from sweeps.record.mapping import params_of, tags_of
from sweeps.record.parent_run import RecordedStudy
from sweeps.record.reader import MlflowReader
from sweeps.record.recorded_run import RecordedRun
from sweeps.record.table import Table, row_of, table_of
from sweeps.record.trial_run import parse_runs
from sweeps.record.writer import Tracker
from sweeps.search.best import learned
from sweeps.views.arrow_tables import arrow_of, table_of_result
from sweeps.views.boards import ColumnsView, View
from sweeps.views.columns import column_named
from sweeps.views.exports import to_csv, to_json
from sweeps.views.leaderboard import query_leaderboard
from sweeps.views.leaderboard_table import print_leaderboard


class RowReader:
    """A record that is a list of rows."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        self._rows = rows

    @property
    def location(self) -> str:
        return "a list"

    def sweeps(self) -> set[str]:
        return {row["sweep"] for row in self._rows}

    def runs(self, *, sweep: str | None = None) -> Table:
        return table_of(row for row in self._rows if sweep in (None, row["sweep"]))

    def epochs(self, *, sweep: str | None = None) -> pa.Table:
        raise NotImplementedError

    def curve(self, run_id: str) -> list[EpochResult]:
        raise NotImplementedError

    def correctness(self, run_id: str) -> np.ndarray | None:
        raise NotImplementedError

    def configuration(self, run_id: str) -> TrainingConfig:
        raise NotImplementedError


def protocol(*, train: int = 10_000, validation: int = 2000, epochs: int = 6) -> Protocol:
    return Protocol(
        train_images=train, validation_images=validation, split_seed=0, epochs=epochs, test_images=10_000, classes=10
    )


def row(trial: int, accuracy: float | None, **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "sweep": "quick",
        "trial": trial,
        "run_id": f"run-{trial}",
        "status": "complete",
        "val_accuracy": accuracy,
        "epochs": 6,
        "train_seconds": 60.0,
        "parameters_millions": 0.062,
        "seed": 0,
        "key": f"key-{trial}",
        "started": f"2026-11-01T00:00:{trial:02d}Z",
        "protocol": protocol(),
        "config_id": f"config-{trial}",
        "model.name": "simple",
        "data.train_size": 10000,
        "data.validation_size": 2000,
    }
    return values | changes


def replicates(of: int, *accuracies: float) -> list[dict[str, Any]]:
    """Return confirming runs of a trial, under the seeds 1, 2, and so on."""
    return [
        row(of, accuracy, seed=seed, config_id=f"config-{of}", key=f"key-{of}-{seed}", run_id=f"run-{of}-s{seed}",
            replicate_of=of)
        for seed, accuracy in enumerate(accuracies, start=1)
    ]  # fmt: skip


def fresh(trial: int, *values: tuple[float, float], **changes: Any) -> list[dict[str, Any]]:
    """Return replicates of a trial: accuracy on the validation images of the search, and on others."""
    rows = replicates(trial, *(searched for searched, _ in values))
    about = {"confirm_part": "new images", "confirm_examples": 10_000, **changes}
    return [
        each | about | {"confirm_accuracy": new, "confirm_value": new}
        for each, (_, new) in zip(rows, values, strict=True)
    ]


def ranks(board: Table) -> list[tuple[int, int | None]]:
    return [(row["trial"], row["rank"]) for row in board.rows]


class TestRanks:
    def test_only_complete_runs_with_a_finite_accuracy_are_ranked(self) -> None:
        rows = [
            row(0, 0.9, status="pruned"),
            row(1, 0.5),
            row(2, None),
            row(3, math.inf),
            row(4, 0.7),
            row(5, 0.95, status="running", epochs=2),
            row(6, None, status="failed", epochs=0),
            row(7, math.nan),
            row(8, 0.2, status="interrupted"),
            row(9, 0.3, status="diverged"),
        ]
        found = ranks(query_leaderboard(RowReader(*rows)))
        assert found[:2] == [(4, 1), (1, 2)]
        assert {rank for _, rank in found[2:]} == {None}
        assert [trial for trial, _ in found[5:]] == [5, 8, 0, 9, 6]

    def test_ranks_start_at_1_in_each_protocol_largest_budget_first(self) -> None:
        rows = [
            row(0, 0.9, protocol=protocol(epochs=2)),
            row(1, 0.5, protocol=protocol(epochs=20)),
            row(2, 0.6, protocol=protocol(epochs=20)),
            row(3, 0.8, protocol=protocol(train=48_000)),
        ]
        assert ranks(query_leaderboard(RowReader(*rows))) == [(3, 1), (2, 1), (1, 2), (0, 1)]

    def test_a_result_that_two_sweeps_list_is_one_configuration_and_one_replicate(self) -> None:
        taken = row(2, 0.8, sweep="second", key="key-0", config_id="config-0", reused_from="run-0")
        reader = RowReader(row(0, 0.8), row(1, 0.7), taken)
        board = query_leaderboard(reader)
        assert ranks(board) == [(0, 1), (1, 2)]
        assert board.values("replicates") == [1, 1]
        assert ranks(query_leaderboard(reader, each_run=True)) == [(0, 1), (2, 1), (1, 2)]

    def test_a_result_taken_over_stands_behind_the_trained_one(self) -> None:
        for started in ("2026-10-01T00:00:00Z", "2026-12-01T00:00:00Z"):
            taken = row(0, 0.8, run_id="taken", key="key", config_id="c", reused_from="run-1", started=started)
            trained = row(1, 0.8, sweep="second", key="key", config_id="c", train_seconds=70.0)
            (found,) = query_leaderboard(RowReader(taken, trained)).rows

            assert (found["run_id"], found["train_seconds"], found["replicates"]) == ("run-1", 70.0, 1)

    def test_a_search_by_loss_ranks_by_it_equals_by_time(self) -> None:
        def of(trial: int, accuracy: float, loss: float | None, **changes: Any) -> dict[str, Any]:
            changes = {"train_seconds": 60.0 - trial, "key": f"{9 - trial}"} | changes
            return row(trial, accuracy, metric="val_loss", metric_value=loss, **changes)

        rows = [of(0, 0.9, 1.5), of(1, 0.5, 1.25), of(2, 0.6, 1.25), of(3, 0.7, math.inf), of(4, 0.7, None)]
        board = query_leaderboard(RowReader(*rows))

        assert ranks(board)[:3] == [(1, 1), (2, 2), (0, 3)]
        assert set(board.values("rank")[3:]) == {None}
        assert (board.rows[0]["metric_value"], board.rows[0]["val_accuracy"]) == (1.25, 0.5)
        assert "searches that optimise val_loss are ranked by that metric" in " ".join(printed(board).split())
        (line,) = [line for line in printed(board).splitlines() if "quick-001" in line]
        assert "1.250" in line

    def test_a_configuration_ranks_by_its_seeds_mean_not_its_luckiest(self) -> None:
        rows = [row(seed, accuracy, seed=seed, config_id="c") for seed, accuracy in enumerate((0.422, 0.38, 0.37))]
        board = query_leaderboard(RowReader(*rows, row(3, 0.40)))
        assert ranks(board) == [(3, 1), (0, 2)]
        assert board.rows[1]["val_accuracy"] == pytest.approx((0.422 + 0.38 + 0.37) / 3)
        assert board.rows[1]["ci_low"] < board.rows[1]["val_accuracy"] < board.rows[1]["ci_high"]
        assert board.rows[1]["seed"] is None
        assert board.rows[0]["seed"] == 0

    def test_a_confirmed_configuration_ranks_by_new_seeds_and_keeps_the_searchs(self) -> None:
        board = query_leaderboard(RowReader(row(0, 0.70), *replicates(0, 0.60, 0.64), row(1, 0.69)))

        assert ranks(board) == [(0, 1), (1, 2)]
        confirmed, unconfirmed = board.rows
        assert (confirmed["val_accuracy"], confirmed["replicates"]) == (pytest.approx(0.62), 2)
        assert (confirmed["search_accuracy"], confirmed["run_id"]) == (0.70, "run-0")
        assert confirmed["val_std"] == pytest.approx(np.std([0.60, 0.64], ddof=1))
        assert (unconfirmed["val_accuracy"], unconfirmed["replicates"]) == (0.69, 1)
        assert unconfirmed["search_accuracy"] is None

    def test_confirmed_configurations_come_before_unconfirmed_ones(self) -> None:
        rows = (row(0, 0.70), *replicates(0, 0.60, 0.61), row(1, 0.90), row(2, 0.65), *replicates(2, 0.70, 0.71))

        assert [trial for trial, _ in ranks(query_leaderboard(RowReader(*rows)))] == [2, 0, 1]

    def test_configurations_without_a_significant_difference_to_the_best_share_its_rank(self) -> None:
        rows = (
            row(0, 0.9), *replicates(0, 0.700, 0.702, 0.704),
            row(1, 0.9), *replicates(1, 0.690, 0.702, 0.708),
            row(2, 0.9), *replicates(2, 0.600, 0.602, 0.604),
            row(3, 0.9), *replicates(3, 0.500, 0.502, 0.504),
        )  # fmt: skip
        board = query_leaderboard(RowReader(*rows))

        assert ranks(board) == [(0, 1), (1, 1), (2, 3), (3, 4)]
        text = " ".join(printed(board).split())
        assert "quick-000 and quick-001 share the rank because they do not differ significantly (Welch's" in text
        assert "quick-000: 70.20 % (mean of 3 new seeds) on the 2,000 images of the search" in text
        assert "The search's 90.00 % was optimistic by 19.8 points under new seeds, on the same 2,000 images" in text

    def test_the_second_confirmed_one_is_tested_at_holms_next_level(self) -> None:
        # The smaller of two p-values is compared with 0.025, the larger with 0.05: it is between them, and rejected.
        best, middle, worst = (0.700, 0.702, 0.704), (0.690, 0.694, 0.697), (0.500, 0.502, 0.504)
        rows = [
            each
            for trial, values in enumerate((best, middle, worst))
            for each in (row(trial, 0.9), *replicates(trial, *values))
        ]
        assert 0.025 < ttest_ind(best, middle, equal_var=False).pvalue < 0.05

        board = query_leaderboard(RowReader(*rows))

        assert ranks(board) == [(0, 1), (1, 2), (2, 3)]
        assert board.rows[1]["p_holm"] == pytest.approx(ttest_ind(best, middle, equal_var=False).pvalue)
        assert board.rows[2]["p_holm"] == pytest.approx(2 * ttest_ind(best, worst, equal_var=False).pvalue)
        assert board.rows[0]["p_holm"] is None

    def test_configurations_that_did_not_learn_have_no_rank_and_are_marked(self) -> None:
        rows = [row(0, 0.11, did_not_learn=1), row(1, 0.5, did_not_learn=0), row(2, 0.10, did_not_learn=1)]

        board = query_leaderboard(RowReader(*rows))

        assert ranks(board) == [(1, 1), (0, None), (2, None)]
        assert printed(board).count("did not learn") == 2

    def test_a_configuration_of_which_one_run_did_not_learn_has_no_rank(self) -> None:
        mixed = replicates(0, 0.60, 0.62, 0.1)
        mixed[2]["did_not_learn"] = 1
        board = query_leaderboard(RowReader(row(0, 0.9), *mixed, row(1, 0.5)))

        assert ranks(board) == [(1, 1), (0, None)]
        assert board.rows[1]["val_accuracy"] == pytest.approx(0.61)
        assert "1 run did not learn" in printed(board)
        each = query_leaderboard(RowReader(row(0, 0.9), *mixed, row(1, 0.5)), each_run=True)
        assert board.values("replicates") == [1, 2]
        assert [row["replicates"] for row in each.rows if row["trial"] == 0 and row["seed"] in (1, 2)] == [2, 2]

    def test_no_seed_is_counted_if_no_run_learned(self) -> None:
        reader = RowReader(row(0, 0.1, did_not_learn=1), row(0, 0.1, did_not_learn=1, seed=1, key="k", run_id="r"))

        for each_run in (False, True):
            assert set(query_leaderboard(reader, each_run=each_run).values("replicates")) == {0}

    @pytest.mark.parametrize(("lost", "status"), [((1, 0), "1 run did not learn"), ((1, 1), "did not learn")])
    def test_the_status_of_two_runs_shows_whether_both_did_not_learn(self, lost: tuple[int, int], status: str) -> None:
        rows = [rung("a", 0.113, trial=seed, seed=seed, did_not_learn=each) for seed, each in enumerate(lost)]
        (_, line, *_) = printed(query_leaderboard(RowReader(*rows))).splitlines()
        assert line.split("a ", 1)[1].strip().startswith(status)

    def test_a_configuration_with_the_best_rank_moves_before_a_worse_one(self) -> None:
        rows = (
            row(0, 0.9), *replicates(0, 0.700, 0.702, 0.704),
            row(1, 0.9), *replicates(1, 0.690, 0.692, 0.694),
            row(2, 0.9), *replicates(2, 0.600, 0.680, 0.720),
        )  # fmt: skip

        assert ranks(query_leaderboard(RowReader(*rows))) == [(0, 1), (2, 1), (1, 2)]

    def test_a_stopped_trial_is_confirmed_by_its_new_seeds(self) -> None:
        full = row(0, 0.5, run_id="full", replicate_of=0, study="r")
        stopped = row(0, 0.4, status="pruned", key=full["key"])
        board = query_leaderboard(RowReader(stopped, full, *replicates(0, 0.44, 0.46)))

        assert (board.rows[0]["rank"], board.rows[0]["status"], board.rows[0]["replicates"]) == (1, "complete", 2)
        assert board.rows[0]["val_accuracy"] == pytest.approx(0.45)
        # 0.5 is the value after full length, which is not part of the search.
        assert board.rows[0]["search_accuracy"] is None
        assert board.rows[0]["confirmed"]

    def test_one_seed_shares_no_rank(self) -> None:
        alone = (row(0, 0.9), *replicates(0, 0.70), row(1, 0.9), *replicates(1, 0.69))
        assert ranks(query_leaderboard(RowReader(*alone))) == [(0, 1), (1, 2)]

        with_a_third = (row(2, 0.9), *replicates(2, 0.71, 0.69))
        board = query_leaderboard(RowReader(*alone, *with_a_third))
        assert ranks(board) == [(0, 1), (2, 2), (1, 3)]
        assert "share the rank" not in printed(board)

    def test_a_search_value_that_is_confirmed_exactly_is_reported(self) -> None:
        board = query_leaderboard(RowReader(row(0, 0.70), *replicates(0, 0.70, 0.70)))
        assert "The search's 70.00 % was optimistic by 0.0 points under new seeds" in " ".join(printed(board).split())

    def test_replicates_on_fresh_images_rank_by_these(self) -> None:
        rows = (
            row(0, 0.70), *fresh(0, (0.66, 0.60), (0.66, 0.62)),
            row(1, 0.69), *fresh(1, (0.64, 0.63), (0.64, 0.65)),
            row(2, 0.68), *replicates(2, 0.90, 0.90),
        )  # fmt: skip
        board = query_leaderboard(RowReader(*rows))

        assert ranks(board) == [(1, 1), (0, 1), (2, 3)]
        first = board.rows[0]
        assert (first["confirm_accuracy"], first["val_accuracy"]) == (pytest.approx(0.64), pytest.approx(0.64))
        assert (first["confirm_examples"], first["confirm_part"]) == (10_000, "new images")
        assert first["ci_low"] < 0.64 < first["ci_high"]
        text = " ".join(printed(board).split())
        assert "64.00 (59.70–68.30)" in text
        assert "quick-001: 64.00 % (mean of 2 new seeds) on 10,000 images that the search did not use" in text
        assert "The search's 69.00 % was optimistic by 5.0 points: 5.0 by its seed, 0.0 by its 2,000 images" in text

    def test_of_two_confirmation_parts_the_last_one_counts(self) -> None:
        old, new = fresh(0, (0.6, 0.1), (0.6, 0.2)), fresh(0, (0.6, 0.1), (0.6, 0.2), (0.6, 0.5), (0.6, 0.7))[2:]
        for each in new:
            each["confirm_part"] = "other images"

        (found,) = query_leaderboard(RowReader(row(0, 0.70), *replicates(0, 0.9), *old[1:], *new)).rows

        assert (found["confirm_accuracy"], found["replicates"]) == (pytest.approx(0.6), 2)

    def test_luck_of_seed_and_of_images_add_up_to_the_optimism(self) -> None:
        rows = (row(0, 0.671), *fresh(0, (0.659, 0.652), (0.659, 0.652)))

        text = " ".join(printed(query_leaderboard(RowReader(*rows))).split())

        assert "The search's 67.10 % was optimistic by 1.9 points: 1.2 by its seed, 0.7 by its 2,000 images" in text

    def test_two_seeds_alone_are_marked_and_have_no_interval(self) -> None:
        board = query_leaderboard(RowReader(row(0, 0.7), *replicates(0, 0.40, 0.80), row(1, 0.6)))

        assert (board.rows[0]["ci_low"], board.rows[0]["ci_high"]) == (None, None)
        assert "60.00 (2 seeds)" in printed(board)
        assert "too few for an interval" in " ".join(printed(board).split())

    def test_several_configurations_share_the_spread_of_their_intervals(self) -> None:
        rows = (row(0, 0.7), *replicates(0, 0.60, 0.62), row(1, 0.7), *replicates(1, 0.50, 0.54), row(2, 0.9))
        first, second, alone = query_leaderboard(RowReader(*rows)).rows

        # The pooled variance is (0.0002 + 0.0008) / 2 with 2 degrees of freedom, for which t is 4.302653.
        reach = 4.302653 * math.sqrt(0.0005 / 2)
        assert (first["ci_low"], first["ci_high"]) == pytest.approx((0.61 - reach, 0.61 + reach), abs=1e-7)
        assert second["ci_high"] - second["ci_low"] == pytest.approx(2 * reach, abs=1e-7)
        assert alone["ci_low"] == pytest.approx(0.886, abs=1e-3), "Wilson's"

    def test_one_new_seed_has_an_interval_only_with_others(self) -> None:
        alone = (row(0, 0.7), *replicates(0, 0.60))
        (found,) = query_leaderboard(RowReader(*alone)).rows
        assert found["ci_low"] is None

        found = query_leaderboard(RowReader(*alone, row(1, 0.6), *replicates(1, 0.49, 0.5, 0.51))).rows[0]
        assert found["ci_low"] == pytest.approx(0.60 - 4.302653 * 0.01, abs=1e-7)

    def test_after_a_race_its_own_test_decides_about_shared_ranks(self) -> None:
        close = ((0.700, 0.702, 0.704), (0.690, 0.693, 0.697))
        assert ttest_ind(*close, equal_var=False).pvalue < 0.05

        def raced(until: float | None) -> Table:
            rows = [
                each | {"confirm_until": until}
                for trial, values in enumerate(close)
                for each in (row(trial, 0.9), *replicates(trial, *values))
            ]
            return query_leaderboard(RowReader(*rows))

        assert ranks(raced(None)) == [(0, 1), (1, 2)]
        assert ranks(raced(0.95)) == [(0, 1), (1, 1)]
        assert raced(0.95).rows[1]["p_holm"] > 0.05
        assert "the test of the race" in " ".join(printed(raced(0.95)).split())

    def test_a_raced_configuration_with_a_diverged_run_has_no_rank(self) -> None:
        lost = [each | {"confirm_until": 0.95} for each in replicates(0, 0.70, 0.71, 0.72)]
        lost[2]["status"] = "diverged"

        assert ranks(query_leaderboard(RowReader(row(0, 0.9), *lost, row(1, 0.5)))) == [(1, 1), (0, None)]

    def test_an_option_named_rank_does_not_hide_the_rank(self) -> None:
        own = {"model.name": "nets:Net"}
        rows = [row(i, 0.5 + i / 10, **own, **{"model.options.rank": 8 - i}) for i in range(2)]
        heading, first, _ = printed(query_leaderboard(RowReader(*rows))).splitlines()
        assert heading.split()[0] == "rank"
        assert first.split()[0] == "1"
        assert "model.options.rank" in heading

    @pytest.mark.parametrize("width", [80, 200])
    def test_trials_of_a_sweep_with_a_long_name_have_different_names(self, width: int) -> None:
        name = "architecture-and-learning-rate-2024"
        text = printed(query_leaderboard(RowReader(*(row(i, 0.5, sweep=name) for i in range(2)))), width=width)
        assert f"{name}-000" in text
        assert f"{name}-001" in text

    def test_each_replicate_is_called_by_its_trial_and_seed(self) -> None:
        board = query_leaderboard(RowReader(row(0, 0.70), *replicates(0, 0.60, 0.64)), each_run=True)

        text = printed(board)
        assert all(name in text for name in ("quick-000-s1", "quick-000-s2", "quick-000 "))
        assert board.values("rank") == [1, 1, 1]

    def test_single_runs_are_grouped_by_configuration_each_with_an_interval(self) -> None:
        rows = [row(seed, accuracy, seed=seed, config_id="c") for seed, accuracy in enumerate((0.422, 0.38, 0.37))]
        unfinished = row(4, 0.2, seed=3, config_id="c", status="pruned")
        board = query_leaderboard(RowReader(*rows, row(3, 0.40), unfinished), each_run=True)
        assert ranks(board) == [(3, 1), (0, 2), (1, 2), (2, 2), (4, None)]
        assert board.values("replicates")[:4] == [1, 3, 3, 3]
        assert all(row["ci_low"] < row["val_accuracy"] < row["ci_high"] for row in board.rows[:4])
        assert (board.rows[4]["ci_low"], board.rows[4]["ci_high"]) == (None, None)

    def test_two_states_of_a_networks_file_are_two_configurations_in_tables(self) -> None:
        own = {"model.name": "nets:Net", "config_id": "c"}
        rows = [row(0, 0.5, source="aaaa", seed=0, **own), row(1, 0.6, source="bbbb", seed=1, **own)]
        board = query_leaderboard(RowReader(*rows))
        assert ranks(board) == [(1, 1), (0, 2)]
        assert "aaaa" in printed(board)

    def test_an_unrecorded_sweep_is_refused_with_the_closest_name(self) -> None:
        with pytest.raises(NoSuchSweepError, match=r"no sweep 'qick' in the record at a list\. Did you mean quick\?"):
            query_leaderboard(RowReader(row(0, 0.9)), sweep="qick")
        with pytest.raises(NoSuchSweepError, match=r"no sweep 'quick': the record at a list has no sweeps\. Change to"):
            query_leaderboard(RowReader(), sweep="quick")

    def test_a_filter_does_not_change_the_ranks(self) -> None:
        rows = [row(0, 0.9), row(1, 0.8, **{"model.name": "vgg"}), row(2, 0.7)]
        assert ranks(query_leaderboard(RowReader(*rows), where="model.name = 'vgg'")) == [(1, 2)]

    def test_another_sweep_does_not_take_part(self) -> None:
        rows = [row(0, 0.9, sweep="other"), row(1, 0.8)]
        assert ranks(query_leaderboard(RowReader(*rows), sweep="quick")) == [(1, 1)]

    def test_an_empty_record_is_an_empty_board_with_all_its_columns(self) -> None:
        board = query_leaderboard(RowReader())
        assert list(board.columns) == [*COLUMNS, *LAST_COLUMNS]
        assert not board.rows

    @settings(deadline=None, max_examples=40)
    @given(
        st.lists(
            st.tuples(
                st.none() | st.floats(0, 1) | st.sampled_from([math.inf, -math.inf, math.nan]),
                st.sampled_from([outcome.value for outcome in Outcome]),
                st.sampled_from([protocol(), protocol(epochs=5), None]),
            ),
            max_size=12,
        )
    )
    def test_every_row_is_once_and_protocols_rank_without_a_gap(
        self, trials: list[tuple[float | None, str, Protocol | None]]
    ) -> None:
        rows = [row(i, a, status=status, protocol=p) for i, (a, status, p) in enumerate(trials)]
        board = query_leaderboard(RowReader(*rows))
        assert sorted(board.values("trial")) == list(range(len(trials)))
        has_rank = [rank is not None for rank in board.values("rank")]
        assert has_rank == sorted(has_rank, reverse=True)
        expected = {
            i for i, (a, status, _) in enumerate(trials) if status == "complete" and a is not None and 0 <= a <= 1
        }
        ranked = [row for row in board.rows if row["rank"] is not None]
        assert {row["trial"] for row in ranked} == expected
        for each in {row["protocol"] for row in ranked}:
            group = [row for row in ranked if row["protocol"] == each]
            assert [row["rank"] for row in group] == list(range(1, len(group) + 1))
            accuracies = [row["val_accuracy"] for row in group]
            assert accuracies == sorted(accuracies, reverse=True)


def rung(name: str, tested: float | None, **changes: Any) -> dict[str, Any]:
    """Return a run of a ladder: no validation image, and a test accuracy once it is complete."""
    epochs = changes.get("epochs", 20)
    values = {"sweep": "ladder", "rung": name, "test_accuracy": tested, "config_id": name, "epochs": epochs}
    values["protocol"] = protocol(train=50_000, validation=0, epochs=epochs)
    trial = changes.pop("trial", 0)
    return row(trial, None) | {"key": f"{name}-{trial}", "run_id": f"{name}-{trial}"} | values | changes


class TestLadders:
    def test_rungs_are_ranked_by_test_accuracy_below_rows_with_validation(self) -> None:
        rows = [
            rung("short", 0.55, epochs=10, trial=5),
            rung("long", 0.65, epochs=40, trial=6),
            rung("under way", None, trial=7, status="running"),
            row(1, 0.4),
            row(2, 0.3),
        ]

        board = query_leaderboard(RowReader(*rows))

        assert ranks(board) == [(1, 1), (2, 2), (6, 1), (5, 2), (7, None)]
        assert list(map(str, board.values("protocol")[2:])) == ["10000 test images, 50000 training images"] * 3
        assert board.values("val_accuracy") == [0.4, 0.3, None, None, None]

    def test_a_rung_of_seeds_has_mean_and_interval_of_test_accuracies(self) -> None:
        rows = [rung("one", share, trial=seed, seed=seed) for seed, share in enumerate([0.6, 0.62, 0.64])]

        (found,) = query_leaderboard(RowReader(*rows)).rows

        assert (found["rank"], found["replicates"]) == (1, 3)
        assert found["test_accuracy"] == pytest.approx(0.62)
        assert (found["ci_low"], found["ci_high"]) == pytest.approx((0.62 - 0.0496828, 0.62 + 0.0496828), abs=1e-6)
        assert found["val_std"] is None

    def test_a_rung_of_one_seed_has_wilsons_interval_on_the_test_images(self) -> None:
        (found,) = query_leaderboard(RowReader(rung("one", 0.6388))).rows
        assert (found["ci_low"], found["ci_high"]) == pytest.approx((0.62933, 0.64817), abs=1e-4)

    def test_a_reduced_budget_is_not_ranked_with_the_full_one(self) -> None:
        rows = [rung("full", 0.5), rung("cut", 0.6, reduced="1 of 20 epochs", full_epochs=20, epochs=1, trial=1)]
        assert set(query_leaderboard(RowReader(*rows)).values("rank")) == {1}

    def test_budgets_come_by_their_size_and_each_is_ranked_alone(self) -> None:
        rows = [
            rung(f"{name}-{size}", 0.5, trial=number, protocol=protocol(train=size, validation=0, epochs=20), **cut)
            for number, (name, size, cut) in enumerate(
                (name, size, {"reduced": f"20 of {full} epochs", "full_epochs": full} if full else {})
                for size in (200, 2000, 20_000)
                for name, full in (("half", 40), ("fifth", 100), ("full", None))
            )
        ]

        board = query_leaderboard(RowReader(*rows))

        assert board.values("rung") == [
            f"{name}-{size}" for size in (20_000, 2000, 200) for name in ("full", "half", "fifth")
        ]
        assert set(board.values("rank")) == {1}

    def test_rungs_that_were_scaled_alike_are_ranked_together(self) -> None:
        rows = [
            rung(f"of {full}", 0.5 + full / 100, trial=full, epochs=done, full_epochs=full)
            | {"reduced": f"{done} of {full} epochs"}
            for done, full in ((5, 20), (8, 30), (1, 4))
        ]
        board = query_leaderboard(RowReader(*rows))
        assert ranks(board) == [(30, 1), (20, 2), (4, 3)]
        assert len(set(board.values("protocol"))) == 1

    def test_rungs_without_a_significant_difference_share_a_rank(self) -> None:
        accuracies = {"bn": (0.640, 0.600, 0.625), "deep": (0.610, 0.640, 0.600), "low": (0.400, 0.405, 0.410)}
        accuracies |= {"lower": (0.408, 0.401, 0.399)}
        rows = [
            rung(name, value, trial=10 * index + seed, seed=seed)
            for index, (name, values) in enumerate(accuracies.items())
            for seed, value in enumerate(values)
        ]
        board = query_leaderboard(RowReader(*rows))
        assert [(row["rung"], row["rank"]) for row in board.rows] == [
            ("bn", 1), ("deep", 1), ("low", 3), ("lower", 3),
        ]  # fmt: skip
        text = " ".join(printed(board).split())
        assert "bn and deep share the rank because they do not differ significantly (Welch's t-test" in text

    def test_rungs_of_one_run_share_a_rank_unless_proportions_differ(self) -> None:
        rows = [rung(name, share, trial=n) for n, (name, share) in enumerate([("a", 0.65), ("b", 0.645), ("c", 0.55)])]
        assert ranks(query_leaderboard(RowReader(*rows))) == [(0, 1), (1, 1), (2, 3)]

    def test_a_test_accuracy_does_not_affect_ranks_by_validation_accuracy(self) -> None:
        rows = [row(0, 0.6, test_accuracy=0.5), row(1, 0.55, test_accuracy=0.7)]
        assert ranks(query_leaderboard(RowReader(*rows))) == [(0, 1), (1, 2)]

    def test_the_table_names_the_order_by_test_accuracy(self) -> None:
        text = io.StringIO()
        rows = RowReader(rung("baseline", 0.6388), rung("deep", 0.7, trial=1))
        print_leaderboard(query_leaderboard(rows), Console(file=text, width=100))
        assert "63.88 (62.93–64.82)" in text.getvalue()
        assert "val acc" not in text.getvalue()
        assert "are ordered by test accuracy. Do not select a model by it" in text.getvalue()


class TestIntervals:
    def test_a_single_run_has_wilsons_interval_on_its_validation_images(self) -> None:
        from statsmodels.stats.proportion import proportion_confint

        board = query_leaderboard(RowReader(row(0, 0.61)))
        low, high = proportion_confint(1220, 2000, method="wilson")
        assert board.rows[0]["ci_low"] == pytest.approx(low, abs=1e-12)
        assert board.rows[0]["ci_high"] == pytest.approx(high, abs=1e-12)
        assert board.rows[0]["replicates"] == 1
        assert board.rows[0]["val_std"] is None

    @pytest.mark.parametrize(("accuracy", "low", "high"), [(0.0, 0.0, 0.0019171), (1.0, 0.9980829, 1.0)])
    def test_wilsons_interval_holds_at_the_ends(self, accuracy: float, low: float, high: float) -> None:
        board = query_leaderboard(RowReader(row(0, accuracy)))
        assert board.rows[0]["ci_low"] == pytest.approx(low, abs=1e-7)
        assert board.rows[0]["ci_high"] == pytest.approx(high, abs=1e-7)

    def test_replicates_have_students_interval_of_their_mean(self) -> None:
        rows = [row(seed, accuracy, seed=seed, config_id="c") for seed, accuracy in enumerate((0.70, 0.72, 0.74))]
        rows.append(row(9, 0.1, seed=9, config_id="c", status="pruned"))
        rows.append(row(10, 0.1, seed=9, config_id="c", protocol=protocol(epochs=5)))
        board = query_leaderboard(RowReader(*rows))
        (best,) = [row for row in board.rows if row["rank"] == 1 and row["protocol"] == protocol()]
        # t(0.975, 2) = 4.302653, and the standard error is 0.02 / sqrt(3).
        assert (best["replicates"], best["val_std"]) == (3, pytest.approx(0.02))
        assert best["ci_low"] == pytest.approx(0.72 - 4.302653 * 0.02 / math.sqrt(3), abs=1e-7)
        assert best["ci_high"] == pytest.approx(0.72 + 4.302653 * 0.02 / math.sqrt(3), abs=1e-7)
        each = query_leaderboard(RowReader(*rows), each_run=True)
        (pruned,) = [row for row in each.rows if row["trial"] == 9]
        assert (pruned["replicates"], pruned["ci_low"]) == (None, None)


class TestOrder:
    def test_a_column_sorts_both_ways_with_missing_values_last(self) -> None:
        reader = RowReader(row(0, 0.9, test_accuracy=0.5), row(1, 0.8), row(2, 0.7, test_accuracy=0.6))
        assert query_leaderboard(reader, sort="test_accuracy").values("trial") == [0, 2, 1]
        assert query_leaderboard(reader, sort="-test_accuracy").values("trial") == [2, 0, 1]
        assert query_leaderboard(reader, sort="-test_accuracy", limit=1).values("trial") == [2]

    def test_an_unknown_column_or_a_negative_limit_is_refused(self) -> None:
        with pytest.raises(LeaderboardError, match="did you mean 'val_accuracy'"):
            query_leaderboard(RowReader(row(0, 0.9)), sort="-val_acuracy")
        with pytest.raises(LeaderboardError, match="limit is -1"):
            query_leaderboard(RowReader(row(0, 0.9)), limit=-1)

    @pytest.mark.parametrize(
        ("typed", "column"),
        [
            ("lr", "optimizer.lr"), ("model", "model.name"), ("time", "train_seconds"), ("val acc %", "val_accuracy"),
            ("val_acc", "val_accuracy"), ("runs", "replicates"), ("params", "parameters_millions"),
            ("train_size", "data.train_size"), ("data.train_size", "data.train_size"),
        ],
    )  # fmt: skip
    def test_headings_and_short_names_refer_to_their_columns(self, typed: str, column: str) -> None:
        reader = RowReader(row(0, 0.9, **{"optimizer.lr": 0.1}), row(1, 0.8, **{"optimizer.lr": 0.2}))
        columns = query_leaderboard(reader).columns
        assert column_named(typed, columns) == column

    def test_an_ambiguous_column_name_is_refused_with_the_columns(self) -> None:
        with pytest.raises(LeaderboardError, match=r"is ambiguous: data\.size, model\.size"):
            column_named("size", [*COLUMNS, "data.size", "model.size"])

    def test_an_unknown_column_is_refused_with_at_most_three_suggestions(self) -> None:
        with pytest.raises(LeaderboardError) as refused:
            column_named("val_acuracy", [*COLUMNS, *LAST_COLUMNS])
        assert str(refused.value).count("'") // 2 <= 1 + 3
        assert "did you mean 'val_accuracy'?" in str(refused.value)

    def test_a_filter_without_a_match_reports_the_values_of_its_columns(self) -> None:
        board = query_leaderboard(RowReader(row(0, 0.9), row(1, 0.8)), where="val_accuracy > 60 and status == 'done'")
        assert not board.rows
        remark = "val_accuracy ranges from 0.8 to 0.9 (0.6 means 60 %); status is one of complete"
        assert remark in " ".join(printed(board).split())
        assert query_leaderboard(RowReader(row(0, 0.9))).why_empty is None

    def test_a_column_of_text_and_numbers_sorts(self) -> None:
        reader = RowReader(row(0, 0.9, **{"model.size": "big"}), row(1, 0.8, **{"model.size": 3}))
        assert query_leaderboard(reader, sort="model.size").values("trial") == [1, 0]


class TestOutput:
    def test_csv_is_written_atomically(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        board, path = query_leaderboard(RowReader(row(0, 0.9), row(1, None))), tmp_path / "deep" / "board.csv"
        to_csv(board, path)
        written = pd.read_csv(path)
        assert list(written.columns) == list(board.columns)
        assert written["val_accuracy"].tolist()[0] == 0.9

        def fail(*_: object, **__: object) -> None:
            raise OSError("no space left")

        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="no space left"):
            to_csv(board, path)
        assert len(pd.read_csv(path)) == 2
        assert [file.name for file in path.parent.iterdir()] == ["board.csv"]

    def test_selected_columns_and_query_results_are_parquet_with_the_names_of_trials(self, tmp_path: Path) -> None:
        import pyarrow.parquet

        board = query_leaderboard(RowReader(row(0, 0.9)))
        views = [ColumnsView(board, ["trial", "val_accuracy"]), View(table_of_result(arrow_of(board)))]
        for number, view in enumerate(views):
            view.write("parquet", tmp_path / f"{number}.parquet")
            (found,) = pyarrow.parquet.read_table(tmp_path / f"{number}.parquet").to_pylist()
            assert (found["trial"], found["number"], found["val_accuracy"]) == ("quick-000", 0, 0.9)

    def test_json_has_numbers_as_numbers_and_null_for_missing_values(self) -> None:
        first, second = json.loads(to_json(query_leaderboard(RowReader(row(0, 0.9), row(1, math.inf)))))
        assert (first["rank"], first["val_accuracy"], first["data.validation_size"]) == (1, 0.9, 2000)
        assert (second["rank"], second["val_accuracy"], second["test_accuracy"]) == (None, None, None)

    def test_the_table_fits_100_columns_and_names_hidden_parts(self) -> None:
        rows = [
            row(i, 0.9 - i / 100, **{f"model.field_{n}": i * 1000 + n for n in range(12)}, **{"optimizer.lr": 0.1})
            for i in range(5)
        ]
        text = printed(query_leaderboard(RowReader(*rows, row(5, None, status="pruned"))), limit=3)
        assert max(map(len, text.splitlines()[:4])) <= 100
        assert "\x1b" not in text
        assert "3 of 6 rows hidden" in text
        assert "3 of 5 rows hidden" in printed(query_leaderboard(RowReader(*rows), limit=2))
        assert "columns that do not fit:" in text
        assert "90.00 (88.61–91.24)" in text
        assert "lr" not in text.splitlines()[0].split()

    def test_varying_parameters_come_before_empty_or_equal_columns(self) -> None:
        rows = [row(i, 0.5, **{"optimizer.lr": 0.1 * i, "data.batch_size": 32 * i, "model.width": i}) for i in (1, 2)]
        board = query_leaderboard(RowReader(*rows, *replicates(1, 0.5, 0.51, 0.52)))
        text = printed(board, force_terminal=True, width=80, color_system=None)
        shown = text.splitlines()[0].split()
        assert {"lr", "batch_size", "width"} <= set(shown), text
        assert "search acc %" in text.partition("columns that do not fit: ")[2]

    def test_rungs_without_validation_have_numbers_next_to_a_search(self) -> None:
        board = query_leaderboard(RowReader(row(0, 0.9), row(1, 0.8), rung("deep", 0.7123)))
        text = printed(board, force_terminal=True, width=80)
        assert "71.23" in next(line for line in text.splitlines() if "deep" in line)

    def test_a_screen_of_one_column_does_not_fail(self) -> None:
        text = printed(query_leaderboard(RowReader(row(0, 0.9))), force_terminal=True, width=1, color_system=None)
        assert text.split()[:2] == ["rank", "trial"]

    def test_the_table_of_a_terminal_has_its_unranked_rows_dim(self) -> None:
        board = query_leaderboard(RowReader(row(0, 0.9), row(1, 0.5, status="pruned")))
        text = printed(board, force_terminal=True, width=100, color_system="standard")
        (line,) = [line for line in text.splitlines() if "pruned" in line]
        assert "\x1b[2m" in line

    @pytest.mark.parametrize("width", [80, 100, 120])
    def test_a_terminal_truncates_no_name_and_no_outcome(self, width: int) -> None:
        values = {"model.name": "resnet", "data.normalization": "imagenet", "data.augmentation": "pad-flip-gray-crop"}
        rows = [row(i, 0.5 + i / 100, **values, **{"optimizer.lr": 0.1 * i}) for i in range(3)]
        text = printed(
            query_leaderboard(RowReader(*rows, row(3, 0.2, status="diverged"))), force_terminal=True, width=width
        )
        assert "…" not in text
        assert max(map(len, Text.from_ansi(text).plain.splitlines()[:5])) <= width
        assert all(word in text for word in ("quick-000", "complete", "diverged", "52.00 (49.81–54.18)"))

    def test_an_empty_leaderboard_has_a_remark(self) -> None:
        assert "no run is recorded yet" in printed(query_leaderboard(RowReader()))

    def test_parameters_that_follow_from_the_model_have_no_column(self) -> None:
        rows = [
            row(0, 0.9, **{"model.name": "vgg", "model.width": 64, "optimizer.lr": 0.1}),
            row(1, 0.8, **{"model.name": "simple", "model.width": 32, "optimizer.lr": 0.2}),
        ]
        header = printed(query_leaderboard(RowReader(*rows))).splitlines()[0].split()
        assert {"model", "lr"} <= set(header)
        assert "width" not in header


def printed(board: Table, *, limit: int | None = None, **console: Any) -> str:
    output = io.StringIO()
    print_leaderboard(board, Console(file=output, **console), limit=limit)
    return output.getvalue()


@pytest.mark.parametrize(
    ("accuracy", "confusion", "did_not_learn"),
    [
        (0.105, None, 1),
        (0.6, None, 0),
        (0.6, tuple((200,) + (0,) * 9 for _ in range(10)), 1),
        (0.13, tuple((30,) * 10 if k else (60,) * 10 for k in range(10)), 1),
    ],
)
def test_a_recorded_run_at_chance_or_of_one_answer_did_not_learn(
    accuracy: float, confusion: Confusion | None, did_not_learn: int
) -> None:
    record = _record(0, width=8, accuracy=accuracy)
    record = replace(record, epochs=(*record.epochs[:-1], replace(record.epochs[-1], val_confusion=confusion)))
    run = RecordedRun(
        run_id="r",
        name="r",
        status="FINISHED",
        start_ms=0,
        end_ms=None,
        tags=tags_of(record),
        params=params_of(record.config.resolved()),
        metrics={"val_accuracy": accuracy},
    )
    (trial,), _ = parse_runs([run])
    assert row_of(trial)["did_not_learn"] == did_not_learn
    assert learned(record) is not bool(did_not_learn), "the search uses the same criterion"
    # A test accuracy that is measured after the search does not change it.
    (finalized,), _ = parse_runs(
        [replace(run, metrics=run.metrics | {"test_accuracy": 0.1 if accuracy > 0.5 else 0.9})]
    )
    assert row_of(finalized)["did_not_learn"] == did_not_learn


@pytest.mark.parametrize(
    ("tags", "did_not_learn"), [({}, None), ({"rung": "a", "rung_index": "0", "measured_on": "test"}, 1)]
)
def test_only_a_rung_without_validation_images_is_judged_by_the_test_images(
    tags: dict[str, str], did_not_learn: int | None
) -> None:
    record = _record(0, width=8, accuracy=0.5)
    run = RecordedRun(
        run_id="r", name="r", status="FINISHED", start_ms=0, end_ms=None, tags=tags_of(record) | tags,
        params=params_of(record.config.resolved()), metrics={"train_loss": 1.0, "test_accuracy": 0.1},
    )  # fmt: skip
    (trial,), _ = parse_runs([run])
    assert row_of(trial)["did_not_learn"] == did_not_learn


def test_a_recorded_sweep_reads_as_a_board_with_numbers_as_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with Tracker(
        RecordedStudy(sweep="quick", name="quick-1f"), runs=tmp_path, environment={"git_sha": "abc"}
    ) as tracker:
        for number, (width, accuracy) in enumerate([(8, 0.7), (16, 0.8), (100, 0.6)]):
            tracker.write(_record(number, width=width, accuracy=accuracy))
    reader = MlflowReader(tmp_path)
    board = query_leaderboard(reader)
    columns = list(board.columns)
    assert tuple(columns[: len(COLUMNS)]) == COLUMNS
    assert tuple(columns[-len(LAST_COLUMNS) :]) == LAST_COLUMNS
    assert columns[len(COLUMNS) : len(COLUMNS) + 2] == ["model.name", "model.width"]
    assert board.values("model.width") == [16, 8, 100]
    assert query_leaderboard(reader, where="model.width > 8 and optimizer.lr < 0.5").values("trial") == [1, 2]
    best = board.rows[0]
    assert (best["rank"], best["status"], best["epochs"], best["git_sha"]) == (1, "complete", 2, "abc")
    # The last epoch's, not the best one's.
    assert (best["val_accuracy"], best["best_val_accuracy"]) == (0.8, 0.9)
    assert (best["train_seconds"], best["started"]) == (3.0, "2027-01-15T08:00:00Z")


def _record(number: int, *, width: int, accuracy: float) -> TrialRecord:
    config = TrainingConfig.model_validate(
        {"model": {"name": "resnet", "width": width}, "data": {"validation_size": 2000}, "epochs": 2}
    )
    epochs = tuple(
        EpochResult(
            epoch=epoch,
            seconds=1.5,
            finished_at=1_800_000_000.0 + epoch,
            metrics={
                "train_loss": 1.0,
                "train_accuracy": 0.5,
                "val_loss": 1.0,
                "val_accuracy": value,
                "learning_rate": 0.1,
                "images_per_second": 900.0,
            },
        )
        for epoch, value in ((1, 0.9), (2, accuracy))
    )
    return TrialRecord(
        sweep="quick",
        study="quick-1f",
        number=number,
        key=f"{number:016x}",
        config_id=config.config_id(),
        config=config,
        outcome=Outcome.COMPLETE,
        epochs=epochs,
        started=1_800_000_000.0,
        finished=1_800_000_003.0,
    )


def test_a_heading_that_is_also_an_alias_refers_to_its_column() -> None:
    assert column_named("sd", ["val_accuracy", "val_std"]) == "val_std"
