"""`sweeps init` writes a file that runs unchanged, or nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from photo_sets import write_folder
from sweep_fakes import Cli, tiny, write_yaml

from cifar_core.config import TrainingConfig
from sweeps.driver.sizing import MAX_TRIALS, SIZES, TARGET_TRIALS, SizedFile, size_of_starter
from sweeps.files.ladder_file import load_ladder
from sweeps.files.schema import file_schema, schema_file
from sweeps.files.sweep import load_spec
from sweeps.tasks.image_probe import ImageProbe, Timed
from sweeps.use.starter import Starter

ROOT = Path(__file__).parents[3]
SIMPLE = ("--model", "simple")


class Timetable(ImageProbe):
    """A probe with equal seconds per image for every network."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def _of(self, config: TrainingConfig) -> Timed:
        return Timed(train=self._seconds, evaluate=0.0)


def sized(minutes: float, *, image_seconds: float = 0.002, slots: int = 2, **changes: Any) -> SizedFile:
    """Return the file that fits into the time."""
    asked = {"name": "mine", "path": Path("mine.yaml"), "time": "10m", "networks": ("simple", "deep")} | changes
    return size_of_starter(Starter(**asked), available=60 * minutes, slots=slots, probe=Timetable(image_seconds))


def test_a_written_file_is_planned_run_and_recorded(cli: Cli, tmp_path: Path, runs: Path) -> None:
    file = tmp_path / "mine.yaml"

    written = cli("init", file, *SIMPLE, "--time", "2m", "--replicates", 0)
    planned = cli("plan", file, "--no-probe")
    small = ["--set", "base.data.train_size=200", "--set", "base.epochs=1", "--set", "run_cap=2"]
    ran = cli("run", file, "--backend", "inline", "--runs", runs, *small, "--set", "base.data.validation_size=100")

    assert written.exit_code == planned.exit_code == ran.exit_code == 0, written.output + planned.output + ran.output
    assert "stops after at most 2 min 00 s (limits.timeout)" in planned.stdout
    assert "mine: 2 complete" in ran.stdout


@pytest.mark.parametrize("name", ["123", "null", "yes"])
def test_a_name_that_yaml_would_misread_is_written_as_text(cli: Cli, tmp_path: Path, name: str) -> None:
    file = tmp_path / f"{name}.yaml"
    assert cli("init", file, "--yes", "--time", "5m").exit_code == 0
    assert load_spec(file).name == name


