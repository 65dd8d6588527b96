"""The SLURM script of docs/cluster, run with fakes of SLURM's programs: two nodes, both this machine."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sweep_fakes import outcomes, tiny, write_yaml, written

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[4] / "docs" / "cluster" / "sweep.slurm"
START_SECONDS = 180

SRUN = """#!/bin/bash
# Fake of SLURM's srun: the command of the step runs on this machine.
echo "$*" >> steps.txt
while [[ $1 == --* ]]; do shift; done
exec "$@"
"""
SCONTROL = """#!/bin/bash
# Fake of SLURM's scontrol: prints two nodes, and records requeue requests.
case $1 in
    show) printf 'one\\ntwo\\n' ;;
    requeue) echo "$2" >> requeued.txt ;;
esac
"""
RAY = """#!{python}
# Fake of Ray, to test only the script: a head that listens, and a worker that starts at the second try.
import pathlib, socket, sys, time
options = dict(word.split("=", 1) for word in sys.argv if "=" in word)
if "--head" not in sys.argv and not pathlib.Path("tried").exists():
    pathlib.Path("tried").touch()
    sys.exit("fails the first time")
if "--head" in sys.argv:
    server = socket.create_server(("127.0.0.1", int(options["--port"])))
print("Ray runtime started.", flush=True)
time.sleep(60)
"""
SWEEPS = """#!/bin/bash
# Fake of `sweeps run`: ends regularly at the first signal, immediately at the second.
echo "$*" > words.txt
trap 'echo told >> told.txt; sleep 1; exit {code}' TERM
echo > begun
for ((i = 0; i < 600; i++)); do sleep 0.1; done
"""


@dataclass
class Job:
    """A job of two nodes with one core each, as SLURM starts it."""

    folder: Path
    environment: Path = field(default_factory=lambda: Path(sys.executable).parents[1])
    variables: dict[str, str] = field(default_factory=dict)
    number: int = field(default_factory=os.getpid)

    def __post_init__(self) -> None:
        (self.folder / "bin").mkdir()
        write_program(self.folder / "bin" / "srun", SRUN)
        write_program(self.folder / "bin" / "scontrol", SCONTROL)

    @contextlib.contextmanager
    def start(self, *words: object, **variables: str) -> Iterator[subprocess.Popen[str]]:
        """Start the script, and end it at the end of the block if it still runs."""
        slurm = {
            "SLURM_JOB_ID": str(self.number),
            "SLURM_JOB_NODELIST": "one,two",
            "SLURM_CPUS_PER_TASK": "1",
            "SLURM_SUBMIT_DIR": str(self.folder),
            "ENVIRONMENT": str(self.environment),
            "HEAD_ADDRESS": "127.0.0.1",
            "OBJECT_STORE": "200000000",
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
        }
        # Without the settings of earlier tests for a local Ray.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        process = subprocess.Popen(
            ["bash", SCRIPT, *map(str, words)],
            env=inherited | slurm | self.variables | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.communicate(timeout=90)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()

    def wait_for(self, condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
        """Wait for a condition; at the timeout end the job and fail with its output."""
        deadline = time.monotonic() + START_SECONDS
        while not condition():
            if process.poll() is not None or time.monotonic() > deadline:
                processes = command_lines()
                process.terminate()
                output, _ = process.communicate(timeout=90)
                logs = [f"{path.name}:\n{path.read_text(encoding='utf-8')}" for path in self.folder.glob("*/*.log")]
                pytest.fail("\n".join([f"not done in {START_SECONDS} s", output, *logs, processes]))
            time.sleep(0.1)

    @property
    def token(self) -> Path:
        return self.folder / f"sweeps-{self.number}" / "token"

    def lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def assert_nothing_is_left(self) -> None:
        assert f"sweeps-job-{self.number}" not in command_lines()
        assert not self.token.exists()
        assert not Path(f"/tmp/sweeps-job-{self.number}").exists()


def write_program(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def command_lines() -> str:
    """Return the command lines of all processes on this machine."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            continue
    return "\n".join(lines)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A job whose Ray and driver are fakes too."""
    programs = tmp_path / "environment" / "bin"
    programs.mkdir(parents=True)
    write_program(programs / "ray", RAY.format(python=sys.executable))
    write_program(programs / "sweeps", SWEEPS.format(code=130))
    return Job(tmp_path, environment=programs.parent)


@pytest.mark.parametrize(("number", "queued_again"), [(signal.SIGUSR1, True), (signal.SIGTERM, False)])
def test_only_a_job_at_its_time_limit_is_queued_again(number: signal.Signals, queued_again: bool, job: Job) -> None:
    with job.start("my.yaml", "--set", "run_cap=3") as process:
        job.wait_for((job.folder / "begun").exists, process)
        os.kill(process.pid, number)
        job.wait_for((job.folder / "told.txt").exists, process)
        os.kill(process.pid, number)
        output, _ = process.communicate(timeout=90)

    assert process.returncode == 130, output
    assert "1 of 1 workers joined" in output
    assert job.lines("requeued.txt") == [str(job.number)] * queued_again
    assert job.lines("told.txt") == ["told"], "a second signal would end the driver at once"
    (words,) = job.lines("words.txt")
    assert words.startswith("run my.yaml --set run_cap=3 --address 127.0.0.1:")
    job.assert_nothing_is_left()


def test_a_driver_that_fails_at_the_time_limit_is_not_queued(job: Job) -> None:
    write_program(job.environment / "bin" / "sweeps", SWEEPS.format(code=2))

    with job.start() as process:
        job.wait_for((job.folder / "begun").exists, process)
        os.kill(process.pid, signal.SIGUSR1)
        output, _ = process.communicate(timeout=90)

    assert process.returncode == 2, output
    assert job.lines("requeued.txt") == []
    job.assert_nothing_is_left()


def test_a_head_that_does_not_start_is_reported_at_once(job: Job) -> None:
    write_program(job.environment / "bin" / "ray", "#!/bin/bash\nexit 1\n")

    with job.start() as process:
        output, _ = process.communicate(timeout=90)

    assert process.returncode == 2
    assert "Ray's head did not start" in output
    job.assert_nothing_is_left()


def test_a_job_that_is_ended_while_its_head_starts_ends_at_once(job: Job) -> None:
    write_program(job.environment / "bin" / "ray", "#!/bin/bash\necho > slow\nexec sleep 60\n")

    with job.start() as process:
        job.wait_for((job.folder / "slow").exists, process)
        os.kill(process.pid, signal.SIGTERM)
        output, _ = process.communicate(timeout=90)

    assert process.returncode == 130, output
    job.assert_nothing_is_left()


def test_a_head_with_the_name_localhost_is_reported(job: Job) -> None:
    write_program(job.folder / "bin" / "getent", "#!/bin/bash\necho 127.0.1.1 STREAM one\n")

    with job.start(HEAD_ADDRESS="") as process:
        output, _ = process.communicate(timeout=90)

    assert process.returncode == 2
    assert "set HEAD_ADDRESS" in output
    assert job.lines("steps.txt") == []


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("nothing_of_ray_is_left")
def test_a_sweep_at_the_time_limit_is_saved_and_resumed(tmp_path: Path, recorded_runs: Path) -> None:
    job = Job(tmp_path, variables={"RUNS": str(recorded_runs)})
    epochs = 30
    path = write_yaml(tmp_path, tiny(base=tiny()["base"] | {"epochs": epochs}))
    journal = recorded_runs / "sweeps" / "tiny" / "journal.log"

    with job.start(path) as process:
        job.wait_for(lambda: journal.exists() and b"epoch:0003" in journal.read_bytes(), process)
        secret, mode = job.token.read_text(encoding="ascii"), stat.S_IMODE(job.token.stat().st_mode)
        seen = command_lines()
        os.kill(process.pid, signal.SIGUSR1)
        output, _ = process.communicate(timeout=90)
    first = outcomes(recorded_runs)

    assert process.returncode == 130, output
    assert "1 of 1 workers joined" in output
    assert "the job is queued again" in output
    assert ("KILLED", "interrupted") in first
    assert (mode, len(secret)) == (0o600, 64)
    assert f"sweeps-job-{job.number}" in seen
    assert secret not in seen
    assert [" --nodelist=one " in step and "--head" in step for step in job.lines("steps.txt")[:2]] == [True, False]
    job.assert_nothing_is_left()

    with job.start(path, SLURM_RESTART_COUNT="1") as process:
        output, _ = process.communicate(timeout=200)

    assert process.returncode == 0, output
    assert job.lines("requeued.txt") == [str(job.number)]
    assert outcomes(recorded_runs) == [("FINISHED", "complete")] * 2
    assert [run.steps["val_accuracy"] for run in written(recorded_runs)] == [list(range(1, epochs + 1))] * 2
    job.assert_nothing_is_left()
