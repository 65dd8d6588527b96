"""Notifications with a real server and a real command; none of them can delay a sweep."""

from __future__ import annotations

import functools
import json
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sweep_fakes import IDENTIFY, Cli, epoch, sweeps_process, tiny, write_yaml

from cifar_core.config import OptimizerConfig, TrainingConfig
from sweeps.core.errors import SweepError
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.driver import notifier as notifier_module
from sweeps.driver.notifier import Notifier, message_of
from sweeps.notify.message import Message
from sweeps.notify.targets import command as command_module
from sweeps.notify.targets import webhook as webhook_module
from sweeps.notify.targets.registry import TARGETS, parse_targets
from sweeps.notify.targets.target import NotificationError, Target
from sweeps.search.state import DriverState, SweepState

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "watching.md"
SECRET = "hunter2"


@dataclass
class Server:
    """A local web server that stores the messages."""

    port: int
    told: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    status: int = 200
    hangs: threading.Event | None = None
    """If given, it answers only after this is set."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.told.append(json.loads(body))
            state.headers.append(dict(self.headers))
            state.paths.append(self.path)
            if state.hangs is not None:
                state.hangs.wait(60)
            self.send_response(state.status)
            if state.status == 302:
                self.send_header("Location", "/elsewhere")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        state = Server(port=http.server_address[1])
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield state
        if state.hangs is not None:
            state.hangs.set()
        http.shutdown()


def program(folder: Path, body: str, *, name: str = "tell") -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def complete(number: int, accuracy: float, *, outcome: Outcome = Outcome.COMPLETE) -> TrialRecord:
    config = TrainingConfig(epochs=1, optimizer=OptimizerConfig(weight_decay=number / 1000))
    identity = IDENTIFY(config)
    return TrialRecord(
        sweep="quick",
        study="quick",
        number=number,
        key=identity.key,
        config_id=identity.config_id,
        config=config,
        outcome=outcome,
        epochs=(epoch(1, accuracy),),
        started=1_800_000_000.0,
    )


def state_of(*records: TrialRecord) -> SweepState:
    return SweepState(
        sweep="quick", metric="val_accuracy", maximize=True, records=records, driver=DriverState(target=20)
    )


def a_message() -> Message:
    return message_of("ended", state_of(complete(0, 0.5)), part="search")


def until(condition: Callable[[], bool], *, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


class InMemory(Target):
    """Stores the messages."""

    example = label = "listener"

    def __init__(self, told: list[Message]) -> None:
        self._told = told

    @staticmethod
    def accepts(text: str) -> bool:
        return False

    def send(self, message: Message) -> None:
        self._told.append(message)


@dataclass
class Listener:
    """The messages to one target, and the printed lines."""

    told: list[Message] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def notifier(self, *texts: str, part: str = "search", records: tuple[TrialRecord, ...] = ()) -> Notifier:
        """Return a notifier for the given targets, else for this one."""
        targets = parse_targets(texts) if texts else [InMemory(self.told)]
        return Notifier(targets, state_of(*records), part=part, print_line=self.said.append)

    @property
    def events(self) -> list[str]:
        return [message.event for message in self.told]


@pytest.fixture
def listener() -> Listener:
    return Listener()


class TestTargets:
    def test_a_server_gets_json_with_the_query_and_password_of_its_address(
        self, server: Server, listener: Listener
    ) -> None:
        url = server.url.replace("http://", "http://me:p%40ss@") + "?token=abc#part"
        with listener.notifier(url) as notifier:
            notifier.on_change(complete(0, 0.5))
            notifier.on_change(complete(1, 0.6))
            until(lambda: len(server.told) == 1)
            notifier.on_change(complete(2, 0.4))
            notifier.ends(None)

        best, end = server.told
        assert (best["event"], end["event"]) == ("new_best", "ended")
        assert best["best"]["trial"] == "quick-001"
        assert best["best"]["value"] == 0.6
        assert best["best"]["configuration"]["optimizer.lr"] == TrainingConfig().optimizer.lr
        assert end["outcomes"] == {"complete": 3}
        assert (end["trials_done"], end["trials_planned"], end["reason"]) == (3, 20, None)
        assert "quick ended: 3 complete, 3 of 20 trials done, best val_accuracy 60.00 % (quick-001" in end["text"]
        assert server.headers[0]["Content-Type"] == "application/json"
        assert server.headers[0]["Authorization"] == "Basic bWU6cEBzcw=="
        assert server.paths[0] == "/hook?token=abc"
        assert listener.said == []

    def test_a_command_has_it_on_its_standard_input_and_in_its_environment(
        self, tmp_path: Path, listener: Listener
    ) -> None:
        path = program(tmp_path, f'cat > "$1"; env | grep ^SWEEPS_ > {tmp_path}/environment')
        # No shell reads its arguments.
        with listener.notifier(f"'{path}' '{tmp_path}/told; touch bad'") as notifier:
            notifier.on_change(complete(0, 0.5))

        assert json.loads((tmp_path / "told; touch bad").read_text(encoding="utf-8"))["event"] == "ended"
        lines = (tmp_path / "environment").read_text(encoding="utf-8").splitlines()
        environment = dict(line.split("=", 1) for line in lines)
        assert environment["SWEEPS_EVENT"] == "ended"
        assert environment["SWEEPS_BEST_TRIAL"] == "quick-000"
        assert environment["SWEEPS_BEST_VALUE"] == "0.5"
        assert environment["SWEEPS_REASON"] == ""

    def test_a_service_of_apprise_gets_the_sentence(self, server: Server, listener: Listener) -> None:
        with listener.notifier(f"json://me:{SECRET}@127.0.0.1:{server.port}/hook") as notifier:
            notifier.on_change(complete(0, 0.5))
            notifier.ends("failing", "every trial fails alike")

        (told,) = server.told
        assert (told["title"], told["type"]) == ("Sweep quick", "failure")
        assert "quick failed (all trials fail in the same way): 1 complete" in told["message"]
        assert told["message"].endswith("every trial fails alike")
        assert listener.said == []

    def test_a_service_without_apprise_is_one_error_message(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "apprise", None)

        with pytest.raises(SweepError, match=r"slack://.*pip install .*\[notify\]") as caught:
            parse_targets([f"slack://{SECRET}/{SECRET}"])

        assert SECRET not in str(caught.value)

    def test_each_target_is_used_once_and_no_secret_is_in_a_representation(self) -> None:
        texts = [f"HTTPS://me:{SECRET}@host/{SECRET}?k={SECRET}", f"sh {SECRET}", f"json://{SECRET}:{SECRET}@{SECRET}"]
        targets = parse_targets([*texts, *texts])

        assert [target.label for target in targets] == ["https://host", "sh", "json://..."]
        assert SECRET not in repr(targets)


@dataclass(frozen=True, kw_only=True)
class Reached:
    """A target's text with a secret, and a receiver that can refuse and hang."""

    kind: type[Target]
    text: str
    heard: Callable[[], int]
    """Number of received messages."""
    refuse: Callable[[], object]
    hang: Callable[[], object]


