"""Comparisons of rungs: the statistics against statsmodels and published values, and the verdict of every case."""

from __future__ import annotations

import gc
import math
import re
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp, ttest_ind
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

from cifar_core.config import TrainingConfig
from sweeps.analysis.comparison import Finding, RungComparison, by_protocol, compare_rungs, indistinguishable_from_first
from sweeps.analysis.rungs import RungRun, RungRuns, budgets_of, read_rungs
from sweeps.analysis.statistics import (
    Spread,
    discordant_interval,
    holm,
    mcnemar,
    moderated,
    paired_t_interval,
    paired_t_test,
    spread_of,
    welch_test,
)
from sweeps.core.identity import Protocol
from sweeps.core.results import EpochResult
from sweeps.files.budget import Budget, BudgetRange
from sweeps.files.yaml_file import set_path
from sweeps.record.table import Table, table_of
from sweeps.views.ladder_cells import cells_of


@pytest.fixture(autouse=True, scope="module")
def _cheap_collection() -> Iterator[None]:
    """statsmodels collects garbage at every call: half a second with all that the other tests have imported."""
    gc.freeze()
    yield
    gc.unfreeze()


RECIPE_VERDICT = re.compile(r"significant at the|no significant difference")


def run_of(correct: Sequence[int] | np.ndarray, *, seed: int = 0, status: str = "complete") -> RungRun:
    answers = np.array(correct, dtype=bool)
    return RungRun(
        seed=seed,
        run_id=f"run{seed}",
        status=status,
        value=float(answers.mean()),
        correct=answers,
        parameters_millions=0.5,
        train_seconds=100.0 + seed,
        images_per_second=1000.0,
    )


def right(count: int, *, of: int = 1000, seed: int = 0) -> RungRun:
    return run_of(np.arange(of) < count, seed=seed)


def rung(name: str, *runs: RungRun, parent: str | None = None, reduced: str | None = None) -> RungRuns:
    return RungRuns(name=name, index=0, parent=parent, change="", reduced=reduced, runs=runs)


def step(parent: Sequence[RungRun], child: Sequence[RungRun]) -> RungComparison:
    return compare_rungs([rung("before", *parent), rung("after", *child, parent="before")])[1]


def seeds(*counts: int, of: int = 1000) -> list[RungRun]:
    return [right(count, of=of, seed=seed) for seed, count in enumerate(counts)]


