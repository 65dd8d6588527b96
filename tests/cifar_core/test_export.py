"""An exported network computes what the classifier does, describes its input, and is written completely or not."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cifar_core import Classifier, Origin, TrainingConfig, export_checkpoint, save_checkpoint, start
from cifar_core.common.errors import CheckpointError
from cifar_core.data.images import CLASS_NAMES
from cifar_core.errors import ExportError
from cifar_core.export import about_path_of
from cifar_core.export_formats import FORMATS, FormatName, TorchExport, pixels_of
from cifar_core.models.registry import ARCHITECTURES
from cifar_core.operations.normalize import NORMALIZATIONS

SMALL = ("simple", "deep", "resnet", "lean", "vgg")
SOME = [*SMALL[:1], *(pytest.param(name, marks=pytest.mark.slow) for name in SMALL[1:])]
"""All of `SMALL`; all but the first are slow tests."""
GRAPHS: tuple[FormatName, ...] = ("torch-export", "onnx")

OWN = """
import torch
from torch import nn

calls = []

class Own(nn.Module):
    def __init__(self, num_classes=10, kind=""):
        super().__init__()
        self.layer, self.kind = nn.Linear(3072, num_classes), kind

    def forward(self, images):
        print("my own words")
        if self.kind == "asks for values" and images.mean() > 0:
            images = images * 2
        if self.kind == "asks for the number of images":
            return torch.stack([self.layer(image.flatten()) for image in images])
        if self.kind == "random":
            images = images + torch.randn_like(images)
        if self.kind == "keeps a state":
            calls.append(1)
            images = images * len(calls)
        if self.kind == "not finite":
            images = images / 0
        if self.kind == "unknown to ONNX":
            images = images * torch.linalg.svdvals(images.flatten(2)).sum()
        return self.layer(images.flatten(1))
"""


def config_of(model: str = "simple", **changes: Any) -> TrainingConfig:
    block: dict[str, Any] = {"name": model} | ({"width": 8} if model in SMALL else {"weights": "gone.pt"})
    return TrainingConfig.model_validate(
        {"epochs": 1, "model": block, "data": {"normalization": "imagenet"}, **changes}
    )


def save(config: TrainingConfig, folder: Path) -> Path:
    """Write a checkpoint of a network whose logits are as large as trained ones are."""
    # Of a run that this machine could not start: in float16 without a GPU, or from missing weights.
    model = config.model.model_copy(update={"weights": None})
    could_begin = config.model_copy(update={"precision": "float32", "model": model})
    state = replace(start(could_begin, train_size=200, device="cpu"), config=config)
    with torch.no_grad():
        for parameter in list(state.model.parameters())[-2:]:
            parameter.mul_(30)
    path = folder / "state.pt"
    save_checkpoint(state, path)
    return path


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a custom network."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "own_nets.py").write_text(OWN, encoding="utf-8")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "own_nets", raising=False)
    return folder


def own_config(kind: str) -> TrainingConfig:
    return TrainingConfig.model_validate({"epochs": 1, "model": {"name": "own_nets:Own", "options": {"kind": kind}}})


def used(path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the result of the usage lines in the JSON, run in the folder of the file."""
    monkeypatch.chdir(path.parent)
    names: dict[str, Any] = {}
    exec("\n".join(about(path)["usage"]), names)
    return names["model"]


