"""Curves of a trial, read with TensorBoard's reader; writing them does not change the training."""

from __future__ import annotations

import copy
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sweep_fakes import Cli, once, own_net, tiny, write_yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.tensorflow_stub.io.gfile import LocalFileSystem
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from cifar_core.checkpoint import load_checkpoint
from cifar_core.common.files import previous_file
from cifar_core.config import TrainingConfig
from cifar_core.data.images import LabelledImages
from cifar_core.data.load import load_training_images
from cifar_core.data.split import split_train_validation
from cifar_core.device import on_device
from cifar_core.training import start as start_training
from cifar_core.training import train_steps
from sweeps.core.job import Job
from sweeps.core.trial import Outcome, TrialMessage
from sweeps.search.state import read_state
from sweeps.tasks.image_classification import ImageClassification, ImageTraining
from sweeps.tasks.image_tensorboard import input_grid
from sweeps.worker.session import TrialSession
from sweeps.worker.tensorboard import TrialCurves

TASK = ImageClassification()

EPOCH_TAGS = {"loss/train", "loss/validation", "accuracy/train", "accuracy/validation", "learning_rate"}
CONFIG = TrainingConfig.model_validate(
    {
        "epochs": 3,
        "model": {"name": "resnet", "width": 4, "dropout": 0.4},
        "data": {
            "train_size": 300,
            "validation_size": 200,
            "batch_size": 32,
            "normalization": "cifar10",
            "augmentation": "pad-flip-gray-crop",
        },
    }
)
STEPS = 10
"""Of an epoch."""


@pytest.fixture(scope="module")
def images() -> LabelledImages:
    return load_training_images()[0]


Session = Callable[..., TrialSession]


@pytest.fixture
def session(images: LabelledImages, tmp_path: Path) -> Session:
    """Return the same trial in a new session, as the next worker starts it."""

    def begin(*, config: TrainingConfig = CONFIG, curves: str | None = "curves", name: str = "trial") -> TrialSession:
        parts = {TASK.part_name(config): split_train_validation(images, config.data)}
        job = Job(
            number=0,
            task=TASK.name,
            config=config.model_dump_json(),
            checkpoint=str(tmp_path / name),
            log=str(tmp_path / f"{name}.log"),
            cpus=1,
            device="cpu",
            curves=None if curves is None else str(tmp_path / curves),
        )
        return TrialSession(job, parts, capture_output=False)

    return begin


def trained(session: TrialSession) -> list[TrialMessage]:
    """Return the messages of a trial to its end."""
    messages = [session.step()]
    while messages[-1].outcome is None:
        messages.append(session.step())
    return messages


def read(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()


def points(curves: EventAccumulator, tag: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in curves.Scalars(tag)]


def hparams(curves: EventAccumulator, tag: str) -> HParamsPluginData:
    content = curves.SummaryMetadata(f"_hparams_/{tag}").plugin_data.content
    return HParamsPluginData.FromString(content)


class TestContent:
    @pytest.fixture
    def messages(self, session: Session) -> list[TrialMessage]:
        return trained(session())

    def test_every_epoch_has_its_results_and_every_step_its_loss(
        self, messages: list[TrialMessage], tmp_path: Path
    ) -> None:
        curves = read(tmp_path / "curves")
        results = [message.epoch for message in messages if message.epoch]

        assert {*EPOCH_TAGS, "loss/step", "Final/val_accuracy"} == set(curves.Tags()["scalars"])
        assert points(curves, "loss/validation") == [(r.epoch, pytest.approx(r.metrics["val_loss"])) for r in results]
        assert points(curves, "accuracy/train") == [
            (r.epoch, pytest.approx(r.metrics["train_accuracy"])) for r in results
        ]
        assert [p.wall_time for p in curves.Scalars("loss/train")] == [r.finished_at for r in results]
        steps = points(curves, "loss/step")
        assert [step for step, _ in steps] == list(range(1, 3 * STEPS + 1))
        sizes = [32] * 9 + [12]
        for result in results:
            losses = [value for _, value in steps[(result.epoch - 1) * STEPS : result.epoch * STEPS]]
            assert np.average(losses, weights=sizes) == pytest.approx(result.metrics["train_loss"], rel=1e-5)

    def test_hyperparameters_final_accuracy_and_graph_are_written(
        self, messages: list[TrialMessage], tmp_path: Path
    ) -> None:
        curves = read(tmp_path / "curves")
        said = hparams(curves, "session_start_info").session_start_info.hparams

        assert set(said) == {name for name, value in CONFIG.dotted().items() if value is not None}
        assert said["optimizer.lr"].number_value == CONFIG.optimizer.lr
        assert said["data.shuffle"].bool_value is True
        assert said["model.name"].string_value == "resnet"
        assert hparams(curves, "session_end_info").session_end_info.status == 1  # STATUS_SUCCESS
        assert messages[-1].epoch is not None
        assert points(curves, "Final/val_accuracy") == [(3, pytest.approx(messages[-1].epoch.metrics["val_accuracy"]))]
        graph: GraphDef = curves.Graph()
        assert any("conv" in node.op for node in graph.node)


def test_the_images_are_those_that_the_network_is_trained_on(images: LabelledImages) -> None:
    train_images, _ = split_train_validation(images, CONFIG.data)
    state = start_training(CONFIG, train_size=300, device="cpu")
    seen: list[torch.Tensor] = []
    state.model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].clone()))
    next(train_steps(state, on_device(train_images, torch.device("cpu"))))
    grid = input_grid(CONFIG, train_images).numpy()[::3, ::3]

    assert grid.shape == (4 * 32, 8 * 32, 3)
    mean, std = (np.array(v) for v in ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)))
    for index in (0, 7, 8, 31):
        row, column = divmod(index, 8)
        shown = grid[row * 32 : row * 32 + 32, column * 32 : column * 32 + 32] / 255
        trained_on = (seen[0][index].permute(1, 2, 0).numpy() * std + mean).clip(0, 1)
        np.testing.assert_allclose(shown, trained_on, atol=1 / 255)


