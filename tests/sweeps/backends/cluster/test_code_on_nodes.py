"""A cluster whose nodes have neither this project nor custom code: the driver uploads both."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from cluster_nodes import Cluster
from sweep_fakes import sweeps_process, tiny, write_yaml, written

from sweeps.backends.ray.environment import ensure_private_token

pytestmark = pytest.mark.slow

NETS = """
import sys
from pathlib import Path
import cifar_core, sweeps
from torch import nn
import blocks_that_travel

class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        import late_that_travels
        self.layer = blocks_that_travel.layer(num_classes)
        found = [sys.modules[__name__], blocks_that_travel, late_that_travels, cifar_core, sweeps]
        if "default_worker" in sys.argv[0]:  # not in the driver, which has the code
            Path({marker!r}).write_text("\\n".join(module.__file__ for module in found))

    def forward(self, images):
        return self.layer(images.flatten(1))
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    ensure_private_token()
    with tempfile.TemporaryDirectory(dir=os.environ["RAY_TMPDIR"], prefix="rc") as sockets:
        found = Cluster(tmp_path_factory.mktemp("cluster"))
        try:
            found.start(sockets, "--include-dashboard=false")
            yield found
        finally:
            found.stop()


def rungs(**more: Any) -> dict[str, Any]:
    """Return a ladder with one short rung that is evaluated on the test images."""
    base = {"epochs": 1, "model": {"name": "nets_that_travel:Net"}, "data": {"train_size": 200}}
    return {"name": "steps", "base": base, "rungs": [{"name": "a"}]} | more


def test_code_and_images_are_sent_to_a_node_without_them(cluster: Cluster, tmp_path: Path, recorded_runs: Path) -> None:
    project, marker = tmp_path / "project", tmp_path / "found"
    project.mkdir()
    (project / "nets_that_travel.py").write_text(NETS.format(marker=str(marker)), encoding="utf-8")
    layer = "from torch import nn\ndef layer(classes):\n    return nn.Linear(3072, classes)\n"
    (project / "blocks_that_travel.py").write_text(layer, encoding="utf-8")
    (project / "late_that_travels.py").write_text("", encoding="utf-8")
    alone = [sys.executable, "-c", "import sweeps"]
    there = subprocess.run(alone, cwd=cluster.elsewhere, env=os.environ | cluster.environment, capture_output=True)
    assert b"No module named 'sweeps'" in there.stderr, "the nodes must not have it by themselves"

    path = write_yaml(tmp_path, rungs())
    with sweeps_process("ladder", path, "--runs", recorded_runs, "--address", cluster.address, cwd=project) as driver:
        output, _ = driver.communicate(timeout=200)

    assert driver.returncode == 0, output
    [run] = written(recorded_runs, sweep="steps")
    assert run.tags["outcome"] == "complete"
    assert len(run.steps["test_accuracy"]) == 1
    paths = marker.read_text(encoding="utf-8").splitlines()
    names = ["nets_that_travel", "blocks_that_travel", "late_that_travels", "cifar_core", "sweeps"]
    assert [name in path for name, path in zip(names, paths, strict=True)] == [True] * 5
    assert all("py_modules_files" in path for path in paths), paths


def pretending(cluster: Cluster, folder: Path) -> dict[str, str]:
    """Return the environment of a node whose torch reports version 9.9.9."""
    about = folder / "pretended" / "torch-9.9.9.dist-info"
    about.mkdir(parents=True)
    metadata = "Metadata-Version: 2.1\nName: torch\nVersion: 9.9.9\n"
    (about / "METADATA").write_text(metadata, encoding="utf-8")
    return cluster.environment | {"PYTHONPATH": f"{about.parent}:{cluster.environment['PYTHONPATH']}"}


def test_a_node_with_another_torch_is_named_with_both_versions(
    cluster: Cluster, tmp_path: Path, recorded_runs: Path
) -> None:
    node = cluster.add(
        "other", f"--address={cluster.address}", "--node-ip-address=127.0.0.3", **pretending(cluster, tmp_path)
    )
    try:
        path = write_yaml(tmp_path, tiny())
        with sweeps_process("run", path, "--runs", recorded_runs, "--address", cluster.address, cwd=tmp_path) as driver:
            output, _ = driver.communicate(timeout=120)
    finally:
        node.stop()

    assert driver.returncode == 2, output
    [error] = [line for line in output.splitlines() if line.startswith("error:")]
    assert "127.0.0.3 (" in error
    assert f"has torch 9.9.9 (driver: {version('torch').partition('+')[0]})" in error
    assert error.count(" has ") == 1, "the other nodes are in order"
    assert "Traceback" not in output
    assert written(recorded_runs) == []


def test_a_node_cut_off_from_the_object_store_is_named_first(
    cluster: Cluster, tmp_path: Path, recorded_runs: Path
) -> None:
    # A time limit of 0 s simulates a firewall between two nodes.
    hurried = (
        "from sweeps.backends.ray import backend as ray_backend;"
        "from sweeps.backends.cluster import nodes as ray_nodes;"
        "import functools;"
        "ray_backend.check_nodes = functools.partial(ray_nodes.check_nodes, seconds=0.0)"
    )
    command = [sys.executable, "-c", f"{hurried}; from sweeps.cli.main import main; main()"]
    command += ["run", write_yaml(tmp_path, tiny()), "--runs", recorded_runs, "--address", cluster.address]

    driver = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert driver.returncode == 2, driver.stdout
    [error] = [line for line in driver.stderr.splitlines() if line.startswith("error:")]
    assert error.startswith("error: not every node of the Ray cluster at ")
    assert error.count(") received no data within 0 s") == 1, "the driver's node has it"
    assert written(recorded_runs) == []