def about(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(about_path_of(path).read_text(encoding="utf-8"))
    return content


def images(count: int, *, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 32, 32, 3), dtype=torch.uint8, generator=generator)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@torch.no_grad()
def logits(model: Any, images_NHWC: Tensor) -> Tensor:
    """Return the logits of a loaded file of any format."""
    if isinstance(model, Classifier):
        return model(images_NHWC)
    pixels_NCHW = pixels_of(images_NHWC)
    if isinstance(model, nn.Module):
        found: Tensor = model(pixels_NCHW)
        return found
    return torch.from_numpy(model.run(None, {"pixels": pixels_NCHW.contiguous().numpy()})[0])


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("model", SOME)
def test_the_usage_in_the_json_computes_the_classifiers_logits(
    model: str, format: FormatName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = save(config_of(model), tmp_path)

    exported = export_checkpoint(checkpoint, tmp_path / f"a{FORMATS[format].suffix}", format=format)

    wanted = logits(Classifier.load(checkpoint, device="cpu"), images(20))
    got = logits(used(exported.path, monkeypatch), images(20))
    assert wanted.abs().max() > 0.5
    assert (got - wanted).abs().max() <= 1e-4 * max(1.0, wanted.abs().max().item())
    assert exported.largest_difference <= exported.tolerance


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("views", ["flip", "flip-shift"])
def test_an_export_averages_over_the_views_that_its_accuracy_was_measured_with(
    views: str, format: FormatName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = save(config_of("lean", test_time_augmentation=views), tmp_path)
    one_view = Classifier(Classifier.load(checkpoint, device="cpu").network, config_of("lean"))

    exported = export_checkpoint(checkpoint, tmp_path / f"a{FORMATS[format].suffix}", format=format)

    got = logits(used(exported.path, monkeypatch), images(20))
    wanted = logits(Classifier.load(checkpoint, device="cpu"), images(20))
    assert (got - wanted).abs().max() <= 1e-4 * max(1.0, wanted.abs().max().item())
    assert (got - logits(one_view, images(20))).abs().max() > 1e-3
    inside = format != "state-dict"
    assert (about(exported.path)["test_time_augmentation"]["name"], inside) == (
        views, about(exported.path)["test_time_augmentation"]["inside"]
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("model", sorted(set(ARCHITECTURES) - set(SMALL)))
def test_a_network_is_exported_although_its_initial_weights_are_gone(
    model: str, format: FormatName, tmp_path: Path
) -> None:
    checkpoint = save(config_of(model), tmp_path)

    exported = export_checkpoint(checkpoint, tmp_path / "a", format=format)

    assert exported.largest_difference <= exported.tolerance


def test_weights_alone_give_bit_identical_logits(tmp_path: Path) -> None:
    exported = export_checkpoint(save(config_of("resnet"), tmp_path), tmp_path / "a.pt", format="state-dict")

    assert (exported.largest_difference, exported.tolerance) == (0, 0)
    state = torch.load(exported.path, weights_only=True)
    saved = Classifier.load(tmp_path / "state.pt", device="cpu").network.state_dict()
    assert {name: tensor.is_contiguous() for name, tensor in state.items()} == dict.fromkeys(saved, True)
    assert all(torch.equal(state[name], saved[name]) for name in saved)


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Classifier, list[Any]]:
    """A classifier, and the functions of both its graphs."""
    folder = tmp_path_factory.mktemp("graphs")
    checkpoint = save(config_of("resnet"), folder)
    classifier = Classifier.load(checkpoint, device="cpu")
    loaded = []
    for format in GRAPHS:
        path = folder / f"a{FORMATS[format].suffix}"
        export_checkpoint(checkpoint, path, format=format)
        loaded.append(FORMATS[format].load(path, classifier.config))
    return classifier, loaded


@given(count=st.integers(1, 70), seed=st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_a_graph_takes_any_number_of_any_images(graphs: tuple[Classifier, list[Any]], count: int, seed: int) -> None:
    classifier, loaded = graphs
    wanted = logits(classifier, images(count, seed=seed))

    for predict in loaded:
        assert torch.allclose(predict(images(count, seed=seed)), wanted, rtol=1e-4, atol=1e-4)


@given(
    normalization=st.sampled_from(sorted(NORMALIZATIONS)),
    precision=st.sampled_from(["float32", "bfloat16", "float16"]),
    augmentation=st.sampled_from(["none", "flip-crop", ("normalize", "flip")]),
    seed=st.integers(0, 2**32 - 1),
    format=st.sampled_from(["state-dict", "torch-export"]),
)
@settings(max_examples=12, deadline=None)
def test_the_json_describes_the_input_and_the_training(
    normalization: str, precision: str, augmentation: Any, seed: int, format: FormatName
) -> None:
    data = {"normalization": normalization, "augmentation": augmentation}
    config = config_of(data=data, precision=precision, seed=seed)
    origin = Origin(name="quick-003", run_id="ab", key="cd", val_accuracy=0.5)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "a.file"
        export_checkpoint(save(config, Path(name)), path, format=format, origin=origin)
        said = about(path)
        assert said["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()

    inside = format != "state-dict"
    mean, std = NORMALIZATIONS[normalization]
    assert TrainingConfig.model_validate(said["config"]) == config
    assert (said["file"], said["format"], said["class_names"]) == ("a.file", format, list(CLASS_NAMES))
    assert said["run"] == {
        "name": "quick-003", "run_id": "ab", "key": "cd", "val_accuracy": 0.5, "test_accuracy": None
    }  # fmt: skip
    assert (said["input"]["shape"], said["input"]["dtype"]) == (["batch", 3, 32, 32], "float32")
    assert (said["input"]["layout"], said["input"]["colour_order"]) == ("NCHW", "RGB")
    assert said["input"]["value_range"] == [0, 1]
    norm = said["normalization"]
    assert (norm["name"], norm["mean"], norm["std"]) == (normalization, list(mean), list(std))
    assert (norm["inside"], norm["applied_by"] == "the caller") == (inside, not inside)
    assert said["precision"] == {"computes_in": "float32", "trained_in": precision}
    assert said["versions"]["torch"] == torch.__version__


def test_a_network_trained_in_float16_is_loaded_where_there_is_no_gpu(tmp_path: Path) -> None:
    checkpoint = save(config_of(precision="float16"), tmp_path)

    assert Classifier.load(checkpoint, device="cpu").config.precision == "float16"


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    wide = config_of().model_copy(update={"model": config_of().model.model_copy(update={"width": 16})})
    state = start(config_of(), train_size=200, device="cpu")
    save_checkpoint(replace(state, config=wide), tmp_path / "state.pt")

    with pytest.raises(CheckpointError, match="does not fit its network"):
        export_checkpoint(tmp_path / "state.pt", tmp_path / "a.pt", format="state-dict")
    assert names_in(tmp_path) == ["state.pt"]


def test_images_of_0_to_255_are_refused_by_both_graphs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = save(config_of(), tmp_path)
    bytes_NCHW = images(2).permute(0, 3, 1, 2)
    for format, name in (("torch-export", "a.pt2"), ("onnx", "a.onnx")):
        export_checkpoint(checkpoint, tmp_path / name, format=format)  # type: ignore[arg-type]

    with pytest.raises(RuntimeError, match="dtype"):
        used(tmp_path / "a.pt2", monkeypatch)(bytes_NCHW)
    session = used(tmp_path / "a.onnx", monkeypatch)
    with pytest.raises(Exception, match="Unexpected input data type"):
        session.run(None, {"pixels": bytes_NCHW.contiguous().numpy()})
    taken, given_back = session.get_inputs()[0], session.get_outputs()[0]
    assert (taken.name, taken.shape) == ("pixels", ["batch", 3, 32, 32])
    assert (given_back.name, given_back.shape) == ("logits", ["batch", 10])


@pytest.mark.parametrize("format", GRAPHS)
def test_an_export_prints_nothing_and_contains_no_path_of_this_machine(
    format: FormatName, own: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    checkpoint = save(own_config(""), tmp_path)
    path = tmp_path / "a"
    capfd.readouterr()

    export_checkpoint(checkpoint, path, format=format)

    printed = capfd.readouterr()
    # The output of a custom network while it is built is not suppressed.
    assert (set(printed.out.splitlines()) - {"my own words"}, printed.err, list(recwarn)) == (set(), "", [])
    content = path.read_bytes()
    assert not any(str(folder).encode() in content for folder in (own, Path(__file__).parents[2]))


@pytest.mark.parametrize(
    ("kind", "format", "message"),
    [
        (
            "asks for values",
            "torch-export",
            "torch.export cannot trace model 'own_nets:Own' .* needs no tracing",
        ),
        ("asks for the number of images", "onnx", "torch.export cannot trace model 'own_nets:Own'"),
        ("unknown to ONNX", "onnx", "cannot be translated to ONNX .*svd.*: export it as state-dict or torch-export"),
        ("random", "torch-export", "computes other logits .* random in evaluation"),
        ("random", "state-dict", "computes other logits"),
        ("keeps a state", "onnx", "computes other logits"),
        ("not finite", "state-dict", "logits that are not finite"),
    ],
)
def test_a_network_that_cannot_be_exported_leaves_no_file(
    kind: str, format: FormatName, message: str, own: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    checkpoint = save(own_config(kind), tmp_path)
    before = names_in(tmp_path)
    capfd.readouterr()

    with pytest.raises(ExportError, match=message) as raised:
        export_checkpoint(checkpoint, tmp_path / "a", format=format)

    assert len(str(raised.value).splitlines()) == 1
    assert names_in(tmp_path) == before
    assert capfd.readouterr().err == ""


def test_weights_of_a_network_that_cannot_be_traced_can_be_exported(own: Path, tmp_path: Path) -> None:
    checkpoint = save(own_config("asks for values"), tmp_path)

    exported = export_checkpoint(checkpoint, tmp_path / "a.pt", format="state-dict")

    assert exported.largest_difference == 0


class _Forgets(TorchExport):
    """A format without normalisation."""

    def encode(self, network: nn.Module, config: TrainingConfig) -> bytes:
        bare = config.data.model_copy(update={"normalization": "none"})
        return super().encode(network, config.model_copy(update={"data": bare}))


def test_a_file_that_computes_other_logits_does_not_replace_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = save(config_of(), tmp_path)
    path = tmp_path / "a.pt2"
    export_checkpoint(checkpoint, path, format="torch-export")
    before = {file: file.read_bytes() for file in (path, about_path_of(path))}
    monkeypatch.setitem(FORMATS, "torch-export", _Forgets())  # type: ignore[arg-type]

    with pytest.raises(ExportError, match="computes other logits"):
        export_checkpoint(checkpoint, path, format="torch-export", overwrite=True)

    assert {file: file.read_bytes() for file in (path, about_path_of(path))} == before
    assert names_in(tmp_path) == ["a.pt2", "a.pt2.json", "state.pt"]


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_without_onnx_the_error_names_the_install_command(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = save(config_of(), tmp_path)
    monkeypatch.setitem(sys.modules, package, None)  # type: ignore[arg-type]

    with pytest.raises(
        ExportError, match=rf"needs the packages onnx, .*{package}.*: run pip install 'cifar-sweeps\[onnx\]'"
    ):
        export_checkpoint(checkpoint, tmp_path / "a.onnx", format="onnx")

    assert names_in(tmp_path) == ["state.pt"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(config_of(), tmp_path_factory.mktemp("checkpoint"))


@given(st.text(st.characters(exclude_characters="/", exclude_categories=()), max_size=300))
@settings(max_examples=60, deadline=None)
def test_under_any_name_there_are_both_files_or_none(checkpoint: Path, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(f"{folder}/{name}")
        written = False
        with contextlib.suppress(ExportError):
            export_checkpoint(checkpoint, path, format="state-dict")
            written = True

        assert names_in(Path(folder)) == (sorted([name, f"{name}.json"]) if written else [])
        assert written or not name.isalnum() or len(name.encode()) > 240


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("", "is a folder. Name a file in it"),
        ("none/a.pt", "there is no folder .*none for a.pt. Create it, or name another"),
        ("file/a.pt", "there is no folder .*file"),
        ("file", "file already exists. Name another file, or overwrite it"),
        ("half", "half.json already exists"),
        ("link", "link exists and is not a regular file"),
        ("/dev/null", "/dev/null exists and is not a regular file"),
        ("blocked", "blocked.json exists and is not a regular file"),
    ],
)
def test_a_path_that_cannot_be_written_is_one_clear_error(
    out: str, message: str, checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("old", encoding="utf-8")
    (tmp_path / "half.json").write_text("old", encoding="utf-8")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "blocked.json").mkdir()
    before = names_in(tmp_path)
    needs_force = "already" not in message

    with pytest.raises(ExportError, match=message):
        export_checkpoint(checkpoint, tmp_path / out, format="state-dict", overwrite=needs_force)

    assert names_in(tmp_path) == before
    assert (tmp_path / "file").read_text(encoding="utf-8") == "old"


def test_an_existing_file_is_overwritten_on_request(checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    path.write_text("old", encoding="utf-8")

    exported = export_checkpoint(checkpoint, path, format="state-dict", overwrite=True)

    assert about(path)["sha256"] == exported.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert names_in(tmp_path) == ["a.pt", "a.pt.json"]


def test_logging_and_warnings_are_as_before_after_an_export(tmp_path: Path, checkpoint: Path) -> None:
    import logging

    before = (logging.root.manager.disable, sys.stdout, sys.stderr)
    with pytest.raises(ExportError):
        export_checkpoint(checkpoint, tmp_path, format="torch-export")
    export_checkpoint(checkpoint, tmp_path / "a.pt2", format="torch-export")

    assert (logging.root.manager.disable, sys.stdout, sys.stderr) == before
