"""`sweeps compare`: two runs side by side, and the test of their difference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_ind, ttest_rel
from sweep_fakes import Cli, Record, tiny, write_yaml

from sweeps.analysis.pairs import compare_answers
from sweeps.core.formatting import p_in_words, points
from sweeps.record.reader import MlflowReader
from sweeps.views.compare import _compare_configurations
from sweeps.views.names import NamedRuns

pytestmark = pytest.mark.usefixtures("instant_training")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, record: Record) -> Path:
    """The runs folder of a search of two trials, both confirmed by one seed and measured on the test set."""
    folder = tmp_path_factory.mktemp("compare")
    content = tiny(
        method="grid", run_cap=None, parameters={"optimizer.lr": {"values": [0.005, 0.01]}},
        replicates={"top": 2, "seeds": 1},
    )  # fmt: skip
    # Enough epochs for the networks to learn: unlearned runs are not compared.
    data = content["base"]["data"] | {"train_size": 1000}
    content["base"] |= {"optimizer": {"name": "adam"}, "epochs": 4, "data": data}
    run = ["run", write_yaml(folder, content), "--backend", "inline"]
    return record(folder, run, ["finalize", "tiny", "--top", 2])


def test_two_runs_are_shown_with_their_differing_parameters(trained: Path, cli: Cli) -> None:
    result = cli("compare", "tiny-000-s0", "tiny/1-s0", "--runs", trained)

    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[:2] == [["differs", "in", "tiny-000-s0", "tiny-001-s0"], ["optimizer.lr", "0.005", "0.01"]]
    assert ["status", "complete", "complete"] in lines
    assert [line[0] for line in lines if line[:1] in (["1"], ["2"])] == ["1", "2"]
    assert "the runs were not evaluated on the same test images" in " ".join(result.stdout.split())


def test_two_tested_runs_are_compared_image_by_image(trained: Path, cli: Cli) -> None:
    result = cli("compare", "tiny-000-s1", "tiny-001-s1", "--runs", trained)

    reader = MlflowReader(trained)
    ids = {row["replicate_of"]: row["run_id"] for row in reversed(reader.runs(sweep="tiny").rows)}
    first, second = (reader.correctness(ids[number]) for number in (0, 1))
    assert first is not None
    assert second is not None
    text = " ".join(result.stdout.split())
    only_second, only_first = int((second & ~first).sum()), int((first & ~second).sum())
    assert f"only tiny-001-s1 is correct on {only_second}, only tiny-000-s1 on {only_first}" in text
    assert "on the same 10,000 test images these two runs" in text
    assert "airplane" in text
    assert "train several seeds of each with `sweeps replicate`" in text


def test_seeds_of_one_configuration_differ_in_nothing_else(trained: Path, cli: Cli) -> None:
    result = cli("compare", "tiny-000-s0", "tiny-000-s1", "--runs", trained)

    assert "seeds: 0 and 1" in result.stdout
    assert "same configuration" in result.stdout
    assert "differs in" not in result.stdout


def test_an_unknown_run_is_refused(trained: Path, cli: Cli) -> None:
    result = cli("compare", "tiny-000", "tiny-009", "--runs", trained)

    assert (result.exit_code, result.stdout) == (2, "")
    assert "no run 'tiny-009'" in result.stderr


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=50))
@settings(max_examples=60, deadline=None)
def test_swapping_the_runs_changes_the_sign_of_the_difference(pairs: list[tuple[bool, bool]]) -> None:
    first, second = (np.array(side) for side in zip(*pairs, strict=True))

    there, back = compare_answers(first, second), compare_answers(second, first)

    assert there.difference == pytest.approx(100 * (first.mean() - second.mean()))
    assert (there.only_first, there.only_second) == (back.only_second, back.only_first)
    assert back.difference == pytest.approx(-there.difference)
    assert there.p_value == pytest.approx(back.p_value)
    if there.low is not None and there.high is not None:
        assert there.low - 1e-9 <= there.difference <= there.high + 1e-9


def configuration(name: str, *accuracies: float, rung: str | None = None, **changes: Any) -> NamedRuns:
    rows = tuple(
        {
            "run_id": f"{name}{seed}", "seed": seed, "status": "complete", "val_accuracy": accuracy, "rung": rung,
            "test_accuracy": None, "protocol": "p", "replicate_of": 0, "did_not_learn": 0,
            "metric": "val_accuracy",
        } | changes
        for seed, accuracy in enumerate(accuracies, start=1)
    )  # fmt: skip
    return NamedRuns(name=name, rows=rows, defining_row=rows[0])


class TestConfigurations:
    def test_means_difference_interval_and_p_are_welchs(self) -> None:
        ours, theirs = (0.60, 0.61, 0.62), (0.65, 0.66, 0.70)

        means, difference = _compare_configurations(configuration("a", *ours), configuration("b", *theirs))

        reference = ttest_ind(theirs, ours, equal_var=False)
        ends = reference.confidence_interval()
        assert "a 61.00 % (3 seeds, 95 % interval 58.52 to 63.48 %); b 67.00 % (3 seeds" in means
        assert (
            f"b minus a: +6.00 points (95 % interval {points(100 * ends.low)} to {points(100 * ends.high)}"
            in difference
        )
        assert f"Welch's t-test over 3 and 3 seeds, {p_in_words(reference.pvalue)}" in difference
        assert difference.endswith("significant at the 5 % level")

    def test_rungs_are_compared_by_a_paired_test_like_in_their_ladder(self) -> None:
        ours, theirs = (0.60, 0.65, 0.62), (0.64, 0.69, 0.665)

        _, difference = _compare_configurations(
            configuration("a", *ours, rung="a"), configuration("b", *theirs, rung="b")
        )

        assert f"paired t over 3 seeds, {p_in_words(ttest_rel(theirs, ours).pvalue)}" in difference

    @pytest.mark.parametrize("rung", [None, "r"])
    def test_below_three_seeds_nothing_is_tested(self, rung: str | None) -> None:
        sides = configuration("a", 0.60, 0.61, rung=rung), configuration("b", 0.607, 0.57, 0.6, rung=rung)

        _, difference = _compare_configurations(*sides)

        assert difference == (
            "b minus a: no significance test (1 more seed of each needed); seed 1 +0.70 points; seed 2 -4.00 points"
        )

    def test_unlearned_runs_and_other_protocols_are_not_compared(self) -> None:
        one = configuration("a", 0.6, 0.61, 0.62)
        assert _compare_configurations(one, configuration("b", 0.1, 0.1, did_not_learn=1)) == [
            "not compared: b has no complete run that learned"
        ]
        assert (
            "not compared: different images or budgets"
            in _compare_configurations(one, configuration("b", 0.7, 0.71, 0.72, protocol="q"))[1]
        )


def test_the_compared_runs_that_did_not_learn_are_marked(trained: Path, cli: Cli) -> None:
    result = cli("compare", "tiny-000-s1", "tiny-001-s1", "--runs", trained)

    rows = MlflowReader(trained).runs(sweep="tiny").rows
    did_not_learn = {row["did_not_learn"] for row in rows if row["replicate_of"] is not None} == {1}
    assert did_not_learn == ("is not compared. It did not learn" in " ".join(result.stdout.split()))