class TestStatistics:
    @pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (5, 5), (3, 14), (40, 80), (900, 700), (2000, 100)])
    def test_mcnemar_is_the_exact_one(self, first: int, second: int) -> None:
        expected = reference_mcnemar([[10, first], [second, 10]], exact=True).pvalue if first + second else 1.0
        assert mcnemar(first, only_second=second) == pytest.approx(expected, rel=1e-9)

    def test_mcnemar_against_a_value_computed_manually(self) -> None:
        # 5 discordant pairs, all one way: 2 × (1/2)^5
        assert mcnemar(5, only_second=0) == pytest.approx(0.0625)

    def test_the_interval_of_discordant_images_is_clopper_and_pearsons(self) -> None:
        low, high = proportion_confint(14, 17, alpha=0.05, method="beta")
        found = discordant_interval(14, only_second=3, images=100, alpha=0.05)
        assert found == pytest.approx(((2 * low - 1) * 17 / 100, (2 * high - 1) * 17 / 100))
        assert discordant_interval(0, only_second=0, images=100, alpha=0.05) is None

    @given(st.integers(0, 60), st.integers(0, 60), st.sampled_from([0.05, 0.025, 0.01, 0.05 / 7]))
    @settings(max_examples=80, deadline=None)
    def test_it_excludes_0_exactly_where_mcnemar_rejects(self, first: int, second: int, alpha: float) -> None:
        ends = discordant_interval(first, only_second=second, images=100, alpha=alpha)
        excludes = ends is not None and (ends[0] > 1e-12 or ends[1] < -1e-12)
        assert excludes == (mcnemar(first, only_second=second) <= alpha)

    @given(st.lists(st.floats(min_value=0, max_value=1), min_size=1, max_size=20))
    @settings(max_examples=60, deadline=None)
    def test_holm_is_its_definition_and_never_below_the_raw_p(self, p_values: list[float]) -> None:
        adjusted, count = holm(p_values), len(p_values)
        ranked = sorted(p_values)
        for p_value, found in zip(p_values, adjusted, strict=True):
            expected = max((count - rank) * other for rank, other in enumerate(ranked) if other <= p_value)
            assert found == pytest.approx(min(1.0, expected))
        assert all(high >= low for high, low in zip(adjusted, p_values, strict=True))

    def test_holm_of_nothing_is_nothing(self) -> None:
        assert holm([]) == []

    @given(
        st.lists(st.integers(0, 1000), min_size=2, max_size=6), st.lists(st.integers(0, 1000), min_size=2, max_size=6)
    )
    @settings(max_examples=60, deadline=None)
    def test_welchs_test_is_scipys(self, ours: list[int], theirs: list[int]) -> None:
        found = welch_test(ours, theirs)
        if len(set(ours)) == len(set(theirs)) == 1:
            assert found == 1.0
        else:
            assert found == pytest.approx(ttest_ind(ours, theirs, equal_var=False).pvalue, rel=1e-9)

    def test_welchs_test_of_a_single_value_rejects_nothing(self) -> None:
        assert welch_test([0.9], [0.1, 0.2]) == welch_test([0.1, 0.2], [0.9]) == 1.0

    def test_one_run_has_the_wilson_interval_of_its_images(self) -> None:
        gain = compare_rungs([rung("only", right(639))])[0]
        assert (gain.ci_low, gain.ci_high) == pytest.approx(proportion_confint(639, 1000, method="wilson"))
        assert gain.ci_kind == "Wilson, one run"

    def test_seeds_have_the_t_interval_of_their_mean(self) -> None:
        gain = compare_rungs([rung("only", *seeds(639, 651, 630))])[0]
        expected = DescrStatsW([0.639, 0.651, 0.630]).tconfint_mean()
        assert (gain.ci_low, gain.ci_high) == pytest.approx(expected)
        assert gain.value == pytest.approx(0.64)
        assert gain.ci_kind == "t, 3 seeds"

    def test_moderated_variances_are_those_of_smyths_method_with_its_limit(self) -> None:
        # Computed manually from the same formulas, with Newton's method for the inverse trigamma function: the prior
        # has 2.65 degrees of freedom, more than the 2 of three seeds, so that 2 count: it is the geometric mean.
        deviations = [0.77, 0.92, 1.18, 1.21, 1.04, 1.66, 0.34, 0.60, 1.29, 2.35, 0.95, 2.45, 10.72]
        spreads = [Spread(deviation**2, 2) for deviation in deviations]
        typical = statistics.geometric_mean(each.variance for each in spreads)

        found = moderated(spreads)

        for each, own in zip(found, spreads, strict=True):
            assert each.degrees == 4
            assert each.variance == pytest.approx((own.variance + typical) / 2)

    def test_variances_that_differ_by_chance_become_nearly_equal(self) -> None:
        found = moderated([Spread(variance, 2) for variance in (1.0, 1.1, 0.9, 1.05)])
        assert max(each.variance for each in found) / min(each.variance for each in found) < 1.15

    @given(st.lists(st.floats(1e-6, 1e3), min_size=2, max_size=30), st.integers(1, 9))
    @settings(max_examples=60, deadline=None)
    def test_a_moderated_variance_is_between_its_sample_variance_and_the_prior(
        self, variances: list[float], degrees: int
    ) -> None:
        found = moderated([Spread(variance, degrees) for variance in variances])

        assert all(degrees < each.degrees <= 2 * degrees for each in found)
        # All shrink towards one value and never past it, so the order stays.
        order = sorted(range(len(variances)), key=lambda index: variances[index])
        assert all(found[a].variance <= found[b].variance * (1 + 1e-9) for a, b in pairwise(order))
        assert all(math.isfinite(each.variance) and each.variance > 0 for each in found)

    @given(st.lists(st.integers(0, 1000), min_size=3, max_size=6), st.sampled_from([0.05, 0.01, 0.05 / 13]))
    @settings(max_examples=60, deadline=None)
    def test_the_paired_t_is_scipys_and_rejecting_intervals_exclude_0(self, values: list[int], alpha: float) -> None:
        assume(len(set(values)) > 1)
        spread = spread_of(values)
        reference = ttest_1samp(values, 0)
        assert paired_t_test(values, spread) == pytest.approx(reference.pvalue, rel=1e-9)
        low, high = paired_t_interval(values, spread, alpha=alpha)
        ends = reference.confidence_interval(1 - alpha)
        assert (low, high) == pytest.approx((ends.low, ends.high), rel=1e-9)
        assert (low > 0 or high < 0) == (paired_t_test(values, spread) <= alpha)

    def test_variances_are_moderated_from_eight_steps_on(self) -> None:
        def last(steps: int) -> RungComparison:
            rungs = [rung("0", *seeds(600, 610, 605))]
            for index in range(1, steps + 1):
                level = 20 * index
                counts = (600 + level, 612 + level, 603 + level + index)
                rungs.append(rung(str(index), *seeds(*counts), parent=str(index - 1)))
            return compare_rungs(rungs)[-1]

        assert last(7).test == "paired t over 3 seeds"
        assert last(8).test == "moderated t over 3 seeds"
        assert last(8).finding is Finding.BETTER

    def test_an_interval_ends_where_accuracies_end(self) -> None:
        gain = compare_rungs([rung("only", *seeds(900, 999))])[0]
        assert gain.ci_high == 1.0

    def test_recipes_are_compared_by_the_paired_t(self) -> None:
        # Computed manually: differences 40, 42, 47 of 1000: mean 4.3 points, standard error 0.20817, t = 20.66.
        gain = step(seeds(600, 610, 605), seeds(640, 652, 652))
        assert gain.difference == pytest.approx(4.3)
        assert gain.p_value == pytest.approx(0.002335, rel=1e-3)
        assert (gain.difference_low, gain.difference_high) == pytest.approx(
            DescrStatsW([4.0, 4.2, 4.7]).tconfint_mean()
        )

    @given(
        st.lists(st.tuples(st.integers(-40, 40), st.lists(st.integers(-30, 30), min_size=3, max_size=4)), max_size=6),
        st.lists(st.integers(-40, 40), max_size=4),
    )
    @settings(max_examples=40, deadline=None)
    def test_an_interval_excludes_0_exactly_if_the_difference_is_significant(
        self, recipes: list[tuple[int, list[int]]], networks: list[int]
    ) -> None:
        ladder = [rung("base", *seeds(500, 500, 500, 500))]
        for index, (shift, spread) in enumerate(recipes):
            ladder.append(rung(f"recipe-{index}", *seeds(*(500 + shift + each for each in spread)), parent="base"))
        ladder += [rung(f"net-{index}", right(500 + shift), parent="base") for index, shift in enumerate(networks)]
        for each in compare_rungs(ladder):
            if each.difference_low is None or each.difference_high is None:
                assert each.finding not in (Finding.BETTER, Finding.WORSE)
                continue
            excludes = each.difference_low > 1e-9 or each.difference_high < -1e-9
            assert excludes == (each.finding in (Finding.BETTER, Finding.WORSE))
            assert (each.p_holm is not None and each.p_holm <= 0.05) == excludes

    def test_holm_counts_runs_and_recipes_and_budgets_apart(self) -> None:
        ladder = [
            rung("a", *seeds(600, 610, 605)),
            rung("b", *seeds(640, 652, 652), parent="a"),
            rung("one", right(605)),
            rung("c", right(700), parent="one"),
            rung("d", right(610), parent="one"),
            rung("a", right(500), reduced="epochs × 0.1"),
            rung("b", right(520), parent="a", reduced="epochs × 0.1"),
        ]
        _, b, _, c, d, _, cut = compare_rungs(ladder)
        assert (b.p_value, cut.p_value) == (b.p_holm, cut.p_holm)
        assert [c.p_holm, d.p_holm] == pytest.approx(holm([c.p_value or 0, d.p_value or 0]))

    def test_costs_are_means_over_the_runs(self) -> None:
        gain = compare_rungs([rung("only", *seeds(1, 2, 3))])[0]
        assert (gain.parameters_millions, gain.train_seconds, gain.images_per_second) == (0.5, 101.0, 1000.0)


