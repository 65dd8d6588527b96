"""A program of its own: a Ray cluster of unlike nodes on this machine, and sweeps on it whose trials say where.

`python placed_trials.py SCENARIO FOLDER` prints, as JSON, what each trial of each sweep wrote. The processor stands in
for the GPUs, which are logical ones: Ray counts and assigns them, and nothing computes on them. All else is real.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Before Ray is imported; the cluster is local and runs for a minute.
os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1", "RAY_USAGE_STATS_ENABLED": "0"}

WAIT_SECONDS = 250
ATTEMPTS = 3
NET = """
import json, os, time
from pathlib import Path

import ray
from torch import nn

FOLDER = Path({folder!r})

class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.layer = nn.Linear(3 * 32 * 32, num_classes)
        self.waited = False

    def forward(self, images):
        if not self.waited:
            self.waited = True
            self.say_where_and_wait()
        return self.layer(images.flatten(1))

    def say_where_and_wait(self):
        context = ray.get_runtime_context()
        said = {{
            "pid": os.getpid(),
            "node": context.get_node_id(),
            "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
            "assigned": context.get_accelerator_ids()["GPU"],
        }}
        FOLDER.mkdir(exist_ok=True)
        (FOLDER / f"{{os.getpid()}}.new").write_text(json.dumps(said))
        (FOLDER / f"{{os.getpid()}}.new").rename(FOLDER / f"{{os.getpid()}}.json")
        began = time.monotonic()
        while len(list(FOLDER.glob("*.json"))) < {together} and time.monotonic() - began < {seconds}:
            time.sleep(0.05)
