"""`sweeps evaluate`: further test sets of a finalized run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sweep_fakes import Cli, Record, tiny, write_yaml

from cifar_core.checkpoint import load_network
from cifar_core.data import further_tests
from cifar_core.data.images import CLASS_NAMES
from cifar_core.data.load import load_test_images
from cifar_core.evaluation import evaluate
from sweeps.record.reader import MlflowReader
from sweeps.store.access_log import ACCESS_LOG, describe_accesses, read_accesses

pytestmark = pytest.mark.usefixtures("instant_training")

IMAGES = 40


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, record: Record) -> Path:
    """The runs folder of a finalized sweep, whose best configuration has two confirming runs."""
    folder = tmp_path_factory.mktemp("further")
    rates = {"optimizer.lr": {"values": [0.001, 0.05]}}
    content = tiny(method="grid", run_cap=None, parameters=rates, replicates={"top": 1, "seeds": 2})
    run = ["run", write_yaml(folder, content), "--backend", "inline"]
    return record(folder, run, ["finalize", "tiny"], weights=True)


@pytest.fixture
def runs(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "runs")
    return tmp_path / "runs"


@pytest.fixture
def cifar101(tmp_path: Path) -> Path:
    """Images and labels under the names of CIFAR-10.1."""
    images = load_test_images(progress=False)
    np.save(tmp_path / "cifar10.1_v6_data.npy", images.images_NHWC[:IMAGES])
    np.save(tmp_path / "cifar10.1_v6_labels.npy", images.labels_N[:IMAGES].astype(np.int32))
    return tmp_path / "cifar10.1_v6_data.npy"


def accuracies(runs: Path, images: np.ndarray, labels: np.ndarray) -> list[float]:
    """Return the accuracy of the tested runs, best configuration first."""
    found = []
    for row in MlflowReader(runs).runs(sweep="tiny").rows:
        if row["test_accuracy"] is not None:
            network, config = load_network(runs / "sweeps" / "tiny" / "checkpoints" / row["key"] / "state.pt")
            data = further_tests.LabelledImages(images_NHWC=images, labels_N=labels.astype(np.int64))
            found.append(evaluate(network, data, config=config).accuracy)
    return sorted(found)


def test_each_confirming_run_is_evaluated_and_the_access_logged(runs: Path, cifar101: Path, cli: Cli) -> None:
    result = cli("evaluate", "tiny", "--on", f"npy:{cifar101}", "--json", "--runs", runs)

    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout[result.stdout.index("{") :])
    (of_set,) = found["results"]
    expected = accuracies(runs, np.load(cifar101), np.load(cifar101.with_name("cifar10.1_v6_labels.npy")))
    assert sorted(run["accuracies"][0] for run in of_set["runs"]) == pytest.approx(expected)
    assert len(expected) == found["measured"] == 2
    assert np.array(of_set["runs"][0]["confusion"]).sum() == of_set["images"] == IMAGES
    own, further = read_accesses(runs)
    assert (own.data, further.data) == ("", f"cifar10.1_v6_data {of_set['fingerprint']}")
    assert set(further.runs) == set(own.runs)
    assert [line.partition(" opened")[0] for line in describe_accesses(runs, "tiny")] == [
        "the test set was",
        f"further test sets (cifar10.1_v6_data {of_set['fingerprint']}) were",
    ]


def test_a_second_call_prints_the_record_and_opens_nothing(
    runs: Path, cifar101: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = cli("evaluate", "tiny", "--on", f"npy:{cifar101}", "--runs", runs)
    monkeypatch.setattr("sweeps.use.further_tests.measure_on_test", None)

    again = cli("evaluate", "tiny", "--on", f"npy:{cifar101}", "--runs", runs)

    assert again.exit_code == 0, again.output
    assert "nothing to evaluate: all results are already recorded" in again.stdout
    assert "2 evaluations of tiny-" in first.stdout
    assert again.stdout.splitlines()[:3] == first.stdout.splitlines()[:3]
    assert all(name in again.stdout for name in CLASS_NAMES)
    assert len(list(read_accesses(runs))) == 2


def test_a_result_is_a_metric_and_a_file_in_mlflow(runs: Path, cifar101: Path, cli: Cli) -> None:
    from mlflow import MlflowClient

    cli("evaluate", "tiny", "--on", f"npy:{cifar101}", "--runs", runs)

    client = MlflowClient(f"sqlite:///{runs / 'mlflow.db'}")
    (row, *_) = (row for row in MlflowReader(runs).runs(sweep="tiny").rows if row["test_accuracy"] is not None)
    run = client.get_run(row["run_id"])
    assert 0 <= run.data.metrics["further_test_accuracy/cifar10.1_v6_data"] <= 1
    (artifact,) = client.list_artifacts(row["run_id"], "evaluations")
    assert artifact.path.startswith("evaluations/cifar10.1_v6_data-")


def test_corruptions_have_an_accuracy_for_each_severity(
    runs: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(further_tests, "SEVERITY_IMAGES", IMAGES)
    images = load_test_images(progress=False)
    clean, labels = images.images_NHWC[:IMAGES], images.labels_N[:IMAGES]
    noisy = np.concatenate([np.clip(clean.astype(int) + 20 * k, 0, 255) for k in range(5)]).astype(np.uint8)
    for name in ("fog", "snow"):
        np.save(tmp_path / f"{name}.npy", noisy if name == "snow" else noisy[::-1])
    np.save(tmp_path / "labels.npy", np.tile(labels, 5).astype(np.uint8))

    result = cli("evaluate", "tiny", "--on", f"npy:{tmp_path}", "--json", "--runs", runs)

    assert result.exit_code == 0, result.output
    fog, snow = json.loads(result.stdout[result.stdout.index("{") :])["results"]
    assert (fog["name"], snow["name"], snow["images"]) == ("fog", "snow", 5 * IMAGES)
    first = sorted(run["accuracies"][0] for run in snow["runs"])
    assert first == pytest.approx(accuracies(runs, clean, labels))
    assert [len(run["accuracies"]) for run in snow["runs"]] == [5, 5]
    shown = cli("evaluate", "tiny", "--on", f"npy:{tmp_path}", "--runs", runs).stdout
    assert "severity 1" in shown
    assert "mean of these" in shown


def test_class_names_of_an_archive_are_matched_to_those_of_the_network(runs: Path, tmp_path: Path, cli: Cli) -> None:
    images = load_test_images(progress=False)
    order = list(reversed(range(10)))
    renamed = np.array([order.index(label) for label in images.labels_N[:IMAGES]])
    names = np.array([CLASS_NAMES[k] for k in order])
    np.savez(tmp_path / "street.npz", images=images.images_NHWC[:IMAGES], labels=renamed, class_names=names)

    result = cli("evaluate", "tiny", "--on", f"npz:{tmp_path / 'street.npz'}", "--json", "--runs", runs)

    assert result.exit_code == 0, result.output
    (of_set,) = json.loads(result.stdout[result.stdout.index("{") :])["results"]
    found = sorted(run["accuracies"][0] for run in of_set["runs"])
    assert found == pytest.approx(accuracies(runs, images.images_NHWC[:IMAGES], images.labels_N[:IMAGES]))


def test_runs_that_are_not_finalized_are_refused(tmp_path: Path, cifar101: Path, record: Record, cli: Cli) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    runs = record(folder, ["run", write_yaml(folder, tiny(method="grid", run_cap=None)), "--backend", "inline"])

    result = cli("evaluate", "tiny/0", "--on", f"npy:{cifar101}", "--runs", runs)

    assert result.exit_code == 2
    assert "has no result on the test part of its own data. Run `sweeps finalize tiny" in result.stderr
    assert not (runs / ACCESS_LOG).exists()


SQUARE = np.zeros((4, 32, 32, 3), np.uint8)
ONES = np.ones(4, np.int64)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (SQUARE.astype(np.float32), ONES, "images are float32, not uint8 from 0 to 255"),
        (SQUARE[0, 0], ONES, "not N×H×W or N×H×W×3"),
        (SQUARE.transpose(0, 3, 1, 2), ONES, "channels first: save images.transpose(0, 2, 3, 1)"),
        (SQUARE[:, :28, :28], ONES, "images have 28×28 pixels, but the network takes 32×32: scale them first"),
        (SQUARE, ONES[:3], "4 images, but labels of shape (3,): give one label per image"),
        (SQUARE, ONES * 10, "label 10 of image 0 is out of range: the network has 10 classes, 0 to 9"),
        (SQUARE, -ONES, "label -1 of image 0 is out of range"),
        (SQUARE, ONES / 2, "labels are float64: give whole numbers from 0 to 9, or class names"),
        (SQUARE, np.array(["cow"] * 4), "'cow' is no class of this network: airplane"),
        (SQUARE, None, "has no labels next to it (street_labels.npy or labels.npy): name their file with --labels"),
    ],
)
def test_a_test_set_that_does_not_fit_is_refused_unopened(
    images: Any, labels: Any, message: str, runs: Path, tmp_path: Path, cli: Cli
) -> None:
    np.save(tmp_path / "street_data.npy", images)
    if labels is not None:
        np.save(tmp_path / "street_labels.npy", labels)

    result = cli("evaluate", "tiny", "--on", f"npy:{tmp_path / 'street_data.npy'}", "--runs", runs)

    assert result.exit_code == 2
    assert message in result.stderr
    assert len(list(read_accesses(runs))) == 1


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("npy:missing.npy", "does not exist: correct the path"),
        ("folder:photos", "is no test set in arrays: write npy:FILE, npy:FOLDER or npz:FILE"),
        ("npy:.", "contains no file of images: *.npy"),
        ("npy:broken.npy", "cannot be read"),
        ("npz:broken.npy", "is no NumPy archive: save one with np.savez"),
    ],
)
def test_a_source_that_cannot_be_read_is_one_sentence(
    source: str, message: str, runs: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    if "broken" in source:
        Path("broken.npy").write_bytes(b"not an array")
        np.save("labels.npy", ONES)

    result = cli("evaluate", "tiny", "--on", source, "--runs", runs)

    assert result.exit_code == 2
    assert message in result.stderr
