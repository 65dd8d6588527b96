"""The images that a trained network misclassifies, the most confident first.

Test images are used only for a run whose test result is recorded, so that no test-set access is added.
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
    """One misclassified image."""

    number: int
    """Index among the test images; of a validation image, among the training images, or in its own part."""
    image_HWC: npt.NDArray[np.uint8]
    truth: int
    """True class, an index into the class names."""
    predicted: int
    """Predicted class, an index into the class names."""
    probabilities_K: npt.NDArray[np.float32]

    @property
    def probability(self) -> float:
        """Return the probability of the predicted class."""
        return float(self.probabilities_K[self.predicted])


@dataclass(frozen=True, kw_only=True, eq=False)
class Mistakes:
    """All misclassified images of a run."""

    run: str
    """Its display name."""
    of: Measured
    class_names: tuple[str, ...]
    images: int
    """Number of classified images."""
    found: tuple[Mistake, ...]
    """The most confident first."""
    disagreement: str | None
    """Difference from the record; None if there is none."""
    checked: str
    """The recorded values that the predictions were compared with."""

    @property
    def accuracy(self) -> float:
        return 1 - len(self.found) / self.images


def _tested_replicates(reader: RecordReader, weights: Weights) -> list[str]:
    """Return the tested runs of the same configuration under other seeds."""
    row = find_named(reader, weights.run_id).row
    named = find_named(reader, f"{row['sweep']}/{row['rung'] or row['trial']}")
    return [named.run_name(each) for each in named.rows if each["test_accuracy"] is not None]


def find_mistakes(reader: RecordReader, name: str, *, runs: Path, of: Measured = "test") -> Mistakes:
    """Return the misclassified images of a trained network. Writes nothing.

    Args:
        reader: of the record.
        name: of a run or a sweep, as in `find_weights`.
        runs: the runs folder.
        of: the images. Test images are loaded only for a run whose test result is recorded.

    Raises:
        SweepError: there is no such run, its weights are gone, or it has no images: it was not evaluated on the test
            images, or has no validation images.
    """
    weights = find_weights(reader, name, runs=runs)
    if of == "test" and weights.test_accuracy is None:
        tested = _tested_replicates(reader, weights)
        alternative = (
            f"name one of its replicates that were: {', '.join(tested)}"
            if tested
            else "run `sweeps finalize SWEEP`, which evaluates a search's confirmed best on them once"
        )
        raise SweepError(
            f"{weights.run} was not evaluated on the test images, so its predictions for them are not shown. Use "
            f"--validation for its mistakes on the validation images, or {alternative}."
        )
    from cifar_core import Classifier
    from cifar_core.evaluation import probabilities

    model = Classifier.load(weights.path)
    images, numbers_N = images_of(weights.run, model.config, of=of)
    probabilities_NK = probabilities(model.network, images, config=model.config)
    predicted_N = probabilities_NK.argmax(1)
    correct_N = predicted_N == images.labels_N
    checked, disagreement = _compared(reader, weights, correct_N, of=of)
    wrong_N = np.flatnonzero(~correct_N)
    sorted_N = wrong_N[np.argsort(-probabilities_NK[wrong_N].max(1), kind="stable")]
    return Mistakes(
        run=weights.run,
        of=of,
        class_names=model.class_names,
        images=len(images),
        found=tuple(
            Mistake(
                number=int(numbers_N[index]),
                image_HWC=images.images_NHWC[index],
                truth=int(images.labels_N[index]),
                predicted=int(predicted_N[index]),
                probabilities_K=probabilities_NK[index],
            )
            for index in sorted_N
        ),
        disagreement=disagreement,
        checked=checked,
    )


def images_of(run: str, config: TrainingConfig, *, of: Measured) -> tuple[LabelledImages, npt.NDArray[np.int64]]:
    """Return the images and the index of each in its data set."""
    from cifar_core.data.of_config import load_part
    from cifar_core.data.split import first_indices, split_indices

    data = config.data
    if of == "test":
        images = load_part(data, "test")
        return images, np.arange(len(images))
    training = load_part(data, "validation" if data.has_own_validation else "train")
    if data.has_own_validation:
        validation_V = first_indices(training, data.validation_size, seed=data.split_seed)
    else:
        _, validation_V = split_indices(training.labels_N, data, keys_N=training.order_N)
    if not len(validation_V):
        raise SweepError(f"{run} was trained on all images and has no validation images: there is nothing to show")
    return training.subset(validation_V), validation_V


def _compared(
    reader: RecordReader, weights: Weights, correct_N: npt.NDArray[np.bool_], *, of: Measured
) -> tuple[str, str | None]:
    """Return the recorded values that predictions are compared with, and the difference; None if there is none."""
    if of == "validation":
        return "the recorded validation accuracy", _other_accuracy(weights.val_accuracy, correct_N)
    recorded_N = reader.correctness(weights.run_id)
    if recorded_N is None or recorded_N.shape != correct_N.shape:
        return "the recorded test accuracy", _other_accuracy(weights.test_accuracy, correct_N)
    differing = np.flatnonzero(recorded_N.astype(bool) != correct_N)
    first = ", ".join(map(str, differing[:5])) + (", …" if len(differing) > 5 else "")
    return "the recorded result of every image", (
        f"{plural(len(differing), 'image')} classified differently from the record ({first}): another device or "
        "version rounds differently, or these are other weights"
        if len(differing)
        else None
    )


def _other_accuracy(recorded: float | None, correct_N: npt.NDArray[np.bool_]) -> str | None:
    if recorded is not None and round(recorded * len(correct_N)) == int(correct_N.sum()):
        return None
    return f"the accuracy is {accuracy(float(correct_N.mean()))}, the recorded one {accuracy(recorded) or 'missing'}"
