"""`sweeps predict` and `sweeps.load_model`."""

from __future__ import annotations

import csv
import functools
import http.server
import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from sweep_fakes import Cli, Record, tiny, write_yaml

import sweeps
from cifar_core.common.errors import UserError
from cifar_core.data.images import CLASS_NAMES
from cifar_core.data.load import load_training_images
from sweeps.cli.main import sweeps as command
from sweeps.core.errors import SweepError
from sweeps.system.machine import bypass_proxy_for_localhost

RATES = {"optimizer.lr": {"values": [0.001, 0.05]}}

pytestmark = pytest.mark.usefixtures("instant_training")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, record: Record) -> Path:
    """The runs folder of a sweep of two trials, the better one confirmed under another seed."""
    folder = tmp_path_factory.mktemp("predict")
    content = tiny(method="grid", run_cap=None, parameters=RATES, replicates={"top": 1, "seeds": 1})
    return record(folder, ["run", write_yaml(folder, content), "--backend", "inline"], weights=True)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of two images, a file that is not an image, and one of another kind."""
    images, _ = load_training_images(progress=False)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(2):
        Image.fromarray(images.images_NHWC[index]).save(folder / f"{index}.png")
    (folder / "notes.txt").write_text("nothing to see", encoding="utf-8")
    return folder


def test_a_table_has_the_likeliest_classes_and_the_run(trained: Path, pictures: Path, cli: Cli) -> None:
    result = cli("predict", "tiny", pictures, "--runs", trained, "--top", 2)

    assert result.exit_code == 0, result.output
    heading, *rows, by = result.stdout.splitlines()
    assert heading.split() == ["image", "class", "%", "2.", "%"]
    # A long path wraps; the classes are next to its first line.
    named = [word for row in rows for word in row.split() if word in CLASS_NAMES]
    assert len(named) == 4
    best = sweeps.leaderboard("tiny", runs=trained).iloc[0]
    assert by == f"by tiny-{best['trial']:03d}-s1"


def test_files_patterns_and_standard_input_give_equal_predictions(trained: Path, pictures: Path) -> None:
    def classes(*images: object, given: bytes = b"") -> list[str]:
        arguments = ["predict", "tiny", *map(str, images), "--runs", str(trained), "--json", "--top", "1"]
        result = CliRunner().invoke(command, arguments, input=given)
        assert result.exit_code == 0, result.output
        return [row["class"] for row in json.loads(result.stdout)]

    both = classes(pictures)
    assert len(both) == 2
    assert classes(pictures / "0.png", pictures / "1.png") == both
    assert classes(pictures / "*.png") == both
    assert classes("-", given=(pictures / "1.png").read_bytes()) == both[1:]


def test_unreadable_images_are_listed_and_skipped(trained: Path, pictures: Path, cli: Cli) -> None:
    (pictures / "bad.png").write_bytes(b"no picture")

    result = cli("predict", "tiny", pictures, pictures / "none.png", "--runs", trained, "--json", "--top", 1)

    assert result.exit_code == 1
    assert [Path(row["image"]).name for row in json.loads(result.stdout)] == ["0.png", "1.png"]
    assert f"{pictures / 'bad.png'}: cannot be read as an image: its format is unknown" in result.stderr
    assert f"{pictures / 'none.png'}: cannot be read as an image: No such file" in result.stderr
    assert "2 of 4 images were skipped" in result.stderr


def test_a_folder_is_searched_and_duplicates_are_kept(trained: Path, pictures: Path, cli: Cli) -> None:
    deep = pictures / "a" / "b"
    deep.mkdir(parents=True)
    shutil.copy(pictures / "0.png", deep / "photo [final].png")
    shutil.copy(pictures / "0.png", os.fsencode(deep) + b"/\xff.png")

    result = cli("predict", "tiny", pictures, pictures / "0.png", "--runs", trained, "--json", "--top", 1)

    names = [Path(row["image"]).name for row in json.loads(result.stdout)]
    assert names == ["0.png", "1.png", "photo [final].png", r"\xff.png", "0.png"]
    table = cli("predict", "tiny", deep, "--runs", trained, "--top", 1).stdout
    assert "".join(line.split("  ")[0] for line in table.splitlines()).count("[final].png") == 1


def test_a_local_web_address_bypasses_the_proxy(
    trained: Path, pictures: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("NO_PROXY", "")
    bypass_proxy_for_localhost()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(pictures))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host = f"http://127.0.0.1:{server.server_port}"
        asked = [f"{host}/0.png", f"{host}/none.png", f"{host}/notes.txt", "ftp://x/0.png"]
        result = cli("predict", "tiny", *asked, "--runs", trained, "--json", "--top", 1)
        server.shutdown()

    assert [row["image"] for row in json.loads(result.stdout)] == [f"{host}/0.png"]
    for words in (
        "none.png: the server returned 404",
        "notes.txt: the server returned text/plain",
        "only http:// and https",
    ):
        assert words in result.stderr


def test_csv_has_a_row_per_class(trained: Path, pictures: Path, tmp_path: Path, cli: Cli) -> None:
    result = cli("predict", "tiny/0", pictures / "0.png", "--runs", trained, "--csv", tmp_path / "a.csv")

    assert (result.exit_code, result.stdout) == (0, "")
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [list(row) for row in rows] == [["image", "class", "probability"]] * 3
    assert float(rows[0]["probability"]) >= float(rows[2]["probability"]) > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tinny", "PICTURE"], "no run 'tinny'"),
        (["tiny/7", "PICTURE"], "no run 'tiny/7'"),
        (["tiny", "FOLDER"], "no image in"),
        (["tiny", "FOLDER/*.png"], "no image in"),
        (["tiny"], "Missing argument"),
    ],
)
def test_wrong_usage_is_one_error(
    arguments: list[str], message: str, trained: Path, pictures: Path, tmp_path: Path, cli: Cli
) -> None:
    (tmp_path / "empty").mkdir()
    paths = {"PICTURE": str(pictures / "0.png"), "FOLDER": str(tmp_path / "empty")}
    given = [paths.get(each, each.replace("FOLDER", paths["FOLDER"])) for each in arguments]

    result = cli("predict", *given, "--runs", trained)

    assert result.exit_code == 2
    assert message in result.stderr


def test_load_model_returns_the_best_with_its_recorded_predictions(trained: Path) -> None:
    board = sweeps.leaderboard("tiny", runs=trained, each_run=True)
    images, _ = load_training_images(progress=False)

    model = sweeps.load_model("tiny", runs=trained, device="cpu")

    best = sweeps.leaderboard("tiny", runs=trained).iloc[0]
    assert model.config.optimizer.lr == best["optimizer.lr"]
    replicate = board[board["replicate_of"].notna()].iloc[0]
    named = sweeps.load_model(f"tiny-{replicate['trial']:03d}-s{replicate['seed']}", runs=trained, device="cpu")
    assert named.config.seed == replicate["seed"]
    assert model.predict(images.images_NHWC[0]).label in CLASS_NAMES
    with pytest.raises(UserError):
        model.predict(np.zeros((32, 32), np.uint8))


def test_missing_weights_are_an_error_with_the_next_step(trained: Path, pictures: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(trained, runs)
    shutil.rmtree(runs / "sweeps" / "tiny" / "checkpoints")

    with pytest.raises(
        SweepError,
        match=r"the weights of tiny-00\d-s1 are no longer under .*`sweeps rerun tiny-00\d-s1 --runs \S+` to train",
    ):
        sweeps.load_model("tiny", runs=runs)


def test_an_incomplete_run_has_no_network(tmp_path: Path, recorded_runs: Path, cli: Cli) -> None:
    changes: dict[str, Any] = {"parameters": {"optimizer.lr": {"value": 1e30}}, "run_cap": 1}
    cli("run", write_yaml(tmp_path, tiny(**changes)), "--runs", recorded_runs, "--backend", "inline")

    with pytest.raises(SweepError, match=r"tiny-000 is not complete \(diverged\)"):
        sweeps.load_model("tiny-000", runs=recorded_runs)
    with pytest.raises(SweepError, match="no run of tiny has a rank"):
        sweeps.load_model("tiny", runs=recorded_runs)


def test_kept_runs_are_evaluated_without_a_test_access(trained: Path, cli: Cli) -> None:
    printed = cli("evaluate", "tiny", "--runs", trained).stdout
    found = json.loads(cli("evaluate", "tiny", "--runs", trained, "--json").stdout)

    assert found["images"] == 200
    assert {each["run"] for each in found["runs"]} >= {"tiny-001", "tiny-001-s1"}
    assert found["ensemble"]["members"]
    assert len(found["classes"]) == 10
    assert sum(each["images"] for each in found["runs"][0]["calibration"]["bins"]) == 200
    assert "ECE %" in printed
    assert "ensemble" in printed
    assert "gap to the others" in printed
    assert not (trained / "test_looks.jsonl").exists()


def test_one_configuration_is_evaluated_alone(trained: Path, cli: Cli) -> None:
    found = json.loads(cli("evaluate", "tiny-001-s1", "--runs", trained, "--json").stdout)
    assert [each["run"] for each in found["runs"]] == ["tiny-001-s1"]
    assert found["ensemble"] is None


def test_labels_without_a_test_set_are_refused(trained: Path, tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "labels.npy").write_bytes(b"")
    result = cli("evaluate", "tiny", "--labels", tmp_path / "labels.npy", "--runs", trained)
    assert result.exit_code == 2
    assert "--labels belongs to --on" in result.output
