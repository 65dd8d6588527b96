"""What `--submit` sends to a cluster instead of running it here."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sweeps.errors import SweepError

if TYPE_CHECKING:
    from sweeps.execution import BackendName


def submit(
    verb: str,
    *,
    sweep: str,
    text: str,
    models: Sequence[str],
    options: Sequence[str],
    address: str | None,
    backend: BackendName,
    notifies: bool,
) -> None:
    """Submit a sweep or a ladder as a job, show what it says, and exit as it does.

    Args:
        verb: `run` or `ladder`.
        sweep: its name.
        text: the file, with every override and with what it extends.
        models: every network that it may train.
        options: of the command line, as the job is to have them.
        address: of the job server.
        backend: as for the verb; a job is Ray's.
        notifies: whether somebody is to be told how it goes.

    Raises:
        SweepError: nothing was submitted; the message says what to do.
    """
    from cifar_core.errors import ModelError
    from cifar_core.models.registry import is_import_path
    from sweeps.execution import JobRequest, submit_job

    if backend != "ray":
        raise SweepError(f"--submit runs on a Ray cluster: leave out --backend {backend}")
    runs = _runs_on_the_cluster()
    if notifies:
        click.echo(
            "warning: what notify names does not travel with a job, for addresses may be secret: nobody is told",
            err=True,
        )
    own = [model for model in models if is_import_path(model)]
    try:
        for model in own:
            _source_of(model)
    except ModelError as error:
        raise SweepError(f"model.name: {error}") from None
    request = JobRequest(verb=verb, sweep=sweep, text=text, runs=runs, options=tuple(options), networks=tuple(own))
    code = submit_job(request, address=address, say=lambda text: click.echo(text, nl=False))
    if code:
        sys.exit(code)


def place_options(storage: str | None, study_storage: str | None) -> list[str]:
    """Return where a job keeps what it goes on from, as was asked for here, by option or environment: never a password.

    Raises:
        SweepError: one is no storage, holds a secret, or is a path that means something here only.
    """
    from sweeps.storage import Place, asked_place, is_bucket

    for said in filter(None, (storage, os.environ.get("SWEEPS_STORAGE"))):
        if not is_bucket(said) and not Path(said).is_absolute():
            raise SweepError(f"the storage {said} is a folder here, and the job runs on the cluster: give a URL")
    place = asked_place(flag=Place(storage=storage, study_storage=study_storage))
    pairs = {"--storage": place.storage, "--study-storage": place.study_storage}
    return [word for flag, value in pairs.items() if value is not None for word in (flag, value)]


def _runs_on_the_cluster() -> str | None:
    """Return the runs folder that was asked for, None where none was.

    Raises:
        SweepError: it is a path that means something here only.
    """
    context = click.get_current_context()
    if context.get_parameter_source("runs") is click.core.ParameterSource.DEFAULT:
        return None
    runs: Path = context.params["runs"]
    if not runs.is_absolute():
        raise SweepError(
            f"--runs {runs} is a folder here, and the job runs on the cluster: give an absolute path there, or leave "
            "it out for the folder runs in the home folder of whoever runs the cluster"
        )
    return str(runs)


def _source_of(model: str) -> None:
    """Find a network's file, which also shows that it can be imported."""
    from cifar_core.config import TrainingConfig
    from cifar_core.models import source_hash

    config = TrainingConfig.model_validate({"model": {"name": model}})
    source_hash(config.model)