def test_a_written_ladder_can_be_planned(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "steps.yaml"

    assert cli("init", file, "--ladder", "--model", "simple", "--model", "resnet", "--yes").exit_code == 0
    names = [rung.name for rung in load_ladder(file).rungs]

    assert names == ["baseline", "normalized", "augmented", "cosine", "resnet"]
    assert cli("plan", file, "--no-probe").exit_code == 0


OPTIONS = {
    "a grid": ("--method", "grid"),
    "random": ("--method", "random"),
    "nothing stopped early": ("--no-early",),
    "no replicates": ("--replicates", "0"),
    "a network without a width": ("--model", "simple", "--model", "nets:Tiny"),
    "another name": ("--name", "other.name"),
    "a name that YAML takes for a number": ("--name", "1e3"),
    "a ladder": ("--ladder",),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_every_option_writes_a_valid_file(case: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nets.py").write_text(
        "import torch\nclass Tiny(torch.nn.Sequential):\n    def __init__(self, num_classes):\n"
        "        super().__init__(torch.nn.Flatten(), torch.nn.Linear(3072, num_classes))\n"
    )
    monkeypatch.chdir(tmp_path)
    chosen = OPTIONS[case] if "--model" in OPTIONS[case] else ("--model", "simple", *OPTIONS[case])

    result = cli("init", "mine.yaml", "--time", "1m", *chosen)

    assert result.exit_code == 0, result.output
    text = (tmp_path / "mine.yaml").read_text()
    kind: Any = "ladder" if "--ladder" in chosen else "sweep"
    load_ladder(tmp_path / "mine.yaml") if kind == "ladder" else load_spec(tmp_path / "mine.yaml")
    assert list(jsonschema.Draft7Validator(file_schema(kind)).iter_errors(yaml.safe_load(text))) == []
    assert [line for line in text.splitlines() if len(line) > 120 and "$schema" not in line] == []


@pytest.mark.parametrize("kind", ["run", "ladder"])
def test_a_file_for_own_images_fits_their_number_and_is_planned(
    kind: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWEEPS_DATA_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    write_folder(Path("photos"), images=12)
    chosen = ("--ladder",) if kind == "ladder" else ("--model", "simple")

    written = cli("init", "mine.yaml", "--data", "folder:photos", "--image-size", "16", *chosen)

    assert written.exit_code == 0, written.output
    data = yaml.safe_load(Path("mine.yaml").read_text())["base"]["data"]
    held_out = {} if kind == "ladder" else {"validation_size": 3}
    assert data == {"source": "folder:photos", "image_size": 16} | held_out
    planned = cli("plan", "mine.yaml", "--no-probe")
    assert planned.exit_code == 0, planned.output
    assert "cifar10" not in Path("mine.yaml").read_text()


def test_the_path_of_the_schema_exists(cli: Cli, tmp_path: Path) -> None:
    assert cli("init", tmp_path / "mine.yaml", *SIMPLE).exit_code == 0
    elsewhere = (tmp_path / "mine.yaml").read_text().splitlines()[0].partition("$schema=")[2]
    assert elsewhere == schema_file("sweep").as_uri()

    from sweeps.use.starter import schema_reference

    inside = schema_reference(ROOT / "experiments" / "new folder" / "mine.yaml", "sweep")
    assert inside == "../../sweeps/files/sweep.schema.json"


REFUSED = {
    "a folder that is not there": (("nowhere/mine.yaml",), "mkdir -p nowhere"),
    "a folder": (("folder.yaml",), "folder.yaml"),
    "a file there already": (("there.yaml",), "--force"),
    "no name for a sweep": (("my sweep.yaml",), "--name"),
    "a name that leads out": (("mine.yaml", "--name", "../x"), "--name"),
    "another kind of file": (("mine.txt",), "must end with .yaml"),
    "no duration": (("mine.yaml", "--time", "2 fortnights"), "2h, 30m or 90s"),
    "no time": (("mine.yaml", "--time", "3s"), "at least 1m"),
    "endless time": (("mine.yaml", "--time", "9" * 400 + "h"), "--time"),
    "an unknown network": (("mine.yaml", "--model", "resnte"), "did you mean 'resnet'?"),
    "a network of one's own that is not there": (("mine.yaml", "--model", "nosuch:Net"), "nosuch"),
    "a ladder by grid": (("mine.yaml", "--ladder", "--method", "grid"), "ladder"),
    "an image size without own images": (("mine.yaml", "--image-size", "64"), "--data"),
    "images that are not there": (("mine.yaml", "--data", "folder:nowhere"), "does not exist: correct the path"),
    "images of a recorded run": (("mine.yaml", "--from", "quick-003", "--data", "folder:nowhere"), "--data"),
    "an unknown run": (("mine.yaml", "--from", "quick-003"), "quick-003"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_options_are_rejected_and_write_nothing(
    case: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "there.yaml").write_text("mine: own\n")
    words, said = REFUSED[case]

    result = cli("init", *words, "--yes")

    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.yaml", "there.yaml"]
    assert (tmp_path / "there.yaml").read_text() == "mine: own\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_read_only_folder_is_rejected(cli: Cli, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    result = cli("init", tmp_path / "mine.yaml", *SIMPLE)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


def test_force_overwrites(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("mine: own\n")
    assert cli("init", file, *SIMPLE, "--force").exit_code == 0
    assert load_spec(file).name == "mine"


def test_a_search_around_a_recorded_run_starts_with_it(cli: Cli, tmp_path: Path, runs: Path) -> None:
    assert cli("run", write_yaml(tmp_path, tiny()), "--backend", "inline", "--runs", runs).exit_code == 0

    result = cli("init", tmp_path / "near.yaml", "--from", "tiny-001", "--runs", runs, "--yes")

    assert result.exit_code == 0, result.output
    spec = load_spec(tmp_path / "near.yaml")
    first = spec.space.config(spec.start_with[0])
    assert first.model.width == 4
    assert (first.epochs, first.data.train_size, first.data.validation_size) == (2, 300, 200)
    assert spec.parameters["optimizer.lr"].min == pytest.approx(first.optimizer.lr / 4)


class TestTheSizeOfATrial:
    """At least `TARGET_TRIALS` trials of the largest size that fits, and as many as fit."""

    def test_more_time_never_makes_trials_smaller(self) -> None:
        ranks = [SIZES.index(sized(minutes).size) for minutes in (1, 10, 120, 6000)]
        assert ranks == sorted(ranks)
        assert len(set(ranks)) == 4

    @pytest.mark.parametrize("minutes", [5, 30, 600])
    def test_the_time_is_used_but_not_exceeded_with_enough_trials(self, minutes: int) -> None:
        found = sized(minutes)
        assert 0.5 * minutes * 60 < found.seconds <= minutes * 60
        assert TARGET_TRIALS <= found.run_cap <= MAX_TRIALS

    def test_replicates_use_part_of_the_time(self) -> None:
        alone, confirmed = sized(10, replicates=0), sized(10, replicates=3)
        assert (confirmed.size.train_size, confirmed.run_cap) < (alone.size.train_size, alone.run_cap)

    @pytest.mark.parametrize("is_ladder", [False, True])
    def test_too_little_time_gives_the_smallest_size_with_its_estimate(self, is_ladder: bool) -> None:
        found = sized(1, image_seconds=1.0, slots=1, is_ladder=is_ladder)
        assert found.size == SIZES[0]
        assert found.seconds > 60

    def test_a_ladder_fits_into_the_time(self) -> None:
        found = sized(10, is_ladder=True)
        assert found.seconds <= 600
        assert found.size != SIZES[0]

    def test_a_recorded_configuration_keeps_its_size(self) -> None:
        own = TrainingConfig.model_validate({"epochs": 9, "data": {"train_size": 777, "validation_size": 99}})
        base = yaml.safe_load(sized(10, around=own, around_name="quick-003").text)["base"]
        assert (base["epochs"], base["data"]["train_size"]) == (9, 777)


WANDB = """\
program: train.py
project: demo
name: My first sweep
method: bayes
metric: {name: val_acc, impute: worst}
early_terminate: {type: hyperband, max_iter: 27, s: 2}
parameters:
  learning_rate: {min: 0, max: 0.1}
  fc_layer_size: {values: [64, 128]}
  hidden: {parameters: {depth: {values: [1, 2]}}}
  optimizer: {values: [SGD, Adam, rmsprop]}
  epochs: {value: 27}
"""


class TestConversion:
    def test_a_file_of_wandb_becomes_one_of_ours_with_comments(self, cli: Cli, tmp_path: Path) -> None:
        theirs, mine = tmp_path / "theirs.yaml", tmp_path / "mine.yaml"
        theirs.write_text(WANDB, encoding="utf-8")

        result = cli("init", mine, "--from", theirs, "--model", "resnet")

        text = mine.read_text(encoding="utf-8")
        spec = load_spec(mine)
        assert result.exit_code == 0, result.output
        assert "5 keys without an equivalent" in result.stdout
        assert spec.notes == ()
        assert list(spec.parameters) == ["optimizer.lr", "optimizer.name", "epochs", "model.name"]
        assert list(jsonschema.Draft7Validator(file_schema("sweep")).iter_errors(yaml.safe_load(text))) == []
        for line in (
            "# project: demo (not used here)",
            "# metric.impute: worst (not used here)",
            "  # min: 1e-07, since 0 is invalid",
            "  # parameters.fc_layer_size: {values: [64, 128]} (the built-in networks have no such field)",
            "  # parameters.hidden.parameters.depth: {values: [1, 2]} (the built-in networks have no such field)",
        ):
            assert line in text.splitlines()
        assert "\n  # parameters.optimizer.values.2: rmsprop ('rmsprop' is not available" in text
        assert [line for line in text.splitlines() if len(line) > 120 and "$schema" not in line] == []

    def test_a_converted_file_has_the_given_name_or_the_files(self, cli: Cli, tmp_path: Path) -> None:
        theirs = tmp_path / "theirs.yaml"
        theirs.write_text(WANDB.replace("name: My first sweep\n", ""), encoding="utf-8")

        cli("init", tmp_path / "mine.yaml", "--from", theirs, "--model", "simple")
        cli("init", tmp_path / "named.yaml", "--from", theirs, "--model", "simple", "--name", "other")

        assert (load_spec(tmp_path / "mine.yaml").name, load_spec(tmp_path / "named.yaml").name) == ("mine", "other")

    @pytest.mark.parametrize(
        ("text", "options", "words"),
        [
            (WANDB, ("--time", "3m"), "--time is not for a converted file"),
            (WANDB.replace("max: 0.1", "max: -1"), (), "line 8: parameters.optimizer.lr: min 0 is above max -1"),
            ("defaults: [a]\n", (), "the file is one of Hydra"),
            ("name: x\nparameters: {optimizer.lr: {values: [0.1]}}\n", (), "the file is not one of W&B"),
            (None, (), "the file does not exist"),
        ],
    )
    def test_what_cannot_be_converted_is_refused_and_nothing_written(
        self, text: str | None, options: tuple[str, ...], words: str, cli: Cli, tmp_path: Path
    ) -> None:
        theirs, mine = tmp_path / "theirs.yaml", tmp_path / "mine.yaml"
        if text is not None:
            theirs.write_text(text, encoding="utf-8")

        result = cli("init", mine, "--from", theirs, "--model", "simple", *options)

        assert (result.exit_code, words in result.stderr) == (2, True), result.stderr
        assert not mine.exists()