answers = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


class TestProperties:
    @given(answers)
    @settings(max_examples=60, deadline=None)
    def test_runs(self, pairs: list[tuple[bool, bool]]) -> None:
        before, after = (run_of(np.array(side)) for side in zip(*pairs, strict=True))
        there, back = step([before], [after]), step([after], [before])
        assert there.difference is not None
        assert back.difference == pytest.approx(-there.difference)
        if there.difference_low is None or there.difference_high is None:
            assert all(one == other for one, other in pairs)
            return
        assert there.difference_low - 1e-9 <= there.difference <= there.difference_high + 1e-9
        assert there.difference_low >= -100 - 1e-9
        assert there.difference_high <= 100 + 1e-9
        assert back.difference_low == pytest.approx(-there.difference_high, abs=1e-9)
        assert back.p_value == pytest.approx(there.p_value)
        assert not RECIPE_VERDICT.search(there.verdict)
        assert there.ci_low is not None
        assert there.ci_high is not None
        assert there.value is not None
        assert there.ci_low - 1e-9 <= there.value <= there.ci_high + 1e-9

    @given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=1, max_size=6))
    @settings(max_examples=60, deadline=None)
    def test_seeds(self, counts: list[tuple[int, int]]) -> None:
        before, after = (seeds(*side) for side in zip(*counts, strict=True))
        gain = step(before, after)
        if 1 < len(counts) < 3:
            assert len(gain.by_seed) == len(counts)
            assert (gain.difference, gain.p_value, gain.test, gain.finding) == (None, None, None, Finding.NOT_COMPARED)
            assert not RECIPE_VERDICT.search(gain.verdict)
            return
        assert gain.difference is not None
        if gain.difference_low is not None and gain.difference_high is not None:
            assert gain.difference_low - 1e-9 <= gain.difference <= gain.difference_high + 1e-9
        assert (gain.p_holm or 0) >= (gain.p_value or 0)
        if len(counts) < 3:
            assert not RECIPE_VERDICT.search(gain.verdict)
            assert "two runs" in gain.verdict
        else:
            assert "two runs" not in gain.verdict


