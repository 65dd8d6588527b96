"""A trained network as MLflow keeps models: loadable and servable by people who do not have this project."""

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
from sweeps.record.mapping import LOGGED_MODEL, params_of
from sweeps.record.ownership import Ownership
from sweeps.record.parent_run import DESCRIPTION, SAID, WINNER, description_tags
from sweeps.record.store import experiment_name, quoted, store_uri

if TYPE_CHECKING:
    import numpy as np
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.models import Model

    from cifar_core import Classifier

_REQUIREMENTS = ("torch", "numpy", "mlflow")
"""What loading it takes: the network is stored as a graph, so that neither this project nor a pickle is needed."""


@dataclass(frozen=True, kw_only=True)
class ModelAbout:
    """What is said of a model besides its weights."""

    name: str
    """What people call the run: `quick-003-s1`."""
    run_id: str
    epochs: int
    """Of the run, after the last of which these are the weights."""
    description: str
    tags: Mapping[str, str]


def log_model(runs: Path, classifier: Classifier, about: ModelAbout, *, example_NHWC: np.ndarray) -> str:
    """Store a network as a logged model of its run, once, and return its address: `models:/m-…`.

    It takes N×32×32×3 images of uint8 and gives N×10 probabilities; it normalises the images itself. Its class names
    are in its metadata and in its tags.

    Args:
        runs: the runs folder.
        classifier: the network with its normalisation, on the CPU.
        about: whose it is.
        example_NHWC: images to show what it takes.

    Raises:
        RecordError: the store cannot be reached or written.
        SweepError: the network cannot be stored as a graph; says why.
    """
    uri = store_uri(runs)
    with store_errors(uri):
        client = connect(uri)
        experiment_id = client.get_run(about.run_id).info.experiment_id
        before = _models_of(client, experiment_id, about.run_id)
        if ready := [model for model in before if str(model.status) == "READY"]:
            _link(client, about, ready[0])
            return str(ready[0].model_uri)
        for half_done in before:  # whoever began it was killed
            client.delete_logged_model(half_done.model_id)
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


def _described(model: LoggedModel, about: ModelAbout, classifier: Classifier) -> Model:
    from mlflow.models import Model

    metadata: dict[str, Any] = {
        "class_names": list(classifier.class_names),
        "preprocessing": f"inside the model: {classifier.config.data.normalization} normalisation of uint8 pixels",
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
            warnings.simplefilter("ignore")  # torch tells itself how it stores weights
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
    except Exception as error:  # a network of one's own may do anything while torch follows it
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise SweepError(f"the network cannot be stored as a graph: {reason}") from error


def _published(package: str) -> str:
    """Return a package's version without what a builder has added: `2.14.1+cpu` is on no public index."""
    return version(package).partition("+")[0]


def _link(client: MlflowClient, about: ModelAbout, model: LoggedModel) -> None:
    """Let the run's page show its model, and whoever asks next find it."""
    from mlflow.entities import LoggedModelOutput

    outputs = client.get_run(about.run_id).outputs
    if outputs is None or model.model_id not in {output.model_id for output in outputs.model_outputs}:
        # MLflow refuses to be told twice.
        client.log_outputs(about.run_id, [LoggedModelOutput(model.model_id, about.epochs)])
    client.set_tag(about.run_id, LOGGED_MODEL, str(model.model_uri))


def say_winner(runs: Path, sweep: str, sentence: str) -> None:
    """Let the sweep's own page begin with who has won.

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
            if not ownership.takes(recorded_run(run)):
                continue
            before = run.data.tags.get(SAID) or run.data.tags.get(DESCRIPTION, "")
            first, _, rest = before.partition("\n\n")
            kept = rest if first.startswith(WINNER) else before
            log_batch(client, run.info.run_id, tags=description_tags(run.data.tags, f"{WINNER}{sentence}\n\n{kept}"))
