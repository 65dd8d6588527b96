"""Ladder files and the resulting configurations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sweep_fakes import Cli, key_of, write_yaml

from cifar_core.config import TrainingConfig
from sweeps.core.errors import SpecError, SweepError
from sweeps.driver.plan import plan_of_ladder
from sweeps.files.budget import Budget
from sweeps.files.ladder import Ladder
from sweeps.files.ladder_file import load_ladder

EXPERIMENTS = Path(__file__).parents[3] / "experiments"

IMAGENET = {"normalization": "imagenet"}
REGULARIZED_IMAGES = IMAGENET | {
    "augmentation": [
        {"op": "pad", "pixels": 4},
        {"op": "normalize"},
        {"op": "flip", "p": 0.5},
        {"op": "grayscale", "p": 0.1},
        {"op": "crop", "size": 32, "padding": 4},
    ]
}
AUGMENTED_IMAGES = IMAGENET | {
    "augmentation": [
        {"op": "normalize"},
        {"op": "flip", "p": 0.5},
        {"op": "erase", "p": 0.5, "scale": [0.04, 0.2], "ratio": [0.5, 2.0]},
        {"op": "crop", "size": 32, "padding": 4},
    ]
}


def notebook(
    *,
    epochs: int,
    model: dict[str, Any] | None = None,
    data: dict[str, Any] | None = None,
    lr: float = 0.01,
    **more: Any,
) -> TrainingConfig:
    """Return what SEED.md says of a rung; the rest as it says of all of them, in full."""
    simple = {"name": "simple", "width": 32, "head": [64], "activation": "none", "dropout": 0.0}
    images = {
        "train_size": 50_000, "validation_size": 0, "batch_size": 64, "shuffle": False, "normalization": "none",
        "augmentation": ["normalize"],
    }  # fmt: skip
    content: dict[str, Any] = {
        "model": simple | {"regularize_logits": False} if model is None else model,
        "data": images | (data or {}),
        "optimizer": {"name": "sgd", "lr": lr, "momentum": 0.0, "weight_decay": 0.0},
        "schedule": {"name": "constant"},
        "epochs": epochs,
    }
    return TrainingConfig.model_validate(content | more)


THREE_FC = {"name": "simple", "width": 32, "head": [256, 64], "activation": "none", "dropout": 0.0}
REGULARIZED = {
    "name": "simple", "width": 32, "head": [64], "activation": "relu", "dropout": 0.4, "regularize_logits": True
}  # fmt: skip
VGG = {
    "name": "vgg",
    "plan": [96, 96, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"],
    "head": [4096, 4096],
    "dropout": 0.4,
}
DEEP = {"name": "deep", "width": 64, "head": [256, 64], "dropout": 0.0}
RESNET = {"name": "resnet", "width": 64, "head": [256, 64], "dropout": 0.4}

SEED = {
    "baseline": notebook(epochs=20),
    "baseline-10": notebook(epochs=10),
    "baseline-30": notebook(epochs=30),
    "batch-256": notebook(epochs=30, data={"batch_size": 256}),
    "normalized": notebook(epochs=30, data={"batch_size": 256, "normalization": "cifar10"}),
    "regularized": notebook(epochs=20, model=REGULARIZED, data=REGULARIZED_IMAGES),
    "vgg": notebook(
        epochs=40,
        model=VGG,
        data=REGULARIZED_IMAGES | {"batch_size": 24, "shuffle": True},
        optimizer={"name": "sgd", "lr": 0.01, "momentum": 0.0, "weight_decay": 5e-3},
        schedule={"name": "step", "step_size": 5, "gamma": 0.4},
    ),
    "three-fc": notebook(epochs=20, model=THREE_FC),
    "augmented": notebook(epochs=20, model=THREE_FC, data=AUGMENTED_IMAGES, lr=0.005),
    "augmented-40": notebook(epochs=40, model=THREE_FC, data=AUGMENTED_IMAGES, lr=0.005),
    "deep": notebook(epochs=20, model=DEEP, data=AUGMENTED_IMAGES, lr=0.005),
    "deep-40": notebook(epochs=40, model=DEEP, data=AUGMENTED_IMAGES, lr=0.005),
    "resnet": notebook(epochs=20, model=RESNET, data=AUGMENTED_IMAGES, lr=0.005),
}
OWN = {"plain"}
"""Rungs that this project has beyond the notebook's."""