class TestVerdicts:
    def test_two_runs_that_differ(self) -> None:
        gain = step([right(639)], [right(680)])
        assert gain.verdict == "these two runs differ significantly (+4.10 points)"
        assert (gain.finding, gain.test) == (Finding.BETTER, "McNemar, one run each")

    def test_two_runs_that_do_not(self) -> None:
        gain = step([right(639)], [right(641)])
        assert gain.verdict == "these two runs do not differ significantly (+0.20 points)"
        assert gain.finding is Finding.NOT_SIGNIFICANT

    def test_a_lower_accuracy_is_reported_as_lower(self) -> None:
        gain = step([right(680)], [right(639)])
        assert (gain.verdict, gain.finding) == ("these two runs differ significantly (-4.10 points)", Finding.WORSE)

    def test_identical_answers(self) -> None:
        gain = step([right(639)], [right(639)])
        assert gain.verdict == "these two runs are correct on exactly the same images"
        assert cells_of(gain)["difference"] == "+0.00"

    def test_a_recipe_that_is_better(self) -> None:
        gain = step(seeds(600, 610, 605), seeds(640, 652, 652))
        assert (gain.verdict, gain.test) == ("+4.30 points, significant at the 5 % level", "paired t over 3 seeds")

    def test_recipes_without_a_significant_difference(self) -> None:
        gain = step(seeds(600, 610, 605), seeds(640, 600, 611))
        assert gain.verdict == "no significant difference (+1.20 points)"

    def test_the_same_difference_in_every_seed_is_not_tested(self) -> None:
        gain = step(seeds(600, 610, 605), seeds(640, 650, 645))
        assert gain.verdict == "no significance test: all seeds have the same difference (+4.00 points)"
        assert (gain.p_value, gain.test, gain.difference_low) == (None, None, None)

    def test_below_three_common_seeds_each_difference_is_shown_and_nothing_is_tested(self) -> None:
        gain = step(seeds(600, 610), seeds(607, 570))
        assert gain.verdict == (
            "no significance test (1 more common seed needed); seed 0 +0.70 points; seed 1 -4.00 points"
        )
        assert gain.by_seed == pytest.approx((0.7, -4.0))
        assert (gain.difference, gain.difference_low, gain.p_value, gain.p_holm, gain.test) == (None,) * 5
        assert gain.finding is Finding.NOT_COMPARED

    def test_only_some_seeds_in_common(self) -> None:
        gain = step(seeds(600, 610, 605, 600), seeds(640, 652, 652))
        assert gain.verdict == "+4.30 points, significant at the 5 % level (3 common seeds of 4)"

    def test_no_seed_in_common(self) -> None:
        gain = step([right(600, seed=0)], [right(640, seed=7)])
        assert gain.verdict == "these two runs (seeds 7 and 0) differ significantly (+4.00 points)"

    def test_start_missing_parent_and_no_result(self) -> None:
        failed = RungRun(seed=0, run_id="x", status="failed")
        ladder = [
            rung("a", right(600)),
            rung("b", failed, parent="a"),
            rung("c", right(600), parent="b"),
            rung("d", right(600), parent="nowhere"),
        ]
        assert [gain.verdict for gain in compare_rungs(ladder)] == [
            "first rung (reference)",
            "no result: failed",
            "not compared: b has no result (failed)",
            "not compared: nowhere is not recorded",
        ]

    def test_a_comparison_names_its_rung_and_budget(self) -> None:
        ladder = [rung("a", right(600), reduced="2 of 20 epochs"), rung("b", parent="a", reduced="2 of 20 epochs")]
        assert [(each.rung, each.parent, each.reduced, each.seeds) for each in compare_rungs(ladder)] == [
            ("a", None, "2 of 20 epochs", 1), ("b", "a", "2 of 20 epochs", 0),
        ]  # fmt: skip

    def test_a_rung_without_a_result_has_no_interval(self) -> None:
        (alone,) = compare_rungs([rung("a")])
        assert (alone.verdict, alone.ci_low, alone.ci_high, alone.ci_kind) == ("no result: not run", None, None, "")

    def test_the_full_recipe_of_an_ablation_is_the_reference(self) -> None:
        assert compare_rungs([rung("whole", right(600))])[0].verdict == "full recipe (reference)"

    def test_a_parent_under_another_budget_is_reported(self) -> None:
        ladder = [
            rung("a", right(600)),
            rung("b", right(600), parent="a"),
            rung("b", right(1), parent="c", reduced="x"),
        ]
        ladder.append(rung("c", right(600)))
        assert compare_rungs(ladder)[2].verdict == "not compared: different budgets"

    @pytest.mark.parametrize(("before", "after"), [((600,), (640, 650)), ((600, 610), (640,))])
    def test_one_run_is_not_tested_against_one_of_several(
        self, before: tuple[int, ...], after: tuple[int, ...]
    ) -> None:
        gain = step(seeds(*before), seeds(*after))
        assert gain.verdict == "no significance test (2 more common seeds needed); seed 0 +4.00 points"
        assert gain.p_value is None

    def test_one_finished_run_of_several_is_not_tested_as_the_only_one(self) -> None:
        still = RungRun(seed=1, run_id="x", status="running")
        assert step([right(600), still], [right(640)]).test is None
        assert step([right(600)], [right(640), still]).test is None

    def test_without_a_common_seed_nothing_is_compared(self) -> None:
        before, after = [right(100, seed=0), right(600, seed=1)], [right(640, seed=2), right(900, seed=3)]
        assert step(before, after).verdict == "not compared: 3 more common seeds needed"

    def test_a_recipe_without_a_correct_image_is_compared_too(self) -> None:
        gain = step(seeds(0, 0, 0), seeds(10, 12, 17))
        assert gain.difference == pytest.approx(1.3)
        assert step(seeds(10, 12, 17), seeds(0, 0, 0)).difference == pytest.approx(-1.3)
        nothing = step([replace(right(0), correct=None)], [replace(right(0), correct=None)])
        assert nothing.by_seed == (0,)

    def test_full_and_reduced_are_not_compared(self) -> None:
        gain = compare_rungs([rung("a", right(600), reduced="epochs × 0.1"), rung("b", right(640), parent="a")])[1]
        assert (gain.verdict, gain.difference) == ("not compared: different budgets", None)

    def test_predictions_that_are_not_recorded(self) -> None:
        gain = step([replace(right(600), correct=None)], [replace(right(640), correct=None)])
        assert gain.verdict == "no significance test (2 more common seeds needed); seed 0 +4.00 points"
        assert (gain.ci_low, gain.finding) == (None, Finding.NOT_COMPARED)
        assert gain.ci_kind == "none: predictions per image are not recorded"

    def test_other_test_images(self) -> None:
        gain = step([right(600)], [right(640, of=2000)])
        assert (gain.verdict, gain.difference) == ("not compared: evaluated on different images", None)

    def test_without_predictions_two_seeds_are_reported_one_by_one(self) -> None:
        ours, theirs = ([replace(run, correct=None) for run in seeds(*counts)] for counts in ((640, 650), (600, 630)))
        assert step(theirs, ours).by_seed == pytest.approx((4.0, 2.0))
        assert step(theirs[:1], ours[1:]).verdict == "not compared: 3 more common seeds needed"

    def test_holm_decides_not_the_raw_p(self) -> None:
        # 11 of 13 discordant: p = 0.0225, and 0.0899 among four such comparisons
        base = run_of([1] * 2 + [0] * 98)
        child = run_of([0] * 2 + [1] * 11 + [0] * 87)
        alone = step([base], [child])
        among = compare_rungs([rung("a", base), *(rung(name, child, parent="a") for name in "bcde")])[1]
        assert alone.verdict == "these two runs differ significantly (+9.00 points)"
        assert among.verdict == "these two runs do not differ significantly (+9.00 points)"

    def test_a_small_p_value_is_written_as_below_a_thousandth(self) -> None:
        gain = step([right(1000, of=10_000)], [right(9000, of=10_000)])
        assert (cells_of(gain)["p_value"], cells_of(gain)["p_holm"]) == ("< 0.001", "< 0.001")


