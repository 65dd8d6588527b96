"""`--submit`: a sweep as a Ray job, whose driver runs on the cluster and outlives the terminal that it came from.

What is sent is the code that travels (`travelling_code`), the sweep's file with all that it extends and is overridden
by, and a command. The command and the environment of a job are shown to everybody who sees the cluster's pages: no
secret goes into them.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import logging
import os
import secrets
import shlex
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sweeps.errors import SweepError
from sweeps.execution.travelling_code import modules_in, stage_code, stage_own_code

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

_ANSWER_SECONDS = 10.0
_AWAY_SECONDS = 60.0
_INTERRUPTED = 130
_EXAMPLE = "--address http://HOST:8265"
_MISSING = "submitting a job takes the job client of Ray: pip install 'cifar-sweeps[cluster]'"
_ENVIRONMENT_FOR_ADDRESSES = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")
_TRACKING = "MLFLOW_TRACKING_URI"
_JOB = "sweeps_job"
_MAIN = """import os
import sys
from pathlib import Path

from sweeps.cli import main

folder = str(Path(__file__).parent)
os.chdir(folder)
sys.path.insert(0, folder)
main()
"""
"""Of a module that a job runs. The code of a network lies beside it, since single files do not travel to a job."""
DEFAULT_RUNS = '"$HOME"/runs'
"""In the words of a shell, on the node where the job's driver runs."""


@dataclass(frozen=True, kw_only=True)
class JobRequest:
    """What is to run on the cluster."""

    verb: str
    """Of the command line: `run` or `ladder`."""
    sweep: str
    """Its name."""
    text: str
    """The sweep's file, which needs no other one."""
    runs: str | None
    """The runs folder on the cluster; None for `runs` in the home folder of whoever runs the cluster."""
    options: Sequence[str] = ()
    """Of the command line, behind the file."""
    networks: Sequence[str] = field(default=())
    """Of the user's own, `module:Class`."""

    @property
    def file(self) -> str:
        return f"{self.sweep}.yaml"

    @property
    def command(self) -> str:
        """Return what the cluster's shell is given."""
        runs = DEFAULT_RUNS if self.runs is None else shlex.quote(self.runs)
        words = ["python", "-m", _JOB, self.verb, self.file, *self.options]
        return f"{shlex.join(words)} --runs {runs}"

    def write(self, folder: Path) -> None:
        """Write the module that the command runs: this package's command line, the sweep's file and the user's code.

        Raises:
            SweepError: a network's code is too large to travel, or cannot be read.
        """
        folder.mkdir()
        stage_own_code(folder, networks=self.networks)
        (folder / "__init__.py").touch()
        (folder / "__main__.py").write_text(_MAIN, encoding="utf-8")
        (folder / self.file).write_text(self.text, encoding="utf-8")


def submit_job(request: JobRequest, *, address: str | None, say: Callable[[str], None]) -> int:
    """Run a sweep as a job of a Ray cluster, show what it says until it ends, and return its exit code.

    A Ctrl-C ends the showing, not the job.

    Args:
        request: what to run.
        address: of the cluster's job server, `http://HOST:8265`; None takes RAY_API_SERVER_ADDRESS.
        say: shows text as it comes, line ends and all.

    Raises:
        SweepError: nothing was submitted; the message says what to do.
    """
    server = job_server(address or os.environ.get("RAY_API_SERVER_ADDRESS") or os.environ.get("RAY_ADDRESS"))
    with tempfile.TemporaryDirectory(prefix="sweeps-job-") as place:
        folder = Path(place) / "job"
        stage_code(folder)
        request.write(folder / _JOB)
        client = _client(server, needs_token=_answer_of(server))
        job = f"sweeps-{request.sweep}-{secrets.token_hex(4)}"
        with _in_words(server):
            client.submit_job(
                entrypoint=request.command,
                submission_id=job,
                runtime_env={"py_modules": modules_in(folder), "env_vars": forwarded_environment()},
                metadata={"sweep": request.sweep},
            )
    how = f"ray job {{}} {job} --address {server}"
    try:
        say(f"job {job} is submitted to {server}; its pages: {server}/#/jobs\n")
        asyncio.run(_show(client, job, say))
    except TimeoutError:
        raise SweepError(
            f"the job server at {server} does not answer any more; the job may go on without it: "
            f"`{how.format('status')}` says how it stands, `{how.format('logs --follow')}` what it says"
        ) from None
    except KeyboardInterrupt:
        say(
            f"\nthe job goes on without this terminal: `{how.format('logs --follow')}` shows what it says, "
            f"`{how.format('stop')}` stops it, and then the same command goes on from there\n"
        )
        return _INTERRUPTED
    return _exit_code(client.get_job_info(job), say, how=how)


