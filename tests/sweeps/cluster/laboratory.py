"""A laboratory of three machines with Ray, between PostgreSQL, S3 and an MLflow server, and what went on in it."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from network import Machine, machines, wait_until
from object_store import S3, s3_server
from services import PASSWORD, MlflowServer, PostgreSQL

HEALTH = {
    "RAY_health_check_initial_delay_ms": "2000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "5",
}
"""A node is declared dead when it has not answered five times, a second apart, with two seconds for each answer."""

NET = '''
"""A network that takes its time, so that an epoch lasts about as long as a real one's second."""
import time
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.layer = nn.Linear(3 * 32 * 32, num_classes)

    def forward(self, images):
        time.sleep(0.05)
        return self.layer(images.flatten(1))
'''


@dataclass
class Laboratory:
    """Everything that runs."""

    folder: Path
    nodes: list[Machine]
    s3: S3
    bucket: str
    postgresql: PostgreSQL
    mlflow: MlflowServer
    environment: dict[str, str]
    ray_folder: Path
    ray_port: int = 6379
    object_port: int = 8076
    drivers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Of the Ray cluster."""
        return f"{self.nodes[0].address}:{self.ray_port}"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    def start_node(self, machine: Machine, *, head: bool = False, without: str = "") -> None:
        """Start Ray on a machine, with one core, as its user does.

        Args:
            machine: where.
            head: whether it is the cluster's first node.
            without: variables that begin so are not in its environment.
        """
        environment = {n: v for n, v in self.environment.items() if not without or not n.startswith(without)}
        ray = str(Path(sys.executable).with_name("ray"))
        options = [f"--address={self.address}"]
        if head:
            options = [
                "--head",
                f"--port={self.ray_port}",
                f"--temp-dir={self.ray_folder}",
                "--include-dashboard=false",
            ]
        if machine.namespace is not None:
            options.append(f"--object-manager-port={self.object_port}")
        log = self.logs / f"{machine.name}-{secrets.token_hex(2)}.log"
        log.touch()
        machine.start(
            [ray, "start", "--block", "--num-cpus=1", f"--node-ip-address={machine.address}", *options],
            log=log, environment=environment, cwd=self.folder / "empty",
        )  # fmt: skip
        wait_until(lambda: "Ray runtime started" in log.read_text(), seconds=120, what=f"Ray on {machine.name}")

    def drive(self, machine: Machine, *command: object, log: str) -> subprocess.Popen[bytes]:
        """Start `sweeps` on a machine; its folder is its own."""
        home = self.folder / machine.name
        home.mkdir(exist_ok=True)
        (home / "net_of_a_laboratory.py").write_text(NET, encoding="utf-8")
        line = [sys.executable, "-c", "from sweeps.cli.main import main; main()", *map(str, command)]
        driver = machine.start(line, log=self.logs / log, environment=self.environment, cwd=home)
        self.drivers.append(driver)
        return driver

    def events(self, sweep: str) -> list[Event]:
        """Return what the trials' logs say of epochs, beginnings and goings-on, in order of each trial."""
        found = []
        for name, content in self.s3.content(f"{self.bucket}/lab/sweeps/{sweep}/logs/").items():
            found += events_of(Path(name).name[:4], content.decode())
        return found

    def epochs_trained(self, sweep: str) -> int:
        return sum(event.epoch > 0 for event in self.events(sweep))


@dataclass(frozen=True)
class Event:
    """A line of a trial's log."""

    trial: str
    host: str
    epoch: int
    """0 for a beginning."""
    at: float
    """Seconds of the day; of a beginning those of the line before it."""
    gone_on_after: int | None = None


_LINES = re.compile(
    r"trial \d+ on (?P<host>\S+):|resuming after epoch (?P<after>\d+)|(?P<time>\d\d:\d\d:\d\d) epoch (?P<epoch>\d+)/"
)


def events_of(trial: str, text: str) -> list[Event]:
    """Return the events in a trial's log."""
    found: list[Event] = []
    host, at = "", 0.0
    for match in _LINES.finditer(text):
        if match["host"]:
            host = match["host"]
            found.append(Event(trial, host, 0, at))
        elif match["after"]:
            found[-1] = Event(trial, host, 0, at, int(match["after"]))
        else:
            hours, minutes, seconds = map(int, match["time"].split(":"))
            at = hours * 3600.0 + minutes * 60 + seconds
            found.append(Event(trial, host, int(match["epoch"]), at))
    return found


@contextlib.contextmanager
def laboratory(folder: Path) -> Iterator[Laboratory]:
    """Start all of it, and end all of it."""
    with contextlib.ExitStack() as held:
        (folder / "logs").mkdir()
        (folder / "empty").mkdir()
        here, nodes = held.enter_context(machines(3))
        s3 = held.enter_context(s3_server(host=here, log=folder / "logs" / "s3.log"))
        bucket = s3.new_bucket()
        # Not below a folder of pytest's, which its user alone may enter.
        postgresql = PostgreSQL(Path(held.enter_context(tempfile.TemporaryDirectory(prefix="pg-"))), host=here)
        held.callback(postgresql.stop)
        mlflow = MlflowServer(
            host=here, store=postgresql.url("mlflow", password=True).replace("postgresql:", "postgresql+psycopg:"),
            artifacts=f"{bucket}/mlflow", log=folder / "logs" / "mlflow.log", environment=s3.environment,
        )  # fmt: skip
        held.callback(mlflow.stop)
        mlflow.start()
        # Short: sockets lie there.
        ray_folder = Path(held.enter_context(tempfile.TemporaryDirectory(dir="/tmp", prefix="rl")))
        token = folder / "token"
        token.write_text(secrets.token_hex(32), encoding="ascii")
        token.chmod(0o600)
        # Neither this checkout nor an address of another machine: only the Python environment lies on the nodes.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MLFLOW_"))}
        environment = {
            **inherited, **s3.environment, **HEALTH,
            "MLFLOW_TRACKING_URI": mlflow.address,
            "PGPASSWORD": PASSWORD,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "SWEEPS_STORAGE": f"{bucket}/lab",
            "SWEEPS_STUDY_STORAGE": postgresql.url("studies"),
            "no_proxy": "*",
        }  # fmt: skip
        lab = Laboratory(folder, nodes, s3, bucket, postgresql, mlflow, environment, ray_folder)
        for index, node in enumerate(nodes):
            lab.start_node(node, head=index == 0)
        yield lab
        for node in reversed(nodes):
            node.kill()


def seconds_of_day() -> float:
    now = time.localtime()
    return now.tm_hour * 3600.0 + now.tm_min * 60 + now.tm_sec
