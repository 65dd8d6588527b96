"""`sweeps init` writes a file that runs as it is, or nothing."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from sweep_fakes import Cli, tiny, write_yaml

from cifar_core.config import TrainingConfig
from sweeps.execution.sizing import MOST_TRIALS, SIZES, WANTED_TRIALS, size_of_ladder, size_of_sweep
from sweeps.spec import Starter, file_schema, load_ladder, load_spec, schema_file

ROOT = Path(__file__).parents[3]
SIMPLE = ("--model", "simple", "--yes")


def per_image(seconds: float) -> Any:
    """Return a probe by which every network takes the same for an image."""
    return lambda config: seconds * config.train_images() * config.epochs


def starter(**changes: Any) -> Starter:
    return Starter(**({"name": "mine", "time": "10m", "networks": ("simple", "deep")} | changes))


def test_what_is_written_is_planned_run_and_recorded(cli: Cli, tmp_path: Path, runs: Path) -> None:
    file = tmp_path / "mine.yaml"

    written = cli("init", file, *SIMPLE, "--time", "2m", "--replicates", 0)
    planned = cli("plan", file, "--no-probe")
    small = ["--set", "base.data.train_size=200", "--set", "base.epochs=1", "--set", "run_cap=2"]
    ran = cli("run", file, "--backend", "inline", "--runs", runs, *small, "--set", "base.data.validation_size=100")

    assert written.exit_code == planned.exit_code == ran.exit_code == 0, written.output + planned.output + ran.output
    assert "ends after 2 min 00 s at the latest (limits.timeout)" in planned.stdout
    assert "mine: 2 complete" in ran.stdout


@pytest.mark.parametrize("name", ["123", "null", "yes"])
def test_a_name_that_yaml_would_take_for_something_else_is_written_as_text(cli: Cli, tmp_path: Path, name: str) -> None:
    file = tmp_path / f"{name}.yaml"
    assert cli("init", file, "--yes", "--time", "5m").exit_code == 0
    assert load_spec(file).name == name


def test_a_ladder_is_written_that_can_be_planned(cli: Cli, tmp_path: Path) -> None:
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
def test_every_option_gives_a_file_that_loads_keeps_to_the_schema_and_fits_a_screen(
    case: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nets.py").write_text(
        "import torch\nclass Tiny(torch.nn.Sequential):\n    def __init__(self, num_classes):\n"
        "        super().__init__(torch.nn.Flatten(), torch.nn.Linear(3072, num_classes))\n"
    )
    monkeypatch.chdir(tmp_path)
    chosen = OPTIONS[case] if "--model" in OPTIONS[case] else ("--model", "simple", *OPTIONS[case])

    result = cli("init", "mine.yaml", "--yes", "--time", "1m", *chosen)

    assert result.exit_code == 0, result.output
    text = (tmp_path / "mine.yaml").read_text()
    kind: Any = "ladder" if "--ladder" in chosen else "sweep"
    load_ladder(tmp_path / "mine.yaml") if kind == "ladder" else load_spec(tmp_path / "mine.yaml")
    assert list(jsonschema.Draft7Validator(file_schema(kind)).iter_errors(yaml.safe_load(text))) == []
    assert [line for line in text.splitlines() if len(line) > 120 and "$schema" not in line] == []


def test_the_schema_is_named_by_a_path_that_an_editor_can_follow(cli: Cli, tmp_path: Path) -> None:
    assert cli("init", tmp_path / "mine.yaml", *SIMPLE).exit_code == 0
    elsewhere = (tmp_path / "mine.yaml").read_text().splitlines()[0].partition("$schema=")[2]
    assert elsewhere == schema_file("sweep").as_uri()

    from sweeps.spec.starter import schema_reference

    inside = schema_reference(ROOT / "experiments" / "new folder" / "mine.yaml", "sweep")
    assert inside == "../../sweeps/spec/sweep.schema.json"


REFUSED = {
    "a folder that is not there": (("nowhere/mine.yaml",), "mkdir -p nowhere"),
    "a folder": (("folder.yaml",), "folder.yaml"),
    "a file there already": (("there.yaml",), "--force"),
    "no name for a sweep": (("my sweep.yaml",), "--name"),
    "a name that leads out": (("mine.yaml", "--name", "../x"), "--name"),
    "another kind of file": (("mine.txt",), "ends in .yaml"),
    "no duration": (("mine.yaml", "--time", "2 fortnights"), "2h, 30m or 90s"),
    "no time": (("mine.yaml", "--time", "3s"), "at least 1m"),
    "endless time": (("mine.yaml", "--time", "9" * 400 + "h"), "--time"),
    "an unknown network": (("mine.yaml", "--model", "resnte"), "did you mean 'resnet'?"),
    "a network twice": (("mine.yaml", "--model", "simple", "--model", "simple"), "twice"),
    "a network of one's own that is not there": (("mine.yaml", "--model", "nosuch:Net"), "nosuch"),
    "a ladder by grid": (("mine.yaml", "--ladder", "--method", "grid"), "ladder"),
    "an unknown run": (("mine.yaml", "--from", "quick-003"), "quick-003"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_written_is_refused_and_leaves_nothing(
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
def test_a_folder_that_may_not_be_written_is_refused(cli: Cli, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    result = cli("init", tmp_path / "mine.yaml", *SIMPLE)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


def test_force_overwrites(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("mine: own\n")
    assert cli("init", file, *SIMPLE, "--force").exit_code == 0
    assert load_spec(file).name == "mine"


def test_a_search_around_a_recorded_run_begins_with_it(cli: Cli, tmp_path: Path, runs: Path) -> None:
    assert cli("run", write_yaml(tmp_path, tiny()), "--backend", "inline", "--runs", runs).exit_code == 0

    result = cli("init", tmp_path / "near.yaml", "--from", "tiny-001", "--runs", runs, "--yes")

    assert result.exit_code == 0, result.output
    spec = load_spec(tmp_path / "near.yaml")
    first = spec.space.config(spec.start_with[0])
    assert first.model.width == 4
    assert (first.epochs, first.data.train_size, first.data.validation_size) == (2, 300, 200)
    assert spec.parameters["optimizer.lr"].min == pytest.approx(first.optimizer.lr / 4)


class TestTheSizeOfATrial:
    """`WANTED_TRIALS` at the largest size that the time allows; then as many as fit."""

    def test_more_time_never_makes_trials_smaller(self) -> None:
        sizes = [
            size_of_sweep(starter(), available=minutes * 60, slots=2, seconds=per_image(0.002)).size
            for minutes in (1, 3, 10, 30, 120, 600, 6000)
        ]
        ranks = [SIZES.index(size) for size in sizes]
        assert ranks == sorted(ranks)
        assert len(set(ranks)) > 4

    def test_what_is_chosen_ends_in_the_time_and_searches_enough(self) -> None:
        for minutes in (5, 10, 30, 120, 600):
            sized = size_of_sweep(starter(), available=minutes * 60, slots=2, seconds=per_image(0.002))
            assert sized.seconds <= minutes * 60
            assert WANTED_TRIALS <= sized.run_cap <= MOST_TRIALS

    def test_the_time_is_used(self) -> None:
        sized = size_of_sweep(starter(), available=600, slots=2, seconds=per_image(0.002))
        assert sized.seconds > 0.7 * 600

    def test_replicates_take_their_part(self) -> None:
        alone = size_of_sweep(starter(replicates=0), available=600, slots=2, seconds=per_image(0.002))
        confirmed = size_of_sweep(starter(replicates=2), available=600, slots=2, seconds=per_image(0.002))
        assert (confirmed.size.train_size, confirmed.run_cap) < (alone.size.train_size, alone.run_cap)

    def test_too_little_time_gives_the_smallest_and_says_how_long_it_takes(self) -> None:
        sized = size_of_sweep(starter(), available=60, slots=1, seconds=per_image(1.0))
        assert sized.size == SIZES[0]
        assert sized.seconds > 60

    def test_a_ladder_ends_in_the_time(self) -> None:
        sized = size_of_ladder(starter(), rungs=4, available=600, slots=2, seconds=per_image(0.002))
        assert sized.seconds <= 600
        assert sized.size != SIZES[0]

    def test_a_configuration_of_ones_own_keeps_its_size(self) -> None:
        own = TrainingConfig(epochs=9, data={"train_size": 777, "validation_size": 99})
        sized = size_of_sweep(starter(around=own), available=600, slots=2, seconds=per_image(0.002))
        assert (sized.size.epochs, sized.size.train_size) == (9, 777)


def test_in_a_terminal_it_asks_again_where_an_answer_makes_no_sense(tmp_path: Path) -> None:
    code = "from sweeps.cli import main; import sys; sys.argv = ['sweeps', 'init', 'mine.yaml']; main()"
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=theirs, stdout=theirs, stderr=theirs, cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    said = ""
    answers = iter([("long", "soon"), ("long", "1m"), ("networks", "simple, nosuch"), ("networks", "simple")])
    answers_left = [*answers, ("lag", "n"), ("Replicates", "0")]
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if select.select([ours], [], [], 0.2)[0]:
            try:
                said += os.read(ours, 4096).decode(errors="replace")
            except OSError:
                break
        asked = said.rpartition("\n")[2]
        if answers_left and answers_left[0][0] in asked and asked.rstrip().endswith(":"):
            os.write(ours, f"{answers_left.pop(0)[1]}\n".encode())
            said += "\n"
    assert process.wait(timeout=60) == 0, said
    spec = load_spec(tmp_path / "mine.yaml")

    assert "is not a duration" in said
    assert "unknown model 'nosuch'" in said
    assert (spec.limits.timeout, spec.early_terminate.type, spec.replicates) == (60.0, "none", None)
    assert spec.base["model"] == {"name": "simple"}
