"""The environment variables that `sweeps` and `cifar_core` read or set, as docs/reference/environment.md lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Variable:
    """An environment variable."""

    meaning: str
    default: str = ""
    """In words; empty for none."""


VARIABLES: Mapping[str, Mapping[str, Variable]] = {
    "Data and storage": {
        "CIFAR10_DIR": Variable(meaning="Folder of CIFAR-10.", default="the user's cache folder"),
        "SWEEPS_DATA_DIR": Variable(meaning="Folder of prepared custom data sets.", default="the user's cache folder"),
        "SWEEPS_STORAGE": Variable(
            meaning="Storage of checkpoints and logs, as `--storage`.", default="the file's key, else the runs folder"
        ),
        "SWEEPS_STUDY_STORAGE": Variable(
            meaning="Database that stores the study, as `--study-storage`. It may contain the password.",
            default="the file's key, else a journal in the runs folder",
        ),
        "PGPASSWORD": Variable(meaning="Password for PostgreSQL.", default="`~/.pgpass`"),
        "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN": Variable(meaning="Credentials for a bucket."),
        "AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, MLFLOW_S3_ENDPOINT_URL": Variable(
            meaning="Address of an S3 server. The first that is set is used.", default="Amazon S3"
        ),
        "AWS_REGION, AWS_DEFAULT_REGION": Variable(meaning="Region of the bucket. The first that is set is used."),
        "AZURE_STORAGE_KEY": Variable(meaning="Key for Azure storage. It is removed from messages."),
    },
    "Record": {
        "MLFLOW_TRACKING_URI": Variable(
            meaning="Record: MLflow server (`http://HOST:5000`), database (`postgresql://...`) or file "
            "(`sqlite:///...`).",
            default="`mlflow.db` in the runs folder",
        ),
        "MLFLOW_EXPERIMENT_NAME": Variable(meaning="MLflow experiment of all runs.", default="`cifar10`"),
        "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": Variable(
            meaning="`true` records processor, memory, disk, network and GPU use of the driver's machine.",
            default="`false`",
        ),
        "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL": Variable(
            meaning="Seconds between two samples of system metrics.", default="10"
        ),
        "MLFLOW_HTTP_REQUEST_TIMEOUT": Variable(
            meaning="Seconds that a request to the MLflow server may take.", default="20"
        ),
    },
    "Ray": {
        "RAY_ADDRESS": Variable(
            meaning="Address of a running Ray cluster, as `--address`.", default="Ray is started on this machine"
        ),
        "RAY_TMPDIR": Variable(meaning="Folder of Ray's sockets and logs.", default="`/tmp`"),
        "RAY_AUTH_MODE": Variable(meaning="How Ray authenticates: `token` or `disabled`.", default="`token`"),
        "RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH": Variable(
            meaning="Ray's token, or the file that contains it.", default="`~/.ray/auth_token`, created if missing"
        ),
    },
    "Machine and terminal": {
        "CUDA_VISIBLE_DEVICES": Variable(meaning="GPUs that trials may use.", default="all"),
        "HTTP_PROXY, HTTPS_PROXY, NO_PROXY": Variable(
            meaning="Proxy for downloads, notifications and storages. Servers on this machine are reached without it."
        ),
        "NO_COLOR": Variable(meaning="Any value turns colours off."),
        "TERM": Variable(meaning="`dumb` prints one line per finished trial instead of redrawing."),
        "COLUMNS": Variable(meaning="Width of tables that go to a file or a pipe.", default="100"),
        "USER": Variable(meaning="Name that MLflow shows as the user of a run."),
    },
    "Set by `sweeps` unless you have set them": {
        "RAY_USAGE_STATS_ENABLED, MLFLOW_DISABLE_TELEMETRY, DO_NOT_TRACK": Variable(
            meaning="Turn the usage statistics of Ray and MLflow off."
        ),
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": Variable(
            meaning="Retries of an MLflow call. The writer of the record retries by itself.", default="1"
        ),
        "CUBLAS_WORKSPACE_CONFIG": Variable(meaning="Makes cuBLAS deterministic.", default="`:4096:8`"),
    },
    "Set for each trial": {
        "OMP_NUM_THREADS": Variable(meaning="`resources.cpus_per_trial`, for user code."),
    },
    "Set for each run of a `program`": {
        "SWEEPS_REPORT": Variable(meaning="Named pipe that takes one JSON object per line, with the metric."),
        "SWEEPS_TRIAL_DIR": Variable(meaning="Folder for files of the trial, kept while it is interrupted."),
        "SWEEPS_ARTIFACTS_DIR": Variable(meaning="Folder for files that are stored in the run in MLflow; create it."),
        "SWEEPS_EPOCH": Variable(meaning="Number of results that earlier starts of the program have reported."),
        "SWEEPS_SEED": Variable(meaning="Seed of the run. Replicates differ in it."),
        "SWEEPS_CONFIG": Variable(meaning="Arguments of the program as JSON."),
        "SWEEPS_METRIC": Variable(meaning="Name of the metric of the sweep."),
        "PYTHONPATH": Variable(meaning="With a stand-in for W&B's client in front, if the code contains `wandb`."),
        "PYTHONUNBUFFERED": Variable(meaning="`1`, so that output reaches the log at once."),
    },
}
"""Group to variables: a name, or several of one meaning behind commas."""
