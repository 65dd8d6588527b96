"""The images that a trained network takes for something else, the surest first.

Of the test images only those of a run whose result on them is recorded: it is shown again, and no look is added.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from sweeps.core.errors import SweepError
from sweeps.core.formatting import accuracy, plural
from sweeps.use.weights import Weights, find_weights
from sweeps.views.names import find_named

if TYPE_CHECKING:
    from cifar_core import LabelledImages, TrainingConfig
    from sweeps.record.reader import RecordReader

Measured = Literal["test", "validation"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Mistake:
    """One image that was taken for something else."""

    number: int
    """Of a test image its index among them; of a validation image that among the 50,000 training images."""
    image_HWC: npt.NDArray[np.uint8]
    truth: int
    """A class, 0 to 9, as the next."""
    predicted: int
    probabilities_K: npt.NDArray[np.float32]

    @property
    def probability(self) -> float:
        """Of the class that it was taken for."""
        return float(self.probabilities_K[self.predicted])


@dataclass(frozen=True, kw_only=True, eq=False)
class Mistakes:
    """All that a run gets wrong."""

    run: str
    """What people call it."""
    of: Measured
    images: int
    """How many were shown to it."""
    found: tuple[Mistake, ...]
    """The surest first."""
    disagreement: str | None
    """In which way this is not what the record says; None where it is the same, image by image."""
    checked: str
    """What it was compared with."""

    @property
    def accuracy(self) -> float:
        return 1 - len(self.found) / self.images


def _tested_instead(reader: RecordReader, weights: Weights) -> list[str]:
    """Return the runs of the same configuration under other seeds that were tested."""
    row = find_named(reader, weights.run_id).row
    named = find_named(reader, f"{row['sweep']}/{row['rung'] or row['trial']}")
    return [named.run_name(each) for each in named.rows if each["test_accuracy"] is not None]


def find_mistakes(reader: RecordReader, name: str, *, runs: Path, of: Measured = "test") -> Mistakes:
    """Return what a trained network gets wrong. Reads; writes nothing.

    Args:
        reader: of the record.
        name: of a run or a sweep, as in `find_weights`.
        runs: the runs folder.
        of: the images. Test images are opened only for a run whose result on them is recorded.

    Raises:
        SweepError: there is no such run, its weights are gone, it was not tested, or it set no images aside.
    """
    weights = find_weights(reader, name, runs=runs)
    if of == "test" and weights.test_accuracy is None:
        tested = _tested_instead(reader, weights)
        way = (
            f"its confirming runs were: name {' or '.join(tested)}"
            if tested
            else "`sweeps finalize SWEEP` opens the test set, once, for a search's confirmed best"
        )
        raise SweepError(
            f"{weights.run} was not tested, so the test images stay sealed for it: --validation shows its mistakes on "
            f"the validation images; {way}"
        )
    from cifar_core import Classifier
    from cifar_core.evaluation import probabilities

    model = Classifier.load(weights.path)
    images, numbers_N = _images(weights.run, model.config, of=of)
    probabilities_NK = probabilities(model.network, images, config=model.config)
    predicted_N = probabilities_NK.argmax(1)
    correct_N = predicted_N == images.labels_N
    checked, disagreement = _compared(reader, weights, correct_N, of=of)
    wrong_N = np.flatnonzero(~correct_N)
    surest_N = wrong_N[np.argsort(-probabilities_NK[wrong_N].max(1), kind="stable")]
    return Mistakes(
        run=weights.run,
        of=of,
        images=len(images),
        found=tuple(
            Mistake(
                number=int(numbers_N[index]),
                image_HWC=images.images_NHWC[index],
                truth=int(images.labels_N[index]),
                predicted=int(predicted_N[index]),
                probabilities_K=probabilities_NK[index],
            )
            for index in surest_N
        ),
        disagreement=disagreement,
        checked=checked,
    )


def _images(run: str, config: TrainingConfig, *, of: Measured) -> tuple[LabelledImages, npt.NDArray[np.int64]]:
    """Return the images, and the number of each in its file."""
    from cifar_core.data.load import load_test_images, load_training_images
    from cifar_core.data.split import split_indices

    if of == "test":
        images = load_test_images(progress=False)
        return images, np.arange(len(images))
    training, _ = load_training_images(progress=False)
    _, validation_V = split_indices(training.labels_N, config.data)
    if not len(validation_V):
        raise SweepError(f"{run} trained on all images and set none aside: there is no validation image to show")
    return training.subset(validation_V), validation_V


def _compared(
    reader: RecordReader, weights: Weights, correct_N: npt.NDArray[np.bool_], *, of: Measured
) -> tuple[str, str | None]:
    """Return what the answers were compared with, and how they differ from it; None where they do not."""
    if of == "validation":
        return "the recorded validation accuracy", _other_accuracy(weights.val_accuracy, correct_N)
    answers_N = reader.correctness(weights.run_id)
    if answers_N is None or answers_N.shape != correct_N.shape:
        return "the recorded test accuracy", _other_accuracy(weights.test_accuracy, correct_N)
    differing = np.flatnonzero(answers_N.astype(bool) != correct_N)
    first = ", ".join(map(str, differing[:5])) + (", …" if len(differing) > 5 else "")
    return "what is recorded of every image", (
        f"{plural(len(differing), 'image')} answered otherwise than recorded ({first}): another device or version "
        "computes other last bits, or these are other weights"
        if len(differing)
        else None
    )


def _other_accuracy(recorded: float | None, correct_N: npt.NDArray[np.bool_]) -> str | None:
    if recorded is not None and round(recorded * len(correct_N)) == int(correct_N.sum()):
        return None
    return f"{accuracy(float(correct_N.mean()))} are right here, the record says {accuracy(recorded) or 'nothing'}"