CAME_FROM = {
    "baseline": None, "batch-256": "baseline-30", "normalized": "batch-256", "regularized": "baseline",
    "vgg": "regularized", "three-fc": "baseline", "augmented": "three-fc", "augmented-40": "augmented",
    "deep": "augmented", "deep-40": "deep", "resnet": "deep",
}  # fmt: skip


# Read anew for each test: mutation testing asks each of them, and not only the first, whether it notices a fault.
@pytest.fixture
def notebook_ladder() -> Ladder:
    return load_ladder(EXPERIMENTS / "ladder.yaml")


def test_the_ladder_has_the_notebooks_rungs_and_one_more(notebook_ladder: Ladder) -> None:
    assert sorted(rung.name for rung in notebook_ladder.rungs) == sorted(SEED | dict.fromkeys(OWN))


@pytest.mark.parametrize("name", SEED)
def test_a_rung_matches_the_notebook(name: str, notebook_ladder: Ladder) -> None:
    rung = notebook_ladder.rung(name).config

    assert rung.canonical() == SEED[name].canonical()
    resolved, wanted = rung.resolved(), SEED[name].resolved()
    del resolved["data"]["train_size"], wanted["data"]["train_size"]
    assert resolved == wanted


@pytest.mark.parametrize("name", CAME_FROM)
def test_the_parent_of_a_rung_matches_the_notebook(name: str, notebook_ladder: Ladder) -> None:
    assert notebook_ladder.rung(name).parent == CAME_FROM[name]


def test_every_rung_is_a_different_run(notebook_ladder: Ladder) -> None:
    assert len({key_of(rung.config) for rung in notebook_ladder.rungs}) == len(SEED) + len(OWN)


