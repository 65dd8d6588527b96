"""`sweeps inspect`: pictures of images, augmentations, networks and mistakes, without unsealing the test set."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from sweep_fakes import Cli, snapshot, tiny, write_yaml

import cifar_core.data.load
import sweeps
import sweeps.use.single_config
from cifar_core.augment import augment
from cifar_core.data.images import CLASS_NAMES
from cifar_core.data.load import load_training_images
from cifar_core.data.split import split_train_validation
from cifar_core.models.registry import ARCHITECTURES
from cifar_core.recipes import RECIPES, operations_of
from sweeps.cli.inspect import inspect
from sweeps.cli.inspect_data import _steps
from sweeps.cli.main import sweeps as command
from sweeps.record.reader import MlflowReader
from sweeps.use.mistakes import find_mistakes

ROOT = Path(__file__).parents[3]
NETS = """
from torch import nn

class Tiny(nn.Module):
    def __init__(self, num_classes=10, depth=1):
        super().__init__()
        self.layers = nn.Sequential(*[nn.Conv2d(3, 3, 1) for _ in range(depth)], nn.ReLU(inplace=True))
        self.head = nn.Linear(3 * 32 * 32, num_classes)

    def forward(self, images):
        return self.head(self.layers(images).flatten(1))
"""


@pytest.fixture(scope="module")
def finalized(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """The runs folder of a search of two trials, the better one confirmed and measured on the test images."""
    folder = tmp_path_factory.mktemp("inspect")
    (folder / "runs").mkdir()
    shutil.copy(empty_store, folder / "runs" / "mlflow.db")
    rates = {"optimizer.lr": {"values": [0.001, 0.05]}}
    base = tiny()["base"] | {"data": tiny()["base"]["data"] | {"augmentation": "flip-erase-crop"}}
    content = tiny(method="grid", run_cap=None, parameters=rates, replicates={"top": 1, "seeds": 1}, base=base)
    for arguments in (["run", write_yaml(folder, content), "--backend", "inline"], ["finalize", "tiny"]):
        result = CliRunner().invoke(command, [*map(str, arguments), "--runs", str(folder / "runs")])
        assert result.exit_code == 0, result.output
    return folder / "runs"


@pytest.fixture
def untested(finalized: Path) -> str:
    """A run of the search, without a test result."""
    board = sweeps.leaderboard("tiny", runs=finalized, each_run=True)
    trial = board[board["replicate_of"].isna()].iloc[0]["trial"]
    return f"tiny-{trial:03d}-s0"


def shut(*arguments: Any, **options: Any) -> Any:
    raise AssertionError("the test images were opened")


def pixels(path: Path) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(path).convert("RGB"))


class TestEverySubject:
    @pytest.mark.parametrize("subject", inspect.commands)
    def test_has_help_with_an_example_and_help_for_every_option(self, subject: str, cli: Cli) -> None:
        result = cli("inspect", subject, "--help")

        assert f"Example:\n    sweeps inspect {subject}" in result.stdout
        options = [p for p in inspect.commands[subject].params if p.param_type_name == "option"]
        assert [option.name for option in options if not getattr(option, "help", None)] == []

    @pytest.mark.parametrize(
        ("arguments", "file"),
        [
            (["images", "--count", 1], "images.png"),
            (["augment", "flip", "--count", 1], "augment-flip.png"),
            (["augment", "tiny", "--count", 1], r"augment-tiny-00\d(-s1)?.png"),
            (["activations", "tiny", 7], r"activations-tiny-00\d-s1-horse-7.png"),
            (["activations", "--model", "simple", 7], "activations-an-untrained-simple-horse-7.png"),
            (["mistakes", "tiny", "--count", 2], r"mistakes-tiny-00\d-s1-test.png"),
        ],
    )
    def test_writes_a_picture_to_the_default_path_and_prints_it(
        self, arguments: list[Any], file: str, finalized: Path, cli: Cli
    ) -> None:
        result = cli("inspect", *arguments, "--runs", finalized)

        assert result.exit_code == 0, result.output
        assert "\x1b" not in result.stdout
        path = Path(result.stdout.splitlines()[-1])
        assert path.parent == finalized / "inspect"
        assert re.fullmatch(file, path.name)
        assert pixels(path).std() > 1

    def test_writes_a_page_for_an_html_file(self, finalized: Path, tmp_path: Path, cli: Cli) -> None:
        path = tmp_path / "new" / "page.html"

        assert cli("inspect", "mistakes", "tiny", "--out", path, "--runs", finalized).exit_code == 0

        text = path.read_text(encoding="utf-8")
        assert text.count("<tr>") == 25
        assert re.search(r'<img src="data:image/png;base64,[^"]+" alt="24 small photographs that tiny-', text)

    def test_gc_and_doctor_ignore_the_pictures(self, finalized: Path, tmp_path: Path, cli: Cli) -> None:
        runs = tmp_path / "runs"
        shutil.copytree(finalized, runs)
        shutil.rmtree(runs / "inspect", ignore_errors=True)
        before = [cli(verb, "--runs", runs).stdout for verb in ("doctor", "gc")]
        assert cli("inspect", "images", "--count", 1, "--runs", runs).exit_code == 0

        after = [cli(verb, "--runs", runs).stdout for verb in ("doctor", "gc")]
        without_sizes = [[re.sub(r"\d[\d.]* GB", "", text) for text in texts] for texts in (before, after)]
        assert without_sizes[0] == without_sizes[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["imges"], "no such subcommand 'imges': did you mean 'images'?"),
        (["images", "--out", "x.jpg"], "must end with .png, .pdf, .svg or .html"),
        (["images", "--out", "FILE/x.png"], "cannot be written"),
        (["augment", "flipp"], "is neither an augmentation (did you mean 'flip'?"),
        (["augment", "[flip]"], "needs exactly one `normalize`"),
        (["augment", "[flip"], "is not a list of operations"),
        (["augment", "none.yaml"], "none.yaml: the file does not exist"),
        (["augment", ROOT / "experiments" / "quick.yaml"], "Choose with --set data.augmentation=VALUE"),
        (["augment", ROOT / "experiments" / "ladder.yaml"], "this is a ladder. Name a rung"),
        (["augment", "flip", "--image", "FILE"], "cannot be read as an image"),
        (["activations", "tiny", "FOLDER"], "cannot be read as an image: Is a directory"),
        (["activations", "tiny", -1], "No such option"),
        (["activations", "--model", "simple", 50_000], "there is no training image 50000"),
        (["augment", "flip", "--image", 50_000], "there is no training image 50000"),
        (["augment", "flip", "--count", 20, "--draws", 20], "exceed 60 rows"),
        (["summary", "resnt"], "is neither a model (did you mean 'resnet'?"),
        (["summary", "resnet", "--set", "model.wdth=4"], "did you mean 'width'?"),
        (["summary", "resnet", "--set", "width"], "Write path=value"),
        (["summary", ROOT / "experiments" / "quick.yaml"], "Choose with --set model.name=VALUE"),
        (["summary", "no_such_module:Net"], "there is no module 'no_such_module'"),
        (["activations", "tiny"], "give a RUN or a SWEEP and an IMAGE"),
        (["activations", "tiny", "none.jpg"], "none.jpg: cannot be read as an image"),
        (["activations", "tiny", 7, "--layer", "x"], "Choose from features.0"),
        (["activations", "tiny", 7, "--set", "model.width=4"], "--set changes a network of --model"),
        (["activations", "--model", "simple", "tiny", 7], "give --model and an IMAGE"),
        (["mistakes", "tinny"], "no run 'tinny'"),
        (["mistakes", "tiny", "--is", "catt"], "did you mean 'cat'?"),
    ],
)
def test_wrong_usage_is_one_error_and_no_file(
    arguments: list[Any], message: str, finalized: Path, tmp_path: Path, cli: Cli
) -> None:
    (tmp_path / "file").write_bytes(b"no picture")
    paths = {"FILE": str(tmp_path / "file"), "FOLDER": str(tmp_path)}
    given = [re.sub("FILE|FOLDER", lambda match: paths[match[0]], str(each)) for each in arguments]
    before = snapshot(finalized)

    result = cli("inspect", *given, "--runs", finalized) if len(given) > 1 else cli("inspect", *given)

    assert result.exit_code == 2
    assert message in result.stderr
    assert snapshot(finalized) == before


class TestImages:
    def test_the_seed_selects_the_images(self, tmp_path: Path, cli: Cli) -> None:
        for name, seed in (("a", 0), ("b", 1), ("c", 0)):
            cli("inspect", "images", "--count", 2, "--seed", seed, "--out", tmp_path / f"{name}.png")

        first, other, again = ((tmp_path / f"{name}.png").read_bytes() for name in "abc")
        assert first == again != other

    def test_the_test_images_stay_sealed(self, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cifar_core.data.load, "load_test_images", shut)

        assert cli("inspect", "images", "--out", tmp_path / "a.png").exit_code == 0


class TestAugment:
    @pytest.mark.parametrize("recipe", RECIPES)
    def test_the_last_column_equals_the_networks_input_for_the_seed(self, recipe: str) -> None:
        config = sweeps.use.single_config.single_config({"data": {"augmentation": recipe}})
        images = load_training_images(progress=False)[0].images_NHWC[:4]

        last = _steps(config, images, seed=5, draws=2)[-1]

        generator = torch.Generator().manual_seed(5)
        for draw in range(2):
            given_NCHW = augment(
                torch.from_numpy(images.copy()),
                operations=operations_of(recipe),
                normalization="none",
                generator=generator,
            )
            expected = (given_NCHW * 255).round().byte().permute(0, 2, 3, 1).numpy()
            np.testing.assert_array_equal(np.stack(last.images[draw::2]), expected)

    def test_normalised_images_are_shown_denormalised_and_unchanged_steps_are_marked(self) -> None:
        config = sweeps.use.single_config.single_config(
            {"data": {"augmentation": ["normalize", {"flip": {"p": 0}}], "normalization": "cifar10"}}
        )
        images = load_training_images(progress=False)[0].images_NHWC[:2]

        first, normalized, flipped = _steps(config, images, seed=0, draws=1)

        np.testing.assert_array_equal(np.stack(first.images), images)
        np.testing.assert_array_equal(np.stack(normalized.images), images)
        assert (list(normalized.unchanged), list(flipped.unchanged)) == ([False] * 2, [True] * 2)

    def test_a_run_a_rung_a_list_and_a_sweep_file_are_accepted(
        self, finalized: Path, untested: str, tmp_path: Path, cli: Cli
    ) -> None:
        chosen = ["--set", "data.augmentation=flip"]
        for given in (
            [untested],
            [f"{ROOT / 'experiments' / 'ladder.yaml'}:augmented"],
            ["[normalize, flip, {crop: {padding: 2}}]"],
            [ROOT / "experiments" / "quick.yaml", *chosen],
        ):
            path = tmp_path / "a.html"
            result = cli("inspect", "augment", *given, "--count", 2, "--out", path, "--runs", finalized)
            assert result.exit_code == 0, result.output
            assert "<td>flip</td>" in path.read_text(encoding="utf-8")


class TestSummary:
    @pytest.mark.parametrize("model", ["simple", "deep"])
    def test_the_totals_are_those_of_the_network(self, model: str, runs: Path, cli: Cli) -> None:
        result = cli("inspect", "summary", model, "--set", "model.width=8", "--runs", runs)

        config = sweeps.use.single_config.single_config({"model": {"name": model, "width": 8}})
        parameters = sum(p.numel() for p in cifar_core.build_model(config.model).parameters())
        assert result.exit_code == 0, result.output
        assert f"{model}: {parameters:,} parameters" in result.stdout
        assert not runs.exists()

    def test_a_custom_network_a_run_and_a_rung_have_tables(
        self, finalized: Path, untested: str, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "inspected_nets.py").write_text(NETS, encoding="utf-8")
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(str(tmp_path))
        own = ["inspected_nets:Tiny", "--set", "model.options.depth=2"]

        kinds = {}
        for given in (own, [untested], [f"{ROOT / 'experiments' / 'ladder.yaml'}:resnet"]):
            result = cli("inspect", "summary", *given, "--json", "--runs", finalized)
            assert result.exit_code == 0, result.output
            found = json.loads(result.stdout)
            assert sum(layer["parameters"] for layer in found["layers"]) == found["totals"]["parameters"]
            kinds[given[0]] = [layer["kind"] for layer in found["layers"]]
        assert kinds["inspected_nets:Tiny"] == ["Conv2d", "Conv2d", "ReLU", "Linear"]
        assert "BatchNorm2d" in kinds[f"{ROOT / 'experiments' / 'ladder.yaml'}:resnet"]

    def test_memory_is_proportional_to_the_batch_size(self, cli: Cli) -> None:
        one, many = (
            json.loads(cli("inspect", "summary", "simple", "--batch", batch, "--json").stdout)["totals"]
            for batch in (1, 64)
        )

        assert many["activation_bytes"] == 64 * one["activation_bytes"]
        assert many["multiply_adds"] == one["multiply_adds"]

    def test_every_architecture_is_named_in_the_help(self, cli: Cli) -> None:
        text = cli("inspect", "summary", "--help").stdout

        assert [name for name in ARCHITECTURES if name not in text] == []

    @pytest.mark.parametrize("model", ["resnet", "torchvision_vgg16"])
    def test_a_layer_has_one_line_at_any_usual_width(
        self, model: str, cli: Cli, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Built once: initializing the 134 million weights of VGG16 takes seconds.
        layers = cifar_core.layer_table(build(model))
        monkeypatch.setattr("cifar_core.models.build.network_of", lambda config: None)
        monkeypatch.setattr(cifar_core, "layer_table", lambda network, **_: layers)

        for columns in (80, 84, 120):
            monkeypatch.setattr("sweeps.cli.terminal.PLAIN_WIDTH", columns)
            lines = cli("inspect", "summary", model).stdout.splitlines()

            assert len([line for line in lines if re.match(r"(features|head|vgg16)\.", line)]) == len(layers)
            table = lines[: lines.index(next(line for line in lines if line.startswith("total"))) + 1]
            assert max(map(len, table)) <= columns


class TestActivations:
    def test_any_image_mode_and_size_is_accepted_and_names_are_escaped(
        self, runs: Path, tmp_path: Path, cli: Cli
    ) -> None:
        for number, (mode, size) in enumerate([("RGB", (1, 1)), ("L", (50, 70)), ("RGBA", (300, 20)), ("P", (33, 32))]):
            path = tmp_path / f"{number} \x1b[31m 猫 $x_{{.png"
            Image.new(mode, size).save(path)
            page = tmp_path / "page.html"
            result = cli("inspect", "activations", "--model", "simple", path, "--out", page, "--runs", runs)
            assert result.exit_code == 0, result.output
            assert "\x1b" not in page.read_text(encoding="utf-8")

    @pytest.mark.parametrize("arguments", [["activations", "--model", "simple"], ["augment", "flip", "--image"]])
    def test_a_picture_does_not_overwrite_its_image(self, arguments: list[str], tmp_path: Path, cli: Cli) -> None:
        path = tmp_path / "cat.png"
        Image.new("RGB", (40, 40)).save(path)
        before = path.read_bytes()

        result = cli("inspect", *arguments, path, "--out", path)

        assert (result.exit_code, path.read_bytes()) == (2, before)
        assert "--out would overwrite the image" in result.stderr

    def test_a_network_without_feature_maps_is_an_error(
        self, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "flat_nets.py").write_text(
            "from torch import nn\n\ndef flat(num_classes=10):\n"
            "    return nn.Sequential(nn.Flatten(), nn.Linear(3072, num_classes))\n",
            encoding="utf-8",
        )
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.chdir(tmp_path)

        result = cli("inspect", "activations", "--model", "flat_nets:flat", 7)

        assert result.exit_code == 2
        assert "an untrained flat_nets:flat has no feature maps" in result.stderr
        assert not (tmp_path / "runs").exists()


class TestMistakes:
    def test_equal_the_record_with_the_most_confident_first(self, finalized: Path) -> None:
        reader = MlflowReader(finalized)
        board = sweeps.leaderboard("tiny", runs=finalized, each_run=True)
        tested = board[board["test_accuracy"].notna()].iloc[0]

        found = find_mistakes(reader, "tiny", runs=finalized)

        recorded = reader.correctness(tested["run_id"])
        assert recorded is not None
        assert sorted(each.number for each in found.found) == np.flatnonzero(~recorded.astype(bool)).tolist()
        assert found.disagreement is None
        sure = [each.probability for each in found.found]
        assert sure == sorted(sure, reverse=True)
        images = cifar_core.data.load.load_test_images(progress=False)
        for each in found.found[:20]:
            assert each.truth == images.labels_N[each.number] != each.predicted == each.probabilities_K.argmax()
            np.testing.assert_array_equal(each.image_HWC, images.images_NHWC[each.number])

    def test_are_sealed_for_an_untested_run(
        self, finalized: Path, untested: str, cli: Cli, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cifar_core.data.load, "load_test_images", shut)
        before = snapshot(finalized)

        result = cli("inspect", "mistakes", untested, "--runs", finalized)

        assert result.exit_code == 2
        assert "--validation" in result.stderr
        assert f"name one of its replicates that were: {untested.removesuffix('-s0')}-s1" in result.stderr
        assert snapshot(finalized) == before

    def test_of_validation_images_open_no_test_image(
        self, finalized: Path, untested: str, cli: Cli, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cifar_core.data.load, "load_test_images", shut)

        result = cli("inspect", "mistakes", untested, "--validation", "--json", "--runs", finalized, "--count", 100)

        assert result.exit_code == 0, result.output
        training = load_training_images(progress=False)[0]
        config = sweeps.load_model(untested, runs=finalized, device="cpu").config
        _, validation = split_train_validation(training, config.data)
        assert validation is not None
        for each in json.loads(result.stdout):
            assert CLASS_NAMES[training.labels_N[each["image"]]] == each["is"] != each["taken_for"]
            image = training.images_NHWC[each["image"]]
            assert (validation.images_NHWC == image).all(axis=(1, 2, 3)).any()

    def test_change_no_record_and_log_no_access(self, finalized: Path, tmp_path: Path, cli: Cli) -> None:
        before = snapshot(finalized)

        assert cli("inspect", "mistakes", "tiny", "--out", tmp_path / "a.png", "--runs", finalized).exit_code == 0

        assert snapshot(finalized) == before

    def test_that_differ_from_the_record_are_reported(
        self, finalized: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        images = cifar_core.data.load.load_test_images(progress=False)
        labels = images.labels_N.copy()
        labels[[3, 8]] = (labels[[3, 8]] + 1) % 10
        predicted = find_mistakes(MlflowReader(finalized), "tiny", runs=finalized).found
        taken_for = {each.number: each.predicted for each in predicted}
        labels[[3, 8]] = [taken_for.get(number, (images.labels_N[number] + 1) % 10) for number in (3, 8)]
        other = cifar_core.data.images.LabelledImages(images.images_NHWC, labels)
        monkeypatch.setattr(cifar_core.data.load, "load_test_images", lambda **options: other)

        result = cli("inspect", "mistakes", "tiny", "--out", tmp_path / "a.png", "--runs", finalized)

        assert result.exit_code == 1
        assert "compared with the recorded result of every image: not the same" in result.stdout
        assert "2 images classified differently from the record (3, 8)" in result.stderr

    def test_are_filtered_by_true_and_predicted_class(self, finalized: Path, cli: Cli) -> None:
        found = find_mistakes(MlflowReader(finalized), "tiny", runs=finalized).found[0]
        truth, taken_for = CLASS_NAMES[found.truth], CLASS_NAMES[found.predicted]

        result = cli("inspect", "mistakes", "tiny", "--is", truth, "--as", taken_for, "--json", "--runs", finalized)

        assert {(each["is"], each["taken_for"]) for each in json.loads(result.stdout)} == {(truth, taken_for)}


class TestOpen:
    @pytest.mark.parametrize("arguments", [["images", "--count", 1], ["summary", "simple"]])
    def test_opens_the_file_or_reports_that_nothing_can(
        self, arguments: list[Any], runs: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened: list[str] = []
        monkeypatch.setattr("click.launch", lambda path: opened.append(path) or 3)

        result = cli("inspect", *arguments, "--open", "--runs", runs)

        assert opened == [result.stdout.splitlines()[-1]]
        assert Path(opened[0]).read_bytes().startswith(b"\x89PNG")
        assert "Open it manually" in result.stderr


def build(model: str) -> torch.nn.Module:
    return cifar_core.build_model(sweeps.use.single_config.single_config({"model": {"name": model}}).model)