def reached_server(scheme: str, server: Server, folder: Path) -> dict[str, Any]:
    return {
        "text": f"{scheme}://me:{SECRET}@127.0.0.1:{server.port}/{SECRET}?k={SECRET}",
        "heard": lambda: len(server.told),
        "refuse": lambda: setattr(server, "status", 500),
        "hang": lambda: setattr(server, "hangs", threading.Event()),
    }


def reached_command(server: Server, folder: Path) -> dict[str, Any]:
    told = folder / "told"
    path = program(
        folder,
        f"cd {folder}; cat >> told; echo >> told; [ ! -e refuse ] || exit 3; [ ! -e hang ] || sleep 2",
    )
    return {
        "text": f"{path} {SECRET}",
        "heard": lambda: len(told.read_text(encoding="utf-8").splitlines()) if told.exists() else 0,
        "refuse": (folder / "refuse").touch,
        "hang": (folder / "hang").touch,
    }


REACHED = {
    "webhook": functools.partial(reached_server, "http"),
    "service": functools.partial(reached_server, "json"),
    "command": reached_command,
}
"""To test a new kind, add an entry in `TARGETS`, and one here with a receiver."""


class TestEveryTarget:
    @pytest.fixture(params=TARGETS)
    def reached(self, request: pytest.FixtureRequest, server: Server, tmp_path: Path) -> Reached:
        return Reached(kind=TARGETS[request.param], **REACHED[request.param](server, tmp_path))

    def test_its_text_is_read_as_this_kind_and_hides_its_secret(self, reached: Reached) -> None:
        (target,) = parse_targets([f" {reached.text} "])

        assert type(target) is reached.kind
        assert SECRET not in repr(target) + target.label + target.example

    def test_a_message_arrives_once(self, reached: Reached) -> None:
        (target,) = parse_targets([reached.text])
        target.send(a_message())

        assert reached.heard() == 1

    def test_one_that_refuses_is_an_error_without_a_secret(self, reached: Reached) -> None:
        reached.refuse()
        (target,) = parse_targets([reached.text])

        with pytest.raises(NotificationError) as caught:
            target.send(a_message())
        assert SECRET not in str(caught.value)

    def test_one_that_hangs_delays_no_trial_and_the_end_briefly(
        self, reached: Reached, listener: Listener, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(notifier_module, "END_SECONDS", 0.5)
        reached.hang()
        told: list[Message] = []
        targets = [*parse_targets([reached.text]), InMemory(told)]
        with Notifier(targets, state_of(complete(0, 0.01)), part="search", print_line=listener.said.append) as notifier:
            began = time.monotonic()
            for number in range(1, 50):
                notifier.on_change(complete(number, number / 50))
            # The target hangs for a minute; a loaded machine may take a second.
            assert time.monotonic() - began < 3
            until(lambda: reached.heard() == 1)
            began = time.monotonic()
        assert time.monotonic() - began < 5

        assert len(listener.said) == 1
        assert "no answer within" in listener.said[0]
        # The other one has received it.
        assert told[-1].event == "ended"

    @given(st.text())
    @example("")
    def test_every_text_is_accepted_by_a_kind(self, text: str) -> None:
        assert any(kind.accepts(text) for kind in TARGETS.values())


class TestMessages:
    @pytest.mark.parametrize(
        ("reason", "event"),
        [(None, "ended"), ("signal", "interrupted"), ("timeout", "interrupted"), ("disk full", "failed")],
    )
    def test_every_end_has_its_event(self, reason: str | None, event: str, listener: Listener) -> None:
        with listener.notifier() as notifier:
            notifier.ends(reason)

        assert [(message.event, message.reason) for message in listener.told] == [(event, reason)]

    @pytest.mark.parametrize(
        ("error", "told"),
        [
            (SweepError("do this"), ("failed", "error", "do this")),
            (KeyError("secret"), ("failed", "error", "KeyError")),
            (KeyboardInterrupt(), ("interrupted", "signal", None)),
        ],
    )
    def test_an_error_that_ends_the_sweep_is_sent(
        self, error: BaseException, told: tuple[str, str, str | None], listener: Listener
    ) -> None:
        with pytest.raises(type(error)), listener.notifier():
            raise error

        assert [(m.event, m.reason, m.error) for m in listener.told] == [told]

    def test_the_first_complete_trial_and_incomplete_ones_are_not_sent(self, listener: Listener) -> None:
        with listener.notifier() as notifier:
            notifier.on_change(complete(0, 0.5))
            notifier.on_change(complete(1, 0.9, outcome=Outcome.PRUNED))
            notifier.on_change(complete(2, 0.9, outcome=Outcome.RUNNING))
            notifier.on_change(complete(0, 0.5))
            time.sleep(0.3)

        assert listener.events == ["ended"]

    def test_within_ten_seconds_only_the_latest_best_is_sent(
        self, listener: Listener, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(notifier_module, "BEST_SECONDS", 0.5)
        with listener.notifier(records=(complete(0, 0.1),)) as notifier:
            for number in range(1, 6):
                notifier.on_change(complete(number, 0.1 + number / 10))
                until(lambda: len(listener.told) == 1)
            until(lambda: len(listener.told) == 2)
            notifier.on_change(complete(6, 0.9))

        assert listener.events == ["new_best", "new_best", "ended"]
        assert [(m.best or {})["trial"] for m in listener.told] == ["quick-001", "quick-005", "quick-006"]

    @pytest.mark.parametrize("part", ["ladder", "replicates", "retrain"])
    def test_only_a_search_has_a_best(self, part: str, listener: Listener) -> None:
        with listener.notifier(part=part, records=(complete(0, 0.1),)) as notifier:
            notifier.on_change(complete(1, 0.2))

        assert listener.events == ["ended"]
        assert listener.told[0].best is None


class TestFailures:
    @pytest.mark.parametrize("status", [302, 500])
    def test_a_server_that_refuses_or_redirects_is_reported_once(
        self, status: int, server: Server, listener: Listener
    ) -> None:
        server.status = status
        with listener.notifier(server.url + f"?t={SECRET}", records=(complete(0, 0.1),)) as notifier:
            notifier.on_change(complete(1, 0.2))
            until(lambda: len(server.told) == 1)

        assert [message["event"] for message in server.told] == ["new_best", "ended"]
        label = f"http://127.0.0.1:{server.port}"
        assert listener.said == [f"warning: the notification to {label} failed: it answered {status} (shown once)"]

    def test_an_answer_has_a_timeout_of_a_few_seconds(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(webhook_module, "ANSWER_SECONDS", 0.2)
        server.hangs = threading.Event()
        (target,) = parse_targets([server.url])

        with pytest.raises(NotificationError, match="no answer within"):
            target.send(a_message())

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (f"http://me:{SECRET}@127.0.0.1:9/{SECRET}?key={SECRET}", "http://127.0.0.1:9 failed: no conn"),
            (f"json://me:{SECRET}@127.0.0.1:9/{SECRET}?key={SECRET}", "json://... failed: it did not accept"),
            (f"sh -c 'exit 3' {SECRET}", "sh failed: it exited with 3"),
            ("sh -c 'exec <&-; exit 0'", None),  # does not read
            ("./broken", "broken failed: Exec format error"),
        ],
    )
    def test_an_unreachable_server_and_a_failing_command_are_reported(
        self,
        text: str,
        said: str | None,
        listener: Listener,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        broken = tmp_path / "broken"
        broken.write_bytes(b"\x00\x01 no program")
        broken.chmod(0o755)
        with listener.notifier(text):
            pass

        assert len(listener.said) == (said is not None)
        assert all(f"warning: the notification to {said}" in line and SECRET not in line for line in listener.said)
        assert caplog.text == ""

    def test_a_command_that_hangs_is_killed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(command_module, "COMMAND_SECONDS", 0.3)
        (target,) = parse_targets([str(program(tmp_path, f"echo $$ > {tmp_path}/pid; sleep 60"))])

        with pytest.raises(NotificationError, match="it was killed"):
            target.send(a_message())

        assert not Path("/proc", (tmp_path / "pid").read_text(encoding="utf-8").strip()).exists()

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            (f"ftp://me:{SECRET}@host/x?k={SECRET}", "ftp://"),
            (f"slack://{SECRET}", "slack://"),
            (f"https:/me:{SECRET}@host/", "its first word is not an executable"),
            (f"me:{SECRET}@host/hook", "its first word is not an executable"),
            (f"http://:{SECRET}@/x", "not a complete URL"),
            (f"http://host:{SECRET}/", "not a complete URL"),
            (f"http://[::1/{SECRET}", "not a complete URL"),
            ("no-such-command-anywhere --now", "'no-such-command-anywhere' is not an executable"),
            ("sh 'unclosed", "invalid quotes"),
            ("  ", "the text is empty"),
        ],
    )
    def test_an_invalid_target_is_one_error_without_a_secret(
        self, text: str, words: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        with pytest.raises(SweepError, match=r"^notify: ") as caught:
            parse_targets([text])

        assert words in str(caught.value)
        assert SECRET not in str(caught.value)
        assert caplog.text == ""


class TestASweep:
    @pytest.fixture
    def run(self, tmp_path: Path, recorded_runs: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
        monkeypatch.chdir(tmp_path)

        def start(*arguments: object, **changes: Any) -> Any:
            path = write_yaml(tmp_path, tiny(**changes))
            return cli("run", path, "--runs", recorded_runs, "--backend", "inline", *arguments)

        return start

    def test_sends_its_end_and_that_of_its_replicates_unless_nothing_was_done(
        self, run: Callable[..., Any], server: Server, recorded_runs: Path
    ) -> None:
        changes: dict[str, Any] = {"notify": server.url + f"?k={SECRET}", "replicates": {"top": 1, "seeds": 1}}

        result = run(**changes)

        assert result.exit_code == 0, result.output
        ends = [(m["event"], m["part"], m["outcomes"]) for m in server.told if m["event"] != "new_best"]
        assert ends == [("ended", "search", {"complete": 2}), ("ended", "replicates", {"complete": 1})]
        count = len(server.told)
        assert "Nothing to train" in run("--notify", "true", **changes).output
        assert len(server.told) == count
        # It goes into no file of the record.
        kept = b"".join(path.read_bytes() for path in recorded_runs.rglob("*") if path.is_file())
        assert SECRET.encode() not in kept
        assert SECRET not in result.output

    def test_does_not_start_with_an_invalid_target(self, run: Callable[..., Any], recorded_runs: Path) -> None:
        for arguments, changes in (
            (("--notify", f"ftp://{SECRET}@host"), {}),
            ((), {"notify": [f"ftp://{SECRET}@host"]}),
            ((), {"notify": {SECRET: 1}}),
            ((), {"notify": [{"https": SECRET}]}),
        ):
            result = run(*arguments, **changes)

            assert result.exit_code == 2
            assert result.output.count("error:") == 1
            assert "notify" in result.output
            assert SECRET not in result.output
        assert not (recorded_runs / "sweeps").exists()

    @pytest.mark.slow
    def test_that_is_interrupted_sends_it(self, tmp_path: Path, recorded_runs: Path, server: Server) -> None:
        content = tiny(base=tiny()["base"] | {"epochs": 100_000})
        told = tmp_path / "told"
        arguments = (
            *("run", write_yaml(tmp_path, content), "--runs", recorded_runs, "--backend", "inline"),
            *("--notify", server.url, "--notify", program(tmp_path, f"cat > {told}")),
        )
        with sweeps_process(*arguments, cwd=tmp_path) as process:
            journal = recorded_runs / "sweeps" / "tiny" / "journal.log"
            until(lambda: journal.exists() and b"epoch:0002" in journal.read_bytes(), seconds=90)
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=60)

        assert process.returncode == 130, output
        for message in (server.told[-1], json.loads(told.read_text(encoding="utf-8"))):
            assert (message["event"], message["reason"]) == ("interrupted", "signal")
            assert message["outcomes"] == {"interrupted": 1}
        assert len(server.told) == 1


def test_the_docs_show_a_real_message() -> None:
    text = PAGE.read_text(encoding="utf-8")
    (block,) = re.findall(r"```json\n(.*?)```", text, flags=re.DOTALL)
    shown = json.loads(block)
    real = json.loads(a_message().as_json())

    assert list(shown) == list(real)
    assert list(shown["best"]) == list(real["best"])
    assert [type(value) for value in shown.values()] == [type(value) for value in real.values()]
    assert shown["version"] == real["version"]
    for name in a_message().environment():
        assert f"`{name}`" in text


def test_a_command_outlives_the_sweep_that_does_not_wait_for_it(tmp_path: Path) -> None:
    slow = program(tmp_path, f"cat > /dev/null; sleep 1; touch {tmp_path}/done", name="slow")
    code = (
        "import sweeps.driver.notifier as notifier\n"
        "from sweeps.driver.notifier import Notifier; from sweeps.notify.targets.registry import parse_targets\n"
        "from sweeps.search.state import SweepState\n"
        "notifier.END_SECONDS = 0.2\n"
        "state = SweepState(sweep='quick', metric='val_accuracy', maximize=True)\n"
        f"Notifier(parse_targets([{str(slow)!r}]), state, part='search', print_line=print).close()\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "no answer within" in result.stdout
    assert result.stderr == ""
    until(lambda: (tmp_path / "done").exists())
