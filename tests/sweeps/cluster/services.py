"""What a laboratory has beside its machines, as real processes: PostgreSQL, an MLflow server, and S3 (moto's)."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

USER, PASSWORD = "sweeps", "not-for-any-log-either"


def postgresql_programs() -> Path | None:
    """Return the folder of PostgreSQL's server programs, None where it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if found:
        return found[-1].parent
    program = shutil.which("initdb")
    return Path(program).parent if program else None


def free_port(host: str) -> int:
    """Return a port of an address that nobody listens at."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


class PostgreSQL:
    """One server with a database for studies and one for MLflow. It refuses to run as root, and runs as `postgres`."""

    def __init__(self, folder: Path, *, host: str) -> None:
        """Make its files and start it.

        Args:
            folder: that is there and empty, below folders that everybody may enter.
            host: the address that it listens at, beside the loopback.
        """
        programs = postgresql_programs()
        assert programs is not None
        self._programs = programs
        self._folder = folder
        self.host, self.port = host, free_port(host)
        self._as_user = []
        if os.getuid() == 0:
            shutil.chown(folder, pwd.getpwnam("postgres").pw_uid)
            self._as_user = ["runuser", "-u", "postgres", "--"]
        secret = folder / "password"
        secret.write_text(PASSWORD, encoding="ascii")
        secret.chmod(0o644)
        self._call("initdb", "-D", str(folder / "data"), "-U", USER, "-A", "scram-sha-256", f"--pwfile={secret}")
        with (folder / "data" / "pg_hba.conf").open("a", encoding="ascii") as rules:
            rules.write("host all all 0.0.0.0/0 scram-sha-256\n")
        self.start()
        for name in ("studies", "mlflow"):
            self.execute(f"create database {name}", database="postgres")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-p {self.port} -k {self._folder} -c listen_addresses={self.host},127.0.0.1"
        self._call("pg_ctl", "-D", f"{self._folder}/data", "-o", options, "-l", f"{self._folder}/log", "-w", "start")

    def stop(self) -> None:
        """End it, with every connection."""
        self._call("pg_ctl", "-D", f"{self._folder}/data", "-m", "fast", "-w", "stop")

    def url(self, database: str, *, password: bool = False) -> str:
        """Return the URL of one of its databases."""
        login = f"{USER}:{PASSWORD}" if password else USER
        return f"postgresql://{login}@{self.host}:{self.port}/{database}"

    def execute(self, statement: str, *, database: str) -> list[tuple[object, ...]]:
        """Run a statement and return its rows."""
        import psycopg

        with psycopg.connect(self.url(database, password=True), autocommit=True) as connection:
            cursor = connection.execute(statement)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def _call(self, program: str, *arguments: str) -> None:
        command = [*self._as_user, str(self._programs / program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
        assert done.returncode == 0, done.stdout + done.stderr


class MlflowServer:
    """`mlflow server` over a database, with its artifacts in a bucket."""

    def __init__(self, *, host: str, store: str, artifacts: str, log: Path, environment: dict[str, str]) -> None:
        self.host, self.port = host, free_port(host)
        self.address = f"http://{host}:{self.port}"
        self._log = log
        self._environment = os.environ | environment | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        self._command = [
            *(str(Path(sys.executable).with_name("mlflow")), "server", "--host", host, "--port", str(self.port)),
            *("--workers", "1", "--allowed-hosts", "*", "--backend-store-uri", store),
            *("--artifacts-destination", artifacts),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, seconds: float = 120) -> None:
        """Start it, and wait until it answers."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command, stdout=output, stderr=output, env=self._environment, start_new_session=True
            )
        deadline = time.monotonic() + seconds
        while True:
            try:
                urllib.request.urlopen(f"{self.address}/health", timeout=2).close()
            except OSError:
                assert time.monotonic() < deadline, self._log.read_text(encoding="utf-8")[-2000:]
                time.sleep(0.5)
            else:
                return

    def stop(self) -> None:
        """End it with its workers."""
        if self._process is not None:
            os.killpg(self._process.pid, 15)
            self._process.wait(30)
            self._process = None
