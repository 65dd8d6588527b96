"""A trained network as a logged model in MLflow, which can be loaded and served without this project."""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeps.core.errors import SweepError
from sweeps.record.client import connect, log_batch, search_runs, store_errors
from sweeps.record.client_store import recorded_run
from sweeps.record.mapping import DESCRIBED, DESCRIPTION, LOGGED_MODEL, params_of
from sweeps.record.ownership import Ownership
from sweeps.record.parent_run import WINNER, description_tags
from sweeps.record.store import experiment_name, quoted, store_uri

if TYPE_CHECKING:
    import numpy as np
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.models import Model

    from cifar_core import Classifier

_REQUIREMENTS = ("torch", "numpy", "mlflow")
"""Packages that loading it needs: the network is stored as a graph, which needs neither this project nor a pickle."""


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """The description of a model in MLflow."""

    name: str
    """Display name of the run: `quick-003-s1`."""
    run_id: str
    epochs: int
    """Epochs that the run was trained for."""
    description: str
    tags: Mapping[str, str]


def log_model(runs: Path, classifier: Classifier, about: ModelInfo, *, example_NHWC: np.ndarray) -> str:
    """Store a network as a logged model of its run, unless it has one, and return its URI: `models:/m-…`.

    It maps N×H×H×3 uint8 images, which it normalises, to N×K probabilities. Its class names are in its metadata and
    in its tags.

    Args:
        runs: the runs folder.
        classifier: the network with its normalisation, on the CPU.
        about: its run, description and tags.
        example_NHWC: example input.

    Raises:
        RecordError: the store cannot be reached or written.
        SweepError: the network cannot be stored as a graph.
    """
    uri = store_uri(runs)
    with store_errors(uri):
        client = connect(uri)
        experiment_id = client.get_run(about.run_id).info.experiment_id
        existing = _models_of(client, experiment_id, about.run_id)
        if ready := [model for model in existing if str(model.status) == "READY"]:
            _link(client, about, ready[0])
            return str(ready[0].model_uri)
        for incomplete in existing:  # of a process that was killed
            client.delete_logged_model(incomplete.model_id)
        with tempfile.TemporaryDirectory() as folder:
            model = client.create_logged_model(
                experiment_id,
                name=re.sub(r"[/:.%\"']", "-", about.name),  # the characters that MLflow refuses
                source_run_id=about.run_id,
                tags={**about.tags, "class_names": ", ".join(classifier.class_names)},
                params=params_of(classifier.config.dotted()),
                model_type="image classifier",
            )
            try:
                _save(classifier, Path(folder) / "model", _described(model, about, classifier), example_NHWC)
                client.log_model_artifacts(model.model_id, str(Path(folder) / "model"))
            except BaseException:
                client.finalize_logged_model(model.model_id, "FAILED")
                raise
        client.finalize_logged_model(model.model_id, "READY")
        _link(client, about, model)
        return str(model.model_uri)


def _models_of(client: MlflowClient, experiment_id: str, run_id: str) -> list[LoggedModel]:
    return list(client.search_logged_models([experiment_id], filter_string=f"source_run_id = {quoted(run_id)}"))


def _described(model: LoggedModel, about: ModelInfo, classifier: Classifier) -> Model:
    from mlflow.models import Model

    metadata: dict[str, Any] = {
        "class_names": list(classifier.class_names),
        "preprocessing": f"the model applies {classifier.config.data.normalization} normalisation to uint8 pixels",
        "run": about.name,
        "description": about.description,
    }
    return Model(artifact_path=model.artifact_location, run_id=about.run_id, model_id=model.model_id, metadata=metadata)


def _save(classifier: Classifier, path: Path, model: Model, example_NHWC: np.ndarray) -> None:
    import mlflow.pytorch
    import numpy as np
    from mlflow.exceptions import MlflowException
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    from cifar_core.predict import Probabilities

    classes = len(classifier.class_names)
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, *example_NHWC.shape[1:]))]),
        outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, classes))]),
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, about its own storage format
            mlflow.pytorch.save_model(
                Probabilities(classifier),
                str(path),
                mlflow_model=model,
                signature=signature,
                input_example=example_NHWC,
                pip_requirements=[f"{package}=={_published(package)}" for package in _REQUIREMENTS],
                serialization_format="pt2",
            )
    except (MlflowException, OSError):
        raise
    except Exception as error:  # a custom network may raise anything while torch traces it
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise SweepError(f"the network cannot be stored as a graph: {reason}") from error


def _published(package: str) -> str:
    """Return a package's version without its local part: `2.14.1+cpu` is on no public index."""
    return version(package).partition("+")[0]


def _link(client: MlflowClient, about: ModelInfo, model: LoggedModel) -> None:
    """Link the model to its run, for the run's page and for later calls."""
    from mlflow.entities import LoggedModelOutput

    outputs = client.get_run(about.run_id).outputs
    if outputs is None or model.model_id not in {output.model_id for output in outputs.model_outputs}:
        # MLflow rejects a second call.
        client.log_outputs(about.run_id, [LoggedModelOutput(model.model_id, about.epochs)])
    client.set_tag(about.run_id, LOGGED_MODEL, str(model.model_uri))


def describe_winner(runs: Path, sweep: str, sentence: str) -> None:
    """Put a sentence about the winner at the beginning of the description of the sweep's run in MLflow.

    Raises:
        RecordError: the store cannot be reached or written.
    """
    uri = store_uri(runs)
    with store_errors(uri):
        client = connect(uri)
        experiment = client.get_experiment_by_name(experiment_name())
        if experiment is None:
            return
        where = f"tags.kind = 'sweep' and tags.sweep = {quoted(sweep)}"
        ownership = Ownership(runs)
        for run in search_runs(client, experiment.experiment_id, where):
            if not ownership.includes(recorded_run(run)):
                continue
            before = run.data.tags.get(DESCRIBED) or run.data.tags.get(DESCRIPTION, "")
            first, _, rest = before.partition("\n\n")
            kept = rest if first.startswith(WINNER) else before
            log_batch(client, run.info.run_id, tags=description_tags(run.data.tags, f"{WINNER}{sentence}\n\n{kept}"))
