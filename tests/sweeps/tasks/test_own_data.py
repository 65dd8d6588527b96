"""A data set of a user's own, from a folder of photos to a tested network and its predictions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from photo_sets import CLASSES, photo, write_folder
from sweep_fakes import Cli, write_yaml

import sweeps
from cifar_core.config import TrainingConfig
from cifar_core.datasets.errors import DataError
from cifar_core.datasets.known import forget
from cifar_core.datasets.prepare import prepare
from sweeps.core.errors import SpecError
from sweeps.core.identity import Protocol
from sweeps.files.sweep import load_spec
from sweeps.record.reader import MlflowReader
from sweeps.tasks.registry import IMAGES, read_config

SPEC: dict[str, Any] = {
    "name": "photos",
    "method": "grid",
    "base": {
        "epochs": 1,
        "data": {
            "source": "folder:photos",
            "image_size": 16,
            "validation_size": 6,
            "batch_size": 8,
            "normalization": "dataset",
            "augmentation": "flip-crop",
        },
        "model": {"name": "simple", "width": 4},
    },
    "parameters": {"optimizer.lr": {"values": [0.01, 0.02]}},
}


@pytest.fixture(autouse=True)
def _photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEPS_DATA_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))  # not a module of the same name in the folder of an earlier test
    forget()
    write_folder(Path("photos"), images=12)


def spec(**data: Any) -> dict[str, Any]:
    return SPEC | {"base": SPEC["base"] | {"data": SPEC["base"]["data"] | data}}


def config(**data: Any) -> TrainingConfig:
    fields = SPEC["base"]["data"] | data
    prepare("folder:photos", image_size=fields["image_size"], test_share=fields.get("test_share", 0.2))
    forget()
    return TrainingConfig.model_validate(SPEC["base"] | {"data": fields})


@pytest.mark.trains
def test_photos_are_searched_confirmed_tested_and_predicted(tmp_path: Path, cli: Cli) -> None:
    file = write_yaml(tmp_path, spec() | {"replicates": {"top": 1, "seeds": 1}})

    result = cli("run", file, "--backend", "inline", "--no-report", "--runs", "runs")

    assert result.exit_code == 0, result.output
    assert set(sweeps.leaderboard("photos", runs="runs")["status"]) == {"complete"}
    tested = cli("finalize", "photos", "--runs", "runs")
    assert tested.exit_code == 0, tested.output
    assert all(name in tested.stdout for name in CLASSES)
    (row,) = [row for row in MlflowReader(Path("runs")).runs(sweep="photos").rows if row["test_accuracy"] is not None]
    counts = np.array(MlflowReader(Path("runs")).confusion(row["run_id"]))
    assert counts.shape == (3, 3)
    assert counts.sum() == row["protocol"].test_images > 0
    predicted = cli("predict", "photos", "photos", "--runs", "runs")
    assert predicted.exit_code == 0, predicted.output
    assert "correct on 36 images" in predicted.stdout
    assert cli("inspect", "mistakes", "photos", "--json", "--runs", "runs").exit_code == 0
    assert cli("export", "photos", "--runs", "runs", "--out", "net.pt", "--format", "state-dict").exit_code == 0
    about = json.loads(Path("net.pt.json").read_text())
    assert (about["class_names"], about["input"]["shape"][2:], about["output"]["shape"][1]) == (
        list(CLASSES),
        [16, 16],
        3,
    )


@pytest.mark.trains
def test_a_run_is_repeated_bit_for_bit_after_its_folder_is_gone(tmp_path: Path, cli: Cli) -> None:
    cli("run", write_yaml(tmp_path, spec()), "--backend", "inline", "--runs", "runs")
    shutil.rmtree("photos")
    forget()

    result = cli("rerun", "photos-000", "--runs", "runs")

    assert "bit for bit" in result.stdout, result.output


def test_a_file_around_a_run_names_its_data(tmp_path: Path, cli: Cli) -> None:
    cli("run", write_yaml(tmp_path, spec()), "--backend", "inline", "--runs", "runs")

    result = cli("init", "near.yaml", "--from", "photos-000", "--time", "1m", "--runs", "runs")

    assert result.exit_code == 0, result.output
    data = load_spec(Path("near.yaml")).space.config({}).data
    assert (data.source, data.image_size, data.validation_size) == ("folder:photos", 16, 6)


def test_a_recorded_configuration_is_read_without_its_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = config()
    text = before.model_dump_json()
    monkeypatch.setenv("SWEEPS_DATA_DIR", str(tmp_path / "elsewhere"))
    shutil.rmtree("photos")
    forget()

    again = read_config(text)

    assert again == before
    assert Protocol.of(again).data == before.fingerprint != ""
    assert IMAGES.class_names(again) == CLASSES


def test_other_images_make_another_run_and_another_protocol() -> None:
    before = config()
    photo(999).save("photos/cats/more.png")

    after = config()

    assert after.canonical() == before.canonical()
    assert not after.is_same_run(before)
    assert after.config_id() != before.config_id()
    keys = {each.key(data_fingerprint=IMAGES.data_fingerprint(each)) for each in (before, after)}
    assert len(keys) == 2
    assert Protocol.of(before) != Protocol.of(after)


def test_the_path_of_the_same_images_is_no_part_of_a_run() -> None:
    before = config()
    shutil.copytree("photos", "moved")
    prepare("folder:moved", image_size=16, test_share=0.2)

    after = config(source="folder:moved")

    assert after.is_same_run(before)
    assert after.config_id() == before.config_id()


def test_changed_images_are_not_trained_on_as_those_of_a_recorded_run() -> None:
    before = config()
    photo(999).save("photos/cats/000.png")
    shutil.rmtree(Path("cache"))

    with pytest.raises(DataError, match="contains other images than this run was trained on"):
        IMAGES.load_parts([before])


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"source": "foldr:photos"}, "base.data.source: unknown data source 'foldr:photos': did you mean 'folder'?"),
        ({"source": "folder:photo"}, "photo does not exist: correct the path"),
        ({"train_size": 500}, "base.data.train_size: should be less than or equal to"),
        ({"validation_size": 2}, "validation_size 2 is less than the 3 classes"),
        ({"image_size": 15}, "base.data.image_size"),
        ({"source": "cifar10"}, "the images of cifar10 have 32 pixels"),
    ],
)
def test_a_wrong_field_is_refused_with_its_key(data: dict[str, Any], says: str, tmp_path: Path, cli: Cli) -> None:
    result = cli("run", write_yaml(tmp_path, spec(**data)), "--runs", "runs")

    assert result.exit_code == 2
    assert says in " ".join(result.output.split())
    assert not Path("runs").exists()


def test_too_few_images_are_refused_before_anything_trains(tmp_path: Path, cli: Cli) -> None:
    write_folder(Path("photos"), classes=("yaks",), images=1)

    result = cli("run", write_yaml(tmp_path, spec()), "--runs", "runs")

    assert result.exit_code == 2
    assert "too few images: 'yaks' has 1 image" in " ".join(result.output.split())


def test_the_data_are_the_same_for_all_trials_of_a_sweep(tmp_path: Path) -> None:
    parameters = {"data.image_size": {"values": [16, 32]}, "data.source": ["folder:photos", "cifar10"]}

    with pytest.raises(SpecError) as error:
        load_spec(write_yaml(tmp_path, spec() | {"parameters": parameters}))

    assert "parameters.data.image_size: must be the same for all trials" in str(error.value)
    assert "parameters.data.source: must be the same for all trials" in str(error.value)


def test_a_network_of_ten_outputs_is_refused_for_three_classes(tmp_path: Path, cli: Cli) -> None:
    Path("ten_outputs.py").write_text(
        "from torch import nn\n\nclass Ten(nn.Sequential):\n    def __init__(self):\n"
        "        super().__init__(nn.Flatten(), nn.LazyLinear(10))\n"
    )
    values = spec()
    values["base"] = values["base"] | {"model": {"name": "ten_outputs:Ten"}}

    result = cli("run", write_yaml(tmp_path, values), "--backend", "inline", "--runs", "runs")

    assert result.exit_code == 2
    assert "forward returned (2, 10), not (2, 3)" in " ".join(result.output.split())


def test_a_data_sets_own_validation_part_is_validated_on() -> None:
    for part, first in (("train", 0), ("val", 100), ("test", 200)):
        write_folder(Path("parts", part), images=5, first_seed=first)
    prepare("folder:parts", image_size=16, test_share=0.2)

    found = config(source="folder:parts", validation_size=9)
    train, validation = IMAGES.load_parts([found])[IMAGES.part_name(found)]

    assert (len(train), found.train_images(), len(validation)) == (15, 15, 9)
    assert np.bincount(validation.labels_N).tolist() == [3, 3, 3]
    final = IMAGES.final_config(found)
    assert (final.train_images(), final.data.validation_size) == (15, 0)


def test_a_full_disk_ends_the_preparation_with_a_sentence(
    small_disk: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWEEPS_DATA_DIR", str(small_disk / "cache"))

    result = cli("data", "folder:photos", "--image-size", "512")

    assert result.exit_code == 2
    assert "No space left on device): make the folder writable, free some space" in result.stderr


def test_examples_of_each_class_are_drawn(cli: Cli) -> None:
    result = cli("inspect", "images", "folder:photos", "--image-size", "16", "--count", "3", "--out", "page.html")

    assert result.exit_code == 0, result.output
    assert all(name in Path("page.html").read_text(encoding="utf-8") for name in CLASSES)


def test_the_report_of_a_data_set_is_printed_and_as_json(cli: Cli) -> None:
    Path("photos/cats/broken.png").write_bytes(b"-")

    result = cli("data", "folder:photos", "--picture", "photos.png")

    assert result.exit_code == 0, result.output
    assert Path("photos.png").read_bytes().startswith(b"\x89PNG")
    assert "left out, since 1 image cannot be read: cats/broken.png" in " ".join(result.stdout.split())
    found = json.loads(cli("data", "folder:photos", "--json").stdout)
    assert found["class_names"] == list(CLASSES)
    assert found["report"]["unreadable"][0][0] == "cats/broken.png"
