"""The confirmed winner of a search as a logged model in MLflow."""

from __future__ import annotations

import logging
from pathlib import Path

from sweeps.analysis.ranking import rank_configurations
from sweeps.core.formatting import accuracy
from sweeps.record.reader import MlflowReader
from sweeps.tasks.registry import task_of
from sweeps.use.logged_model import ModelInfo, describe_winner, log_model
from sweeps.use.weights import Weights, find_checkpoint

_log = logging.getLogger(__name__)


def log_winner(sweep: str, *, runs: Path) -> str | None:
    """Store the network of a search's best confirmed configuration as a logged model, once; return its URI.

    Return None where nothing is confirmed. An error is logged and not raised; the weights are kept.

    Args:
        sweep: name of a search.
        runs: the runs folder.
    """
    reader = MlflowReader(runs)
    try:
        if not any(rank_configurations(reader.runs(sweep=sweep)).values("confirmed")):
            return None
        weights = find_checkpoint(reader, sweep, runs=runs)
        if not task_of(weights.config).class_names(weights.config):
            return None  # only image classifiers are logged
        before = reader.logged_model(weights.run_id)
        return _store(sweep, weights, reader, runs=runs) if before is None else before
    except Exception as error:  # of any artifact store that this machine cannot use
        _log.warning("could not store the winner of %s as a model in MLflow: %s", sweep, error)
        return None


def _store(sweep: str, weights: Weights, reader: MlflowReader, *, runs: Path) -> str:
    import numpy as np

    from cifar_core import Classifier
    from cifar_core.data.of_config import load_part

    curve = reader.curve(weights.run_id)
    val_accuracy = curve[-1].value("val_accuracy")
    description = f"Best confirmed configuration of the sweep {sweep}." + (
        "" if val_accuracy is None else f" Validation accuracy of this run: {accuracy(val_accuracy)}."
    )
    classifier = Classifier.load(weights.path, device="cpu")
    images = load_part(classifier.config.data, "train").images_NHWC[:2]
    about = ModelInfo(
        name=weights.run, run_id=weights.run_id, epochs=len(curve), description=description, tags={"sweep": sweep}
    )
    uri = log_model(runs, classifier, about, example_NHWC=np.array(images))
    describe_winner(runs, sweep, f"`{weights.run}`, confirmed under new seeds. Logged model: `{uri}`")
    return uri