class TestNothingElseChanges:
    @pytest.mark.parametrize("name", ["simple", "resnet"])
    def test_losses_and_weights_are_the_same_bit_for_bit(self, name: str, session: Session, tmp_path: Path) -> None:
        config = TrainingConfig.model_validate(
            CONFIG.model_dump() | {"model": {"name": name, "width": 4, "dropout": 0.3}, "epochs": 2}
        )
        results = {}
        for curves in (None, "curves"):
            messages = trained(session(config=config, curves=curves, name=f"with {curves}"))
            weights = load_checkpoint(tmp_path / f"with {curves}" / "state.pt").model.state_dict()
            told = [
                (r.epoch.metrics["train_loss"], r.epoch.metrics["val_loss"], r.epoch.metrics["val_accuracy"])
                for r in messages
                if r.epoch
            ]
            results[curves] = (told, weights)

        assert results[None][0] == results["curves"][0]
        assert all(torch.equal(w, results["curves"][1][key]) for key, w in results[None][1].items())

    def test_tracing_changes_no_random_generator_and_no_buffer(self, images: LabelledImages, tmp_path: Path) -> None:
        state = start_training(CONFIG, train_size=300, device="cpu")
        train_images, _ = split_train_validation(images, CONFIG.data)
        before = copy.deepcopy(state.model.state_dict())
        random = (torch.get_rng_state(), np.random.get_state()[1].copy())  # type: ignore[index]

        curves = TrialCurves(tmp_path)
        curves.begin(ImageTraining(state, (train_images, None)), state.config)

        assert curves.warning is None
        assert torch.equal(torch.get_rng_state(), random[0])
        assert np.array_equal(np.random.get_state()[1], random[1])  # type: ignore[index]
        assert state.model.training
        assert all(p.requires_grad and p.grad is None for p in state.model.parameters())
        assert all(torch.equal(value, before[key]) for key, value in state.model.state_dict().items())

    def test_a_network_that_cannot_be_traced_lacks_only_its_graph(
        self, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = own_net(tmp_path, module="shy_nets", hook="pass")
        path = tmp_path / "shy_nets.py"
        refuse = "if len(images) == 1: raise SystemExit('not alone')\n        return self.layer"
        path.write_text(path.read_text(encoding="utf-8").replace("return self.layer", refuse), encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        config = TrainingConfig.model_validate(source)

        messages = trained(session(config=config))

        assert messages[-1].outcome is Outcome.COMPLETE
        curves = read(tmp_path / "curves")
        assert not curves.Tags()["graph"]
        assert len(points(curves, "loss/step")) == 3 * STEPS


class TestResumedTrial:
    def test_no_point_is_doubled_and_none_is_missing(self, session: Session, tmp_path: Path) -> None:
        checkpoint = tmp_path / "trial" / "state.pt"
        first = session()
        first.step()
        shutil.copy(checkpoint, tmp_path / "after one epoch")
        first.step()
        watching = read(tmp_path / "curves")  # a TensorBoard that is open all the while
        assert len(points(watching, "loss/step")) == 2 * STEPS
        before = points(watching, "loss/step")[:STEPS]
        # The unfinished second epoch is lost with the machine.
        shutil.copy(tmp_path / "after one epoch", checkpoint)
        previous_file(checkpoint).unlink()

        trained(session())

        for curves in (read(tmp_path / "curves"), watching.Reload()):
            assert [step for step, _ in points(curves, "loss/train")] == [1, 2, 3]
            assert [step for step, _ in points(curves, "loss/step")] == list(range(1, 3 * STEPS + 1))
            assert points(curves, "loss/step")[:STEPS] == before

    def test_curves_enabled_halfway_include_earlier_epochs(self, session: Session, tmp_path: Path) -> None:
        session(curves=None).step()

        trained(session())

        curves = read(tmp_path / "curves")
        assert [step for step, _ in points(curves, "accuracy/validation")] == [1, 2, 3]
        assert [step for step, _ in points(curves, "loss/step")] == list(range(STEPS + 1, 3 * STEPS + 1))

    def test_a_truncated_file_is_read_up_to_the_truncation(self, session: Session, tmp_path: Path) -> None:
        trial = session()
        trial.step()
        (file,) = (tmp_path / "curves").iterdir()
        file.write_bytes(file.read_bytes()[:-70] + b"torn")

        trained(session())

        curves = read(tmp_path / "curves")
        assert [step for step, _ in points(curves, "loss/train")] == [1, 2, 3]
        assert set(range(STEPS + 1, 3 * STEPS + 1)) <= {step for step, _ in points(curves, "loss/step")}


class TestEarlyEnd:
    def test_a_diverged_trial_has_the_losses_of_its_last_epoch(self, session: Session, tmp_path: Path) -> None:
        values = CONFIG.model_dump() | {"optimizer": {"lr": 1e30}, "model": {"name": "simple", "width": 4}}

        messages = trained(session(config=TrainingConfig.model_validate(values)))

        assert messages[-1].outcome is Outcome.DIVERGED
        curves = read(tmp_path / "curves")
        assert points(curves, "loss/step")
        assert hparams(curves, "session_end_info").session_end_info.status == 2  # STATUS_FAILURE
        assert "Final/val_accuracy" not in curves.Tags()["scalars"]

    def test_a_failed_trial_keeps_its_steps_and_may_succeed_later(
        self, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        base = own_net(
            tmp_path, module="failing_nets", hook=once(tmp_path / "failed", "raise RuntimeError('half way')")
        )
        monkeypatch.syspath_prepend(tmp_path)

        messages = trained(session(config=TrainingConfig.model_validate(base)))

        assert messages[-1].outcome is Outcome.FAILED
        curves = read(tmp_path / "curves")
        assert [step for step, _ in points(curves, "loss/train")] == [1]
        assert [step for step, _ in points(curves, "loss/step")] == list(range(1, 15))
        assert hparams(curves, "session_end_info").session_end_info.status == 2  # STATUS_FAILURE

        trained(session(config=TrainingConfig.model_validate(base)))

        assert hparams(read(tmp_path / "curves"), "session_end_info").session_end_info.status == 1  # STATUS_SUCCESS


class TestWriteErrors:
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # of the writer's thread
    def test_a_full_disk_is_one_warning_and_training_continues(
        self, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trial = session()
        messages = [trial.step()]
        monkeypatch.setattr(LocalFileSystem, "append", lambda *_: Path("/dev/full").write_bytes(b"x"))
        messages += trained(trial)
        monkeypatch.undo()

        warnings = [message.warning for message in messages if message.warning]
        assert len(warnings) == 1
        assert "No space left on device" in warnings[0]
        assert messages[-1].outcome is Outcome.COMPLETE
        assert (tmp_path / "trial.log").read_text(encoding="utf-8").count("warning:") == 1
        assert [step for step, _ in points(read(tmp_path / "curves"), "loss/train")] == [1]

    def test_a_node_without_tensorboard_trains(self, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)

        messages = trained(session())

        assert messages[-1].outcome is Outcome.COMPLETE
        assert [bool(message.warning) for message in messages] == [True, False, False]

    def test_the_writer_ends_its_thread_with_the_trial(self, tmp_path: Path, images: LabelledImages) -> None:
        before = threading.active_count()
        curves = TrialCurves(tmp_path)
        training = ImageTraining(start_training(CONFIG, train_size=300, device="cpu"), (images, None))
        curves.begin(training, CONFIG)
        assert threading.active_count() == before + 1

        del curves

        assert threading.active_count() == before


class TestASweep:
    @pytest.fixture
    def run(self, tmp_path: Path, recorded_runs: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(tmp_path)

        def start(*arguments: object, **changes: Any) -> Any:
            path = write_yaml(tmp_path, tiny(**changes))
            return cli("run", path, "--runs", recorded_runs, "--backend", "inline", *arguments)

        return start

    def test_each_trial_has_a_folder_with_its_name(self, run: Callable[..., Any], recorded_runs: Path) -> None:
        result = run(tensorboard=True, replicates={"top": 1, "seeds": 1})

        assert result.exit_code == 0, result.output
        folders = sorted(path.name for path in (recorded_runs / "tensorboard" / "tiny").iterdir())
        assert folders[:2] == ["tiny-000", "tiny-001"] or folders[1:] == ["tiny-000-s1", "tiny-001"]
        assert len(folders) == 3

    def test_curves_enabled_later_train_nothing_again(self, run: Callable[..., Any], recorded_runs: Path) -> None:
        run()
        assert not (recorded_runs / "tensorboard").exists()
        before = read_state(recorded_runs, "tiny").records

        assert "Nothing to train" in run("--tensorboard").output
        assert read_state(recorded_runs, "tiny").records == before
        assert run("--tensorboard", run_cap=3).exit_code == 0

        after = read_state(recorded_runs, "tiny").records
        (folder,) = (recorded_runs / "tensorboard" / "tiny").iterdir()
        assert folder.name == f"tiny-{after[-1].trial:03d}"
        assert [record for record in after if record.epochs and record != after[-1]][:2] == before

    def test_an_interrupted_trial_continues_its_curve(
        self, run: Callable[..., Any], tmp_path: Path, recorded_runs: Path
    ) -> None:
        base = own_net(
            tmp_path,
            module="stopping_nets",
            hook=once(tmp_path / "stopped", "os.kill(os.getpid(), signal.SIGINT); os.kill(os.getpid(), signal.SIGINT)"),
        )
        first = run("--tensorboard", run_cap=1, base=base)
        folder = recorded_runs / "tensorboard" / "tiny" / "tiny-000"
        assert first.exit_code == 130, first.output
        assert [step for step, _ in points(read(folder), "loss/train")] == [1]

        assert run("--tensorboard", run_cap=1, base=base).exit_code == 0

        assert [step for step, _ in points(read(folder), "loss/train")] == [1, 2, 3]
        assert [step for step, _ in points(read(folder), "loss/step")] == list(range(1, 3 * STEPS + 1))

    def test_without_the_package_nothing_starts(
        self, run: Callable[..., Any], recorded_runs: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "tensorboard", None)

        result = run("--tensorboard")

        assert result.exit_code == 2
        assert "pip install" in result.output
        assert "pip install 'cifar-sweeps[tensorboard]'" in result.output
        assert not (recorded_runs / "sweeps").exists()

    def test_a_folder_that_cannot_be_written_is_reported_once_for_all_trials(
        self, run: Callable[..., Any], recorded_runs: Path
    ) -> None:
        (recorded_runs / "tensorboard").write_text("a file where the folder should be", encoding="utf-8")

        result = run("--tensorboard")

        assert result.exit_code == 0, result.output
        assert result.output.count("writing curves for TensorBoard failed") == 1
        assert "2 complete" in result.output

    def test_rm_deletes_only_its_curves_and_doctor_and_gc_none(
        self, run: Callable[..., Any], recorded_runs: Path, cli: Cli
    ) -> None:
        run("--tensorboard")
        other = recorded_runs / "tensorboard" / "other"
        other.mkdir()
        curves = recorded_runs / "tensorboard" / "tiny"
        cli("doctor", "--fix", "--runs", recorded_runs)
        cli("gc", "--yes", "--runs", recorded_runs)
        assert len(list(curves.iterdir())) == 2

        assert cli("rm", "tiny", "--yes", "--runs", recorded_runs).exit_code == 0

        assert not curves.exists()
        assert other.exists()
