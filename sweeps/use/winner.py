"""What becomes of the winner of a search once it is confirmed: a model in MLflow that anybody can load and serve."""

from __future__ import annotations

import logging
from pathlib import Path

from sweeps.analysis.ranking import rank_configurations
from sweeps.record.reader import MlflowReader
from sweeps.tasks.registry import task_of
from sweeps.use.logged_model import ModelAbout, log_model, say_winner
from sweeps.use.weights import Weights, find_weights

_log = logging.getLogger(__name__)


def log_winner(sweep: str, *, runs: Path) -> str | None:
    """Store the network of a search's best confirmed configuration as a logged model, once; return its address.

    None where nothing is confirmed. What keeps it from being stored is told and ends nothing: its weights stay.

    Args:
        sweep: name of a search.
        runs: the runs folder.
    """
    reader = MlflowReader(runs)
    try:
        if not any(rank_configurations(reader.runs(sweep=sweep)).values("confirmed")):
            return None
        weights = find_weights(reader, sweep, runs=runs)
        if not task_of(reader.configuration(weights.run_id)).class_names:
            return None  # only a network that classifies images is known to MLflow
        before = reader.logged_model(weights.run_id)
        return _store(sweep, weights, reader, runs=runs) if before is None else before
    except Exception as error:  # of an artifact store, whichever it is, that this machine cannot use
        _log.warning("the winner of %s is not stored as a model in MLflow: %s", sweep, error)
        return None


def _store(sweep: str, weights: Weights, reader: MlflowReader, *, runs: Path) -> str:
    import numpy as np

    from cifar_core import Classifier
    from cifar_core.data.load import load_training_images

    curve = reader.curve(weights.run_id)
    seen = curve[-1].value("val_accuracy")
    described = f"the best confirmed configuration of the sweep {sweep}" + (
        "" if seen is None else f"; this run: {100 * seen:.2f} % on the validation images"
    )
    classifier = Classifier.load(weights.path, device="cpu")
    images = load_training_images(progress=False)[0].images_NHWC[:2]
    about = ModelAbout(
        name=weights.run, run_id=weights.run_id, epochs=len(curve), description=described, tags={"sweep": sweep}
    )
    uri = log_model(runs, classifier, about, example_NHWC=np.array(images))
    say_winner(runs, sweep, f"`{weights.run}`, confirmed under new seeds; as a model `{uri}`")
    return uri
