"""`sweeps compare`: two runs side by side, and what can be said of the difference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from sweep_fakes import Cli, tiny, write_yaml

from sweeps.cli.main import sweeps
from sweeps.results import compare_answers
from sweeps.tracking import MlflowReader


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs folder of a search of two, both confirmed by one seed, and tested."""
    folder = tmp_path_factory.mktemp("compare")
    content = tiny(
        method="grid", run_cap=None, parameters={"optimizer.lr": {"values": [0.01, 0.05]}},
        replicates={"top": 2, "seeds": 1},
    )  # fmt: skip
    for arguments in (
        ["run", str(write_yaml(folder, content)), "--backend", "inline"],
        ["finalize", "tiny", "--top", "2"],
    ):
        result = CliRunner().invoke(sweeps, [*arguments, "--runs", str(folder / "runs")])
        assert result.exit_code == 0, result.output
    return folder / "runs"


def test_two_runs_are_told_by_what_they_differ_in(trained: Path, cli: Cli) -> None:
    result = cli("compare", "tiny-000-s0", "tiny/1-s0", "--runs", trained)

    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[:2] == [["differs", "in", "tiny-000-s0", "tiny-001-s0"], ["optimizer.lr", "0.01", "0.05"]]
    assert ["status", "complete", "complete"] in lines
    assert [line[0] for line in lines if line[:1] in (["1"], ["2"])] == ["1", "2"]
    assert "they were not both tested on the same test images" in result.stdout


def test_two_tested_runs_are_compared_image_by_image(trained: Path, cli: Cli) -> None:
    result = cli("compare", "tiny-000-s1", "tiny-001-s1", "--runs", trained)

    reader = MlflowReader(trained)
    frame = reader.runs(sweep="tiny")
    ids = [frame[(frame["replicate_of"] == number)]["run_id"].iloc[0] for number in (0, 1)]
    first, second = (reader.correctness(run_id) for run_id in ids)
    assert first is not None
    assert second is not None
    text = " ".join(result.stdout.split())
    only_second, only_first = int((second & ~first).sum()), int((first & ~second).sum())
    assert f"is right on {only_second} that tiny-000-s1 misses, and the other way on {only_first}" in text
    assert "on the same 10,000 test images these two runs" in text
    assert "airplane" in text
    assert "several seeds of each say more" in text


def test_seeds_of_one_configuration_differ_in_nothing_else(trained: Path, cli: Cli) -> None:
    result = cli("compare", "tiny-000-s0", "tiny-000-s1", "--runs", trained)

    assert "seeds: 0 and 1" in result.stdout
    assert "one configuration" in result.stdout
    assert "differs in" not in result.stdout


def test_an_unknown_run_is_refused(trained: Path, cli: Cli) -> None:
    result = cli("compare", "tiny-000", "tiny-009", "--runs", trained)

    assert (result.exit_code, result.stdout) == (2, "")
    assert "no run 'tiny-009'" in result.stderr


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=50))
@settings(max_examples=60, deadline=None)
def test_the_difference_is_that_of_the_accuracies_and_turns_its_sign(pairs: list[tuple[bool, bool]]) -> None:
    first, second = (np.array(side) for side in zip(*pairs, strict=True))

    there, back = compare_answers(first, second), compare_answers(second, first)

    assert there.difference == pytest.approx(100 * (first.mean() - second.mean()))
    assert (there.only_first, there.only_second) == (back.only_second, back.only_first)
    assert back.difference == pytest.approx(-there.difference)
    assert there.p_value == pytest.approx(back.p_value)
    if there.low is not None and there.high is not None:
        assert there.low - 1e-9 <= there.difference <= there.high + 1e-9