"""
"""A network of the user's own: says where it trains, and goes on when as many trials are where they are as there shall
be at once."""


def main(scenario: str, folder: Path) -> None:
    from ray.cluster_utils import Cluster

    cluster = _patiently(lambda: Cluster(initialize_head=True, head_node_args=_node(num_cpus=0)))
    try:
        print(json.dumps(SCENARIOS[scenario](cluster, folder)))
    finally:
        cluster.shutdown()


def joining(cluster: Any, folder: Path) -> dict[str, Any]:
    """Start on two nodes with one core; one with four joins when both are busy and more slots are requested."""
    small = [_added(cluster, num_cpus=1) for _ in range(2)]
    cluster.wait_for_nodes(WAIT_SECONDS)
    asked: list[dict[str, float]] = []
    handed_out: list[int] = []
    with contextlib.ExitStack() as held:

        def join() -> None:
            while len(list((folder / "joining").glob("*.json"))) < 2 or not _waiting():
                time.sleep(0.1)
            asked.extend(_waiting())
            handed_out.append(len(list(folder.glob("joining.*.begun"))))
            held.enter_context(_other_process_with_a_node(cluster.address, folder / "joined.log", num_cpus=4))

        thread = threading.Thread(target=join, daemon=True)
        thread.start()
        said = sweep(cluster, folder, name="joining", together=6, resources={"gpus_per_trial": 0})
        thread.join()
    return said | {"small": small, "asked": asked, "begun": handed_out[0]}


@contextlib.contextmanager
def _other_process_with_a_node(address: str, log: Path, **offers: int) -> Iterator[None]:
    """Add a node in a new process, since the main thread of this one is busy."""
    options = {name: port for name, port in _node().items() if name.endswith("port")} | offers
    # Like `ray start`.
    options["dashboard_agent_grpc_port"] = options.pop("metrics_agent_port")
    command = [str(Path(sys.executable).with_name("ray")), "start", f"--address={address}", "--block"]
    command += [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    with log.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=file) as process:
        try:
            yield
        finally:
            process.terminate()


def _waiting() -> list[dict[str, float]]:
    """Return the unmet resource demand that an autoscaler receives."""
    from ray.util.placement_group import placement_group_table

    groups = placement_group_table().values()
    return [bundle for group in groups if group["state"] == "PENDING" for bundle in group["bundles"].values()]


def placing(cluster: Any, folder: Path) -> dict[str, Any]:
    """On two nodes with one core and one with four: spread, pack, and halves of two GPUs."""
    small = [_added(cluster, num_cpus=1) for _ in range(2)]
    large = [_added(cluster, num_cpus=4, num_gpus=2, resources={"fast": 4})]
    cluster.wait_for_nodes(WAIT_SECONDS)
    found: dict[str, Any] = {"small": small, "large": large}
    for placement in ("spread", "pack"):
        resources = {"gpus_per_trial": 0, "placement": placement}
        found[placement] = sweep(cluster, folder, name=placement, together=3, limit=3, resources=resources)
    resources = {"gpus_per_trial": 0.5, "custom": {"fast": 1}}
    return found | {"halves": sweep(cluster, folder, name="halves", together=4, resources=resources)}


SCENARIOS: dict[str, Callable[[Any, Path], dict[str, Any]]] = {
    "joining": joining,
    "placing": placing,
}


def sweep(
    cluster: Any, folder: Path, *, name: str, together: int, resources: dict[str, Any], limit: int | str = "auto"
) -> dict[str, Any]:
    """Train as many trials as shall be at once, and return the slots before and after, and what the trials said."""
    from sweep_fakes import book, tiny

    from cifar_core.config import TrainingConfig
    from sweeps.backends.ray.backend import Cluster, ray_backend
    from sweeps.core.job import Job
    from sweeps.files.settings import Limits, Resources
    from sweeps.tasks.image_classification import ImageClassification

    said = folder / name
    (folder / f"net_{name}.py").write_text(NET.format(folder=str(said), together=together, seconds=WAIT_SECONDS))
    base = tiny()["base"] | {"epochs": 1, "model": {"name": f"net_{name}:Net"}}
    rates = [0.001 * (number + 1) for number in range(together)]
    held = book(
        folder / "runs",
        name=name,
        base=base,
        method="grid",
        run_cap=None,
        parameters={"optimizer.lr": {"values": rates}},
    )
    ledger = held.open()
    task = ImageClassification()

    def job_of(record: Any) -> Job:
        (folder / f"{name}.{record.number}.begun").touch()
        return Job(
            number=record.number,
            task=task.name,
            config=record.config.model_dump_json(),
            checkpoint=str(folder / "checkpoints" / record.key),
            log=str(folder / "logs" / f"{name}-{record.number}.log"),
            cpus=1,
            # The logical GPU of a trial does not exist.
            device="cpu",
        )

    config = TrainingConfig.model_validate(base)
    with ray_backend(
        task,
        Resources.model_validate(resources),
        Limits.model_validate({"max_concurrent_trials": limit}),
        cluster=Cluster(address=cluster.address),
        runs=folder / "runs",
        log=_log(folder, name),
        on_loss=lambda: os._exit(3),
    ) as backend:
        before = backend.slots().count
        backend.train(
            ledger,
            parts=task.load_parts([config]),
            job_of=job_of,
            stopping=lambda: False,
        )
        after = backend.slots().count
    return {
        "before": before,
        "after": after,
        "trials": [json.loads(path.read_text()) for path in sorted(said.glob("*.json"))],
        "outcomes": [record.outcome.value for record in ledger.records],
        "errors": [record.error for record in ledger.records if record.error],
    }


def _log(folder: Path, name: str) -> Path:
    path = folder / f"{name}.ray.log"
    path.touch()
    return path


def _added(cluster: Any, **offers: Any) -> str:
    node: str = _patiently(lambda: cluster.add_node(wait=False, **_node(**offers)).node_id)
    return node


def _patiently(start: Callable[[], Any]) -> Any:
    """Start a node, with retries: its helpers have only 15 seconds to start, also under load."""
    for _ in range(ATTEMPTS - 1):
        with contextlib.suppress(Exception):  # Ray's own is no more than that
            return start()
    return start()


def _node(**offers: Any) -> dict[str, Any]:
    """Return a node's options. With fixed ports it does not wait for its agents, which start slowly under load."""
    ports = ("metrics_agent_port", "metrics_export_port", "runtime_env_agent_port", "dashboard_agent_listen_port")
    return {"include_dashboard": False, **{port: _free_port() for port in ports}, **offers}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
