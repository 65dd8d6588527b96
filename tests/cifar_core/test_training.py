"""Training around the step: random state, schedules, divergence, stopping and resuming."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, lr_scheduler

from cifar_core import training
from cifar_core.augment import normalize
from cifar_core.checkpoint import load_checkpoint, save_checkpoint
from cifar_core.common.checksum_file import checksum_suffix
from cifar_core.common.errors import CheckpointError, DivergedError
from cifar_core.common.files import existing_versions
from cifar_core.config import TrainingConfig
from cifar_core.data.images import LabelledImages
from cifar_core.data.load import load_training_images
from cifar_core.data.split import split_train_validation
from cifar_core.device import on_device
from cifar_core.errors import DataMismatchError, DeviceError, StateMismatchError
from cifar_core.evaluation import evaluate
from cifar_core.optimization import build_optimizer, build_schedule
from cifar_core.results import EpochResult
from cifar_core.training import StepResult, TrainingState, _derived_seed, input_batches, start, train, train_step

DATA = {"train_size": 200, "validation_size": 100, "batch_size": 40, "normalization": "cifar10"}


def config(**changes: Any) -> TrainingConfig:
    content = {"model": {"width": 4}, "data": DATA, "epochs": 3} | changes
    return TrainingConfig.model_validate(content)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """A second thread slows networks as small as these down."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def images() -> tuple[LabelledImages, LabelledImages]:
    """200 real training images and 100 validation images."""
    train_images, validation = split_train_validation(load_training_images(progress=False)[0], config().data)
    assert validation is not None
    return train_images, validation


@pytest.fixture
def fresh(images: tuple[LabelledImages, LabelledImages]) -> Callable[[TrainingConfig], TrainingState]:
    return lambda wanted: start(wanted, train_size=len(images[0]), device="cpu")


def test_training_accuracy_is_the_share_of_images_right_when_trained_on(
    images: tuple[LabelledImages, LabelledImages], fresh: Callable[[TrainingConfig], TrainingState]
) -> None:
    # The rate is so small that the network stays the same for all images. The last batch is small.
    still = config(epochs=1, optimizer={"lr": 1e-30}, data=DATA | {"batch_size": 64})
    state = fresh(still)
    before = evaluate(state.model, images[0], config=still)

    (result,) = train(still, *images, state=state)

    assert before.accuracy > 0
    assert result.train_accuracy == before.accuracy
    assert result.train_loss == pytest.approx(before.loss, rel=1e-5)


def test_an_epochs_validation_result_is_of_the_network_after_the_epoch(
    images: tuple[LabelledImages, LabelledImages], fresh: Callable[[TrainingConfig], TrainingState]
) -> None:
    state = fresh(config(epochs=2))

    for result in train(config(epochs=2), *images, state=state):
        measured = evaluate(state.model, images[1], config=state.config)
        assert (result.val_loss, result.val_accuracy) == (measured.loss, measured.accuracy)

    assert [result.epoch for result in state.history] == [1, 2]


