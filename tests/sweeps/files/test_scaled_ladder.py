"""A ladder that extends and scales another one has the same steps at another size."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from sweep_fakes import Cli, write_yaml
from test_ladder import ladder_file

from cifar_core.config import RESET_BY_NAME, TrainingConfig
from sweeps.core.errors import SpecError
from sweeps.driver.plan import plan_of_ladder
from sweeps.files.budget import Budget
from sweeps.files.ladder import Ladder
from sweeps.files.ladder_file import load_ladder
from sweeps.files.schema import file_schema

EXPERIMENTS = Path(__file__).parents[3] / "experiments"
FULL = EXPERIMENTS / "ladder.yaml"
LAPTOP = EXPERIMENTS / "ladder-laptop.yaml"


def extending(folder: Path, other: Path, **content: Any) -> Path:
    return write_yaml(folder, {"name": "small", "extends": str(other)} | content, name="small.yaml")


@cache
def full_ladder() -> Ladder:
    return load_ladder(FULL)


def refusal(path: Path, *overrides: str) -> str:
    with pytest.raises(SpecError) as raised:
        load_ladder(path, overrides=overrides)
    return str(raised.value)


SCALED = {"model.width", "schedule.step_size"}
"""Fields that a full ladder leaves at their defaults under a new name, and a scaled one cannot."""


def changed_keys(ladder: Ladder) -> list[tuple[str, str | None, list[str]]]:
    """Return each rung with its parent and changed keys, without keys that only follow from a new name."""
    return [
        (rung.name, rung.parent, [c.path for c in rung.changes if not (c.is_new and c.path in SCALED)])
        for rung in ladder.rungs
        if rung.parent
    ]


@given(
    epochs=st.sampled_from([0.2, 0.4, 0.6, 0.8, 1, 2]),
    lr=st.floats(min_value=0.01, max_value=100),
    train_size=st.one_of(st.none(), st.integers(min_value=1, max_value=50_000)),
    width=st.dictionaries(st.sampled_from(["simple", "deep", "resnet", "vgg"]), st.integers(1, 200)),
)
@settings(max_examples=15, deadline=None)
def test_a_scaled_ladders_rungs_change_the_keys_of_the_full_one(
    tmp_path_factory: pytest.TempPathFactory, epochs: float, lr: float, train_size: int | None, width: dict[str, int]
) -> None:
    scale = {"epochs": epochs, "lr": lr, "train_size": train_size, "width": width}
    scaled = load_ladder(extending(tmp_path_factory.mktemp("scaled"), FULL, scale=scale))
    full = full_ladder()

    assert changed_keys(scaled) == changed_keys(full)
    for small, large in zip(scaled.rungs, full.rungs, strict=True):
        assert small.config.epochs == pytest.approx(large.config.epochs * epochs)
        assert small.config.optimizer.lr == pytest.approx(large.config.optimizer.lr * lr)
        assert small.config.train_images() == (train_size or 50_000)
        assert small.config.model.width == width.get(large.config.model.name, large.config.model.width)
        assert small.note == large.note


def test_the_laptop_ladder_has_the_notebooks_rungs_scaled() -> None:
    small, full = load_ladder(LAPTOP), load_ladder(FULL)

    assert changed_keys(small) == changed_keys(full)
    assert small.seeds == 3
    epochs = {rung.name: rung.config.epochs for rung in small.rungs}
    assert (epochs["baseline"], epochs["augmented-40"], epochs["baseline-30"], epochs["baseline-10"]) == (8, 16, 12, 4)
    assert {rung.config.train_images() for rung in small.rungs} == {20_000}
    assert small.rung("vgg").config.schedule.step_size == 2
    for name in ("deep", "resnet", "plain", "vgg"):
        assert small.rung(name).config.model.width == 16
    factors = {rung.config.optimizer.lr / full.rung(rung.name).config.optimizer.lr for rung in small.rungs}
    assert len(factors) == 1


def test_the_recorded_text_needs_no_extended_file(tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    here.mkdir()
    write_yaml(there, ladder_file({"name": "a", "model": {"name": "deep"}}, {"name": "b", "epochs": 4}), name="o.yaml")
    path = extending(there, Path("o.yaml"), scale={"epochs": 0.5, "width": {"deep": 8}}, rungs=[{"name": "c"}], seeds=2)
    loaded = load_ladder(path, overrides=["base.seed=7"])
    again = here / "again.yaml"
    again.write_text(plan_of_ladder(loaded).file, encoding="utf-8")
    path.unlink()

    assert "extends" not in yaml.safe_load(loaded.text)
    assert load_ladder(again) == loaded


def test_missing_keys_are_inherited_except_name_and_description(tmp_path: Path) -> None:
    limits = {"timeout": "1h", "max_concurrent_trials": 3}
    other = write_yaml(
        tmp_path, ladder_file({"name": "a"}, description="full", limits=limits, seeds=2, tensorboard=True)
    )

    small = load_ladder(extending(tmp_path, other, limits={"timeout": "2h"}))

    assert (small.name, small.description, small.seeds, small.tensorboard) == ("small", "", 2, True)
    assert (small.limits.timeout, small.limits.max_concurrent_trials) == (7200, 3)


def test_a_base_is_merged_and_rungs_are_appended(tmp_path: Path) -> None:
    other = write_yaml(tmp_path, ladder_file({"name": "a", "optimizer": {"lr": 0.1}}, {"name": "b", "epochs": 4}))
    path = extending(
        tmp_path,
        other,
        base={"optimizer": {"momentum": 0.9}},
        rungs=[{"name": "c", "data": {"batch_size": 16}}, {"name": "d", "from": "a"}],
        scale={"epochs": 0.5},
    )

    rungs = load_ladder(path).rungs

    assert [(rung.name, rung.parent, rung.config.epochs) for rung in rungs] == [
        ("a", None, 1), ("b", "a", 2), ("c", "b", 2), ("d", "a", 1),
    ]  # fmt: skip
    assert {(rung.config.optimizer.lr, rung.config.optimizer.momentum) for rung in rungs} == {(0.1, 0.9)}


def test_scales_of_files_that_extend_each_other_multiply(tmp_path: Path) -> None:
    base = {"epochs": 20, "model": {"name": "deep"}, "optimizer": {"lr": 0.1}}
    full = write_yaml(tmp_path, ladder_file({"name": "a"}, base=base), name="full.yaml")
    half = {"epochs": 0.5, "lr": 3, "train_size": 1000, "width": {"deep": 32}}
    middle = write_yaml(tmp_path, {"name": "m", "extends": str(full), "scale": half}, name="middle.yaml")
    small = extending(tmp_path, middle, scale={"epochs": 0.2, "lr": 3, "train_size": 5000, "width": {"deep": 8}})

    config = load_ladder(small).rungs[0].config

    assert (config.epochs, config.optimizer.lr, config.data.train_size, config.model.width) == (2, 0.9, 1000, 8)


def test_scaled_learning_rates_have_no_rounding_noise_and_include_min_lr(tmp_path: Path) -> None:
    rung = {"name": "a", "optimizer": {"lr": 0.1}, "schedule": {"name": "cosine", "min_lr": 0.01}}
    config = load_ladder(write_yaml(tmp_path, ladder_file(rung, scale={"lr": 3}))).rungs[0].config

    assert (config.optimizer.lr, config.schedule.min_lr) == (0.3, 0.03)


def test_unscaled_values_are_unchanged(tmp_path: Path) -> None:
    rate = 0.006123724356957945
    base = {"optimizer": {"lr": rate}, "schedule": {"name": "cosine", "min_lr": rate / 10}}
    other = write_yaml(tmp_path, ladder_file({"name": "first"}, base=base | {"epochs": 2}))
    for path in (other, extending(tmp_path, other, scale={"epochs": 0.5})):
        (rung,) = load_ladder(path).rungs
        assert (rung.config.optimizer.lr, rung.config.schedule.min_lr) == (rate, rate / 10)


def test_an_unused_step_size_may_be_fractional(tmp_path: Path) -> None:
    path = write_yaml(tmp_path, ladder_file({"name": "a", "epochs": 10}, scale={"epochs": 0.1}))

    assert load_ladder(path).rungs[0].config == TrainingConfig(epochs=1).model_copy(
        update={"schedule": load_ladder(path).rungs[0].config.schedule}
    )


def test_the_budget_overrides_the_seeds_of_the_file(tmp_path: Path) -> None:
    ladder = load_ladder(write_yaml(tmp_path, ladder_file({"name": "a"}, seeds=3)))

    def seeds(budget: Budget) -> int | None:
        return plan_of_ladder(ladder, budget=budget).proposer(lambda config: str(config.seed)).total()

    assert seeds(Budget()) == seeds(Budget(epochs_scale=0.5)) == 3
    assert seeds(Budget(seeds=1)) == 1


def test_a_change_of_the_extended_file_applies(tmp_path: Path) -> None:
    other = write_yaml(tmp_path, ladder_file({"name": "a"}, {"name": "b", "epochs": 4}))
    path = extending(tmp_path, other, scale={"epochs": 0.5})
    assert len(load_ladder(path).rungs) == 2

    write_yaml(tmp_path, ladder_file({"name": "a"}, {"name": "b", "epochs": 4}, {"name": "c", "epochs": 8}))

    assert [rung.config.epochs for rung in load_ladder(path).rungs] == [1, 2, 4]


SCHEDULED = {"name": "a", "epochs": 10, "schedule": {"name": "step", "step_size": 3}}
WRONG: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "epochs not whole": ({"scale": {"epochs": 0.3}}, ("scale.epochs: 0.3 times epochs 2 is 0.6", "rung first")),
    "no epoch left": ({"scale": {"epochs": 1e-9}}, ("scale.epochs", "rung first")),
    "step size not whole": (
        {"scale": {"epochs": 0.5}, "rungs": [SCHEDULED]},
        ("scale.epochs: 0.5 times schedule.step_size 3 is 1.5", "rung a"),
    ),
    "an unknown architecture": ({"scale": {"width": {"depe": 8}}}, ("scale.width", "'depe'", "did you mean 'deep'?")),
    "one without a width": ({"scale": {"width": {"torchvision_vgg16": 8}}}, ("'torchvision_vgg16'", "width")),
    "one that no rung has": ({"scale": {"width": {"vgg": 8}}}, ("scale.width.vgg", "no rung uses the network 'vgg'")),
    "a width of 0": ({"scale": {"width": {"deep": 0}}}, ("scale.width.deep", "0")),
    "a width that is a change": (
        {"scale": {"width": {"simple": 8}}, "rungs": [{"name": "wide", "model": {"width": 64}}]},
        ("scale: rung wide no longer differs from its parent in model.width 32 → 64",),
    ),
    "a train size that is a change": (
        {"scale": {"train_size": 100}, "rungs": [{"name": "few", "data": {"train_size": 1000}}]},
        ("scale: rung few no longer differs from its parent in data.train_size unset → 1000",),
    ),
    "factor 0": ({"scale": {"lr": 0}}, ("scale.lr", "greater than 0")),
    "endless factor": ({"scale": {"epochs": float("inf")}}, ("scale.epochs", "finite")),
    "an unknown key of scale": ({"scale": {"epoch": 2}}, ("unknown key 'epoch'", "did you mean 'epochs'?")),
    "no seed": ({"seeds": 0}, ("seeds", "greater than or equal to 1")),
    "a rung from an unknown one": (
        {"rungs": [{"name": "b", "from": "frist"}]},
        ("rungs[0].from", "no rung 'frist'", "did you mean 'first'?"),
    ),
    "a rung of the other's name": ({"rungs": [{"name": "first"}]}, ("rungs[0].name", "'first' is used twice")),
    "a base that breaks the other's rungs": (
        {"base": {"data": {"validation_size": 30_000}}, "rungs": [{"name": "x", "data": {"train_size": 30_000}}]},
        ("rungs[0].data", "train_size + validation_size", "(rung x)"),
    ),
    "a base that is none": ({"base": {"epochs": 0}}, ("base.epochs", "greater than or equal to 1")),
    "rungs that are none": ({"rungs": []}, ("rungs: the list is empty",)),
    "a file that is no text": ({"extends": 3}, ("extends", "3")),
    "a file that is missing": ({"extends": "steps.yaml"}, ("extends: 'steps.yaml' not found", "other.yaml")),
    "a folder": ({"extends": "."}, ("extends: '.' not found",)),
    "itself": ({"extends": "small.yaml"}, ("extends: 'small.yaml' is circular",)),
    "one that extends it": ({"extends": "back.yaml"}, ("back.yaml: line 2: extends: 'small.yaml' is circular", "→")),
    "a sweep": (
        {"extends": "sweep.yaml"},
        ("small.yaml: line 2: extends:", "is a sweep. Only a ladder"),
    ),
    "a file with a mistake of its own": (
        {"extends": "bad.yaml"},
        ("bad.yaml: line 6: rungs[0].epoch", "unknown key 'epoch'", "(rung z)"),
    ),
    "neither rungs nor a file": ({"extends": None}, ("rungs: the list is empty", "extends")),
}
SEEN_BY_A_SCHEMA = {
    "an unknown architecture", "one without a width", "a width of 0", "factor 0", "an unknown key of scale", "no seed",
    "rungs that are none", "a file that is no text",
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_an_invalid_extension_ends_with_code_2_and_its_location(
    case: str, tmp_path: Path, runs: Path, cli: Cli
) -> None:
    content, words = WRONG[case]
    write_yaml(tmp_path, ladder_file({"name": "first"}), name="other.yaml")
    write_yaml(tmp_path, {"name": "back", "extends": "small.yaml"}, name="back.yaml")
    write_yaml(tmp_path, {"name": "search", "parameters": {}}, name="sweep.yaml")
    write_yaml(tmp_path, ladder_file({"name": "z", "epoch": 1}), name="bad.yaml")
    path = extending(tmp_path, Path("other.yaml"), **content)

    for verb in ("plan", "ladder"):
        result = cli(verb, path, *(["--runs", runs] if verb == "ladder" else []))
        assert result.exit_code == 2
        assert len(result.stderr.splitlines()) == 1
        for word in words:
            assert word in result.stderr
        assert not runs.exists()


@pytest.mark.parametrize("case", sorted(SEEN_BY_A_SCHEMA))
def test_an_editor_marks_the_wrong_key_of_an_extending_file(case: str) -> None:
    import jsonschema

    validator = jsonschema.Draft7Validator(file_schema("ladder"))
    right: dict[str, Any] = {"name": "small", "extends": "other.yaml"}
    assert list(validator.iter_errors(right | {"scale": {"width": {"deep": 8}, "epochs": 0.5}, "seeds": 2})) == []
    assert list(validator.iter_errors(right | WRONG[case][0])) != []


def test_all_errors_of_a_scale_are_reported_together(tmp_path: Path) -> None:
    path = extending(tmp_path, FULL, scale={"epochs": 0.1})

    said = refusal(path)

    assert "schedule.step_size 5 is 0.5" in said
    assert "rung vgg" in said
    assert "rung baseline" not in said


def test_an_override_applies_to_the_merged_files(tmp_path: Path) -> None:
    path = extending(tmp_path, FULL, scale={"train_size": 500})

    loaded = load_ladder(path, overrides=["scale.train_size=300", "base.epochs=5", "seeds=2"])

    assert loaded.rung("baseline").config.epochs == 5
    assert (loaded.rung("vgg").config.data.train_size, loaded.seeds) == (300, 2)
    assert "is circular" not in refusal(path, "extends=nowhere.yaml")


class TestOtherVerbs:
    def test_run_points_to_ladder(self, cli: Cli, runs: Path) -> None:
        result = cli("run", LAPTOP, "--runs", runs)

        assert result.exit_code == 2
        assert "is a ladder, not a sweep. Run it with `sweeps ladder`" in result.stderr

    def test_inspect_accepts_a_rung_of_an_extending_file(self, cli: Cli) -> None:
        assert "this is a ladder. Name a rung" in cli("inspect", "augment", LAPTOP).stderr
        result = cli("inspect", "summary", f"{LAPTOP}:plain")

        assert result.exit_code == 0
        assert "shortcut" not in result.stdout

    def test_plan_counts_its_seeds(self, cli: Cli) -> None:
        result = cli("plan", LAPTOP, "--no-probe")

        assert result.exit_code == 0
        assert f"{len(load_ladder(FULL).rungs)} rungs under 3 seeds each" in result.stdout


def test_a_name_resets_its_block_under_an_extending_base_too(tmp_path: Path) -> None:
    assert "model" in RESET_BY_NAME
    other = write_yaml(tmp_path, ladder_file({"name": "a"}, base={"model": {"name": "simple", "head": [5]}}))

    model = load_ladder(extending(tmp_path, other, base={"model": {"name": "deep"}})).rungs[0].config.model

    assert (model.name, model.head) == ("deep", None)