def row(rung: str, *, seed: int = 0, accuracy: float | None = 0.5, **values: Any) -> dict[str, Any]:
    return {
        "rung": rung,
        "seed": seed,
        "run_id": f"{rung}-{seed}",
        "status": "complete",
        "test_accuracy": accuracy,
        "rung_index": 0,
        "measured_on": "test",
        "config_id": f"{rung}",
        "key": f"{rung}-{seed}",
        "trial": 0,
        "started": "2026-01-01T00:00:00Z",
        "data.batch_size": 64,
        **values,
    }


class FakeReader:
    """A record in memory."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        self._rows = rows

    @property
    def location(self) -> str:
        return "memory"

    def sweeps(self) -> set[str]:
        return {row["sweep"] for row in self._rows}

    def runs(self, *, sweep: str | None = None) -> Table:
        return table_of(self._rows)

    def configuration(self, run_id: str) -> TrainingConfig:
        (found,) = (row for row in self._rows if row["run_id"] == run_id)
        tree: dict[str, Any] = {}
        for name, value in found.items():
            if "." in name:
                set_path(tree, name, value)
        return TrainingConfig.model_validate(tree)

    def curve(self, run_id: str) -> list[EpochResult]:
        values = {"train_loss": 1.0, "train_accuracy": 0.5, "val_loss": None, "val_accuracy": None}
        rest = {"learning_rate": 0.01, "seconds": 1.0, "images_per_second": 10.0, "finished_at": 0.0}
        return [EpochResult.from_dict({"epoch": 1, "val_confusion": None, **values, **rest})]

    def correctness(self, run_id: str) -> np.ndarray | None:
        return np.arange(100) < 50


def cut_rung(name: str, budget: Budget, *, parent: str | None = None, right_: int = 600, **config: Any) -> RungRuns:
    """Return a rung of three seeds as it runs under a budget."""
    full = TrainingConfig.model_validate(config)
    cut, reduced = budget.apply(full), budget.reduced(full)
    epochs, train_images = budget.full(full)
    ranges = BudgetRange(
        epochs=cut.epochs,
        full_epochs=epochs or cut.epochs,
        train_size=cut.train_images(),
        is_cut_to_size=train_images is not None,
    )
    runs = seeds(right_, right_ + 11, right_ + 5)
    return RungRuns(name=name, index=0, parent=parent, change="", reduced=reduced, budget=ranges, runs=tuple(runs))


class TestBudgets:
    @pytest.mark.parametrize("scale", [0.1, 0.25, 0.3, 0.4, 0.5, 1.0])
    @pytest.mark.parametrize("train_size", [None, 2000])
    def test_a_step_that_changes_epochs_is_compared_as_both_were_scaled_alike(
        self, scale: float, train_size: int | None
    ) -> None:
        budget = Budget(epochs_scale=scale, train_size=train_size)
        ladder = [
            cut_rung("long", budget, epochs=20),
            *(
                cut_rung(f"e{epochs}", budget, parent="long", right_=640, epochs=epochs)
                for epochs in (1, 7, 10, 30, 40)
            ),
        ]
        for step in compare_rungs(ladder)[1:]:
            assert step.difference == pytest.approx(4.0)

    def test_a_step_in_size_is_compared_where_one_was_cut(self) -> None:
        budget = Budget(train_size=2000)
        small = cut_rung("small", budget, data={"train_size": 1000})
        large = cut_rung("large", budget, parent="small", right_=640, data={"train_size": 5000})
        assert (small.reduced, large.reduced) == (None, "2,000 training images")
        assert compare_rungs([small, large])[1].difference == pytest.approx(4.0)

    @pytest.mark.parametrize(
        "other",
        [Budget(), Budget(epochs_scale=0.5), Budget(epochs_scale=0.25, train_size=500), Budget(epochs_scale=0.1)],
    )
    def test_rungs_that_were_not_scaled_alike_are_not_compared(self, other: Budget) -> None:
        before = cut_rung("a", other, epochs=20)
        after = cut_rung("b", Budget(epochs_scale=0.25), parent="a", epochs=40)
        assert compare_rungs([before, after])[1].verdict == "not compared: different budgets"

    def test_of_two_budgets_of_a_parent_the_nearest_is_taken(self) -> None:
        near, far = (cut_rung("a", Budget(epochs_scale=scale), epochs=8) for scale in (0.25, 0.4))
        child = cut_rung("b", Budget(epochs_scale=0.25), parent="a", epochs=4)
        assert child.find_parent([far, near]) is near
        assert child.find_parent([near, far]) is near

    def test_budgets_are_numbered_and_one_rung_stands_under_each_once(self) -> None:
        ladder = [
            cut_rung("a", Budget(), epochs=20),
            *(cut_rung(name, Budget(epochs_scale=scale), epochs=epochs)
              for scale in (0.25, 0.3) for name, epochs in (("a", 20), ("b", 100))),
        ]  # fmt: skip
        assert budgets_of(ladder) == [0, 1, 1, 2, 2]

    def test_holm_counts_all_steps_of_one_budget_whatever_their_epochs(self) -> None:
        budget = Budget(epochs_scale=0.25)
        first = cut_rung("a", budget, epochs=20)
        steps = [
            replace(cut_rung(f"b{epochs}", budget, parent="a", epochs=epochs), runs=tuple(seeds(640, 652, 640)))
            for epochs in (20, 40)
        ]
        _, *found = compare_rungs([first, *steps])
        assert [each.p_holm for each in found] == pytest.approx([2 * (each.p_value or 0) for each in found])


class TestDidNotLearn:
    def test_a_rung_at_chance_is_marked_and_not_compared(self) -> None:
        lost = [replace(run, did_not_learn=True) for run in seeds(100, 104, 101)]
        ladder = [
            rung("a", *seeds(600, 610, 605)),
            rung("lost", *lost, parent="a"),
            rung("next", *seeds(640, 652, 652), parent="lost"),
            rung("lost too", *lost, parent="lost"),
        ]
        found = compare_rungs(ladder)
        assert [each.verdict.partition(":")[0] for each in found[1:]] == [
            "did not learn",
            "not compared",
            "did not learn",
        ]
        assert found[2].verdict == "not compared: lost did not learn"
        assert [each.status for each in found] == ["complete", "3 did not learn", "complete", "3 did not learn"]
        assert all((each.difference, each.p_value, each.test, each.before) == (None,) * 4 for each in found[1:])
        assert found[1].value == pytest.approx(0.10166, abs=1e-4)
        assert [each.rung for each in by_protocol(found)[0]] == ["next", "a"]

    def test_a_seed_that_did_not_learn_enters_neither_mean_nor_difference(self) -> None:
        after = [*seeds(640, 652, 652), replace(right(100, seed=3), did_not_learn=True)]
        gain = step(seeds(600, 610, 605, 600), after)
        assert gain.difference == pytest.approx(4.3)
        assert gain.value == pytest.approx(0.648)
        assert (gain.seeds, gain.status) == (3, "3 complete, 1 did not learn")

    def test_single_runs_are_not_compared_by_their_images_either(self) -> None:
        assert step([right(600)], [replace(right(104), did_not_learn=True)]).p_value is None
        assert step([replace(right(100), did_not_learn=True)], [right(104)]).p_value is None

    def test_it_is_read_from_the_record(self) -> None:
        (rung,) = read_rungs(FakeReader(row("a", accuracy=0.1, did_not_learn=1)), sweep="ladder")
        assert (rung.status, rung.measured) == ("did not learn", ())


class TestHighest:
    def test_the_highest_is_of_the_protocol_of_most_rungs(self) -> None:
        budget = Budget(epochs_scale=0.25)
        ladder = [
            cut_rung("full", Budget(), right_=900),
            *(cut_rung(f"cut{n}", budget, right_=600 + 40 * n) for n in range(3)),
            cut_rung("fewer", budget, right_=800, data={"train_size": 500}),
        ]
        groups = by_protocol(compare_rungs(ladder))
        assert [[each.rung for each in group] for group in groups] == [["cut2", "cut1", "cut0"], ["full"], ["fewer"]]
        assert indistinguishable_from_first(groups[0]) == []

    def test_rungs_that_do_not_differ_significantly_from_the_highest_are_named(self) -> None:
        ladder = [rung("a", *seeds(640, 600, 620)), rung("b", *seeds(600, 630, 640)), rung("c", *seeds(500, 505, 510))]
        ((first, *_),) = groups = by_protocol(compare_rungs(ladder))
        assert (first.rung, [each.rung for each in indistinguishable_from_first(groups[0])]) == ("b", ["a"])

    def test_single_runs_are_compared_by_a_test_of_proportions(self) -> None:
        ladder = [rung("a", right(640)), rung("b", right(630)), rung("c", right(500))]
        (group,) = by_protocol(compare_rungs(ladder))
        assert [each.rung for each in indistinguishable_from_first(group)] == ["b"]

    def test_the_standard_error_is_known_over_seeds_and_of_one_run(self) -> None:
        several, one = compare_rungs([rung("a", *seeds(600, 610, 605, 640, 590)), rung("b", right(640))])
        assert several.standard_error == pytest.approx(statistics.stdev([0.600, 0.610, 0.605, 0.640, 0.590]) / 5**0.5)
        assert one.standard_error == pytest.approx((0.64 * 0.36 / 1000) ** 0.5)


class TestReading:
    def test_a_change_is_listed_under_a_reduced_budget_if_epochs_differ(self) -> None:
        def cut(name: str, done: int, full: int, **values: Any) -> dict[str, Any]:
            protocol = Protocol(train_images=2000, validation_images=0, split_seed=0, epochs=done)
            of = {"full_epochs": full, "full_train_images": 50_000}
            return row(name, reduced=protocol.reduced_from(**of), protocol=protocol, epochs=done, **of, **values)

        second = cut("b", 10, 40, rung_parent="a", rung_index=1, **{"data.batch_size": 256})
        rungs = read_rungs(FakeReader(cut("a", 5, 20), second), sweep="ladder")
        assert [rung.change for rung in rungs] == ["", "data.batch_size 64 → 256"]

    def test_rungs_come_in_order_with_what_changed(self) -> None:
        second = row("batch-256", rung_index=1, rung_parent="baseline", **{"data.batch_size": 256})
        rungs = read_rungs(FakeReader(second, row("baseline"), row("baseline", seed=1)), sweep="ladder")
        assert [(r.name, r.parent, r.change, len(r.measured)) for r in rungs] == [
            ("baseline", None, "", 2),
            ("batch-256", "baseline", "data.batch_size 64 → 256", 1),
        ]
        run = rungs[0].runs[0]
        assert run.correct is not None
        assert (int(run.correct.sum()), len(run.epochs)) == (50, 1)

    def test_budgets_are_not_mixed(self) -> None:
        cut = row("baseline", accuracy=0.3, reduced="epochs × 0.1", config_id="cut")
        rungs = read_rungs(FakeReader(cut, row("baseline")), sweep="ladder")
        assert [(r.reduced, r.measured[0].value) for r in rungs] == [(None, 0.5), ("epochs × 0.1", 0.3)]

    def test_an_earlier_configuration_is_left_out_and_counted(self) -> None:
        new = row("baseline", accuracy=0.6, config_id="new", started="2026-01-02T00:00:00Z")
        (only,) = read_rungs(FakeReader(new, row("baseline", seed=1)), sweep="ladder")
        assert [run.value for run in only.measured] == [0.6]
        assert only.status == "complete; excludes 1 run of an earlier configuration"

    def test_a_run_without_a_result_has_a_status_and_no_numbers(self) -> None:
        rows = (
            row("a", accuracy=None, status="running"),
            row("b", rung_index=1, accuracy=None),
            row("c", seed=0, rung_index=2),
        )
        failed = row("c", seed=1, rung_index=2, status="failed", accuracy=None)
        rungs = read_rungs(FakeReader(*rows, failed), sweep="ladder")
        assert [r.status for r in rungs] == ["running", "complete but not evaluated", "1 complete, 1 failed"]
        assert [len(r.measured) for r in rungs] == [0, 0, 1]

    def test_runs_that_were_measured_on_other_images_are_not_mixed_in(self) -> None:
        tested = [row("a", seed=seed, accuracy=0.9, val_accuracy=0.5) for seed in (1, 2)]
        chosen = row("a", accuracy=None, val_accuracy=0.4, measured_on="validation", started="2026-01-02T00:00:00Z")
        protocol = Protocol(train_images=200, validation_images=100, split_seed=0, epochs=1)
        rows = [each | {"protocol": protocol} for each in (*tested, chosen)]

        (only,) = read_rungs(FakeReader(*rows), sweep="ladder")

        assert [(run.seed, run.value, run.images) for run in only.measured] == [(0, 0.4, 100)]
        assert only.left_out == 2

    def test_a_complete_run_without_a_validation_accuracy_says_so(self) -> None:
        (only,) = read_rungs(FakeReader(row("a", accuracy=None, measured_on="validation")), sweep="ladder")
        assert only.status == "complete without a validation accuracy"

    def test_only_runs_of_the_asked_ladders_rungs_are_read(self) -> None:
        asked: list[str | None] = []

        class Asked(FakeReader):
            def runs(self, *, sweep: str | None = None) -> Table:
                asked.append(sweep)
                return super().runs(sweep=sweep)

        rungs = read_rungs(Asked(row("baseline"), row("x", run_id="parent") | {"rung": None}), sweep="ladder")
        assert ([rung.name for rung in rungs], asked) == (["baseline"], ["ladder"])

    def test_a_tested_run_has_its_numbers(self) -> None:
        recorded = row("baseline", parameters_millions=0.5, train_seconds=20.0, images_per_second=900.0)
        (run,) = read_rungs(FakeReader(recorded), sweep="ladder")[0].runs
        assert (run.seed, run.run_id, run.status, run.value) == (0, "baseline-0", "complete", 0.5)
        assert (run.parameters_millions, run.train_seconds, run.images_per_second) == (0.5, 20.0, 900.0)
        assert run.correct is not None
        assert run.correct.dtype == bool

    def test_of_a_seeds_runs_the_newest_tested_one_counts(self) -> None:
        first = row("a", run_id="old", accuracy=0.5, config_id="c")
        again = row("a", run_id="new", accuracy=0.6, config_id="c", started="2026-01-02T00:00:00Z")
        open_yet = row(
            "a", run_id="open", accuracy=None, status="running", config_id="c", started="2026-01-03T00:00:00Z"
        )
        untested = row("a", run_id="untested", accuracy=None, config_id="c", started="2026-01-04T00:00:00Z")
        for rows in ([first, again, open_yet, untested], [untested, open_yet, again, first]):
            (rung,) = read_rungs(FakeReader(*rows), sweep="ladder")
            assert [run.run_id for run in rung.runs] == ["new"]
        (rung,) = read_rungs(FakeReader(open_yet, untested), sweep="ladder")
        assert [run.run_id for run in rung.runs] == ["untested"]

    def test_a_test_result_of_an_unfinished_run_is_no_number(self) -> None:
        (rung,) = read_rungs(FakeReader(row("a", status="interrupted")), sweep="ladder")
        assert (rung.status, rung.measured) == ("interrupted", ())

    def test_an_edited_network_is_another_recipe(self) -> None:
        before = row("own", source="1" * 16, config_id="c", **{"model.name": "nets:Tiny"})
        after = row(
            "own", seed=1, source="2" * 16, config_id="c", started="2026-01-02T00:00:00Z", **{"model.name": "nets:Tiny"}
        )
        (rung,) = read_rungs(FakeReader(before, after), sweep="ladder")
        assert ([run.seed for run in rung.runs], rung.left_out) == ([1], 1)

    def test_of_several_budgets_the_full_one_comes_first_then_the_largest(self) -> None:
        def cut(done: int, size: int = 50_000) -> dict[str, Any]:
            of = {"full_epochs": None if done == 20 else 20, "full_train_images": None if size == 50_000 else 50_000}
            protocol = Protocol(train_images=size, validation_images=0, split_seed=0, epochs=done)
            return row("a", reduced=protocol.reduced_from(**of), protocol=protocol, **of)

        rows = (cut(10), cut(20), cut(2), cut(10, 900))
        assert [rung.reduced for rung in read_rungs(FakeReader(*rows), sweep="ladder")] == [
            None, "10 of 20 epochs", "10 of 20 epochs, 900 training images", "2 of 20 epochs",
        ]  # fmt: skip

    def test_after_an_undone_edit_the_file_determines_the_configuration_of_a_rung(self) -> None:
        before = row("a", run_id="before", config_id="c1")
        edited = row("a", run_id="edited", config_id="c2", started="2026-01-02T00:00:00Z")
        other = row("a", run_id="cut", config_id="c1", reduced="2 of 20 epochs")

        def shown(**options: Any) -> list[tuple[str, int]]:
            rungs = read_rungs(FakeReader(before, edited, other), sweep="ladder", **options)
            return [(rung.runs[0].run_id, rung.left_out) for rung in rungs]

        assert shown() == [("edited", 1), ("cut", 0)]
        assert shown(file_recipes={("a", None): ("c1", None)}) == [("before", 1), ("cut", 0)]
        assert shown(file_recipes={("a", None): ("c2", None)}) == [("edited", 1), ("cut", 0)]
        assert shown(file_recipes={("a", None): ("c3", None)}) == [("edited", 1), ("cut", 0)]
        assert shown(file_recipes={("a", None): ("c1", "another file")}) == [("edited", 1), ("cut", 0)]

    def test_a_change_is_taken_against_the_parents_shown_configuration(self) -> None:
        rates = {"before": 0.1, "edited": 0.2}
        parents = [
            row("a", run_id=run, config_id=run, started=f"2026-01-0{day}T00:00:00Z", **{"optimizer.lr": rate})
            for day, (run, rate) in enumerate(rates.items(), start=1)
        ]
        child = row("b", rung_parent="a", rung_index=1, **{"optimizer.lr": 0.3})

        def change(**options: Any) -> str:
            return read_rungs(FakeReader(*parents, child), sweep="ladder", **options)[1].change

        assert change() == "optimizer.lr 0.2 → 0.3"
        assert change(file_recipes={("a", None): ("before", None)}) == "optimizer.lr 0.1 → 0.3"

    def test_an_empty_record(self) -> None:
        assert read_rungs(FakeReader(), sweep="ladder") == []

    def test_another_architecture_names_only_what_is_not_its_default(self) -> None:
        changed = {"model.name": "vgg", "model.dropout": 0.4, "model.head": (512, 512)}
        second = row("vgg", rung_index=1, rung_parent="simple", **changed)
        _, rung = read_rungs(FakeReader(row("simple"), second), sweep="ladder")
        assert rung.change == "model.name simple → vgg, model.head 512 512"