def job_server(address: str | None) -> str:
    """Return the address of a job server as its client takes it.

    Raises:
        SweepError: it is none.
    """
    if not address:
        raise SweepError(f"--submit needs the address of a cluster's job server: {_EXAMPLE}")
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SweepError(
            f"--submit takes the address of a cluster's job server, {_EXAMPLE}, as `ray start --head` prints it for "
            f"its dashboard; {address.rpartition('@')[2]} is none"
        )
    if parts.username or parts.password:
        raise SweepError("--submit takes an address without a password: Ray's token is in RAY_AUTH_TOKEN or its file")
    return f"{parts.scheme}://{parts.netloc}"


def forwarded_environment() -> dict[str, str]:
    """Return the environment that a job is given: where its record is kept, unless the address holds a secret."""
    address = os.environ.get(_TRACKING, "")
    parts = urlsplit(address)
    if parts.scheme in ("http", "https") and not (parts.username or parts.password or parts.query):
        return {_TRACKING: address}
    return {}


def _answer_of(server: str) -> bool:
    """Ask whether a job server is there, which Ray's client does without a time limit; return whether it wants a token.

    Raises:
        SweepError: there is none.
    """
    advice = (
        "the job server belongs to the dashboard of `ray start --head`, which runs where 'ray[default]' is installed "
        "(pip install 'cifar-sweeps[cluster]') and listens on 127.0.0.1:8265 unless --dashboard-host says otherwise"
    )
    try:
        with urllib.request.urlopen(f"{server}/api/version", timeout=_ANSWER_SECONDS) as answer:
            known = "ray_version" in json.loads(answer.read())
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            return True
        known = False
    except (http.client.HTTPException, ValueError):
        known = False
    except OSError as error:  # of urllib too
        reason = getattr(error, "reason", error)
        if not isinstance(reason, ConnectionResetError | TimeoutError):
            raise SweepError(f"no job server of a Ray cluster answers at {server} ({reason}): {advice}") from None
        known = False
    if not known:
        raise SweepError(
            f"what answers at {server} is no job server of a Ray cluster; is it the cluster's own port (6379)? {advice}"
        )
    return False


def _client(server: str, *, needs_token: bool) -> JobSubmissionClient:
    try:
        from ray.job_submission import JobSubmissionClient
    except ImportError:
        raise SweepError(_MISSING) from None
    for module in ("ray.dashboard.modules.job.sdk", "ray.dashboard.modules.dashboard_sdk"):
        # What they say of their connection stands between the lines of the job.
        logging.getLogger(module).setLevel(logging.WARNING)
    if needs_token:
        from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available

        # Only where it is asked for: the token of one cluster is nothing that another server should see.
        maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
    # It takes these before what it is told.
    taken = {name: os.environ.pop(name) for name in _ENVIRONMENT_FOR_ADDRESSES if name in os.environ}
    try:
        with _in_words(server):
            return JobSubmissionClient(server)
    finally:
        os.environ.update(taken)


@contextlib.contextmanager
def _in_words(server: str) -> Iterator[None]:
    """Say in words what Ray's client raises."""
    from ray.exceptions import AuthenticationError

    try:
        yield
    except AuthenticationError:
        raise SweepError(
            f"the job server at {server} asks for a token, and there is none here, or another one: copy "
            "~/.ray/auth_token from its head node (chmod 600), or set RAY_AUTH_TOKEN to what `ray get-auth-token` "
            "prints there"
        ) from None
    except (RuntimeError, OSError) as error:
        lines = str(error).strip().splitlines()
        if "ray[default]" in str(error):
            raise SweepError(_MISSING) from None
        raise SweepError(f"the job server at {server} took no job: {lines[-1] if lines else error}") from None


async def _show(client: JobSubmissionClient, job: str, say: Callable[[str], None]) -> None:
    """Show what a job says until it ends; a connection that breaks meanwhile is made again.

    Raises:
        TimeoutError: the job server does not answer any more.
    """
    shown, answered = 0, time.monotonic()
    while time.monotonic() - answered < _AWAY_SECONDS:
        # What is shown already is told again, from the beginning.
        skip = shown
        # Of aiohttp and requests, which may not be there to be named.
        with contextlib.suppress(Exception):
            async for text in client.tail_job_logs(job):
                answered = time.monotonic()
                fresh, skip = text[skip:], max(0, skip - len(text))
                shown += len(fresh)
                say(fresh)
        with contextlib.suppress(Exception):
            status = client.get_job_status(job)
            answered = time.monotonic()
            if status.is_terminal():
                return
        await asyncio.sleep(1.0)
    raise TimeoutError


def _exit_code(details: JobDetails, say: Callable[[str], None], *, how: str) -> int:
    status = str(getattr(details.status, "value", details.status))
    if status == "SUCCEEDED":
        return 0
    if status == "STOPPED":
        say("the job was stopped; all is saved: the same command goes on from here\n")
        return _INTERRUPTED
    code: Any = details.driver_exit_code
    if not code:  # its driver was never started
        say(f"the job failed: {details.message} (more: `{how.format('logs')}`)\n")
        return 2
    return int(code) if 0 < int(code) < 256 else 1
