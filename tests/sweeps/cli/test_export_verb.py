"""`sweeps export` and `sweeps.export_model`."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import pytest
import torch
from sweep_fakes import Cli, Record, tiny, write_yaml

import sweeps
from cifar_core.errors import ExportError
from cifar_core.export_formats import FORMATS
from sweeps.cli.export import FORMATS as CHOICES
from sweeps.core.errors import SweepError

pytestmark = pytest.mark.usefixtures("instant_training")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, record: Record) -> Path:
    """The runs folder of a sweep of two trials."""
    folder = tmp_path_factory.mktemp("export")
    return record(folder, ["run", write_yaml(folder, tiny()), "--backend", "inline"], weights=True)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, which is empty."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_verb_has_all_export_formats() -> None:
    assert tuple(FORMATS) == CHOICES


@pytest.mark.parametrize(
    ("format", "file", "says"),
    [
        ("state-dict", "tiny.pt", ["normalise images with cifar10", "bit for bit"]),
        ("torch-export", "tiny.pt2", ["contains the normalisation cifar10", "allowed)"]),
        ("onnx", "tiny.onnx", ["contains the normalisation cifar10", "allowed)"]),
    ],
)
def test_the_best_of_a_sweep_is_written_with_its_json_and_described(
    format: str, file: str, says: list[str], trained: Path, here: Path, cli: Cli
) -> None:
    result = cli("export", "tiny", "--format", format, "--runs", trained)

    assert (result.exit_code, result.stderr) == (0, "")
    best = sweeps.leaderboard("tiny", runs=trained).iloc[0]
    doing, *lines = result.stdout.splitlines()
    assert doing == f"exporting tiny as {format}"
    assert len(lines) == 4
    assert lines[0].startswith(
        f"{file}: tiny-{best['trial']:03d}, validation accuracy {100 * best['val_accuracy']:.2f} %"
    )
    assert lines[1].startswith(f"{file}.json: ")
    assert all(words in line for words, line in zip(says, lines[2:], strict=True))
    assert names_in(here) == [file, f"{file}.json"]
    about = json.loads((here / f"{file}.json").read_text(encoding="utf-8"))
    assert about["sha256"] == hashlib.sha256((here / file).read_bytes()).hexdigest()
    assert about["run"] == {
        "name": f"tiny-{best['trial']:03d}",
        "run_id": best["run_id"],
        "key": best["key"],
        "val_accuracy": best["val_accuracy"],
        "test_accuracy": None,
    }
    assert about["config"]["optimizer"]["lr"] == best["optimizer.lr"]


def test_a_run_named_by_its_number_gets_a_file_in_this_folder(trained: Path, here: Path, cli: Cli) -> None:
    result = cli("export", "tiny/1", "--format", "state-dict", "--runs", trained)

    assert result.exit_code == 0, result.output
    assert names_in(here) == ["tiny-1.pt", "tiny-1.pt.json"]


def test_the_exported_file_and_the_model_agree(trained: Path, tmp_path: Path) -> None:
    exported = sweeps.export_model("tiny", tmp_path / "a.pt2", format="torch-export", runs=trained)

    images_NHWC = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    wanted = sweeps.load_model("tiny", runs=trained, device="cpu")(images_NHWC)
    got = torch.export.load(exported.path).module()(images_NHWC.permute(0, 3, 1, 2) / 255)
    assert torch.allclose(got, wanted, atol=1e-5)
    with pytest.raises(SweepError, match="unknown format 'onx': did you mean 'onnx'"):
        sweeps.export_model("tiny", format="onx", runs=trained)  # type: ignore[arg-type]
    with pytest.raises(ExportError, match="already exists"):
        sweeps.export_model("tiny", tmp_path / "a.pt2", format="torch-export", runs=trained)


def test_an_existing_file_is_kept_unless_forced(trained: Path, here: Path, cli: Cli) -> None:
    arguments = ("export", "tiny", "--format", "state-dict", "--out", "a.pt", "--runs", trained)
    (here / "a.pt").write_text("old", encoding="utf-8")

    refused = cli(*arguments)

    assert (refused.exit_code, (here / "a.pt").read_text(encoding="utf-8")) == (2, "old")
    assert "error: a.pt already exists. Name another file, or overwrite it (--force)" in refused.stderr
    assert cli(*arguments, "--force").exit_code == 0
    assert torch.load(here / "a.pt", weights_only=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tinny", "--format", "state-dict"], "no run 'tinny'"),
        (["tiny/7", "--format", "state-dict"], "no run 'tiny/7'"),
        (["../../tiny", "--format", "state-dict"], "no run '../../tiny'"),
        (["tiny"], "Missing option '--format'"),
        (["tiny", "--format", "pickle"], "'pickle' is not one of"),
        (["tiny", "--format", "onnx", "--out", "no/a.onnx"], "there is no folder no"),
        (["tiny", "--format", "onnx", "--out", "."], ". is a folder"),
        (["tiny", "--format", "onnx", "--out", "a" * 300], "File name too long"),
        (["tiny", "--format", "onnx", "--out", "\udcff.onnx"], "must be UTF-8"),
    ],
)
def test_wrong_usage_is_one_error_and_writes_nothing(
    arguments: list[str], message: str, trained: Path, here: Path, cli: Cli
) -> None:
    result = cli("export", *arguments, "--runs", trained)

    assert result.exit_code == 2
    assert message in result.stderr
    assert names_in(here) == []


def test_without_onnx_the_error_contains_the_install_command(
    trained: Path, here: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)  # type: ignore[arg-type]

    result = cli("export", "tiny", "--format", "onnx", "--runs", trained)

    assert (result.exit_code, names_in(here)) == (2, [])
    assert len(result.stderr.splitlines()) == 1
    assert "pip install 'cifar-sweeps[onnx]'" in result.stderr


@pytest.mark.trains
def test_a_rung_without_validation_images_prints_no_accuracy(tmp_path: Path, recorded_runs: Path, cli: Cli) -> None:
    base = {"epochs": 1, "precision": "bfloat16", "model": {"width": 4}, "data": {"train_size": 200}}
    path = write_yaml(tmp_path, {"name": "steps", "base": base, "rungs": [{"name": "a"}]})
    sweeps.run(sweeps.load_ladder(path), runs=recorded_runs, backend="inline")

    result = cli("export", "steps/a", "--format", "torch-export", "--runs", recorded_runs)

    assert result.exit_code == 0, result.output
    assert "validation accuracy" not in result.stdout
    assert "computes in float32, trained in bfloat16" in result.stdout
    about = json.loads(Path("steps-a.pt2.json").read_text(encoding="utf-8"))
    assert about["run"]["val_accuracy"] is None
    assert 0 < about["run"]["test_accuracy"] < 1