CHANGES = {
    "baseline-10": ("epochs 20 → 10",),
    "batch-256": ("data.batch_size 64 → 256",),
    "normalized": ("data.normalization none → cifar10",),
    "three-fc": ("model.head 64 → 256 64",),
    "augmented": (
        "data.normalization none → imagenet",
        "data.augmentation none → flip-erase-crop",
        "optimizer.lr 0.01 → 0.005",
    ),
    "deep": ("model.name simple → deep",),
    "resnet": ("model.name deep → resnet",),
    "plain": ("model.residual true → false",),
    "vgg": (
        "model.name simple → vgg",
        "data.batch_size 64 → 24",
        "data.shuffle false → true",
        "optimizer.weight_decay 0 → 0.005",
        "schedule.name constant → step",
        "schedule.gamma 0.4",
        "epochs 20 → 40",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_changes_of_a_rung_have_one_line_each(name: str, notebook_ladder: Ladder) -> None:
    assert sorted(map(str, notebook_ladder.rung(name).changes)) == sorted(CHANGES[name])


def test_vgg16_has_a_replaced_or_an_appended_last_layer() -> None:
    swapped, appended = load_ladder(EXPERIMENTS / "vgg16.yaml").rungs

    assert [change.path for change in appended.changes] == ["model.last_layer"]
    assert (swapped.config.model.last_layer, appended.config.model.last_layer) == ("swap", "append")
    assert swapped.config.model.weights is None, "weights would be downloaded"


def ladder_file(*rungs: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "steps", "base": {"epochs": 2}, "rungs": list(rungs)} | more


def test_a_rung_changes_the_previous_or_the_named_rung(tmp_path: Path) -> None:
    path = write_yaml(
        tmp_path,
        ladder_file(
            {"name": "a", "optimizer": {"lr": 0.1, "momentum": 0.5}},
            {"name": "b", "optimizer": {"lr": 0.2}},
            {"name": "c", "from": "a", "epochs": 3},
            {"name": "d", "data": {"batch_size": 16}},
        ),
    )

    rungs = {rung.name: rung.config for rung in load_ladder(path).rungs}

    assert (rungs["b"].optimizer.lr, rungs["b"].optimizer.momentum, rungs["b"].epochs) == (0.2, 0.5, 2)
    assert (rungs["c"].optimizer.lr, rungs["c"].epochs) == (0.1, 3)
    assert (rungs["d"].optimizer.lr, rungs["d"].epochs, rungs["d"].data.batch_size) == (0.1, 3, 16)


def test_another_network_or_schedule_starts_from_its_defaults(tmp_path: Path) -> None:
    path = write_yaml(
        tmp_path,
        ladder_file(
            {"name": "a", "model": {"name": "simple", "dropout": 0.4}, "schedule": {"name": "step", "gamma": 0.5}},
            {"name": "b", "model": {"name": "deep"}, "schedule": {"name": "cosine"}},
            {"name": "c", "schedule": {"name": "step"}},
        ),
    )

    _, deep, step = load_ladder(path).rungs

    assert deep.config.model.arguments()["dropout"] == 0.0
    assert step.config.schedule.gamma == 0.1


def test_a_rung_has_index_parent_note_and_changes(tmp_path: Path) -> None:
    path = write_yaml(
        tmp_path,
        ladder_file(
            {"name": "a", "epochs": 3}, {"name": "b", "note": "longer", "epochs": 4}, {"name": "c", "from": "a"}
        ),
    )

    rungs = load_ladder(path).rungs

    assert [(rung.index, rung.parent, rung.note) for rung in rungs] == [(0, None, ""), (1, "a", "longer"), (2, "a", "")]
    assert [list(map(str, rung.changes)) for rung in rungs] == [["epochs 3"], ["epochs 3 → 4"], []]


def test_a_key_of_the_command_line_overrides_the_file(tmp_path: Path) -> None:
    path = write_yaml(tmp_path, ladder_file({"name": "a"}, description="before"))

    loaded = load_ladder(path, overrides=["base.epochs=5", "description=a=b"])

    assert (loaded.rungs[0].config.epochs, loaded.description) == (5, "a=b")


MISTAKES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "unknown from": (
        ladder_file({"name": "a"}, {"name": "b", "from": "aa"}),
        ("rungs[1].from", "no rung 'aa' before 'b'", "did you mean 'a'?"),
    ),
    "from a later rung": (
        ladder_file({"name": "a"}, {"name": "b", "from": "c"}, {"name": "c"}),
        ("rungs[1].from", "no rung 'c' before 'b'"),
    ),
    "a name twice": (ladder_file({"name": "a"}, {"name": "a"}), ("rungs[1].name", "'a' is used twice")),
    "no name": (ladder_file({"epochs": 2}), ("rungs[0].name", "needs a unique name")),
    "a name that is no file name": (ladder_file({"name": "a/b"}), ("rungs[0].name", "'a/b'", "name for a rung.")),
    "unknown field": (
        ladder_file({"name": "a", "epoch": 3}),
        ("rungs[0].", "(rung a)", "unknown key 'epoch'", "did you mean 'epochs'?"),
    ),
    "unknown field in a block": (
        ladder_file({"name": "a", "model": {"nmae": "vgg"}}),
        ("rungs[0].", "(rung a)", "model", "unknown key 'nmae'", "did you mean 'name'?"),
    ),
    "impossible value": (
        ladder_file({"name": "a", "optimizer": {"lr": -1}}),
        ("rungs[0].", "(rung a)", "optimizer.lr", "greater than 0", "-1"),
    ),
    "no rungs": (ladder_file(), ("rungs: the list is empty",)),
    "unknown key": (ladder_file({"name": "a"}, run_cap=3), ("unknown key 'run_cap'",)),
    "a name outside of the runs folder": (ladder_file({"name": "a"}, name="../x"), ("name", "'../x'")),
    "a sweep": (ladder_file({"name": "a"}, parameters={}), ("is a sweep", "sweeps run")),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_wrong_file_ends_with_code_2_and_names_the_rung(case: str, tmp_path: Path, runs: Path, cli: Cli) -> None:
    content, words = MISTAKES[case]
    path = write_yaml(tmp_path, content)

    result = cli("ladder", path, "--runs", runs)

    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    for word in (str(path), *words):
        assert word in result.stderr
    assert not runs.exists()


def test_all_errors_of_a_file_are_reported_together(tmp_path: Path) -> None:
    path = write_yaml(tmp_path, ladder_file({"name": "b", "from": "z"}, {"name": "a", "epochs": 0}, {"epochs": 1}))

    with pytest.raises(SpecError) as raised:
        load_ladder(path)

    assert [error.split(": ")[:2] for error in raised.value.errors] == [
        ["line 6", "rungs[0].from"], ["line 8", "rungs[1].epochs"], ["line 9", "rungs[2].name"],
    ]  # fmt: skip


def test_an_unknown_rung_suggests_the_closest(runs: Path, cli: Cli) -> None:
    result = cli("ladder", EXPERIMENTS / "ladder.yaml", "--rungs", "baseline,basline-10", "--runs", runs)

    assert result.exit_code == 2
    assert "no rung 'basline-10': did you mean 'baseline-10'?" in result.stderr
    assert not runs.exists()


class TestBudget:
    config = TrainingConfig.model_validate({"epochs": 20, "schedule": {"name": "step", "step_size": 5}})

    def test_the_full_budget_changes_nothing_and_has_no_label(self) -> None:
        assert Budget().apply(self.config) == self.config
        assert Budget().reduced(self.config) is None

    def test_fewer_epochs_shrink_the_step_schedule_with_them(self) -> None:
        cut = Budget(epochs_scale=0.4).apply(self.config)

        assert (cut.epochs, cut.schedule.step_size) == (8, 2)
        assert Budget(epochs_scale=0.4).reduced(self.config) == "8 of 20 epochs"

    def test_a_share_that_rounds_to_all_epochs_is_the_full_budget(self) -> None:
        scheduled = TrainingConfig.model_validate({"epochs": 20, "schedule": {"name": "step", "step_size": 100}})
        for config in (self.config, scheduled):
            assert Budget(epochs_scale=0.98).apply(config) == config
            assert Budget(epochs_scale=0.98).reduced(config) is None
        assert Budget(epochs_scale=0.9).reduced(scheduled) == "18 of 20 epochs"

    @pytest.mark.parametrize(
        "said", [{"epochs_scale": float("nan")}, {"epochs_scale": 0}, {"seeds": 0}, {"seeds": 1001}]
    )
    def test_an_invalid_share_of_epochs_or_number_of_seeds_is_rejected(self, said: dict[str, Any]) -> None:
        with pytest.raises(SweepError):
            Budget(**said)

    def test_at_least_one_epoch_remains(self) -> None:
        cut = Budget(epochs_scale=0.001).apply(self.config)

        assert (cut.epochs, cut.schedule.step_size) == (1, 1)

    def test_fewer_images_are_listed_with_the_epochs(self) -> None:
        budget = Budget(epochs_scale=0.1, train_size=5000)

        assert budget.apply(self.config).data.train_size == 5000
        assert budget.reduced(self.config) == "2 of 20 epochs, 5,000 training images"

    def test_all_available_images_are_the_full_budget(self) -> None:
        budget = Budget(train_size=50_000)

        assert key_of(budget.apply(self.config)) == key_of(self.config)
        assert budget.reduced(self.config) is None

    def test_train_size_never_increases_the_images_of_a_rung(self) -> None:
        small = TrainingConfig.model_validate({"data": {"train_size": 1000}})

        assert Budget(train_size=5000).apply(small) == small

    def test_each_seed_is_a_run_with_the_rungs_name(self, tmp_path: Path) -> None:
        ladder = load_ladder(write_yaml(tmp_path, ladder_file({"name": "a"}, {"name": "b", "epochs": 3})))

        plan = plan_of_ladder(ladder, budget=Budget(seeds=3), only=["b"])

        assert plan.proposer(key_of).total() == 3
        assert plan.tested
        assert plan.epochs == 3
