"""Averaging of weights: lookahead sets them to their average, an exponential average is evaluated."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim import swa_utils

from cifar_core.averaging import DECAY, EVERY, EqualAverage, ExponentialAverage, Lookahead


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))


def test_weights_are_the_average_after_an_update_and_unchanged_between() -> None:
    layers = network()
    weight = layers[0].weight
    nn.init.zeros_(weight)
    averaging = Lookahead(layers, steps=10)
    seen = []
    for _ in range(10):
        with torch.no_grad():
            weight += 1
        averaging.end_step()
        seen.append(weight.item())

    first = 5 * (1 - DECAY * 0.5**3)
    last = first + 5 * (1 - DECAY)
    assert EVERY == 5
    assert seen == pytest.approx([1, 2, 3, 4, first, first + 1, first + 2, first + 3, first + 4, last])


def test_the_last_step_updates_the_average_whatever_its_number() -> None:
    layers = network()
    nn.init.zeros_(layers[0].weight)
    averaging = Lookahead(layers, steps=3)
    nn.init.ones_(layers[0].weight)

    for _ in range(3):
        averaging.end_step()

    assert layers[0].weight.item() == pytest.approx(1 - DECAY)


def test_running_statistics_are_averaged_and_counts_are_not() -> None:
    layers = network()
    averaging = Lookahead(layers, steps=5)
    layers[1].running_mean.fill_(1.0)
    layers[1].num_batches_tracked.fill_(7)

    for _ in range(5):
        averaging.end_step()

    assert layers[1].running_mean.item() == pytest.approx(1 - DECAY)
    assert layers[1].num_batches_tracked.item() == 7


def test_an_exponential_average_weighs_the_first_steps_equally_then_the_newest_most() -> None:
    model = nn.Linear(1, 1, bias=False)
    average = ExponentialAverage(model, steps_per_epoch=16)  # a mean age of four steps
    for value in (1.0, 2.0, 3.0, 4.0, 9.0):
        _set(model, value)
        average.end_step()

    with average.evaluated(is_last=False):
        assert model.weight.item() == pytest.approx(2.5 + (9 - 2.5) / 4)
    assert model.weight.item() == 9.0


def test_a_network_keeps_its_exponential_average_after_the_last_epoch() -> None:
    model = nn.Linear(1, 1, bias=False)
    average = ExponentialAverage(model, steps_per_epoch=16)
    for value in (1.0, 3.0):
        _set(model, value)
        average.end_step()

    with average.evaluated(is_last=True):
        pass

    assert model.weight.item() == pytest.approx(2.0)


@pytest.mark.parametrize(("epochs", "averaged"), [(1, 1), (3, 1), (4, 1), (5, 2), (8, 2)])
def test_an_equal_average_is_the_mean_over_the_last_quarter(epochs: int, averaged: int) -> None:
    model = nn.Linear(1, 1, bias=False)
    average = EqualAverage(model, epochs=epochs, steps_per_epoch=3)
    seen = []
    for epoch in range(epochs):
        for step in range(3):
            _set(model, float((epoch * 3 + step) ** 2))
            average.end_step()
        with average.evaluated(is_last=False):
            seen.append(model.weight.item())
        assert model.weight.item() == (epoch * 3 + 2) ** 2

    before = epochs - averaged
    values = torch.arange(epochs * 3).square().float()
    assert seen[:before] == values.view(-1, 3)[:before, 2].tolist()
    assert seen[-1] == pytest.approx(values[3 * before :].mean().item())


def test_an_equal_average_is_torchs() -> None:
    model = network()
    ours = EqualAverage(model, epochs=1, steps_per_epoch=4)
    theirs = swa_utils.AveragedModel(model, use_buffers=True)
    for _ in range(4):
        with torch.no_grad():
            model[0].weight.normal_()
            model[1].running_mean.normal_()
        ours.end_step()
        theirs.update_parameters(model)

    with ours.evaluated(is_last=True):
        pass
    torch.testing.assert_close(model[0].weight, theirs.module[0].weight)
    torch.testing.assert_close(model[1].running_mean, theirs.module[1].running_mean)


def _set(model: nn.Linear, value: float) -> None:
    with torch.no_grad():
        model.weight.fill_(value)
