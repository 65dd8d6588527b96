"""Images per second of training on CPU cores, in turns with the loop of PyTorch's CIFAR-10 tutorial.

This project trains as a sweep does: a process with one thread on each core. The tutorial's loop has PIL images, a
`DataLoader` with two workers and all threads. Both train the same networks with batches of 64 on the same images. The
share of the peak is that of a convolution alone, measured with a process per core too.

    python benchmarks/bench.py --only training
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BATCH = 64
TRAIN_SIZE = 10_000
SECONDS, ROUNDS = 15.0, 2
WARM_UP_STEPS = 3
CASES = (("simple", "none"), ("simple", "flip-crop"), ("deep", "none"), ("resnet", "none"), ("vgg", "none"))
SHAPES = ((16, 16, 32), (32, 32, 16), (64, 64, 16), (64, 128, 8), (128, 128, 8), (256, 256, 4))
"""Input channels, output channels and side of the convolutions, the best of which is the peak."""


def _config(network: str, augmentation: str) -> Any:
    from cifar_core import TrainingConfig

    data = {"train_size": TRAIN_SIZE, "batch_size": BATCH, "augmentation": augmentation, "normalization": "cifar10"}
    return TrainingConfig(model={"name": network}, data=data, epochs=1_000)


def _images() -> Any:
    from cifar_core.data.load import load_training_images

    images = load_training_images()[0]
    return type(images)(images.images_NHWC[:TRAIN_SIZE], images.labels_N[:TRAIN_SIZE])


def _rate(steps: Iterator[Any], *, seconds: float) -> float:
    """Return images per second over whole batches."""
    for _ in itertools.islice(steps, WARM_UP_STEPS):
        pass
    started, count = time.perf_counter(), 0
    for _ in steps:
        count += BATCH
        if time.perf_counter() - started >= seconds:
            break
    return count / (time.perf_counter() - started)


def ours(network: str, augmentation: str, seconds: float) -> dict[str, float]:
    """Train with `cifar_core` on one thread."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from cifar_core.device import on_device
    from cifar_core.training import start, train_steps

    torch.set_num_threads(1)
    images = on_device(_images(), torch.device("cpu"))
    state = start(_config(network, augmentation), train_size=TRAIN_SIZE, device="cpu")
    counter = FlopCounterMode(display=False)
    with counter:
        next(train_steps(state, images))
    rate = _rate((step for _ in itertools.count() for step in train_steps(state, images)), seconds=seconds)
    return {"rate": rate, "flops": counter.get_total_flops() / BATCH}


def tutorial(network: str, augmentation: str, seconds: float) -> dict[str, float]:
    """Train with the tutorial's loop."""
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset
    from torchvision import transforms

    from cifar_core.models.build import build_model

    config, found = _config(network, augmentation), _images()
    steps: list[Callable[[Any], Any]] = [transforms.ToTensor()]
    steps.append(transforms.Normalize((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)))
    if augmentation == "flip-crop":
        steps = [transforms.RandomHorizontalFlip(), transforms.RandomCrop(32, padding=4), *steps]
    transform = transforms.Compose(steps)

    class Images(Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return TRAIN_SIZE

        def __getitem__(self, index: int) -> tuple[Any, int]:
            return transform(Image.fromarray(found.images_NHWC[index])), int(found.labels_N[index])

    loader = DataLoader(Images(), batch_size=BATCH, shuffle=True, num_workers=2)
    model = build_model(config.model)
    loss_of = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)

    def train() -> Iterator[float]:
        for _ in itertools.count():
            for inputs, labels in loader:
                optimizer.zero_grad()
                loss = loss_of(model(inputs), labels)
                loss.backward()
                optimizer.step()
                yield loss.item()

    return {"rate": _rate(train(), seconds=seconds)}


def peak(network: str, augmentation: str, seconds: float) -> dict[str, float]:
    """Return FLOP/s of the best convolution on one thread."""
    import torch

    torch.set_num_threads(1)
    best = 0.0
    for inputs, outputs, side in SHAPES:
        images = torch.randn(BATCH, inputs, side, side).contiguous(memory_format=torch.channels_last)
        convolution = torch.nn.Conv2d(inputs, outputs, 3, padding=1).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        flops = 2 * 9 * inputs * outputs * side**2 * BATCH
        with torch.no_grad():
            convolution(images)
            started, count = time.perf_counter(), 0
            while time.perf_counter() - started < seconds / len(SHAPES):
                convolution(images)
                count += 1
        best = max(best, flops * count / (time.perf_counter() - started))
    return {"rate": best}


WHAT: Mapping[str, Callable[[str, str, float], dict[str, float]]] = {"ours": ours, "tutorial": tutorial, "peak": peak}


def _run(what: str, network: str, augmentation: str, *, seconds: float) -> dict[str, float]:
    """Run one measurement: the tutorial's in one process, others with a process on each core. Return the sum."""
    cores = sorted(os.sched_getaffinity(0))
    command = [sys.executable, __file__, what, "--network", network, "--augmentation", augmentation]
    command += ["--seconds", str(seconds)]
    options = [["--core", str(core)] for core in cores] if what != "tutorial" else [[]]
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    started = [
        subprocess.Popen([*command, *each], stdout=subprocess.PIPE, text=True, env=environment) for each in options
    ]
    found = []
    for process in started:
        text = process.communicate()[0]
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} failed")
        found.append(json.loads(text))
    return {"rate": sum(each["rate"] for each in found), "flops": found[0].get("flops", 0.0)}


def measure(*, quick: bool) -> dict[str, Any]:
    """Return images per second of both loops for each case, and the peak of a convolution."""
    seconds, rounds = (0.5, 1) if quick else (SECONDS, ROUNDS)
    found: dict[str, Any] = {"peak": _run("peak", "simple", "none", seconds=seconds)["rate"], "cases": []}
    for network, augmentation in CASES[:1] if quick else CASES:
        mine, theirs = [], []
        for _ in range(rounds):  # A B A B
            mine.append(_run("ours", network, augmentation, seconds=seconds))
            theirs.append(_run("tutorial", network, augmentation, seconds=seconds)["rate"])
        found["cases"].append(
            {
                "network": network,
                "augmentation": augmentation,
                "ours": [each["rate"] for each in mine],
                "tutorial": theirs,
                "flops_per_image": mine[0]["flops"],
            }
        )
        print(f"training: {found['cases'][-1]}", file=sys.stderr, flush=True)
    return found


def table(found: Mapping[str, Any]) -> str:
    """Return the results as a table."""
    lines = [
        f"A convolution alone: {found['peak'] / 1e9:.0f} GFLOP/s on all cores.",
        "",
        "| network | augmentation | images/s, cifar-sweeps | images/s, tutorial | ratio | share of the peak |",
        "|---|---|---|---|---|---|",
    ]
    for each in found["cases"]:
        mine, theirs = (sum(each[name]) / len(each[name]) for name in ("ours", "tutorial"))
        runs = [", ".join(f"{rate:,.0f}" for rate in each[name]) for name in ("ours", "tutorial")]
        share = 100 * mine * each["flops_per_image"] / found["peak"]
        cells = [each["network"], each["augmentation"], *runs, f"{mine / theirs:.1f}", f"{share:.0f} %"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=WHAT)
    parser.add_argument("--network", required=True)
    parser.add_argument("--augmentation", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--core", type=int)
    options = parser.parse_args()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    print(json.dumps(WHAT[options.what](options.network, options.augmentation, options.seconds)))


if __name__ == "__main__":
    main()
