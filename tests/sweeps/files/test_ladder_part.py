"""The selected part of a ladder, and its final evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sweep_fakes import write_yaml

from sweeps.core.errors import SweepError
from sweeps.core.trial import MeasuredOn
from sweeps.files.budget import Budget
from sweeps.files.ladder import Ladder
from sweeps.files.ladder_file import load_ladder
from sweeps.files.ladder_part import LadderPart, arguments_of, read_part

ALL = {"only": None, "seeds": None, "final": False, "epochs_scale": 1.0, "train_size": None}
CHOSEN = {
    "name": "choosing",
    "evaluate": "validation",
    "base": {"epochs": 4, "data": {"validation_size": 5000, "train_size": 45000}},
    "rungs": [
        {"name": "one"},
        {"name": "few", "data": {"train_size": 1000}},
        {"name": "two", "from": "one", "optimizer": {"lr": 0.02}},
    ],
}


def part(folder: Path, content: dict[str, Any] = CHOSEN, **options: Any) -> LadderPart:
    return read_part(write_yaml(folder, content), (), **ALL | options)  # type: ignore[typeddict-item]


def test_without_options_all_rungs_are_selected(tmp_path: Path) -> None:
    whole = part(tmp_path)

    assert (whole.ladder.name, whole.budget, whole.chosen, whole.arguments) == ("choosing", Budget(), [], [])
    assert [rung.name for rung in whole.rungs] == ["one", "few", "two"]
    assert whole.final_arguments == ["--final"]


def test_options_select_rungs_and_reduce_the_budget(tmp_path: Path) -> None:
    some = part(tmp_path, only=" two, one,", seeds=2, epochs_scale=0.5, train_size=300)

    assert some.chosen == ["two", "one"]
    assert [rung.name for rung in some.rungs] == ["one", "two"]
    assert some.budget == Budget(epochs_scale=0.5, train_size=300, seeds=2)
    typed = ["--rungs", " two, one,", "--seeds", "2"]
    assert some.arguments == [*typed, "--epochs-scale", "0.5", "--train-size", "300"]
    assert some.final_arguments == ["--final", *typed]


def test_only_given_options_become_arguments() -> None:
    assert arguments_of(only="", seeds=None, final=False, epochs_scale=1.0, train_size=None) == []
    assert arguments_of(only=None, seeds=None, final=True, epochs_scale=1.0, train_size=7) == [
        "--final",
        "--train-size",
        "7",
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"only": ","}, "--rungs ',' names no rung"),
        ({"only": "tow"}, "'two'"),
        ({"final": True, "epochs_scale": 0.5}, "--epochs-scale"),
        ({"final": True, "train_size": 500}, "--train-size"),
        ({"seeds": 0}, "the number of seeds is 0"),
    ],
)
def test_contradicting_options_are_rejected(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(SweepError) as error:
        part(tmp_path, **options)
    assert said in str(error.value)


def test_the_final_measurement_holds_out_no_images(tmp_path: Path) -> None:
    final = part(tmp_path, final=True).ladder

    assert (final.name, final.measured_on, final.is_final) == ("choosing-final", MeasuredOn.TEST, True)
    assert [rung.config.data.validation_size for rung in final.rungs] == [0, 0, 0]
    # Without validation images all images are used; an explicit train_size is kept.
    assert [rung.config.train_images() for rung in final.rungs] == [50000, 1000, 50000]
    assert [[change.path for change in rung.changes] for rung in final.rungs][1:] == [
        ["data.train_size"],
        ["optimizer.lr"],
    ]
    assert final.description == "choosing: final evaluation on the test images"


@pytest.mark.parametrize(
    "content",
    [
        CHOSEN,
        CHOSEN | {"base": {"epochs": 4, "data": {"validation_size": 5000}}},
        {"name": "bare", "evaluate": "validation", "rungs": [{"name": "one", "data": {"validation_size": 2000}}]},
    ],
    ids=["sizes", "all that is left", "no base"],
)
def test_the_file_of_the_final_measurement_has_the_same_runs(content: dict[str, Any], tmp_path: Path) -> None:
    chosen = load_ladder(write_yaml(tmp_path, content))
    final = chosen.final()
    (tmp_path / "final.yaml").write_text(final.text, encoding="utf-8")

    again = load_ladder(tmp_path / "final.yaml")

    assert (again.name, again.measured_on) == (f"{content['name']}-final", MeasuredOn.TEST)
    assert {rung.name: rung.config for rung in again.rungs} == {rung.name: rung.config for rung in final.rungs}
    assert "validation_size" not in final.text
    assert chosen.measured_on is MeasuredOn.VALIDATION


def test_a_ladder_on_test_images_has_no_final_measurement(tmp_path: Path) -> None:
    with pytest.raises(SweepError, match="--final"):
        load_ladder(write_yaml(tmp_path, CHOSEN | {"evaluate": "test"})).final()


class TestSeeds:
    @pytest.fixture
    def ladder(self, tmp_path: Path) -> Ladder:
        return load_ladder(write_yaml(tmp_path, CHOSEN | {"base": {**CHOSEN["base"], "seed": 3}}))  # type: ignore[dict-item]

    def test_seeds_start_at_the_seed_of_the_configuration(self, ladder: Ladder) -> None:
        config = ladder.rungs[0].config

        assert [run.seed for run in Budget().runs_of(config, seeds=2)] == [3, 4]
        assert [run.seed for run in Budget(seeds=3).runs_of(config, seeds=2)] == [3, 4, 5]

    def test_no_seed_exceeds_the_largest(self, ladder: Ladder) -> None:
        from cifar_core.config import LAST_SEED

        last = ladder.rungs[0].config.model_copy(update={"seed": LAST_SEED})

        assert [run.seed for run in Budget().runs_of(last, seeds=1)] == [LAST_SEED]
        with pytest.raises(SweepError, match=f"2 seeds from {LAST_SEED}"):
            Budget().runs_of(last, seeds=2)