def test_an_epoch_reports_its_duration_and_speed(
    images: tuple[LabelledImages, LabelledImages], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([100.0, 104.0, 105.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(time, "time", lambda: 1_800_000_000.0)

    result = next(train(config(), *images))

    assert (result.seconds, result.images_per_second, result.finished_at) == (5.0, 200 / 4, 1_800_000_000.0)


@pytest.mark.parametrize("shuffle", [True, False])
def test_images_come_in_the_files_order_or_in_another_one_each_epoch(
    shuffle: bool, images: tuple[LabelledImages, LabelledImages], fresh: Callable[[TrainingConfig], TrainingState],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    seen: list[list[int]] = []

    def noted(state: TrainingState, inputs_NCHW: torch.Tensor, labels_N: torch.Tensor) -> StepResult:
        seen[-1] += labels_N.tolist()
        return train_step(state, inputs_NCHW, labels_N)

    monkeypatch.setattr(training, "train_step", noted)
    state = fresh(config(epochs=2, data=DATA | {"shuffle": shuffle}))
    for _ in range(2):
        seen.append([])
        next(train(state.config, *images, state=state))

    in_order = images[0].labels_N.tolist()
    assert all(sorted(epoch) == sorted(in_order) for epoch in seen)
    assert [epoch == in_order for epoch in seen] == [not shuffle] * 2
    assert (seen[0] == seen[1]) == (not shuffle)


def test_seeds_of_order_augmentation_and_dropout_stay_those_of_recorded_runs() -> None:
    assert [_derived_seed(0, 1, purpose) for purpose in (0, 1, 2)] == [
        2918264622725855778,
        1554199118406742183,
        1535930435702422785,
    ]
    assert _derived_seed(7, 3, 1) == 6665335680343557524


@pytest.mark.parametrize(
    ("optimizer", "wanted"),
    [
        ({"name": "sgd", "lr": 0.1}, lambda of: SGD(of, lr=0.1)),
        ({"name": "sgd", "lr": 0.1, "momentum": 0.9}, lambda of: SGD(of, lr=0.1, momentum=0.9)),
        (
            {"name": "sgd", "lr": 0.1, "momentum": 0.5, "nesterov": True, "weight_decay": 0.01},
            lambda of: SGD(of, lr=0.1, momentum=0.5, nesterov=True, weight_decay=0.01),
        ),
        # torch rejects Nesterov without momentum.
        ({"name": "sgd", "lr": 0.1, "momentum": 0.0, "nesterov": True}, lambda of: SGD(of, lr=0.1)),
        ({"name": "adam", "lr": 0.01, "weight_decay": 0.1}, lambda of: Adam(of, lr=0.01, weight_decay=0.1)),
        ({"name": "adamw", "lr": 0.01, "weight_decay": 0.1}, lambda of: AdamW(of, lr=0.01, weight_decay=0.1)),
        ({"name": "adamw", "lr": 0.01}, lambda of: AdamW(of, lr=0.01, weight_decay=0.0)),
    ],
)
def test_an_optimizer_moves_the_weights_as_torchs_of_that_name_does(
    optimizer: dict[str, Any], wanted: Callable[[Any], torch.optim.Optimizer]
) -> None:
    ours, theirs = (torch.nn.Parameter(torch.tensor([1.0, -2.0, 3.0])) for _ in range(2))
    mine = build_optimizer(nn.ParameterList([ours]), TrainingConfig.model_validate({"optimizer": optimizer}).optimizer)
    reference = wanted([theirs])

    for step in range(1, 5):
        for parameter, moves in ((ours, mine), (theirs, reference)):
            parameter.grad = torch.tensor([0.1, 0.2, -0.3]) * step
            moves.step()

    assert torch.equal(ours, theirs)


def test_biases_learn_at_their_factor_and_decay_as_the_weights_do() -> None:
    layer = nn.Linear(1, 1)
    nn.init.ones_(layer.weight)
    nn.init.ones_(layer.bias)
    wanted = {"optimizer": {"lr": 0.1, "weight_decay": 0.01, "bias_lr_factor": 64}}
    optimizer = build_optimizer(layer, TrainingConfig.model_validate(wanted).optimizer)

    layer.weight.grad, layer.bias.grad = torch.full((1, 1), 0.001), torch.full((1,), 0.001)
    optimizer.step()

    decay = 0.1 * 0.01
    assert layer.weight.item() == pytest.approx(1 - 0.1 * 0.001 - decay, abs=1e-7)
    assert layer.bias.item() == pytest.approx(1 - 6.4 * 0.001 - decay, abs=1e-7)
    assert optimizer.param_groups[0]["lr"] == 0.1, "the reported rate is that of the weights"


@pytest.mark.parametrize("factor", [1, 8])
def test_a_parameter_that_is_fixed_is_not_trained(factor: float) -> None:
    layer = nn.Linear(2, 2)
    layer.weight.requires_grad_(False)
    before = layer.weight.clone()
    wanted = {"optimizer": {"bias_lr_factor": factor, "weight_decay": 0.1, "momentum": 0.9}}
    optimizer = build_optimizer(layer, TrainingConfig.model_validate(wanted).optimizer)

    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()

    assert torch.equal(layer.weight, before)


@pytest.mark.parametrize(
    "schedule",
    [
        {"name": "step"},
        {"name": "cosine", "min_lr": 0.01},
        {"name": "one_cycle"},
        {"name": "triangular"},
        {"name": "warmup_cosine", "min_lr": 0.01},
    ],
)
def test_biases_keep_their_factor_of_the_rate_under_every_schedule(schedule: dict[str, Any]) -> None:
    wanted = TrainingConfig.model_validate(
        {"optimizer": {"lr": 0.1, "bias_lr_factor": 64}, "schedule": schedule, "epochs": 4}
    )
    alone = TrainingConfig.model_validate({"optimizer": {"lr": 0.1}, "schedule": schedule, "epochs": 4})
    optimizers = [build_optimizer(nn.Linear(1, 1), each.optimizer) for each in (wanted, alone)]
    with_factor, without = (
        build_schedule(optimizer, wanted.schedule, epochs=4, steps_per_epoch=3) for optimizer in optimizers
    )
    rates = []
    for step in range(12):
        for optimizer, moved in zip(optimizers, (with_factor, without), strict=True):
            optimizer.step()
            moved.end_step()
            if step % 3 == 2:
                moved.end_epoch()
        weights_lr, biases_lr = (group["lr"] for group in optimizers[0].param_groups)
        assert biases_lr == pytest.approx(64 * weights_lr)
        assert weights_lr == pytest.approx(optimizers[1].param_groups[0]["lr"])
        rates.append(weights_lr)
    assert len(set(rates)) > 1 or schedule["name"] == "step"


def test_label_smoothing_is_torchs(fresh: Callable[[TrainingConfig], TrainingState]) -> None:
    state = fresh(config(label_smoothing=0.2))
    inputs_NCHW, labels_N = torch.rand(4, 3, 32, 32), torch.arange(4)
    state.model.train()
    expected = functional.cross_entropy(state.model(inputs_NCHW), labels_N, label_smoothing=0.2)

    assert train_step(state, inputs_NCHW, labels_N).loss.item() == pytest.approx(expected.item())


def test_images_grow_and_the_last_epochs_have_their_full_size(
    images: tuple[LabelledImages, LabelledImages],
) -> None:
    wanted = config(model={"name": "lean"}, epochs=6, data=DATA | {"start_size": 24, "grown_at": 0.5})

    sizes = [
        next(iter(input_batches(wanted, on_device(images[0], torch.device("cpu")), epoch=epoch)))[0].shape[-1]
        for epoch in range(1, 7)
    ]

    assert sizes == [24, 26, 28, 32, 32, 32]


def test_a_flip_that_alternates_mirrors_each_image_every_second_epoch(
    images: tuple[LabelledImages, LabelledImages],
) -> None:
    wanted = config(data=DATA | {"shuffle": False, "augmentation": ["normalize", {"flip": {"alternate": True}}]})
    device = torch.device("cpu")

    def epoch_of(number: int) -> torch.Tensor:
        return torch.cat([inputs for inputs, _ in input_batches(wanted, on_device(images[0], device), epoch=number)])

    first, second, third = map(epoch_of, (1, 2, 3))
    plain_NCHW = normalize(torch.from_numpy(images[0].images_NHWC.copy()), normalization="cifar10")
    was_mirrored = (first != plain_NCHW).flatten(1).any(1)
    assert 60 < was_mirrored.sum() < 140
    assert torch.equal(second, first.flip(3))
    assert torch.equal(third, first)


def computed(results: list[EpochResult]) -> list[EpochResult]:
    """Return the results without times."""
    return [replace(r, seconds=0.0, images_per_second=0.0, finished_at=0.0) for r in results]


def weights(state: TrainingState) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in state.model.state_dict().items()}


NOISY: dict[str, Any] = {
    "model": {"name": "resnet", "width": 4, "dropout": 0.4},
    "data": DATA | {"augmentation": "flip-erase-crop"},
    "optimizer": {"lr": 0.05, "momentum": 0.9},
}


LEAN: dict[str, Any] = {
    "model": {"name": "lean", "width": 8},
    "data": DATA
    | {
        "batch_size": 30,
        "augmentation": ["normalize", {"flip": {"alternate": True}}, {"crop": {"padding": 2, "fill": "reflect"}}],
        "start_size": 24,
    },
    "optimizer": {"nesterov": True, "bias_lr_factor": 64},
    "label_smoothing": 0.2,
    "averaging": "lookahead",
    "test_time_augmentation": "flip-shift",
}


@pytest.mark.parametrize(
    ("optimizer", "schedule", "others"),
    [
        ("sgd", "step", {}),
        ("sgd", "cosine", {}),
        ("adamw", "constant", {}),
        ("adamw", "one_cycle", {}),
        # Seven steps per epoch: it stops between two updates of the average.
        ("sgd", "triangular", LEAN),
        ("sgd", "step", {"averaging": "ema"}),
        ("sgd", "step", {"averaging": "swa"}),
        ("sgd", "warmup_cosine", {"data": {**NOISY["data"], "mixup": 0.4}}),
        ("sgd", "cosine", {"data": {**NOISY["data"], "cutmix": 1.0}}),
        ("sgd", "cosine", {"data": {**NOISY["data"], "mixup": 0.4, "cutmix": 1.0}, "label_smoothing": 0.1}),
        ("sgd", "cosine", {"data": DATA | {"augmentation": ["trivial_augment", "normalize", "flip"]}}),
        ("sgd", "cosine", {"data": DATA | {"augmentation": ["rand_augment", "normalize", "crop"]}}),
        ("muon", "warmup_cosine", {"optimizer": {"bias_lr_factor": 4, "weight_decay": 0.01}}),
        ("muon", "constant", {**LEAN, "optimizer": {"sam_rho": 0.05, "clip_norm": 1.0}}),
        ("sgd", "step", {"optimizer": {"clip_norm": 0.1}}),
        ("sgd", "step", {"optimizer": {"sam_rho": 0.05}}),
        ("adamw", "step", {"optimizer": {"sam_rho": 0.05, "clip_norm": 1.0}, "averaging": "swa"}),
        ("sgd", "step", {"model": {"name": "resnet", "width": 4, "channel_dropout": 0.2}}),
        ("sgd", "step", {"model": {"name": "resnet", "width": 4, "squeeze_excitation": True}}),
        ("sgd", "step", {"model": {"name": "resnet", "width": 4, "stochastic_depth": 0.3}}),
        ("sgd", "step", {"model": {"name": "resnet18", "width": 4, "channel_dropout": 0.1}}),
        ("sgd", "step", {"model": {"name": "wide_resnet", "width": 2, "depth": 10, "dropout": 0.3}}),
    ],
)
def test_a_resumed_run_computes_the_same_as_one_without_a_stop(
    optimizer: str,
    schedule: str,
    others: dict[str, Any],
    tmp_path: Path,
    images: tuple[LabelledImages, LabelledImages],
    fresh: Callable[[TrainingConfig], TrainingState],
) -> None:
    steps = {"name": optimizer, "lr": 0.01, "momentum": 0.9}
    wanted = config(**NOISY | others | {"optimizer": steps | others.get("optimizer", {})}, schedule={"name": schedule})
    whole = fresh(wanted)
    uninterrupted = list(train(wanted, *images, state=whole))

    stopped = fresh(wanted)
    next(train(wanted, *images, state=stopped))
    save_checkpoint(stopped, tmp_path / "state.pt")
    resumed = load_checkpoint(tmp_path / "state.pt", config=wanted, device="cpu")
    list(train(wanted, *images, state=resumed))

    assert computed(resumed.history) == computed(uninterrupted)
    expected = weights(whole)
    assert all(torch.equal(value, expected[name]) for name, value in weights(resumed).items())


def test_the_same_seed_gives_the_same_run(images: tuple[LabelledImages, LabelledImages]) -> None:
    first, second = (computed(list(train(config(**NOISY), *images, device="cpu"))) for _ in range(2))

    assert first == second


def test_another_seed_gives_another_run(images: tuple[LabelledImages, LabelledImages]) -> None:
    first, second = (next(train(config(seed=seed), *images, device="cpu")) for seed in (0, 1))

    assert first.train_loss != second.train_loss


def test_the_callers_random_numbers_neither_change_nor_matter(images: tuple[LabelledImages, LabelledImages]) -> None:
    torch.manual_seed(1)
    first = computed([next(train(config(**NOISY), *images, device="cpu"))])
    after_one_seed = torch.rand(3)
    torch.manual_seed(2)
    second = computed([next(train(config(**NOISY), *images, device="cpu"))])
    torch.manual_seed(1)

    assert torch.equal(torch.rand(3), after_one_seed)
    assert first == second


def test_dropout_draws_new_masks_every_epoch(images: tuple[LabelledImages, LabelledImages]) -> None:
    # Almost no learning and a fixed order: two epochs differ only in dropout.
    still = config(model={"width": 4, "dropout": 0.5}, optimizer={"lr": 1e-12}, data=DATA | {"shuffle": False})

    first, second, _ = (result.train_loss for result in train(still, *images, device="cpu"))

    assert first != pytest.approx(second, rel=1e-6)


LR, EPOCHS, STEPS = 0.1, 6, 5
"""200 images in batches of 40 are 5 steps per epoch."""


def one_cycle(step: int) -> float:
    """torch's cosine one-cycle: from lr/25 up to lr in 30 % of the steps, then down to lr/250,000."""
    last = EPOCHS * STEPS
    top = 0.3 * (last + 1) - 1
    if step <= top:
        low, high, share = LR / 25, LR, step / top
    else:
        low, high, share = LR, LR / 25 / 1e4, (step - top) / (last - top)
    return high + (low - high) / 2 * (1 + math.cos(math.pi * share))


def warmup_cosine(step: int) -> float:
    """Six of thirty steps from 0.4 × LR up to LR, then a cosine down to 0.02."""
    if step < 6:
        return LR * (0.4 + 0.6 * step / 6)
    return 0.02 + (LR - 0.02) * (1 + math.cos(math.pi * (step - 6) / 24)) / 2


CLOSED_FORMS: dict[str, tuple[dict[str, Any], Callable[[int], float]]] = {
    "constant": ({"name": "constant"}, lambda epoch: LR),
    "step": ({"name": "step", "step_size": 2, "gamma": 0.5}, lambda epoch: LR * 0.5 ** ((epoch - 1) // 2)),
    "cosine": (
        {"name": "cosine", "min_lr": 0.02},
        lambda epoch: 0.02 + (LR - 0.02) * (1 + math.cos(math.pi * (epoch - 1) / EPOCHS)) / 2,
    ),
    "one_cycle": ({"name": "one_cycle", "warmup": 0.3}, lambda epoch: one_cycle(epoch * STEPS - 1)),
    "triangular": (
        {"name": "triangular", "warmup": 0.2, "start_factor": 0.4, "end_factor": 0.1},
        lambda epoch: LR * float(np.interp(epoch * STEPS - 1, [0, 6, 30], [0.4, 1, 0.1])),
    ),
    "warmup_cosine": (
        {"name": "warmup_cosine", "warmup": 0.2, "start_factor": 0.4, "min_lr": 0.02},
        lambda epoch: warmup_cosine(epoch * STEPS - 1),
    ),
}


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_the_learning_rate_of_every_epoch_is_the_schedules_closed_form(
    name: str, images: tuple[LabelledImages, LabelledImages]
) -> None:
    schedule, closed_form = CLOSED_FORMS[name]
    wanted = config(schedule=schedule, optimizer={"lr": LR}, epochs=EPOCHS)

    rates = [result.learning_rate for result in train(wanted, *images, device="cpu")]

    assert rates == pytest.approx([closed_form(epoch) for epoch in range(1, EPOCHS + 1)], rel=1e-9)


def test_one_cycle_is_torchs_own_to_its_last_step(images: tuple[LabelledImages, LabelledImages]) -> None:
    optimizer = SGD([nn.Parameter(torch.zeros(1))], lr=LR)
    theirs = lr_scheduler.OneCycleLR(optimizer, LR, total_steps=EPOCHS * STEPS + 1, cycle_momentum=False)
    expected = []
    for _ in range(EPOCHS * STEPS):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    wanted = config(schedule={"name": "one_cycle"}, optimizer={"lr": LR}, epochs=EPOCHS)

    rates = [result.learning_rate for result in train(wanted, *images, device="cpu")]

    assert rates == expected[STEPS - 1 :: STEPS]


def test_a_loss_that_is_not_finite_raises_and_earlier_epochs_remain(
    images: tuple[LabelledImages, LabelledImages], fresh: Callable[[TrainingConfig], TrainingState]
) -> None:
    state = fresh(config())
    epochs = train(config(), *images, state=state)
    next(epochs)
    with torch.no_grad():
        next(state.model.parameters()).fill_(math.inf)

    with pytest.raises(DivergedError, match="in epoch 2: lower") as raised:
        next(epochs)

    assert (raised.value.epoch, state.epoch) == (2, 1)


def test_a_learning_rate_beyond_reason_diverges(images: tuple[LabelledImages, LabelledImages]) -> None:
    with pytest.raises(DivergedError):
        list(train(config(optimizer={"lr": 1e6}), *images, device="cpu"))


@pytest.mark.parametrize("name", ["simple", "resnet"])
def test_evaluation_changes_nothing(
    name: str, images: tuple[LabelledImages, LabelledImages], fresh: Callable[[TrainingConfig], TrainingState]
) -> None:
    state = fresh(config(model={"name": name, "width": 4, "dropout": 0.4}))
    before, random_before = weights(state), torch.get_rng_state()
    state.model.train()

    evaluate(state.model, images[1], config=state.config)

    assert all(torch.equal(value, before[key]) for key, value in weights(state).items())
    assert torch.equal(torch.get_rng_state(), random_before)
    assert state.model.training
    assert all(parameter.grad is None for parameter in state.model.parameters())


def test_evaluation_counts_what_a_plain_loop_counts(
    images: tuple[LabelledImages, LabelledImages], fresh: Callable[[TrainingConfig], TrainingState]
) -> None:
    state = fresh(config(data=DATA | {"normalization": "none"}))
    measured = evaluate(state.model, images[1], config=state.config)

    state.model.eval()
    correct, loss = [], 0.0
    for pixels, label in zip(images[1].images_NHWC, images[1].labels_N, strict=True):
        with torch.no_grad():
            logits = state.model(torch.tensor(pixels).permute(2, 0, 1)[None] / 255)
        correct.append(bool(logits.argmax() == int(label)))
        loss += float(nn.functional.cross_entropy(logits, torch.tensor([int(label)])))

    assert measured.correct_N.tolist() == correct
    assert measured.loss == pytest.approx(loss / len(images[1]), rel=1e-5)


def test_without_validation_images_there_is_no_validation_result(
    images: tuple[LabelledImages, LabelledImages],
) -> None:
    alone = config(data=DATA | {"validation_size": 0})
    for nothing in (None, images[1].subset(slice(0, 0))):
        result = next(train(alone, images[0], nothing, device="cpu"))

        assert (result.val_loss, result.val_accuracy) == (None, None)


def test_the_default_split_can_be_trained_on(images: tuple[LabelledImages, LabelledImages]) -> None:
    wanted = config(data={})

    result = next(train(wanted, *split_train_validation(images[0], wanted.data), device="cpu"))

    assert (result.epoch, result.val_accuracy) == (1, None)


def test_training_does_not_depend_on_whether_it_is_validated(images: tuple[LabelledImages, LabelledImages]) -> None:
    with_validation = [r.train_loss for r in train(config(**NOISY), *images, device="cpu")]
    alone = config(**NOISY | {"data": NOISY["data"] | {"validation_size": 0}})
    without = [r.train_loss for r in train(alone, images[0], device="cpu")]

    assert with_validation == without


def test_images_that_do_not_match_the_configuration_are_rejected(
    images: tuple[LabelledImages, LabelledImages],
) -> None:
    for wrong in ((images[1], images[1]), (images[0], None), (images[0], images[0])):
        with pytest.raises(DataMismatchError):
            train(config(), *wrong, device="cpu")


@pytest.mark.parametrize("changes", [{"seed": 1}, {"epochs": 4}, {"model": {"width": 8}}])
def test_a_state_of_another_configuration_is_refused_at_the_call(
    changes: dict[str, Any],
    images: tuple[LabelledImages, LabelledImages],
    fresh: Callable[[TrainingConfig], TrainingState],
) -> None:
    with pytest.raises(StateMismatchError, match=r"another configuration. Train with state\.config"):
        train(config(), *images, state=fresh(config(**changes)))


def test_a_state_resumes_where_the_configuration_differs_without_effect(
    images: tuple[LabelledImages, LabelledImages], fresh: Callable[[TrainingConfig], TrainingState]
) -> None:
    state = fresh(config(schedule={"name": "constant", "step_size": 2}))

    assert next(train(config(schedule={"name": "constant", "step_size": 3}), *images, state=state)).epoch == 1


def test_a_state_for_another_number_of_images_is_refused_at_the_call(
    images: tuple[LabelledImages, LabelledImages],
) -> None:
    anything = config(data={})

    with pytest.raises(StateMismatchError, match="created for 100 training images, but there are 200"):
        train(anything, images[0], state=start(anything, train_size=100, device="cpu"))


def test_half_precision_on_a_cpu_is_refused_with_a_remedy() -> None:
    with pytest.raises(DeviceError, match="Use float32 or bfloat16"):
        start(config(precision="float16"), train_size=200, device="cpu")


def _with_checksum(content: io.BytesIO) -> bytes:
    return content.getvalue() + checksum_suffix(content.getvalue())


class TestCheckpoint:
    @pytest.fixture
    def state(
        self, images: tuple[LabelledImages, LabelledImages], fresh: Callable[[TrainingConfig], TrainingState]
    ) -> TrainingState:
        state = fresh(config())
        next(train(config(), *images, state=state))
        return state

    def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
        self, state: TrainingState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "state.pt"
        save_checkpoint(state, path)
        whole = path.read_bytes()

        def half(content: object, file: Any) -> None:
            file.write(b"half")
            raise OSError("disk full")

        monkeypatch.setattr(torch, "save", half)
        with pytest.raises(OSError, match="disk full"):
            save_checkpoint(state, path)

        assert path.read_bytes() == whole
        assert list(tmp_path.iterdir()) == [path]

    def test_a_bit_flipped_anywhere_in_a_file_is_detected(self, state: TrainingState, tmp_path: Path) -> None:
        path = tmp_path / "state.pt"
        save_checkpoint(state, path)
        whole = path.read_bytes()
        assert load_checkpoint(path, device="cpu").history == state.history

        # Every bit of the checksum at the end, and a thousand positions before it.
        positions = {*range(len(whole) - 100, len(whole)), *range(0, len(whole) - 100, len(whole) // 1000)}
        for position in positions:
            flipped = bytearray(whole)
            flipped[position] ^= 1 << (position % 8)
            path.write_bytes(flipped)
            with pytest.raises(CheckpointError, match=r"Delete it to train from the start\."):
                load_checkpoint(path, device="cpu")

    def test_the_file_before_is_kept_and_loads(
        self, state: TrainingState, images: tuple[LabelledImages, LabelledImages], tmp_path: Path
    ) -> None:
        path = tmp_path / "state.pt"
        assert list(existing_versions(path)) == []
        save_checkpoint(state, path)
        assert list(existing_versions(path)) == [path]
        first = list(state.history)
        next(train(config(), *images, state=state))

        save_checkpoint(state, path)

        newest, before = existing_versions(path)
        assert load_checkpoint(newest, device="cpu").history == state.history
        assert load_checkpoint(before, device="cpu").history == first

    @pytest.mark.parametrize("keep", [0, 1, 100, 0.5, 0.99])
    def test_a_truncated_file_is_rejected_with_a_remedy(
        self, keep: float, state: TrainingState, tmp_path: Path
    ) -> None:
        path = tmp_path / "state.pt"
        save_checkpoint(state, path)
        whole = path.read_bytes()
        path.write_bytes(whole[: keep if isinstance(keep, int) else int(keep * len(whole))])

        with pytest.raises(CheckpointError, match=r"Delete it to train from the start\."):
            load_checkpoint(path)

    def test_a_file_of_something_else_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "state.pt"
        named = {"config": config().model_dump_json(), "format": 1}
        whole = named | {"train_size": 200, "history": "[]"}
        for content in ([1, 2], {"config": "{}"}, named, whole, whole | {"model": {}}):
            torch.save(content, path)
            with pytest.raises(CheckpointError):
                load_checkpoint(path)

    def test_each_error_names_the_fault_of_the_file(self, state: TrainingState, tmp_path: Path) -> None:
        path = tmp_path / "state.pt"
        save_checkpoint(state, path)
        sealed = path.read_bytes()
        flipped = sealed[:100] + bytes([sealed[100] ^ 1]) + sealed[101:]
        content = torch.load(io.BytesIO(sealed), weights_only=True)
        wrong_network, future = io.BytesIO(), io.BytesIO()
        torch.save(content | {"model": {}}, wrong_network)
        torch.save(content | {"format": 99}, future)

        for damaged, said in (
            (flipped, r"is not a readable checkpoint \(its checksum is wrong: it has changed since it was written\)"),
            (sealed[:-1], r"is not a readable checkpoint \(its end is damaged or missing\)"),
            (_with_checksum(wrong_network), r"does not fit its network \(Error\(s\) in loading state_dict"),
            (_with_checksum(future), r"has format 99, this version reads 1"),
        ):
            path.write_bytes(damaged)
            with pytest.raises(CheckpointError, match=said):
                load_checkpoint(path, device="cpu")

    def test_a_file_that_would_run_code_is_refused_and_runs_none(self, tmp_path: Path) -> None:
        class Harmful:
            def __reduce__(self) -> tuple[Any, ...]:
                return Path.touch, (tmp_path / "run",)

        torch.save({"config": Harmful()}, tmp_path / "state.pt")

        with pytest.raises(CheckpointError, match="not a readable checkpoint"):
            load_checkpoint(tmp_path / "state.pt", device="cpu")
        assert not (tmp_path / "run").exists()

    def test_it_resumes_on_the_requested_device(
        self, state: TrainingState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        save_checkpoint(state, tmp_path / "state.pt")
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

        with pytest.raises(DeviceError, match="device cuda"):
            load_checkpoint(tmp_path / "state.pt", device="cuda")

    def test_a_missing_file_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match=r"state\.pt"):
            load_checkpoint(tmp_path / "state.pt")

    @pytest.mark.parametrize("changes", [{"seed": 1}, {"epochs": 4}, {"model": {"width": 8}}])
    def test_a_state_of_another_configuration_is_refused(
        self, changes: dict[str, Any], state: TrainingState, tmp_path: Path
    ) -> None:
        save_checkpoint(state, tmp_path / "state.pt")

        with pytest.raises(CheckpointError, match="belongs to another configuration"):
            load_checkpoint(tmp_path / "state.pt", config=config(**changes))

    def test_a_state_loads_without_its_configuration(self, state: TrainingState, tmp_path: Path) -> None:
        save_checkpoint(state, tmp_path / "state.pt")

        loaded = load_checkpoint(tmp_path / "state.pt", device="cpu")

        assert loaded.config == state.config
        assert loaded.history == state.history


def test_a_row_of_the_validation_confusion_is_a_class(images: tuple[LabelledImages, LabelledImages]) -> None:
    train_images, validation = images
    *_, last = train(config(epochs=1), train_images, validation)
    assert last.val_confusion is not None
    counts = np.array(last.val_confusion)
    assert counts.sum(axis=1).tolist() == np.bincount(validation.labels_N, minlength=10).tolist()
    assert counts.sum(axis=0).tolist() != counts.sum(axis=1).tolist()
